"""Giving space back by age: only what is finished, never records, and nothing when the clock jumped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.audit import verify_audit
from edge.config import config_from_text
from edge.daemon.arrival import Arrival, accept_arrival
from edge.daemon.books import Books, utc_text
from edge.daemon.clock_guard import redate_rows
from edge.daemon.decisions import discard
from edge.daemon.quarantine import quarantine_slide
from edge.daemon.reconciliation import is_whole, reconcile
from edge.daemon.retention import Purged, purge_old_copies
from edge.daemon.spool import idempotency_key
from edge.daemon.state_folders import StateFolders
from edge.daemon.supervisor import Supervisor
from edge.daemon.waiting import oldest_without_result
from edge.journal import open_journal
from edge.journal_results import NewRevision
from edge.journal_rows import DeliveryIntent

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CONFIG = """
site = {{ id = "T", timezone = "UTC", state_dir = "{0}/state" }}
bundle = {{ path = "{0}/bundle" }}
health = {{ socket = "{0}/s", metrics_file = "{0}/m.prom" }}
source = [{{ id = "di60", path = "{0}/export" }}]
output = [{{ format = "json", path = "{0}/drop", ack = "none" }}]
retention = {{ days = 10 }}
"""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def books(tmp_path: Path, clock: Clock):
    folders = StateFolders(tmp_path / "state")
    folders.make()
    journal = open_journal(folders.journal, now=lambda: utc_text(clock()))
    yield Books(config_from_text(CONFIG.format(tmp_path)), journal, folders, clock)
    journal.close()


def finished_slide(books: Books, key: str, *, last_state: str = "CLOSED", delivery: str = "SENT") -> int:
    slide = books.journal.slides.add("di60", key, key.encode())
    books.journal.slides.move(slide.id, "SETTLED")
    name = f"{slide.id}-copy"
    (books.folders.spool / name / "files").mkdir(parents=True)
    books.journal.slides.move(slide.id, "SPOOLED", idempotency_key=key, spool_name=name)
    if last_state == "SPOOLED":
        return slide.id
    output = next(iter(books.outputs()))
    intent = DeliveryIntent(output, f"{key}.json", b"{}", "0" * 64, 2)
    new = NewRevision(1, f"{key}.R1", "P", "P", "0" * 64, None, "0" * 64, None, "daemon", None)
    made = books.journal.results.add_revision(slide.id, new, [intent])
    books.journal.slides.move(slide.id, "COMPUTED")
    if delivery == "SENT":
        row = books.journal.results.deliveries_of(made.id)[0]
        books.journal.results.move_delivery(row.id, "STAGED", staged_name="s")
        books.journal.results.move_delivery(row.id, "SENT")
    if last_state == "CLOSED":
        books.journal.slides.move(slide.id, "CLOSED")
    return slide.id


def has_copy(books: Books, slide_id: int) -> bool:
    return (books.folders.spool / f"{slide_id}-copy").is_dir()


def test_images_of_a_finished_slide_go_after_the_retention_and_not_before(books: Books, clock: Clock) -> None:
    slide = finished_slide(books, "A1")
    clock.now += timedelta(days=9)
    purge_old_copies(books)
    assert has_copy(books, slide)
    clock.now += timedelta(days=2)
    purge_old_copies(books)
    assert not has_copy(books, slide)
    assert books.journal.slides.get(slide).spool_name is None
    assert books.journal.results.counts()["ARCHIVED"] == 1


@pytest.mark.parametrize("state", ["SPOOLED", "COMPUTED"])
def test_images_of_an_unfinished_slide_stay_however_old(books: Books, clock: Clock, state: str) -> None:
    slide = finished_slide(books, "A1", last_state=state, delivery="RENDERED")
    clock.now += timedelta(days=400)
    purge_old_copies(books)
    assert has_copy(books, slide)
    assert books.journal.results.counts()["ARCHIVED"] == 0


def test_copies_that_no_slide_names_go_and_copies_under_way_stay(books: Books) -> None:
    slide = finished_slide(books, "A1")
    (books.folders.spool / "99-orphan").mkdir()
    (books.folders.incoming / "token").mkdir()
    purge_old_copies(books)
    assert has_copy(books, slide)
    assert not (books.folders.spool / "99-orphan").exists()
    assert (books.folders.incoming / "token").exists()


def unlisted(books: Books, slide_id: int) -> None:
    books.journal.slides.amend(slide_id, "no longer listed", unlisted_at=books.journal.now())


def later(clock: Clock, days: int, books: Books) -> None:
    clock.now += timedelta(days=days)
    purge_old_copies(books)


def test_rows_go_when_all_is_finished_and_the_folder_has_been_gone_for_the_retention(
    books: Books, clock: Clock
) -> None:
    gone, listed = finished_slide(books, "A1"), finished_slide(books, "A2")
    newest = finished_slide(books, "A3")
    unlisted(books, gone)
    unlisted(books, newest)
    later(clock, 11, books)  # the images and the bytes go, the delivery is archived now
    assert len(books.journal.slides.newest_of_source("di60")) == 3
    later(clock, 11, books)
    # A2 is still listed, and the newest row keeps its number from being given away.
    assert [row.id for row in books.journal.slides.newest_of_source("di60")] == [listed, newest]
    assert books.journal.results.revisions_of_folder("di60", "A1") == []
    assert verify_audit(books.journal.connection).broken_at is None
    account = reconcile(books)
    assert (account["seen"], account["delivered"], account["purged"]) == (3, 2, 1)
    assert is_whole(account)


def test_a_folder_that_is_listed_again_keeps_its_rows(books: Books, clock: Clock) -> None:
    slide = finished_slide(books, "A1")
    finished_slide(books, "A2")
    unlisted(books, slide)
    later(clock, 11, books)
    books.journal.slides.amend(slide, "listed again", unlisted_at=None)
    later(clock, 400, books)
    assert books.journal.slides.get(slide).state == "CLOSED"


@pytest.mark.parametrize("state", ["LATE", "QUARANTINED", "HELD", "SPOOLED", "COMPUTED"])
def test_rows_of_what_waits_for_somebody_stay(books: Books, clock: Clock, state: str) -> None:
    slide = finished_slide(books, "A1")
    finished_slide(books, "A2")
    unlisted(books, slide)
    books.journal.connection.execute("UPDATE slides SET state = ? WHERE id = ?", (state, slide))
    later(clock, 30, books)
    later(clock, 30, books)
    assert books.journal.slides.get(slide).state == state


def test_a_result_that_nobody_took_keeps_its_rows(tmp_path: Path, books: Books, clock: Clock) -> None:
    slide = finished_slide(books, "A1", delivery="RENDERED")
    finished_slide(books, "A2")
    unlisted(books, slide)
    later(clock, 30, books)
    later(clock, 30, books)
    assert books.journal.results.revisions_of_folder("di60", "A1") != []


@pytest.mark.case("A14")
def test_a_slide_whose_rows_are_gone_is_known_when_it_is_exported_again(books: Books, clock: Clock) -> None:
    manifest = "d" * 64
    key = idempotency_key("di60", "A1", manifest)
    slide = finished_slide(books, "A1")
    books.journal.slides.amend(slide, "test", idempotency_key=key)
    finished_slide(books, "A2")
    unlisted(books, slide)
    later(clock, 11, books)
    later(clock, 11, books)
    again = books.journal.slides.add("di60", "A1", b"A1")
    again = books.journal.slides.move(again.id, "SETTLED")
    for token in ("t", "u"):
        (books.folders.incoming / token / "files").mkdir(parents=True)
    row = accept_arrival(books, again, Arrival("t", "s", manifest, "c" * 64, 1, 1, "S1", None), in_work=False)
    assert (row.state, row.spool_name) == ("DUPLICATE", None)
    other = accept_arrival(
        books,
        books.journal.slides.move(books.journal.slides.add("di60", "B1", b"B1").id, "SETTLED"),
        Arrival("u", "s", "e" * 64, "f" * 64, 1, 1, "S1", None),
        in_work=False,
    )
    assert other.state == "SPOOLED"


def test_an_account_that_does_not_add_up_is_told(books: Books) -> None:
    finished_slide(books, "A1")
    lost = finished_slide(books, "A2")
    assert is_whole(reconcile(books))
    books.journal.connection.execute("PRAGMA foreign_keys = OFF")
    books.journal.connection.execute("DELETE FROM slides WHERE id = ?", (lost,))
    account = reconcile(books)
    assert (account["difference"], account["closed_without_result"]) == (1, [])
    assert not is_whole(account)


def test_a_slide_that_was_closed_without_anything_leaving_is_told(books: Books) -> None:
    slide = books.journal.slides.add("di60", "A1", b"A1")
    books.journal.slides.move(slide.id, "CLOSED", code="DISCARDED", text="not a slide")
    assert is_whole(reconcile(books))
    books.journal.connection.execute("UPDATE slides SET reason_code = ''")
    account = reconcile(books)
    assert account["closed_without_result"] == [slide.id]
    assert not is_whole(account)


@pytest.mark.case("E1")
@pytest.mark.parametrize("years", [-10, 10])
def test_rows_that_a_wrong_clock_dated_do_not_expire_when_it_is_right_again(
    books: Books, clock: Clock, years: int
) -> None:
    clock.now = START + timedelta(days=365 * years)
    slide = finished_slide(books, "A1")
    clock.now = START
    purge_old_copies(books)
    assert has_copy(books, slide)
    later(clock, 9, books)
    assert has_copy(books, slide)
    later(clock, 2, books)
    assert not has_copy(books, slide)


def test_the_newest_row_stays_although_it_never_had_a_result(books: Books, clock: Clock) -> None:
    first = books.journal.slides.add("di60", "A1", b"A1")
    last = books.journal.slides.add("di60", "A2", b"A2")
    for slide in (first, last):
        books.journal.slides.move(slide.id, "CLOSED", code="DISCARDED", text="no slide")
        unlisted(books, slide.id)
    later(clock, 11, books)
    assert [row.id for row in books.journal.slides.newest_of_source("di60")] == [last.id]
    assert books.journal.slides.add("di60", "A3", b"A3").id == last.id + 1


def test_a_result_that_was_given_up_before_anything_left_counts_as_discarded(books: Books) -> None:
    slide, sent = finished_slide(books, "A1", last_state="COMPUTED", delivery="RENDERED"), finished_slide(books, "A2")
    (row,) = books.journal.results.deliveries(next(iter(books.outputs())), ["RENDERED"])
    books.journal.results.move_delivery(row.id, "PARKED", text="the code is unknown")
    discard(books, books.journal.slides.get(slide), by="K. Sato", reason="examined by hand")
    account = reconcile(books)
    assert (account["delivered"], account["discarded"], is_whole(account)) == (1, 1, True)
    books.journal.connection.execute("UPDATE deliveries SET reason_text = '' WHERE id = ?", (row.id,))
    assert reconcile(books)["delivered"] == 2, "what was archived after its retention has left"
    books.journal.connection.execute("UPDATE deliveries SET state = 'PARKED' WHERE id = ?", (row.id,))
    assert reconcile(books)["closed_without_result"] == [slide]
    assert sent != slide


def test_a_report_that_left_without_its_message_is_no_result(books: Books) -> None:
    slide = finished_slide(books, "A1")
    books.journal.connection.execute("UPDATE deliveries SET copy = 0, state = 'ARCHIVED'")
    assert reconcile(books)["closed_without_result"] == [slide]


def test_a_result_that_was_not_sent_has_not_left(books: Books) -> None:
    slide = finished_slide(books, "A1")
    books.journal.connection.execute("UPDATE deliveries SET state = 'ARCHIVED', reason_text = 'not sent: A1.R2'")
    assert reconcile(books)["closed_without_result"] == [slide]


def test_a_slide_that_is_analyzed_again_waits_since_that_was_decided(books: Books, clock: Clock) -> None:
    slide = finished_slide(books, "A1")
    clock.now += timedelta(days=9)
    queued = books.journal.now()
    books.journal.slides.move(slide, "SPOOLED", text="to be analyzed again")
    clock.now += timedelta(minutes=5)
    assert oldest_without_result(books.journal) == (queued, slide)
    clock.now += timedelta(minutes=5)
    waiting = finished_slide(books, "A2", last_state="SPOOLED")
    assert oldest_without_result(books.journal) == (queued, slide)
    books.journal.slides.move(slide, "CLOSED")
    assert oldest_without_result(books.journal) == (books.journal.now(), waiting)
    books.journal.slides.move(waiting, "CLOSED")
    assert oldest_without_result(books.journal) is None


def test_a_slide_that_came_while_the_clock_stood_in_1970_has_not_waited_for_decades(books: Books, clock: Clock) -> None:
    clock.now = datetime(1970, 1, 2, tzinfo=UTC)
    waiting = finished_slide(books, "A1", last_state="SPOOLED")
    finished_slide(books, "A2", last_state="COMPUTED", delivery="RENDERED")
    clock.now = START
    assert redate_rows(books, by="K. Sato") > 0
    assert oldest_without_result(books.journal) == (utc_text(START), waiting)
    (made_at,) = books.journal.connection.execute("SELECT made_at FROM deliveries").fetchone()
    assert made_at == utc_text(START)


def set_aside(books: Books, key: str) -> tuple[int, Path]:
    """Quarantine a spooled slide of one image; return its number and the image's place in the quarantine."""
    slide = books.journal.slides.get(finished_slide(books, key, last_state="SPOOLED"))
    files = books.folders.spool / str(slide.spool_name)
    (files / "files" / "1.jpg").write_bytes(b"image")
    quarantine_slide(books, slide, files, code="MDSE-SLIDE-008", text="unreadable", stage="analyzing")
    (image,) = books.folders.quarantine.glob(f"*/{slide.id}-*/files/1.jpg")
    return slide.id, image


def test_what_was_set_aside_stays_until_a_person_has_decided_and_the_retention_is_over(
    books: Books, clock: Clock
) -> None:
    slide, image = set_aside(books, "A1")
    later(clock, 400, books)
    assert image.exists()
    discard(books, books.journal.slides.get(slide), by="K. Sato", reason="examined by hand")
    later(clock, 9, books)
    assert image.exists()
    later(clock, 2, books)
    assert not image.exists()
    assert list(books.folders.quarantine.iterdir()) == []
    actions = [row[0] for row in books.journal.connection.execute("SELECT action FROM audit WHERE subject = 'slide:1'")]
    assert actions.count("quarantined files removed after retention") == 1


def test_what_was_set_aside_goes_also_when_its_rows_are_gone_and_strange_files_stay(books: Books, clock: Clock) -> None:
    slide, image = set_aside(books, "A1")
    discard(books, books.journal.slides.get(slide), by="K. Sato", reason="examined by hand")
    books.journal.connection.execute("DELETE FROM slides")
    strange = [books.folders.quarantine / name for name in ("notes", "2026-11-23/1-abc.txt")]
    for path in strange:
        path.write_bytes(b"a person's")
    later(clock, 9, books)
    assert image.exists()
    later(clock, 2, books)
    assert not image.exists()
    assert all(path.exists() for path in strange)


def test_nothing_outside_is_removed_through_a_link_in_the_quarantine(
    books: Books, clock: Clock, tmp_path: Path
) -> None:
    for name in ("1-abc", "elsewhere/2-abc"):
        (tmp_path / "other" / name).mkdir(parents=True)
    (books.folders.quarantine / "2026-01-01").mkdir()
    (books.folders.quarantine / "2026-01-01" / "1-abc").symlink_to(tmp_path / "other" / "1-abc")
    (books.folders.quarantine / "2026-01-02").symlink_to(tmp_path / "other" / "elsewhere")
    later(clock, 400, books)
    assert (tmp_path / "other" / "1-abc").is_dir()
    assert (tmp_path / "other" / "elsewhere" / "2-abc").is_dir()


def test_a_purge_at_request_removes_all_that_is_old_and_not_one_bite(
    books: Books, clock: Clock, tmp_path: Path
) -> None:
    slides = [finished_slide(books, f"A{number}") for number in range(45)]
    clock.now += timedelta(days=11)
    (tmp_path / "bundle").mkdir()
    supervisor = Supervisor(books, {})
    try:
        reply = supervisor._purge_at_request({"by": "K. Sato", "reason": "the disk is full"}, 0)
    finally:
        supervisor.control.close()
        supervisor.house.selector.close()
    assert (reply["copies"], reply["deliveries"], reply["more"]) == (45, 45, False)
    assert not any(has_copy(books, slide) for slide in slides)
    assert purge_old_copies(books) == Purged()
