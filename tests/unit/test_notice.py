"""The notice that a slide has no result: only where wanted, only once, and never against a result that stands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edge.config import config_from_text
from edge.daemon.archive import archived_record
from edge.daemon.arrival import Arrival, accept_arrival
from edge.daemon.books import Books, utc_now, utc_text
from edge.daemon.notice import plan_notice, record_of_notice
from edge.daemon.quarantine import quarantine_slide
from edge.daemon.spool import FILES_NAME
from edge.daemon.state_folders import StateFolders
from edge.errors import EdgeError
from edge.journal import open_journal
from edge.journal_results import NewRevision
from edge.slide_metadata import SlideMetadata
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


FACTS = {
    "sample_id": "0042", "order_id": "ORD-77", "slide_no": 1, "patient_id": "P 1",
    "acquired_at": "2026-11-23T17:00:00+09:00", "analyzer": {"model": "DI-60", "serial": "A1", "software": "7.0"},
}  # fmt: skip


def spooled(books: Books, metadata: str | None, **columns: Any):
    """Return a quarantined slide whose copy holds an image and, unless None, a slide.json with this text."""
    files = books.folders.spool / "1-ABCDEF" / FILES_NAME
    (files / "wbc").mkdir(parents=True)
    (files / "wbc" / "0001.png").write_bytes(b"image")
    if metadata is not None:
        (files / "slide.json").write_text(metadata)
    return quarantined(books, spool_name="1-ABCDEF", **columns), files


def record_planned(books: Books) -> dict[str, Any]:
    (revision,) = books.journal.results.revisions_of_folder("di60", "A1")
    return json.loads(archived_record(books.folders.archive, revision))


@pytest.mark.parametrize("sample_id", ["0042", None], ids=["sample in the metadata", "sample in the folder's name"])
def test_a_notice_names_order_slide_and_patient_as_the_result_that_follows_will(
    books_with, sample_id: str | None
) -> None:
    books = books_with("true")
    slide, _ = spooled(books, json.dumps({**FACTS, "sample_id": sample_id}))
    assert plan(books, slide)
    told = record_planned(books)["slide"]
    assert (told["order_id"], told["slide_no"], told["patient_id"]) == ("ORD-77", 1, "P 1")
    assert (told["acquired_at"], told["analyzer"]) == (FACTS["acquired_at"], FACTS["analyzer"])
    (delivery,) = books.journal.results.deliveries_of(books.journal.results.revisions_of_folder("di60", "A1")[0].id)
    lines = [line.split("|") for line in books.journal.results.content(delivery.id).decode().split("\r")]
    assert {line[2] for line in lines if line[0] == "OBR"} == {"ORD-77^LIS"}
    assert {line[4] for line in lines if line[0] == "OBX"} == {"1"}


@pytest.mark.parametrize(("sample_id", "order_id"), [("0042", None), ("7", "ORD-77")])
def test_a_notice_takes_no_order_and_no_slide_number_under_which_another_folder_of_the_sample_has_a_result(
    books_with, sample_id: str, order_id: str | None
) -> None:
    books = books_with("true")
    slides = books.journal.slides
    other = slides.move(slides.add("di60", "A1_first", b"A1_first", sample_id=sample_id).id, "SETTLED")
    with books.journal.change():
        new = NewRevision(1, "FEDCBA.R1", "F", "P", "0" * 64, None, "ab" * 32, None, "daemon", None)
        books.journal.results.add_revision(other.id, new, [])
    slide, _ = spooled(books, json.dumps(FACTS))
    assert plan(books, slide)
    assert record_planned(books)["slide"]["order_id"] == order_id


@pytest.mark.parametrize(
    "metadata",
    [None, "{", '{"a": ' * 20_000, json.dumps({**FACTS, "order_id": "x" * 65}),
     json.dumps({**FACTS, "sample_id": "7"}), " " * 1_100_000 + json.dumps(FACTS)],
    ids=["none", "damaged", "nested", "a field that cannot be used", "another sample", "too large"],
)  # fmt: skip
def test_metadata_that_cannot_be_used_leaves_the_notice_without_an_order_and_stops_nothing(
    books_with, metadata: str | None
) -> None:
    books = books_with("true")
    slide, _ = spooled(books, metadata)
    assert plan(books, slide)
    told = record_planned(books)["slide"]
    assert (told["sample_id"], told["order_id"], told["slide_no"], told["patient_id"]) == ("0042", None, None, None)


def test_no_trouble_of_a_parser_stops_the_supervisor(books_with, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> SlideMetadata:
        raise MemoryError

    books = books_with("true")
    slide, _ = spooled(books, json.dumps(FACTS))
    monkeypatch.setattr("edge.daemon.notice.read_slide_metadata", exhausted)
    assert plan(books, slide)
    assert record_planned(books)["slide"]["order_id"] is None


def test_metadata_that_was_swapped_for_a_pipe_does_not_keep_the_supervisor_waiting(books_with) -> None:
    books = books_with("true")
    slide, files = spooled(books, None)
    os.mkfifo(files / "slide.json")
    assert plan(books, slide)
    assert record_planned(books)["slide"]["order_id"] is None


@pytest.mark.parametrize("name", ["hl7", "hl7-oul", "lis2", "csv", "fhir", "json"])
def test_every_format_but_the_wide_table_can_say_that_there_is_no_result(books_with, name: str) -> None:
    slide = quarantined(books_with("true"))
    record = record_of_notice(
        slide, SlideMetadata(), code="MDSE-DAEMON-007", model=MODEL, message_id="ABCDEF.R1",
        analysed_at="2026-11-23T17:31:00+09:00", site="HEMLAB",
    )  # fmt: skip
    assert b"MDSE-DAEMON-007" in writer_for(name).render(record).content
    with pytest.raises(EdgeError):
        writer_for("csv-wide").render(record)
