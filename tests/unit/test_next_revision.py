"""Whose result may follow a result: never another patient's, never older files', never unasked what was withdrawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from decided_slides import Laboratory
from test_sources import Scanner

from edge.daemon.archive import archived_record
from edge.daemon.channel import Message
from edge.daemon.house import House
from edge.daemon.sources import SourceKeeper
from edge.daemon.waiting import oldest_without_result
from edge.errors import EdgeError


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Laboratory]:
    made = Laboratory(tmp_path)
    yield made
    made.books.journal.close()


def refused(laboratory: Laboratory, command: str, name: str) -> str:
    with pytest.raises(EdgeError) as failure:
        laboratory.decide(command, name)
    return failure.value.code


def test_late_files_of_another_sample_follow_only_a_result_that_was_withdrawn(laboratory: Laboratory) -> None:
    laboratory.reported(sample="0042")
    late = laboratory.arrive(sample="0099")
    assert (late.state, late.reason_code) == ("LATE", "MDSE-SPOOL-010")
    assert refused(laboratory, "release", "A1") == "MDSE-JOURNAL-016"
    assert laboratory.slide().state == "LATE"
    assert laboratory.decide("withdraw", "A1")["sample_id"] == "0042"
    withdrawn = laboratory.books.journal.results.revision("A1.R2")
    record = json.loads(archived_record(laboratory.books.folders.archive, withdrawn))
    assert (record["status"], record["slide"]["sample_id"]) == ("W", "0042")
    assert laboratory.decide("release", "A1")["state"] == "SPOOLED"


def test_late_files_of_the_same_sample_are_released_as_before(laboratory: Laboratory) -> None:
    laboratory.reported()
    assert laboratory.arrive(images="more").reason_code == "MDSE-SPOOL-007"
    laboratory.analyze(laboratory.slides.get(laboratory.decide("release", "A1")["slide"]))
    assert laboratory.revisions() == [("1P", None), ("2P", "A1.R1")]


def test_late_files_that_are_the_images_of_another_sample_say_so(laboratory: Laboratory) -> None:
    laboratory.reported("B1", sample="0099", images="of B1")
    laboratory.reported("A1", sample="0042")
    late = laboratory.arrive("A1", sample="0042", images="of B1")
    assert (late.state, late.reason_code) == ("LATE", "MDSE-SPOOL-005")


@pytest.mark.parametrize(
    ("sample", "images", "withdrawn", "state"),
    [
        ("0042", "more", False, "SPOOLED"),
        ("0099", "more", False, "LATE"),
        ("0042", "of B1", False, "LATE"),
        ("0042", "more", True, "LATE"),
    ],
    ids=["late", "another sample", "images of another sample", "withdrawn"],
)
def test_late_policy_revises_only_what_leaves_nothing_to_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: str, images: str, withdrawn: bool, state: str
) -> None:
    monkeypatch.setattr(House, "may_take", lambda self: True)
    laboratory = Laboratory(tmp_path)
    laboratory.reported("B1", sample="0099", images="of B1")
    slide = laboratory.reported("A1", sample="0042")
    if withdrawn:
        laboratory.decide("withdraw", "A1")
    section = laboratory.books.config.sources[0].model_copy(update={"late_policy": "revise"})
    keeper = SourceKeeper(laboratory.place.keeper.house, section)
    keeper.child = Scanner()  # type: ignore[assignment]  # like a child
    keeper.on_message(Message({"kind": "settled", "folder": "A1", "signature": "s", "reason": "", "stat": False}))
    keeper.work()
    facts = laboratory.facts_of("A1", sample=sample, images=images)
    keeper.on_message(Message({"kind": "fetched", "slide": slide.id, "folder": "A1", "slow": False, **facts}))
    assert laboratory.slide().state == state
    laboratory.books.journal.close()


@pytest.mark.parametrize("name", ["row:1", "A1.R1"])
def test_an_older_arrival_is_not_analyzed_again_over_the_result_of_later_files(
    laboratory: Laboratory, name: str
) -> None:
    laboratory.reported()
    laboratory.arrive(images="more")
    laboratory.analyze(laboratory.slides.get(laboratory.decide("release", "A1")["slide"]))
    assert refused(laboratory, "reanalyze", name) == "MDSE-JOURNAL-017"
    assert laboratory.decide("reanalyze", "A1")["slide"] == laboratory.slide().id


def test_a_failed_analysis_of_an_older_arrival_is_not_tried_again_over_the_result_of_later_files(
    laboratory: Laboratory,
) -> None:
    first = laboratory.reported()
    laboratory.decide("reanalyze", "A1")
    laboratory.quarantine(first)
    laboratory.arrive(images="more")
    laboratory.analyze(laboratory.slides.get(laboratory.decide("release", "A1")["slide"]))
    assert refused(laboratory, "requeue", f"row:{first.id}") == "MDSE-JOURNAL-017"


def test_two_arrivals_of_a_folder_are_never_under_way_at_once(laboratory: Laboratory) -> None:
    first = laboratory.reported()
    laboratory.decide("reanalyze", f"row:{first.id}")
    laboratory.arrive(images="more")
    assert refused(laboratory, "release", "A1") == "MDSE-JOURNAL-018"
    laboratory.decide("discard", f"row:{first.id}")
    assert refused(laboratory, "reanalyze", f"row:{first.id}") == "MDSE-JOURNAL-020"
    assert laboratory.decide("release", "A1")["state"] == "SPOOLED"
    assert refused(laboratory, "reanalyze", f"row:{first.id}") == "MDSE-JOURNAL-018"


def test_nothing_follows_a_withdrawal_by_itself_that_was_released_before_it(laboratory: Laboratory) -> None:
    laboratory.reported()
    laboratory.arrive(images="more")
    laboratory.decide("release", "A1")
    laboratory.decide("withdraw", "A1.R1")
    assert (laboratory.slide().state, laboratory.slide().reason_code) == ("HELD", "MDSE-SPOOL-013")
    assert laboratory.decide("release", "A1")["state"] == "SPOOLED"


def sent_back(laboratory: Laboratory) -> int:
    """Return a slide with a result whose next analysis failed, whose copy is gone, and that is to be read again."""
    slide = laboratory.reported()
    laboratory.decide("reanalyze", "A1")
    laboratory.lose_copy(laboratory.quarantine(slide))
    assert laboratory.decide("requeue", "A1")["state"] == "SEEN"
    return slide.id


def test_a_slide_with_a_result_that_is_read_again_is_analyzed_again(laboratory: Laboratory) -> None:
    slide = sent_back(laboratory)
    row = laboratory.arrive()
    assert (row.id, row.state) == (slide, "SPOOLED")
    assert len(laboratory.slides.arrivals("di60", "A1")) == 1


def test_other_files_in_place_of_those_to_be_read_again_are_late_and_no_slide_waits_for_ever(
    laboratory: Laboratory,
) -> None:
    slide = sent_back(laboratory)
    assert laboratory.arrive(images="more").state == "LATE"
    old = laboratory.slides.get(slide)
    assert (old.state, old.reason_code) == ("QUARANTINED", "MDSE-SPOOL-012")
    assert oldest_without_result(laboratory.books.journal) is None
    assert refused(laboratory, "requeue", f"row:{slide}") == "MDSE-JOURNAL-010"
    assert laboratory.decide("discard", f"row:{slide}")["state"] == "CLOSED"


def test_the_same_files_read_again_for_another_sample_wait_for_the_withdrawal(laboratory: Laboratory) -> None:
    """The files are the same, and the source's sample_id_pattern is another."""
    sent_back(laboratory)
    manifest = {"manifest_sha256": laboratory.slide().manifest_sha256}
    row = laboratory.arrive(sample="0099", **manifest)
    assert (row.state, row.reason_code, row.sample_id) == ("QUARANTINED", "MDSE-SPOOL-010", "0042")
    laboratory.decide("withdraw", "A1")
    assert laboratory.decide("requeue", "A1")["state"] == "SEEN"
    row = laboratory.arrive(sample="0099", **manifest)
    assert (row.state, row.sample_id) == ("SPOOLED", "0099")
