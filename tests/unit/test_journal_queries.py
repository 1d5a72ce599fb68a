"""What the journal answers: each question by rows that stand beside others, and every name that it does not know."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from test_journal import intent, journal, path, revision, spooled  # noqa: F401 - two are fixtures

import edge.journal as journal_module
from edge.audit import verify_audit
from edge.errors import EdgeError
from edge.journal import (
    Journal,
    file_system_of,
    fold_log,
    is_transient,
    migrate_journal,
    open_journal,
    prepare_connection,
)
from edge.journal_rows import DeliveryIntent
from edge.journal_schema import SCHEMA_VERSION


@pytest.fixture
def book(journal: Journal) -> Journal:  # noqa: F811 - the fixture
    """A journal with the slides A1 (a result in two outputs) and B1 (spooled), and one of another source."""
    first = spooled(journal, "A1")
    journal.results.add_revision(first, revision(), [intent("json:/a"), intent("hl7:/b", "b.hl7")])
    journal.slides.move(first, "COMPUTED")
    spooled(journal, "B1")
    journal.slides.add("xn", "A1", b"A1")
    return journal


def test_what_is_not_in_the_books_is_named_in_the_refusal(book: Journal) -> None:
    asked: list[tuple[Any, Any, str]] = [
        (book.slides.get, 99, "99"),
        (book.results.revision, "NONE.R1", "NONE.R1"),
        (book.results.revision_by_id, 99, "revision 99"),
        (book.results.delivery, 99, "delivery 99"),
    ]
    for ask, name, where in asked:
        with pytest.raises(EdgeError) as refusal:
            ask(name)
        assert (refusal.value.code, refusal.value.where) == ("MDSE-JOURNAL-005", where)
    assert book.slides.newest("di60", "NONE") is None
    assert book.slides.by_key("none") is None
    assert book.results.revision_by_id(1).message_id == "ABC.R1"


@pytest.mark.case("A16")
def test_the_same_slide_key_of_two_sources_is_two_slides(book: Journal) -> None:
    mine, other = book.slides.newest("di60", "A1"), book.slides.newest("xn", "A1")
    assert mine is not None
    assert other is not None
    assert (mine.id, other.id) == (1, 3)
    assert [row.id for row in book.slides.arrivals("xn", "A1")] == [3]
    assert [row.id for row in book.slides.newest_of_source("di60")] == [1, 2]
    assert book.results.revisions_of_folder("xn", "A1") == []
    assert len(book.results.revisions_of_folder("di60", "A1")) == 1


def test_a_slide_is_found_again_by_its_identity(book: Journal) -> None:
    late = book.slides.add("di60", "A1", b"A1", state="LATE", idempotency_key="k" * 64)
    assert book.slides.by_key("k" * 64) == late
    assert book.slides.by_key("K" * 64) is None


def test_slides_are_listed_by_state_source_and_number_oldest_first(book: Journal) -> None:
    assert [row.id for row in book.slides.in_states(["SEEN", "SPOOLED"])] == [2, 3]
    assert [row.id for row in book.slides.in_states(["SEEN", "SPOOLED"], source="xn")] == [3]
    assert [row.id for row in book.slides.in_states(["SEEN", "SPOOLED"], limit=1)] == [2]
    assert book.slides.in_states([]) == []
    counts = book.slides.counts()
    assert {state: count for state, count in counts.items() if count} == {"COMPUTED": 1, "SPOOLED": 1, "SEEN": 1}
    assert counts["QUARANTINED"] == 0


def test_arrivals_of_one_folder_are_numbered_and_the_newest_stands_for_it(book: Journal) -> None:
    late = book.slides.add("di60", "A1", b"A1", state="LATE", content_sha256="c1", reason_code="X")
    assert [row.state for row in book.slides.arrivals("di60", "A1")] == ["COMPUTED", "LATE"]
    assert book.slides.newest("di60", "A1") == late
    assert [row.id for row in book.slides.with_content("c1")] == [late.id]
    assert late.reason_code == "X"
    with pytest.raises(ValueError, match="does not begin as SPOOLED"):
        book.slides.add("di60", "C1", b"C1", state="SPOOLED")


def test_deliveries_are_counted_by_state_and_belong_to_their_slide(book: Journal) -> None:
    assert {state: n for state, n in book.results.counts().items() if n} == {"RENDERED": 2}
    assert book.results.slide_of_delivery(2) == 1
    assert not book.results.is_delivered(1)
    for state in ("STAGED", "SENT"):
        book.results.move_delivery(1, state)
    assert not book.results.is_delivered(1)
    for state in ("STAGED", "SENT"):
        book.results.move_delivery(2, state)
    assert book.results.is_delivered(1)
    assert book.results.is_delivered(2), "nothing of B1 is on its way"


def test_what_the_receiver_refused_stays_open_until_something_newer_went_there(book: Journal) -> None:
    assert book.results.unanswered() == {"PARKED": 0, "REFUSED": 0}
    for state in ("STAGED", "SENT", "REFUSED"):
        book.results.move_delivery(1, state)
    book.results.move_delivery(2, "PARKED", text="too long")
    assert book.results.unanswered() == {"PARKED": 1, "REFUSED": 1}
    book.results.add_delivery(1, intent("json:/a", "a_d2.json"), copy=2)
    assert book.results.unanswered() == {"PARKED": 1, "REFUSED": 0}
    book.results.add_delivery(1, intent("json:/c", "c.json"))
    assert book.results.unanswered() == {"PARKED": 1, "REFUSED": 0}, "another output answers nothing"


def test_a_delivery_that_was_parked_leaves_with_its_new_bytes(book: Journal) -> None:
    book.results.move_delivery(2, "PARKED", text="too long")
    digest = hashlib.sha256(b"shorter").hexdigest()
    new = DeliveryIntent("hl7:/b", "b2.hl7", b"shorter", digest, 7)
    book.results.rerender(2, new, by="K. Sato")
    row = book.results.delivery(2)
    assert (row.state, row.final_name, row.sha256, row.size) == ("RENDERED", "b2.hl7", digest, 7)
    assert book.results.content(2) == b"shorter"
    actor, detail = book.connection.execute("SELECT actor, detail FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    assert actor == "K. Sato"
    assert json.loads(detail)["text"] == "rendered again"


def test_bytes_are_kept_until_the_delivery_is_archived(book: Journal) -> None:
    for state in ("STAGED", "SENT"):
        book.results.move_delivery(1, state, staged_name="x" if state == "STAGED" else None)
    assert (book.results.content(1), book.results.delivery(1).staged_name) == (b"{}\n", "x")
    book.results.move_delivery(1, "ARCHIVED")
    assert book.results.content(1) is None
    assert book.results.content(2) == b"{}\n"


@pytest.mark.case("C12")
def test_attempts_are_counted_up_and_never_below_none(book: Journal) -> None:
    assert [book.slides.begin_attempt(2) for _ in range(3)] == [1, 2, 3]
    for left in (2, 1, 0, 0):
        book.slides.refund_attempt(2)
        assert book.slides.get(2).attempts == left


@pytest.mark.case("D9")
def test_a_disk_that_fails_inside_a_change_leaves_neither_a_row_nor_an_open_transaction(book: Journal) -> None:
    class Failing:
        """The connection whose every second statement of a change fails as a full disk does."""

        def __init__(self, whole: sqlite3.Connection) -> None:
            self._whole = whole

        def __getattr__(self, name: str) -> Any:
            return getattr(self._whole, name)

        def execute(self, statement: str, *values: Any) -> Any:
            if statement.startswith("INSERT INTO audit"):
                raise sqlite3.OperationalError("database or disk is full")
            return self._whole.execute(statement, *values)

    whole = book.connection
    before = whole.execute("SELECT state, changed_at FROM slides ORDER BY id").fetchall()
    book.connection = Failing(whole)  # type: ignore[assignment]  # like the real one
    with pytest.raises(sqlite3.OperationalError):
        book.slides.move(2, "QUARANTINED")
    book.connection = whole
    assert not whole.in_transaction
    assert whole.execute("SELECT state, changed_at FROM slides ORDER BY id").fetchall() == before
    book.slides.move(2, "QUARANTINED")


def test_a_commit_that_fails_is_undone_although_sqlite_closed_the_transaction(book: Journal) -> None:
    def change() -> None:
        with book.change():
            book.connection.execute("ROLLBACK")
            raise RuntimeError("after the rollback")

    with pytest.raises(RuntimeError, match="after the rollback"):
        change()
    assert book.slides.move(2, "QUARANTINED").state == "QUARANTINED"


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_IOERR, True),
        (sqlite3.SQLITE_IOERR | 4 << 8, True),  # SQLITE_IOERR_FSYNC
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_CANTOPEN, True),
        (sqlite3.SQLITE_READONLY, True),
        (sqlite3.SQLITE_READONLY | 3 << 8, True),  # SQLITE_READONLY_ROLLBACK
        (sqlite3.SQLITE_NOMEM, True),
        (sqlite3.SQLITE_CORRUPT, False),
        (sqlite3.SQLITE_NOTADB, False),
        (None, False),
    ],
)
def test_errors_that_can_pass_by_themselves_are_told_from_damage(code: int | None, passes: bool) -> None:
    error = sqlite3.OperationalError("x")
    if code is not None:
        error.sqlite_errorcode = code
    assert is_transient(error) is passes


@pytest.mark.parametrize(("code", "raised"), [(sqlite3.SQLITE_FULL, sqlite3.OperationalError), (None, EdgeError)])
def test_a_journal_that_cannot_be_opened_now_is_not_called_damaged(
    path: Path,  # noqa: F811 - the fixture
    monkeypatch: Any,
    code: int | None,
    raised: type[Exception],
) -> None:
    def failing(connection: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("no")
        if code is not None:
            error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(journal_module, "prepare_connection", failing)
    with pytest.raises(raised) as failure:
        open_journal(path, now=str)
    if isinstance(failure.value, EdgeError):
        assert failure.value.code == "MDSE-JOURNAL-001"


def test_a_journal_without_the_durable_mode_is_refused() -> None:
    with pytest.raises(sqlite3.DatabaseError, match="journal_mode memory, synchronous 2 instead of wal, 2"):
        prepare_connection(sqlite3.connect(":memory:"))


def test_the_file_system_of_a_folder_is_that_of_its_longest_mount() -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    kinds = {point: kind for _, point, kind, *_ in mounts}
    assert file_system_of(Path("/proc/self")) == kinds["/proc"]
    assert file_system_of(Path("/")) == kinds["/"]
    assert file_system_of(Path("/dev/shm")) == kinds["/dev/shm"]


def test_a_mount_point_with_a_blank_is_understood(monkeypatch: Any) -> None:
    class Mounts:
        def __init__(self, *_: object) -> None:
            """Stands for the kernel's table."""

        def open(self, mode: str) -> Any:
            import io

            return io.BytesIO(b"a / ext4 rw 0 0\nb /mnt/lab\\040share cifs rw 0 0\nc /mnt/lab xfs rw 0 0\n")

        def resolve(self) -> str:
            return "/mnt/lab share/state"

    monkeypatch.setattr(journal_module, "Path", Mounts)
    assert file_system_of(Mounts()) == "cifs"  # type: ignore[arg-type]  # like the real one


@pytest.mark.case("D11")
def test_a_row_that_breaks_the_rules_of_its_table_is_damage(journal: Journal, path: Path) -> None:  # noqa: F811
    spooled(journal)
    journal.connection.execute("PRAGMA ignore_check_constraints = ON")
    journal.connection.execute("UPDATE slides SET state = 'NONSENSE'")
    journal.close()
    before = path.read_bytes()
    with pytest.raises(EdgeError, match="MDSE-JOURNAL-001") as refusal:
        open_journal(path, now=str)
    assert "CHECK constraint failed in slides" in str(refusal.value)
    assert path.read_bytes() == before


def test_a_log_that_somebody_else_holds_is_not_called_folded(journal: Journal, path: Path) -> None:  # noqa: F811
    spooled(journal)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM slides").fetchone()
    journal.connection.execute("PRAGMA busy_timeout = 1")
    spooled(journal, "B1")
    with pytest.raises(sqlite3.OperationalError, match="could not be folded"):
        fold_log(journal.connection)
    reader.close()
    fold_log(journal.connection)


@pytest.mark.case("D24")
def test_a_migration_whose_transaction_the_disk_ended_is_told_as_what_ended_it(
    journal: Journal,  # noqa: F811
    monkeypatch: Any,
) -> None:
    connection = journal.connection
    before = SCHEMA_VERSION - 1
    monkeypatch.setattr(journal_module, "MIGRATIONS", {before: ["CREATE TABLE more (id INTEGER)"]})
    connection.execute(f"PRAGMA user_version = {before}")

    def ended() -> str:
        connection.execute("ROLLBACK")  # as SQLite itself does for a full disk
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        migrate_journal(connection, ended)
    assert not connection.in_transaction
    assert connection.execute("PRAGMA user_version").fetchone()[0] == before


def test_a_refused_result_is_answered_by_a_later_one_of_other_files_of_the_folder(book: Journal) -> None:
    for state in ("STAGED", "SENT", "REFUSED"):
        book.results.move_delivery(1, state)
    late = book.slides.add("di60", "A1", b"A1", state="LATE")
    other = book.slides.add("xn", "A1", b"A1")
    book.results.add_revision(other.id, revision(7), [intent("json:/a", "x1.json")])
    assert book.results.unanswered() == {"PARKED": 0, "REFUSED": 1}, "another folder answers nothing"
    book.results.add_revision(late.id, revision(8), [intent("json:/a", "a_r2.json")])
    assert book.results.unanswered() == {"PARKED": 0, "REFUSED": 0}
    assert book.results.is_replaced(book.results.delivery(1))
    assert not book.results.is_replaced(book.results.delivery(2)), "it went to another output"


def added_and_refused(book: Journal) -> None:
    book.slides.add("di60", "TRIED", b"TRIED")
    raise EdgeError("MDSE-JOURNAL-005", where="tried")


def test_what_is_tried_leaves_neither_rows_nor_audit_and_the_chain_goes_on(book: Journal) -> None:
    rows = book.connection.execute("SELECT count(*) FROM audit").fetchone()
    with book.change():
        with book.trial():
            book.slides.add("di60", "TRIED", b"TRIED")
        with pytest.raises(EdgeError), book.trial():
            added_and_refused(book)
    assert book.slides.newest("di60", "TRIED") is None
    assert book.connection.execute("SELECT count(*) FROM audit").fetchone() == rows
    book.slides.add("di60", "MEANT", b"MEANT")
    assert verify_audit(book.connection).broken_at is None


def test_slides_of_one_state_are_counted(book: Journal) -> None:
    before = book.slides.count("SEEN")
    for key in ("N1", "N2"):
        book.slides.add("di60", key, key.encode())
    assert (book.slides.count("SEEN"), book.slides.count("VANISHED")) == (before + 2, 0)
