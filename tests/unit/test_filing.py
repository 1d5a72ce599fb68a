"""One result stands under each sample and slide number: a second is held until the first is withdrawn."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from decided_slides import Laboratory
from test_outbox import PAGE, RECORD

from edge.daemon import filing
from edge.daemon.analysis import AnalysisKeeper
from edge.daemon.archive import archived_record
from edge.daemon.channel import Message
from edge.journal_rows import SlideRow
from edge.record_text import record_bytes

FINISHED = ("COMPUTED", "CLOSED")


class Worker:
    """Stands for the child: keeps the orders."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []

    def send(self, order: dict[str, Any], blobs: tuple[bytes, ...] = ()) -> None:
        self.orders.append(order)

    def expect_within(self, budget_s: float | None, now_s: float) -> None:
        pass


class Workplace(Laboratory):
    """A laboratory with the supervisor's side of the worker, which says what slide number it found."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.keeper = AnalysisKeeper(self.place.keeper.house)
        self.keeper.child = self.worker = Worker()  # type: ignore[assignment]  # like a child
        self.keeper.is_ready = True

    def work(self, slide_no: int | None, *, images: str = "") -> SlideRow:
        """Let the next slide be analyzed and its result leave."""
        orders = len(self.worker.orders)
        slide = self.books.journal.slides.spooled_by_urgency()[0]
        self.keeper.work()
        assert len(self.worker.orders) == orders + 1
        self.keeper.on_message(answer_to(self.worker.orders[-1], slide_no, images or str(slide.content_sha256)))
        assert self.keeper.in_work is None
        self.place.run()
        return self.slides.get(slide.id)

    def take(self, key: str, slide_no: int | None, *, sample: str = "0042") -> SlideRow:
        """Let a slide arrive, with images of its own, and be analyzed."""
        self.arrive(key, sample=sample, images=f"of {key}")
        return self.work(slide_no)

    def take_late(self, slide_no: int | None) -> SlideRow:
        """Let later files of the folder A1 arrive, be released and analyzed."""
        self.arrive("A1", images="later")
        self.decide("release", "A1")
        return self.work(slide_no)

    def standing(self) -> dict[str, str]:
        """Return the newest revision of every slide, with its status."""
        return {key: made[-1][0] for key in ("A1", "B1") if (made := self.revisions(key))}


def answer_to(order: dict[str, Any], slide_no: int | None, images: str) -> Message:
    job = order["job"]
    slide = RECORD["slide"] | {
        "source": job["source"], "slide_key": order["slide_key"], "sample_id": order["sample_id"],
        "slide_no": slide_no, "manifest_sha256": job["manifest_sha256"],
    }  # fmt: skip
    names = ("message_id", "revision", "status", "supersedes", "reason", "analysed_at")
    warnings = [{"code": code, "text": text} for code, text in job["warnings"]]
    record = RECORD | {name: job[name] for name in names} | {"slide": slide, "warnings": warnings}
    return Message({"kind": "analyzed"}, (record_bytes(record | {"site": images[:8]}), PAGE))


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    made = Workplace(tmp_path)
    yield made
    made.books.journal.close()


def test_two_slides_of_a_sample_with_numbers_of_their_own_are_independent(workplace: Workplace) -> None:
    assert workplace.take("A1", 1).state in FINISHED
    assert workplace.take("B1", 2).state in FINISHED
    assert workplace.standing() == {"A1": "1P", "B1": "1P"}


def test_the_same_number_in_two_samples_is_the_usual_case(workplace: Workplace) -> None:
    assert workplace.take("A1", 1, sample="0042").state in FINISHED
    assert workplace.take("B1", 1, sample="0043").state in FINISHED


def test_a_second_slide_under_the_number_of_a_standing_result_is_held_and_names_it(workplace: Workplace) -> None:
    first = workplace.take("A1", 1)
    message_id = workplace.books.journal.results.revisions_of_folder("di60", "A1")[-1].message_id
    held = workplace.take("B1", 1)
    assert (held.state, held.reason_code, held.attempts) == ("HELD", "MDSE-SPOOL-014", 0)
    assert message_id in held.reason_text
    assert f"row:{first.id}" in held.reason_text
    assert workplace.standing() == {"A1": "1P"}


def test_a_release_alone_does_not_overrule_the_standing_result(workplace: Workplace) -> None:
    workplace.take("A1", 1)
    workplace.take("B1", 1)
    workplace.decide("release", "B1")
    held = workplace.work(1)
    assert (held.state, held.reason_code, held.released) == ("HELD", "MDSE-SPOOL-014", 0)
    workplace.decide("withdraw", "A1")
    workplace.decide("release", "B1")
    assert workplace.work(1).state in FINISHED
    assert workplace.standing() == {"A1": "2W", "B1": "1P"}


def test_a_withdrawn_result_that_is_analyzed_again_waits_for_the_one_that_took_its_number(
    workplace: Workplace,
) -> None:
    workplace.take("A1", 1)
    workplace.decide("withdraw", "A1")
    assert workplace.take("B1", 1).state in FINISHED
    workplace.decide("reanalyze", "A1")
    assert workplace.work(1).reason_code == "MDSE-SPOOL-014"
    assert workplace.standing() == {"A1": "2W", "B1": "1P"}


def test_the_next_slide_is_taken_after_one_was_held(workplace: Workplace) -> None:
    workplace.take("A1", 1)
    workplace.take("B1", 1)
    assert workplace.take("C1", 3).state in FINISHED


def test_a_corrected_number_that_is_exported_again_gets_its_result_without_a_release(workplace: Workplace) -> None:
    workplace.take("A1", 1)
    workplace.take("B1", 1)
    workplace.slides.move(workplace.slide("B1").id, "SETTLED")
    workplace.arrive("B1", images="of B1", number=2)
    assert workplace.work(2).state in FINISHED


def test_a_number_is_taken_whatever_analyzer_the_other_slide_came_from(workplace: Workplace) -> None:
    """HL7 names sample and number, and no source."""
    workplace.take("A1", 1)
    workplace.books.journal.connection.execute("UPDATE slides SET source = 'dm9600' WHERE slide_key = 'A1'")
    assert workplace.take("B1", 1).reason_code == "MDSE-SPOOL-014"


def test_a_slide_key_that_stands_for_a_number_takes_it_too(workplace: Workplace) -> None:
    assert workplace.take("1", None).state in FINISHED
    assert workplace.take("B1", 1).reason_code == "MDSE-SPOOL-014"


def test_slides_without_a_number_are_told_apart_by_their_keys(workplace: Workplace) -> None:
    assert workplace.take("A1", None).state in FINISHED
    assert workplace.take("B1", None).state in FINISHED


def test_a_folder_that_was_used_for_another_sample_since_no_longer_takes_the_number(workplace: Workplace) -> None:
    workplace.take("A1", 1, sample="0042")
    workplace.decide("withdraw", "A1")
    workplace.arrive("A1", sample="0099", images="later")
    workplace.decide("release", "A1")
    assert workplace.work(1).state in FINISHED
    assert workplace.take("B1", 1, sample="0042").state in FINISHED
    assert workplace.take("C1", 1, sample="0099").reason_code == "MDSE-SPOOL-014"


def name_controls(workplace: Workplace, pattern: str, source: str = "di60") -> None:
    """Name the control material of a source in the configuration."""
    config = workplace.books.config
    (first,) = config.sources
    named = first.model_copy(update={"id": source, "control_pattern": pattern})
    sources = (named,) if source == first.id else (first, named)
    books = dataclasses.replace(workplace.books, config=config.model_copy(update={"sources": sources}))
    workplace.books = workplace.keeper.house.books = books


def test_a_second_slide_of_control_material_under_the_same_number_gets_its_result(workplace: Workplace) -> None:
    name_controls(workplace, "QC[0-9]")
    assert workplace.take("A1", 1, sample="QC1").state in FINISHED
    assert workplace.take("B1", 1, sample="QC1").state in FINISHED
    assert workplace.standing() == {"A1": "1P", "B1": "1P"}


def test_a_sample_whose_id_only_begins_like_that_of_control_material_is_none(workplace: Workplace) -> None:
    name_controls(workplace, "QC[0-9]")
    workplace.take("A1", 1, sample="QC12")
    assert workplace.take("B1", 1, sample="QC12").reason_code == "MDSE-SPOOL-014"


def test_the_control_material_of_another_source_does_not_count(workplace: Workplace) -> None:
    name_controls(workplace, "QC[0-9]", source="dm9600")
    workplace.take("A1", 1, sample="QC1")
    assert workplace.take("B1", 1, sample="QC1").reason_code == "MDSE-SPOOL-014"


def test_later_files_of_control_material_keep_the_number_of_its_result(workplace: Workplace) -> None:
    name_controls(workplace, "0042")
    workplace.take("A1", 1)
    assert workplace.take_late(2).reason_code == "MDSE-SPOOL-015"


def test_later_files_with_another_number_wait_until_the_result_is_withdrawn(workplace: Workplace) -> None:
    first = workplace.take("A1", 1)
    message_id = workplace.books.journal.results.revisions_of_folder("di60", "A1")[-1].message_id
    held = workplace.take_late(2)
    assert (held.state, held.reason_code) == ("HELD", "MDSE-SPOOL-015")
    assert message_id in held.reason_text
    assert f"row:{first.id}" in held.reason_text
    workplace.decide("release", "A1")
    assert workplace.work(2).reason_code == "MDSE-SPOOL-015"
    workplace.decide("withdraw", "A1")
    workplace.decide("release", "A1")
    assert workplace.work(2).state in FINISHED
    made = workplace.books.journal.results.revisions_of_folder("di60", "A1")
    records = [json.loads(archived_record(workplace.books.folders.archive, row)) for row in made]
    assert [(row["status"], row["slide"]["slide_no"]) for row in records] == [("P", 1), ("W", 1), ("P", 2)]


def test_later_files_with_the_same_number_are_the_next_revision(workplace: Workplace) -> None:
    workplace.take("A1", 1)
    assert workplace.take_late(1).state in FINISHED
    assert workplace.standing() == {"A1": "2P"}


def test_a_slide_that_is_analyzed_again_is_not_held_by_its_own_result(workplace: Workplace) -> None:
    workplace.take("A1", 1)
    workplace.decide("reanalyze", "A1")
    assert workplace.work(1, images="counted otherwise").state in FINISHED
    assert workplace.standing() == {"A1": "2P"}


def two_results_under_one_number(workplace: Workplace) -> None:
    """Let two results stand under one number, as versions before this rule sent them."""
    workplace.take("A1", 1)
    slides = workplace.books.journal.connection
    slides.execute("UPDATE slides SET sample_id = 'hidden' WHERE slide_key = 'A1'")
    workplace.take("B1", 1)
    slides.execute("UPDATE slides SET sample_id = '0042' WHERE slide_key = 'A1'")


def test_of_two_results_under_one_number_the_one_that_is_held_can_be_withdrawn(workplace: Workplace) -> None:
    two_results_under_one_number(workplace)
    workplace.decide("reanalyze", "B1")
    assert workplace.work(1, images="counted otherwise").reason_code == "MDSE-SPOOL-014"
    assert workplace.decide("withdraw", "B1")["slide_key"] == "B1"
    assert workplace.standing() == {"A1": "1P", "B1": "2W"}


def test_a_slide_is_set_aside_when_what_stands_under_its_sample_cannot_be_read(workplace: Workplace) -> None:
    workplace.take("A1", 1)
    for path in workplace.books.folders.archive.rglob("*.json"):
        path.write_bytes(path.read_bytes() + b" ")
    row = workplace.take("B1", 1)
    assert (row.state, row.reason_code) == ("QUARANTINED", "MDSE-JOURNAL-007")
    assert workplace.keeper.child is not None
    assert workplace.take("C1", 1, sample="0043").state in FINISHED


def test_a_number_taken_before_the_journal_kept_it_is_taken_all_the_same(workplace: Workplace) -> None:
    workplace.take("A1", 1)
    workplace.books.journal.connection.execute("UPDATE slides SET filed_as = NULL")
    assert workplace.take("B1", 1).reason_code == "MDSE-SPOOL-014"


def test_among_the_slides_of_a_control_sample_no_other_record_is_read(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("A1", "B1", "C1"):
        workplace.take(key, None, sample="QC")
    monkeypatch.setattr(filing, "archived_record", lambda archive, revision: pytest.fail(f"read {revision.message_id}"))
    assert workplace.take("D1", None, sample="QC").state in FINISHED
