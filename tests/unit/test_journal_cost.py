"""What the journal is asked for every slide takes no longer after more slides: counted in SQLite's own steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from test_journal import intent, journal, path, revision, spooled  # noqa: F401 - two are fixtures

from edge.daemon.alarms import Alarms
from edge.daemon.duplicates import duplicates_to_decide
from edge.daemon.outbox import OutputKeeper
from edge.daemon.reconciliation import reconcile
from edge.daemon.replaced import results_of_replaced_files
from edge.daemon.waiting import (
    oldest_uncollected_s,
    oldest_undelivered_s,
    oldest_without_result,
    vanished_to_decide,
    watch_former_outputs,
)
from edge.journal import Journal
from edge.journal_rows import DeliveryRow, SlideRow

OUTPUT = "json:/drop"
Question = Callable[[Journal, SlideRow, DeliveryRow], object]
QUESTIONS: dict[str, Question] = {
    "newer_sent": lambda book, _slide, delivery: book.results.newer_sent(delivery),
    "deliveries": lambda book, _slide, _delivery: book.results.deliveries(OUTPUT, ["RENDERED", "STAGED"], limit=9),
    "deliveries_of": lambda book, _slide, delivery: book.results.deliveries_of(delivery.revision_id),
    "is_delivered": lambda book, slide, _delivery: book.results.is_delivered(slide.id),
    "unanswered": lambda book, _slide, _delivery: book.results.unanswered(),
    "slide_of_delivery": lambda book, _slide, delivery: book.results.slide_of_delivery(delivery.id),
    "revisions_of_folder": lambda book, slide, _delivery: book.results.revisions_of_folder("di60", slide.slide_key),
    "newest": lambda book, slide, _delivery: book.slides.newest("di60", slide.slide_key),
    "with_content": lambda book, _slide, _delivery: book.slides.with_content("content 7"),
    "by_key": lambda book, _slide, _delivery: book.slides.by_key("key-NEW"),
    "was_purged": lambda book, _slide, _delivery: book.slides.was_purged("key-NEW"),
    "was_content_purged": lambda book, _slide, _delivery: book.slides.was_content_purged("content 7"),
    "arrivals": lambda book, slide, _delivery: book.slides.arrivals("di60", slide.slide_key),
    "is_replaced": lambda book, _slide, delivery: book.results.is_replaced(delivery),
    "deliveries after": lambda book, _slide, _delivery: book.results.deliveries(OUTPUT, ["SENT"], limit=9, after=3),
    "watch_former_outputs": lambda book, _slide, _delivery: watch_former_outputs(house_of(book), 0.0),
    "oldest_undelivered": lambda book, _slide, _delivery: oldest_undelivered_s(house_of(book)),
    "oldest_uncollected": lambda book, _slide, _delivery: oldest_uncollected_s(house_of(book)),
    "count": lambda book, _slide, _delivery: book.slides.count("HELD"),
    "duplicates_of": lambda book, slide, _delivery: book.slides.duplicates_of(slide.id),
    "duplicates_to_decide": lambda book, _slide, _delivery: duplicates_to_decide(book),
    "spooled_by_urgency": lambda book, _slide, _delivery: book.slides.spooled_by_urgency(),
    "results_of_replaced_files": lambda book, _slide, _delivery: results_of_replaced_files(book),
    "vanished_to_decide": lambda book, _slide, _delivery: vanished_to_decide(book),
    "filed": lambda book, _slide, _delivery: book.slides.filed("QC", "OLD10"),
    "oldest_without_result": lambda book, _slide, _delivery: oldest_without_result(book),
}


def house_of(book: Journal) -> Any:
    """Return as much of the daemon's house as these questions need."""
    outputs = {OUTPUT: SimpleNamespace(ack="ack-file"), "csv:/none": SimpleNamespace(ack="none")}
    books = SimpleNamespace(journal=book, outputs=lambda: outputs, wall=lambda: datetime(2026, 12, 1, tzinfo=UTC))
    return SimpleNamespace(books=books, alarms=Alarms())


def keeper_of(book: Journal, after: int) -> Any:
    """Return as much of an output's keeper as asks for answers, which has asked for the deliveries up to `after`."""
    awaited = ["SENT", "DELIVERED_UNSEEN"]
    return SimpleNamespace(house=house_of(book), journal_name=OUTPUT, _ack_after=after, _awaited=lambda: awaited)


def fill(book: Journal, first: int, last: int) -> None:
    """Add finished slides with one delivered result each, numbered from `first` up to `last`."""
    numbers = [(number,) for number in range(first, last)]
    with book.change():
        book.connection.executemany(
            "INSERT INTO slides (id, source, slide_key, folder, state, content_sha256, sample_id, filed_as,"
            " idempotency_key, seen_at, changed_at) VALUES (?1, 'di60', 'OLD' || ?1, x'4F', 'CLOSED',"
            " 'content ' || ?1, 'QC', 'OLD' || ?1, 'key ' || ?1, 't', 't')",
            numbers,
        )
        book.connection.executemany(
            "INSERT INTO revisions (id, slide_id, number, message_id, status, mode, record_sha256, bundle_digest,"
            " made_by, made_at) VALUES (?1, ?1, 1, 'M' || ?1, 'P', 'P', '0', '0', 'daemon', 't')",
            numbers,
        )
        book.connection.executemany(
            "INSERT INTO deliveries (id, revision_id, output, state, sha256, made_at, changed_at)"
            " VALUES (?1, ?1, ?2, 'ARCHIVED', '0', 't', 't')",
            [(number, OUTPUT) for (number,) in numbers],
        )


def refuse(book: Journal, first: int, last: int) -> None:
    """Let the receiver have refused the results of some slides, and nobody have decided."""
    book.connection.execute("UPDATE deliveries SET state = 'REFUSED' WHERE id BETWEEN ? AND ?", (first, last - 1))


def copies(book: Journal, first: int, last: int) -> None:
    """Make some slides copies of the one before, which has its result."""
    query = "UPDATE slides SET state = 'DUPLICATE', related_slide = id - 10 WHERE id BETWEEN ? AND ?"
    book.connection.execute(query, (first, last - 1))


def steps_of(book: Journal, question: Question) -> int:
    """Return how many instructions SQLite's machine carried out for the newest slide."""
    slide = book.slides.newest("di60", "NEW")
    assert slide is not None
    delivery = book.results.deliveries(OUTPUT, ["RENDERED"])[0]
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    book.connection.set_progress_handler(count, 1)
    try:
        question(book, slide, delivery)
    finally:
        book.connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_asked_for_every_slide_costs_the_same_among_fifty_slides_and_five_thousand(
    journal: Journal,  # noqa: F811 - the fixture
    name: str,
) -> None:
    fill(journal, 2, 60)
    refuse(journal, 20, 30)
    copies(journal, 30, 40)
    new = spooled(journal, "NEW")
    journal.results.add_revision(new, revision(), [intent(OUTPUT)])
    few = steps_of(journal, QUESTIONS[name])
    fill(journal, 1000, 6000)
    assert 0 < steps_of(journal, QUESTIONS[name]) <= few + 5


@pytest.mark.parametrize(
    ("is_silent", "after", "first", "count"),
    [(True, 0, 1000, 200), (True, 1500, 1501, 200), (False, 1500, 1501, 200), (False, 1998, 1999, 1)],
)
def test_looking_for_answers_behind_a_silent_receiver_costs_what_is_asked_for_at_once(
    journal: Journal,  # noqa: F811 - the fixture
    is_silent: bool,
    after: int,
    first: int,
    count: int,
) -> None:
    def question(book: Journal, *_: object) -> object:
        asked[:] = [row.id for row in OutputKeeper._next_unanswered(keeper_of(book, after))]
        return asked

    asked: list[int] = []
    fill(journal, 1000, 2000)
    new = spooled(journal, "NEW")
    journal.results.add_revision(new, revision(), [intent(OUTPUT)])
    journal.connection.execute("UPDATE deliveries SET state = 'SENT' WHERE id < 2000")
    few = steps_of(journal, question)
    assert (asked[0], len(asked)) == (first, count)
    fill(journal, 3000, 8000)
    if is_silent:
        journal.connection.execute("UPDATE deliveries SET state = 'SENT' WHERE state = 'ARCHIVED'")
    assert 0 < steps_of(journal, question) <= few + 5


def test_the_daily_account_of_ten_times_the_slides_costs_about_ten_times_as_much(
    journal: Journal,  # noqa: F811 - the fixture
) -> None:
    new = spooled(journal, "NEW")
    journal.results.add_revision(new, revision(), [intent(OUTPUT)])
    books = SimpleNamespace(journal=journal)
    fill(journal, 10, 310)
    few = steps_of(journal, lambda *_: reconcile(books))
    fill(journal, 310, 3010)
    assert steps_of(journal, lambda *_: reconcile(books)) < 20 * few
