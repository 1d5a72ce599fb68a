"""The audit chain: an edit, a removal or an insertion is found at exactly its row."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from edge.audit import AuditEvent, append_audit, audit_head, verify_audit
from edge.journal import Journal, open_journal


@pytest.fixture
def journal(tmp_path: Path):
    ticks = itertools.count()
    opened = open_journal(tmp_path / "j.sqlite", now=lambda: f"2026-11-23T08:00:{next(ticks):02d}Z")
    with opened.change():
        for index in range(9):
            opened.note(AuditEvent("daemon", "did", f"slide:{index}", "SEEN", "SETTLED", {"text": "\ud800 é\n"}))
    yield opened
    opened.close()


def tampered(journal: Journal, statement: str) -> Journal:
    """Change the table as somebody with a database tool would: without the triggers."""
    journal.connection.execute("DROP TRIGGER audit_is_not_changed")
    journal.connection.execute("DROP TRIGGER audit_is_not_deleted")
    journal.connection.execute(statement)
    return journal


def test_an_untouched_chain_is_whole(journal: Journal) -> None:
    check = verify_audit(journal.connection)
    assert check.broken_at is None
    assert (check.rows, check.head) == audit_head(journal.connection)
    assert check.rows == 10


@pytest.mark.parametrize("column", ["at", "actor", "action", "subject", "old", "new", "detail"])
@pytest.mark.case("S14")
def test_an_edited_column_breaks_the_chain_at_its_row(journal: Journal, column: str) -> None:
    tampered(journal, f"UPDATE audit SET {column} = 'x' WHERE seq = 4")  # noqa: S608 - fixed names
    assert verify_audit(journal.connection).broken_at == 4


@pytest.mark.case("S14")
def test_a_removed_row_breaks_the_chain(journal: Journal) -> None:
    assert verify_audit(tampered(journal, "DELETE FROM audit WHERE seq = 4").connection).broken_at == 5


def test_an_inserted_row_breaks_the_chain_behind_it(journal: Journal) -> None:
    tampered(journal, "UPDATE audit SET seq = seq + 100 WHERE seq >= 4")
    tampered_rows = journal.connection
    append_audit(tampered_rows, "2026-11-23T08:00:30Z", AuditEvent("daemon", "forged", "journal"))
    assert verify_audit(tampered_rows).broken_at == 104


def test_a_row_whose_hash_was_recomputed_breaks_the_next(journal: Journal) -> None:
    from edge.audit import COLUMNS, row_hash

    tampered(journal, "UPDATE audit SET actor = 'nobody' WHERE seq = 4")
    row = journal.connection.execute(f"SELECT {COLUMNS} FROM audit WHERE seq = 4").fetchone()  # noqa: S608 - fixed names
    journal.connection.execute("UPDATE audit SET hash = ? WHERE seq = 4", (row_hash(tuple(row)),))
    assert verify_audit(journal.connection).broken_at == 5


def test_rows_cannot_be_changed_or_deleted_through_sql(journal: Journal) -> None:
    import sqlite3

    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError):
            journal.connection.execute(statement)


def test_a_cut_tail_shows_in_the_newest_hash(journal: Journal) -> None:
    before = audit_head(journal.connection)
    tampered(journal, "DELETE FROM audit WHERE seq = 10")
    assert verify_audit(journal.connection).broken_at is None
    assert audit_head(journal.connection) != before
