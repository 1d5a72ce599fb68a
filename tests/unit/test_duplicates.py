"""A copy under another name is never lost with the slide that it is a copy of, nor one whose folder went away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from decided_slides import LONG_AGO, Laboratory, digest

from edge.daemon.arrival import spooled_folder
from edge.daemon.duplicates import duplicates_to_decide
from edge.daemon.retention import purge_old_copies
from edge.daemon.waiting import raise_alarms_for_people
from edge.errors import EdgeError


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Laboratory]:
    made = Laboratory(tmp_path)
    yield made
    made.books.journal.close()


def alarms(laboratory: Laboratory) -> str:
    raise_alarms_for_people(laboratory.place.keeper.house)
    return laboratory.place.alarms()


def outcome(laboratory: Laboratory, key: str) -> tuple[str, str]:
    row = laboratory.slide(key)
    return row.state, row.reason_code


@pytest.mark.parametrize("is_withdrawn_first", [True, False])
def test_a_copy_of_a_withdrawn_result_is_held_and_a_release_sends_it(
    laboratory: Laboratory, is_withdrawn_first: bool
) -> None:
    laboratory.reported("P1")
    if is_withdrawn_first:
        laboratory.decide("withdraw", "P1")
    laboratory.arrive("P2")
    if not is_withdrawn_first:
        assert outcome(laboratory, "P2") == ("DUPLICATE", "MDSE-SPOOL-006")
        laboratory.decide("withdraw", "P1")
    assert outcome(laboratory, "P2") == ("HELD", "MDSE-SPOOL-016")
    assert "row:1, whose result was withdrawn" in laboratory.slide("P2").reason_text
    assert "slides-HELD" in alarms(laboratory)
    assert laboratory.decide("release", "P2")["state"] == "SPOOLED"
    laboratory.analyze(laboratory.slide("P2"))
    assert laboratory.place.state("P2.R1") == "SENT"
    # What stands now has the images: a third copy asks nobody.
    assert outcome(laboratory, laboratory.arrive("P3").slide_key) == ("DUPLICATE", "MDSE-SPOOL-006")
    assert laboratory.slide("P3").related_slide == laboratory.slide("P2").id


def test_a_copy_of_a_withdrawn_result_for_another_sample_is_held_for_that(laboratory: Laboratory) -> None:
    laboratory.reported("P1", sample="0042")
    laboratory.decide("withdraw", "P1")
    laboratory.arrive("P2", sample="0099")
    assert outcome(laboratory, "P2") == ("HELD", "MDSE-SPOOL-005")


def test_a_copy_of_a_withdrawn_slide_that_is_analyzed_again_waits_for_that_analysis(laboratory: Laboratory) -> None:
    laboratory.reported("P1")
    laboratory.decide("withdraw", "P1")
    laboratory.place.run()
    laboratory.decide("reanalyze", "P1")
    laboratory.arrive("P2")
    assert outcome(laboratory, "P2") == ("DUPLICATE", "MDSE-SPOOL-006")
    laboratory.decide("discard", "P1")
    assert outcome(laboratory, "P2") == ("HELD", "MDSE-SPOOL-016")


def test_the_copies_of_a_slide_that_is_discarded_without_a_result_are_held_with_it(laboratory: Laboratory) -> None:
    laboratory.arrive("P1")
    laboratory.arrive("P2")
    laboratory.arrive("P3")
    laboratory.quarantine(laboratory.slide("P1"))
    assert alarms(laboratory).count("slides-") == 1
    laboratory.decide("discard", "P1")
    for key in ("P2", "P3"):
        assert outcome(laboratory, key) == ("HELD", "MDSE-SPOOL-017")
        assert "row:1, which was discarded" in laboratory.slide(key).reason_text
    assert "2 slides HELD" in alarms(laboratory)
    assert laboratory.decide("release", "P2")["state"] == "SPOOLED"


def test_the_copies_of_a_slide_whose_result_stands_stay_copies(laboratory: Laboratory) -> None:
    laboratory.reported("P1")
    laboratory.arrive("P2")
    laboratory.decide("reanalyze", "P1")
    laboratory.decide("discard", "P1")
    laboratory.arrive("P9", sample="0077", images="others")
    laboratory.decide("discard", "P9")
    assert outcome(laboratory, "P2") == ("DUPLICATE", "MDSE-SPOOL-006")
    assert (alarms(laboratory), duplicates_to_decide(laboratory.books.journal)) == ("", 0)


def test_a_copy_whose_slide_holds_other_images_by_now_is_an_alarm_until_it_is_decided_about(
    laboratory: Laboratory,
) -> None:
    laboratory.arrive("P1")
    laboratory.arrive("P2")
    laboratory.arrive("P1", images="others")
    assert (laboratory.slide("P1").state, laboratory.slide("P2").state) == ("SPOOLED", "DUPLICATE")
    assert "1 slides DUPLICATE" in alarms(laboratory)
    laboratory.decide("release", "P2")
    assert alarms(laboratory) == ""


@pytest.mark.parametrize("is_withdrawn", [True, False])
def test_a_copy_that_an_earlier_version_left_without_a_result_is_an_alarm(
    laboratory: Laboratory, is_withdrawn: bool
) -> None:
    laboratory.arrive("P1")
    laboratory.arrive("P2")
    if is_withdrawn:
        laboratory.analyze(laboratory.slide("P1"))
        laboratory.books.journal.connection.execute("UPDATE revisions SET status = 'W'")
    else:
        laboratory.slides.move(laboratory.slide("P1").id, "CLOSED", code="DISCARDED")
    assert duplicates_to_decide(laboratory.books.journal) == 1
    assert "1 slides DUPLICATE" in alarms(laboratory)


def vanished_with_a_copy(laboratory: Laboratory, key: str = "P2", sample: str = "0099") -> None:
    """Let a held slide be tried again, and its folder go away before it is read."""
    laboratory.arrive(key, sample=sample)
    laboratory.decide("requeue", key)
    laboratory.slides.move(laboratory.slide(key).id, "VANISHED", code="MDSE-SPOOL-003", text="gone")


def test_a_held_slide_that_vanishes_before_it_is_read_again_is_an_alarm_and_analyzed_from_its_copy(
    laboratory: Laboratory,
) -> None:
    laboratory.reported("P1", sample="0042")
    vanished_with_a_copy(laboratory)
    assert "slides-VANISHED" in alarms(laboratory)
    # The question for which it was held has not been answered.
    assert laboratory.decide("release", "P2")["state"] == "HELD"
    assert outcome(laboratory, "P2") == ("HELD", "MDSE-SPOOL-005")
    assert laboratory.decide("release", "P2")["state"] == "SPOOLED"
    copy = spooled_folder(laboratory.books, laboratory.slide("P2"))
    assert copy is not None
    assert (copy / "files/1.jpg").read_bytes() == b"first"


def test_a_vanished_slide_that_is_like_no_other_is_analyzed_from_its_copy_at_once(laboratory: Laboratory) -> None:
    laboratory.arrive("P1")
    laboratory.arrive("P2", sample="0099")
    laboratory.decide("discard", "P1")
    laboratory.decide("requeue", "P2")
    laboratory.slides.move(laboratory.slide("P2").id, "VANISHED", code="MDSE-SPOOL-003", text="gone")
    assert laboratory.decide("release", "P2")["state"] == "SPOOLED"
    assert laboratory.slide("P2").released == 0


def test_a_vanished_slide_without_a_copy_is_not_released(laboratory: Laboratory) -> None:
    laboratory.slides.add("di60", "P2", b"P2")
    laboratory.slides.move(1, "VANISHED", code="MDSE-SPOOL-003", text="gone")
    with pytest.raises(EdgeError) as failure:
        laboratory.decide("release", "P2")
    assert failure.value.code == "MDSE-JOURNAL-010"


def test_a_vanished_slide_whose_images_a_person_had_read_anew_is_not_released_from_the_old_ones(
    laboratory: Laboratory,
) -> None:
    laboratory.reported("P1", sample="0042")
    vanished_with_a_copy(laboratory)
    laboratory.slides.amend(2, "released as it was", content_sha256=None)
    with pytest.raises(EdgeError) as failure:
        laboratory.decide("release", "P2")
    assert failure.value.code == "MDSE-JOURNAL-010"


def test_the_copy_of_a_vanished_slide_goes_with_the_retention(laboratory: Laboratory) -> None:
    laboratory.reported("P1", sample="0042")
    vanished_with_a_copy(laboratory)
    copy = spooled_folder(laboratory.books, laboratory.slide("P2"))
    assert copy is not None
    laboratory.books.journal.connection.execute("UPDATE slides SET changed_at = ? WHERE id = 2", (LONG_AGO,))
    purge_old_copies(laboratory.books)
    assert (copy.exists(), laboratory.slide("P2").spool_name) == (False, None)


def test_a_slide_that_was_given_back_without_a_result_is_analyzed_when_it_comes_again(laboratory: Laboratory) -> None:
    laboratory.arrive(sample=None, problem=("MDSE-SLIDE-001", "no sample id", 5))
    laboratory.decide("requeue", "A1")
    laboratory.slides.move(1, "VANISHED", code="MDSE-SPOOL-003", text="gone")
    laboratory.slides.purge("di60", "A1")
    row = laboratory.arrive(sample="0042", manifest_sha256=digest("None first"))
    assert (row.state, row.reason_code) == ("SPOOLED", "")
    account = laboratory.books.journal.connection.execute("SELECT count(*) FROM purged").fetchone()[0]
    assert account == 1


@pytest.mark.parametrize("is_adopted", [True, False])
def test_a_slide_that_was_given_back_with_its_result_is_known_for_ever(
    laboratory: Laboratory, is_adopted: bool
) -> None:
    """A slide that was adopted had its result before this journal."""
    row = laboratory.arrive()
    if is_adopted:
        laboratory.slides.move(row.id, "CLOSED", code="ADOPTED")
    else:
        laboratory.analyze(row)
    laboratory.slides.purge("di60", "A1")
    assert laboratory.arrive().state == "DUPLICATE"
    assert laboratory.arrive("B1").reason_code == "MDSE-SPOOL-011"


def test_a_copy_of_files_that_others_have_replaced_is_told(laboratory: Laboratory) -> None:
    laboratory.reported("A1")
    laboratory.arrive("A1", images="other")
    assert laboratory.arrive("B1").state == "DUPLICATE"
    assert duplicates_to_decide(laboratory.books.journal) == 0
    laboratory.decide("release", "A1")
    laboratory.analyze(laboratory.slide("A1"))
    assert duplicates_to_decide(laboratory.books.journal) == 1


def test_a_copy_of_files_that_were_said_to_be_another_samples_is_told(laboratory: Laboratory) -> None:
    laboratory.arrive("A1")
    assert laboratory.arrive("B1").state == "DUPLICATE"
    laboratory.slides.move(laboratory.slide("A1").id, "SEEN")
    assert laboratory.arrive("A1", sample="0099").state == "SPOOLED"
    laboratory.analyze(laboratory.slide("A1"))
    assert duplicates_to_decide(laboratory.books.journal) == 1


def test_a_folder_that_went_away_before_it_was_read_needs_nobody(laboratory: Laboratory) -> None:
    row = laboratory.slides.add("di60", "tmp1", b"tmp1")
    laboratory.slides.move(row.id, "VANISHED", code="MDSE-SPOOL-003", text="gone")
    assert alarms(laboratory) == ""
