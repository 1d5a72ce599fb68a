"""Giving space back by age: only what is finished, never records, and nothing when the clock jumped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.config import config_from_text
from edge.daemon.books import Books, utc_text
from edge.daemon.retention import ClockGuard, purge_old_copies
from edge.daemon.state_folders import StateFolders
from edge.journal import open_journal
from edge.journal_results import NewRevision
from edge.journal_rows import DeliveryIntent

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CONFIG = """
site = {{ id = "T", timezone = "UTC", state_dir = "{0}/state" }}
bundle = {{ path = "{0}/bundle" }}
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


@pytest.mark.case("E1")
def test_a_clock_that_jumps_either_way_stops_removal_by_age() -> None:
    guard = ClockGuard(START, 100.0)
    assert guard.is_sound(START + timedelta(days=40), 100.0 + 40 * 86400, utc_text(START))
    assert not guard.is_sound(START + timedelta(days=3650), 200.0, utc_text(START))
    assert not guard.is_sound(START - timedelta(days=3650), 200.0, utc_text(START))


@pytest.mark.case("E2")
def test_a_start_with_a_clock_before_the_newest_journal_row_stops_removal_by_age() -> None:
    wrong = datetime(1970, 1, 2, tzinfo=UTC)
    assert not ClockGuard(wrong, 5.0).is_sound(wrong, 5.0, utc_text(START))
