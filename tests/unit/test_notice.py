"""The notice that a slide has no result: only where wanted, only once, and never against a result that stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.config import config_from_text
from edge.daemon.archive import archived_record
from edge.daemon.arrival import Arrival, accept_arrival
from edge.daemon.books import Books, utc_now, utc_text
from edge.daemon.notice import plan_notice, record_of_notice
from edge.daemon.quarantine import quarantine_slide
from edge.daemon.state_folders import StateFolders
from edge.errors import EdgeError
from edge.journal import open_journal
from edge.writers.choose import writer_for

MODEL = {"bundle": "wbc", "version": "1", "digest": "ab" * 32, "intended_use": "clinical"}
CONFIG = """
site = {{ id = "T", timezone = "UTC", state_dir = "{0}/state" }}
bundle = {{ path = "{0}/bundle" }}
source = [{{ id = "di60", path = "{0}/export" }}]
output = [
  {{ format = "hl7", path = "{0}/drop-hl7", ack = "none", notice = {1} }},
  {{ format = "json", path = "{0}/drop-json", ack = "none" }},
]
"""


@pytest.fixture
def books_with(tmp_path: Path):
    folders = StateFolders(tmp_path / "state")
    folders.make()
    journal = open_journal(folders.journal, now=lambda: utc_text(utc_now()))
    yield lambda notice: Books(config_from_text(CONFIG.format(tmp_path, notice)), journal, folders, utc_now)
    journal.close()


def quarantined(books: Books, **columns: Any):
    slides = books.journal.slides
    slide = slides.move(slides.add("di60", "A1", b"A1").id, "SETTLED")
    known = {"idempotency_key": "ABCDEF", "sample_id": "0042", "manifest_sha256": "0" * 64, "signature": "s"}
    slide = slides.move(slide.id, "SPOOLED", **{**known, **columns})
    return quarantine_slide(books, slide, None, code="MDSE-SLIDE-008", text="unreadable", stage="analyzing")


def plan(books: Books, slide: Any) -> bool:
    return plan_notice(books, slide, code="MDSE-SLIDE-008", model=MODEL, message_id="ABCDEF.R1")


def test_a_notice_goes_to_the_outputs_that_want_one_and_says_why_without_a_value(books_with) -> None:
    books = books_with("true")
    assert plan(books, quarantined(books))
    (revision,) = books.journal.results.revisions_of_folder("di60", "A1")
    (delivery,) = books.journal.results.deliveries_of(revision.id)
    assert (revision.status, delivery.output.partition(":")[0], delivery.state) == ("X", "hl7", "RENDERED")
    content = books.journal.results.content(delivery.id)
    assert b"NOT-ANALYZED" in content
    assert b"MDSE-SLIDE-008" in content
    assert json.loads(archived_record(books.folders.archive, revision))["slide"]["sample_id"] == "0042"


def test_without_the_key_or_a_sample_id_nothing_is_sent(books_with) -> None:
    books = books_with("false")
    assert not plan(books, quarantined(books))
    books = books_with("true")
    assert not plan(books, quarantined(books, idempotency_key="B", sample_id=None))
    assert books.journal.results.counts()["RENDERED"] == 0


def test_a_second_failure_and_a_result_that_stands_send_no_further_notice(books_with) -> None:
    books = books_with("true")
    slide = quarantined(books)
    assert plan(books, slide)
    assert not plan(books, slide)
    books.journal.connection.execute("UPDATE revisions SET status = 'P'")
    assert not plan(books, slide)


def test_other_files_after_a_notice_are_analyzed_and_not_held_as_late(books_with) -> None:
    books = books_with("true")
    slide = quarantined(books)
    plan(books, slide)
    (books.folders.incoming / "t" / "files").mkdir(parents=True)
    row = accept_arrival(books, slide, Arrival("t", "s2", "1" * 64, "2" * 64, 1, 1, "0042", None), in_work=False)
    assert (row.id, row.state) == (slide.id, "SPOOLED")


@pytest.mark.parametrize("name", ["hl7", "hl7-oul", "lis2", "csv", "fhir", "json"])
def test_every_format_but_the_wide_table_can_say_that_there_is_no_result(books_with, name: str) -> None:
    slide = quarantined(books_with("true"))
    record = record_of_notice(
        slide, code="MDSE-DAEMON-007", model=MODEL, message_id="ABCDEF.R1", analysed_at="2026-11-23T17:31:00+09:00",
        site="HEMLAB",
    )  # fmt: skip
    assert b"MDSE-DAEMON-007" in writer_for(name).render(record).content
    with pytest.raises(EdgeError):
        writer_for("csv-wide").render(record)
