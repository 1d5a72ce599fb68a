"""The journal: durable settings, allowed changes only, an audit row for each, refusal of what it cannot vouch for."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from pathlib import Path

import pytest

from edge.audit import AuditEvent, verify_audit
from edge.errors import EdgeError
from edge.journal import Journal, fold_log, is_transient, open_journal, prepare_connection
from edge.journal_results import NewRevision
from edge.journal_rows import DeliveryIntent
from edge.journal_schema import MIGRATIONS, SCHEMA_VERSION
from edge.journal_states import DELIVERY_MOVES, SLIDE_MOVES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path):
    ticks = itertools.count()
    opened = open_journal(path, now=lambda: f"2026-11-23T08:00:00.{next(ticks):06d}Z")
    yield opened
    opened.close()


def spooled(journal: Journal, key: str = "A1") -> int:
    slide = journal.slides.add("di60", key, key.encode())
    journal.slides.move(slide.id, "SETTLED")
    journal.slides.move(slide.id, "SPOOLED", idempotency_key=f"key-{key}", spool_name=f"{slide.id}-x")
    return slide.id


def revision(number: int = 1) -> NewRevision:
    return NewRevision(number, f"ABC.R{number}", "P", "P", "0" * 64, "1" * 64, "2" * 64, None, "daemon", None)


def intent(output: str = "json:/drop", name: str = "a.json") -> DeliveryIntent:
    content = b"{}\n"
    import hashlib

    return DeliveryIntent(output, name, content, hashlib.sha256(content).hexdigest(), len(content))


def test_the_journal_is_opened_so_that_an_acknowledged_commit_survives_a_power_cut(journal: Journal) -> None:
    pragma = {
        name: journal.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "cell_size_check")
    }
    assert pragma == {
        "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0, "cell_size_check": 1,
    }  # fmt: skip


@pytest.mark.case("S12")
def test_the_journal_is_readable_by_its_owner_alone(journal: Journal, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0


def test_a_reopened_journal_is_the_same_journal(journal: Journal, path: Path) -> None:
    identity, slide_id = journal.journal_id, spooled(journal)
    journal.close()
    again = open_journal(path, now=lambda: "2026-11-23T09:00:00Z")
    assert again.journal_id == identity
    assert again.slides.get(slide_id).state == "SPOOLED"
    again.close()


def test_a_file_without_tables_left_by_a_crash_at_the_first_start_is_made_anew(path: Path) -> None:
    sqlite3.connect(path).close()
    path.touch()
    made = open_journal(path, now=lambda: "t")
    assert made.slides.counts()["SEEN"] == 0
    made.close()


@pytest.mark.parametrize("state", sorted(SLIDE_MOVES))
def test_a_slide_changes_only_as_the_table_of_moves_allows(journal: Journal, state: str) -> None:
    slide_id = spooled(journal)
    journal.connection.execute("UPDATE slides SET state = ? WHERE id = ?", (state, slide_id))
    for target in sorted(set(SLIDE_MOVES) - set(SLIDE_MOVES[state])):
        with pytest.raises(EdgeError, match="MDSE-JOURNAL-006"):
            journal.slides.move(slide_id, target)
    assert journal.slides.get(slide_id).state == state


@pytest.mark.parametrize("state", sorted(DELIVERY_MOVES))
def test_a_delivery_changes_only_as_the_table_of_moves_allows(journal: Journal, state: str) -> None:
    made = journal.results.add_revision(spooled(journal), revision(), [intent()])
    delivery = journal.results.deliveries_of(made.id)[0]
    journal.connection.execute("UPDATE deliveries SET state = ? WHERE id = ?", (state, delivery.id))
    for target in sorted(set(DELIVERY_MOVES) - DELIVERY_MOVES[state]):
        with pytest.raises(EdgeError, match="MDSE-JOURNAL-006"):
            journal.results.move_delivery(delivery.id, target)


def test_every_change_of_a_state_leaves_one_audit_row_in_the_same_transaction(journal: Journal) -> None:
    slide_id = spooled(journal)
    before = verify_audit(journal.connection).rows

    def interrupted() -> None:
        with journal.change():
            journal.slides.move(slide_id, "COMPUTED")
            raise RuntimeError("the power goes")

    with pytest.raises(RuntimeError):
        interrupted()
    assert journal.slides.get(slide_id).state == "SPOOLED"
    assert verify_audit(journal.connection).rows == before
    journal.slides.move(slide_id, "COMPUTED")
    assert verify_audit(journal.connection).rows == before + 1


def test_an_audit_row_outside_a_transaction_is_a_programming_error(journal: Journal) -> None:
    with pytest.raises(AssertionError):
        journal.note(AuditEvent("daemon", "x", "journal"))


def test_result_and_delivery_intents_are_recorded_together_or_not_at_all(journal: Journal) -> None:
    slide_id = spooled(journal)
    with pytest.raises(sqlite3.IntegrityError):
        journal.results.add_revision(slide_id, revision(), [intent(), intent()])
    assert journal.results.revisions_of_folder("di60", "A1") == []
    journal.results.add_revision(slide_id, revision(), [intent(), intent("hl7:/drop", "a.hl7")])
    assert journal.results.counts()["RENDERED"] == 2
    assert not journal.results.is_delivered(slide_id)


@pytest.mark.case("L14")
def test_the_bytes_to_deliver_are_kept_and_proved_by_their_digest(journal: Journal) -> None:
    made = journal.results.add_revision(spooled(journal), revision(), [intent()])
    delivery = journal.results.deliveries_of(made.id)[0]
    assert journal.results.content(delivery.id) == b"{}\n"
    journal.connection.execute("UPDATE deliveries SET content = x'00'")
    with pytest.raises(EdgeError, match="MDSE-JOURNAL-001"):
        journal.results.content(delivery.id)


def test_two_slides_cannot_have_the_same_idempotency_key(journal: Journal) -> None:
    spooled(journal, "A1")
    other = journal.slides.add("di60", "A2", b"A2")
    journal.slides.move(other.id, "SETTLED")
    with pytest.raises(sqlite3.IntegrityError):
        journal.slides.move(other.id, "SPOOLED", idempotency_key="key-A1")
    assert journal.slides.get(other.id).state == "SETTLED"


def test_an_attempt_is_counted_before_the_work_and_can_be_taken_back(journal: Journal, path: Path) -> None:
    slide_id = spooled(journal)
    assert journal.slides.begin_attempt(slide_id) == 1
    assert sqlite3.connect(path).execute("SELECT attempts FROM slides").fetchone()[0] == 1
    journal.slides.refund_attempt(slide_id)
    assert journal.slides.get(slide_id).attempts == 0


def test_a_column_name_from_outside_never_becomes_sql(journal: Journal) -> None:
    with pytest.raises(ValueError, match="not columns"):
        journal.slides.move(spooled(journal), "COMPUTED", **{"state = 'CLOSED' --": 1})


@pytest.mark.case("D11")
def test_a_damaged_journal_is_refused_and_left_as_it_is(journal: Journal, path: Path) -> None:
    for index in range(300):
        journal.slides.add("di60", f"A{index}", b"x" * 200)
    journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    journal.close()
    content = bytearray(path.read_bytes())
    for place in range(4096, len(content), 4096):
        content[place : place + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(EdgeError, match="MDSE-JOURNAL-001") as caught:
        open_journal(path, now=lambda: "t")
    assert caught.value.exit_status == 78
    assert path.read_bytes() == bytes(content)


@pytest.mark.case("C18")
def test_a_journal_of_a_newer_version_is_refused_with_both_versions_named(journal: Journal, path: Path) -> None:
    journal.connection.execute("PRAGMA user_version = 99")
    journal.close()
    with pytest.raises(EdgeError, match=r"MDSE-JOURNAL-002.*99"):
        open_journal(path, now=lambda: "t")


def test_another_programs_database_is_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    with pytest.raises(EdgeError, match="MDSE-JOURNAL-004"):
        open_journal(path, now=lambda: "t")


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"this is text, not a database" * 400)
    with pytest.raises(EdgeError, match="MDSE-JOURNAL-001"):
        open_journal(path, now=lambda: "t")


def test_a_journal_on_a_share_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.journal.file_system_of", lambda folder: "cifs")
    with pytest.raises(EdgeError, match="MDSE-JOURNAL-003"):
        open_journal(path, now=lambda: "t")
    assert not path.exists()


def test_the_latest_arrival_stands_for_its_folder(journal: Journal) -> None:
    first = journal.slides.add("di60", "A1", b"A1")
    second = journal.slides.add("di60", "A1", b"A1", state="LATE", related_slide=first.id)
    assert (first.arrival, second.arrival) == (1, 2)
    newest = journal.slides.newest("di60", "A1")
    assert newest is not None
    assert newest.id == second.id
    assert [row.id for row in journal.slides.newest_of_source("di60")] == [second.id]


VERSION_1 = Path(__file__).with_name("journal_version_1.sql")


def journal_of_version_1(path: Path) -> None:
    old = sqlite3.connect(path)
    old.executescript(VERSION_1.read_text())
    old.close()


def open_and_change(path: Path) -> None:
    with contextlib.closing(open_journal(path, now=str)) as opened, opened.change():
        opened.note(AuditEvent("daemon", "daemon started", "journal"))


@pytest.mark.parametrize("version", [1, 2])
def test_a_journal_that_can_only_be_read_now_is_not_called_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    # What SQLite does by itself where opening for writing fails: it opens for reading, and says so at the first write.
    journal_of_version_1(path)
    if version > 1:
        open_journal(path, now=str).close()
    connect = sqlite3.connect
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda path, **more: connect(f"file:{path}?mode=ro", uri=True, **more))
        with pytest.raises(sqlite3.OperationalError, match="readonly") as caught:
            open_and_change(path)
        assert is_transient(caught.value)
    open_journal(path, now=str).close()


@pytest.mark.case("C17")
def test_a_journal_of_the_first_version_is_brought_up_with_every_row_and_an_audit_entry(path: Path) -> None:
    journal_of_version_1(path)
    opened = open_journal(path, now=lambda: "2026-11-23T09:00:00.000Z")
    slides = opened.slides.newest_of_source("di60")
    assert [(s.slide_key, s.state, s.priority, s.unlisted_at) for s in slides] == [
        ("A1", "CLOSED", 0, None),
        ("A2", "SEEN", 0, None),
    ]
    assert opened.results.revisions_of_folder("di60", "A1")[0].message_id == "ABC.R1"
    assert verify_audit(opened.connection).broken_at is None
    last = opened.connection.execute("SELECT action, old, new FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    assert last == ("journal migrated", "1", str(SCHEMA_VERSION))
    opened.close()


@pytest.mark.case("C17")
def test_a_migrated_journal_has_the_tables_and_indexes_of_a_new_one(path: Path, tmp_path: Path) -> None:
    journal_of_version_1(path)
    new = tmp_path / "new" / "journal.sqlite"
    new.parent.mkdir()
    shapes = []
    for place in (path, new):
        opened = open_journal(place, now=lambda: "t")
        names = opened.connection.execute("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
        tables = {
            name: sorted(tuple(row[1:5]) for row in opened.connection.execute(f"PRAGMA table_info({name})"))
            for kind, name in names.fetchall() if kind == "table"
        }  # fmt: skip
        indexes = sorted(opened.connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('index', 'trigger')"))
        shapes.append((tables, indexes))
        opened.close()
    assert shapes[0] == shapes[1]


@pytest.mark.case("D24")
def test_a_migration_that_fails_at_any_of_its_steps_leaves_the_old_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_of_version_1(path)
    whole = dict(MIGRATIONS)
    for version, number in ((version, n) for version, step in whole.items() for n in range(len(step) + 1)):
        broken = (*whole[version][:number], "INSERT INTO no_such_table VALUES (1)", *whole[version][number:])
        monkeypatch.setitem(MIGRATIONS, version, broken)
        with pytest.raises(EdgeError, match="MDSE-JOURNAL-001"):
            open_journal(path, now=lambda: "t")
        left = sqlite3.connect(path)
        assert left.execute("PRAGMA user_version").fetchone()[0] == 1
        assert "priority" not in {row[1] for row in left.execute("PRAGMA table_info(slides)")}
        left.close()
        monkeypatch.setitem(MIGRATIONS, version, whole[version])
    open_journal(path, now=lambda: "t").close()


@pytest.mark.case("D12")
def test_a_journal_whose_log_was_taken_away_after_a_crash_is_refused(path: Path, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    opened = open_journal(path, now=lambda: "t")
    opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spooled(opened)
    for file in path.parent.glob("journal.*"):
        if not file.name.endswith(("-wal", "-shm")):
            (crashed / file.name).write_bytes(file.read_bytes())
    opened.close()
    with pytest.raises(EdgeError, match="MDSE-JOURNAL-014") as caught:
        open_journal(crashed / path.name, now=lambda: "t")
    assert caught.value.exit_status == 78
    (crashed / "journal.head").unlink()
    open_journal(crashed / path.name, now=lambda: "t").close()


def test_a_crash_that_left_the_log_and_a_head_that_lags_are_no_fault(path: Path, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    opened = open_journal(path, now=lambda: "t")
    head = path.with_name("journal.head").read_bytes()
    slide_id = spooled(opened)
    for file in path.parent.glob("journal.*"):
        (crashed / file.name).write_bytes(file.read_bytes())
    opened.close()
    (crashed / "journal.head").write_bytes(head)
    again = open_journal(crashed / path.name, now=lambda: "t")
    assert again.slides.get(slide_id).state == "SPOOLED"
    again.close()


def test_checking_a_large_journal_tells_that_it_goes_on(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.journal.PROGRESS_STEPS", 100)
    for index in range(200):
        journal.slides.add("di60", f"A{index}", b"A")
    journal.close()
    told = []
    open_journal(path, now=lambda: "t", on_progress=lambda: told.append(1)).close()
    assert told


def test_what_is_not_in_the_journal_is_said_to_be_unknown(journal: Journal) -> None:
    for ask in (
        lambda: journal.slides.get(99),
        lambda: journal.results.revision("NONE.R1"),
        lambda: journal.results.revision_by_id(99),
        lambda: journal.results.delivery(99),
    ):
        with pytest.raises(EdgeError, match="MDSE-JOURNAL-005"):
            ask()
    with pytest.raises(ValueError, match="does not begin"):
        journal.slides.add("di60", "A1", b"A1", state="CLOSED")


def test_a_scanner_is_told_of_the_latest_arrival_of_every_folder_that_is_still_listed(journal: Journal) -> None:
    first = journal.slides.add("di60", "A1", b"A1")
    journal.slides.add("di60", "A1", b"A1", state="LATE", signature="s2", related_slide=first.id)
    gone = journal.slides.add("di60", "A2", b"A2")
    journal.slides.amend(gone.id, "no longer listed", unlisted_at="2026-11-23T08:00:00.000Z")
    journal.slides.add("other", "A3", b"A3")
    assert list(journal.slides.listed_folders("di60")) == [(b"A1", "LATE", "s2", 0)]


@pytest.mark.case("D9")
def test_trouble_that_passes_while_opening_is_told_as_it_is_and_not_as_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def refuse(connection: sqlite3.Connection) -> None:
        raise full

    monkeypatch.setattr("edge.journal.prepare_connection", refuse)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        open_journal(path, now=lambda: "t")


class Answers:
    """Stands for a connection that gives one answer to everything."""

    def __init__(self, *row: object) -> None:
        self._row = row

    def execute(self, statement: str) -> Answers:
        return self

    def fetchone(self) -> tuple[object, ...]:
        return self._row


@pytest.mark.case("D8")
@pytest.mark.parametrize("row", [(1, 5, 5), (0, 5, 4)])
def test_a_log_that_cannot_be_folded_in_whole_stops_the_start(row: tuple[int, int, int]) -> None:
    with pytest.raises(sqlite3.OperationalError, match="folded") as caught:
        fold_log(Answers(*row))
    assert is_transient(caught.value)  # tried again, and never called damage
    fold_log(Answers(0, 5, 5))


def test_a_disk_that_does_not_take_the_durable_settings_is_refused() -> None:
    with pytest.raises(sqlite3.DatabaseError, match="instead of wal"):
        prepare_connection(Answers("delete"))
