"""What a person decides: about the slide that was named and no other, with all there is to know, and to be undone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from decided_slides import Laboratory, refused

from edge.commands import journal as journal_command
from edge.commands import result as result_command
from edge.daemon.reconciliation import reconcile
from edge.journal_results import NewRevision


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Laboratory]:
    made = Laboratory(tmp_path)
    yield made
    made.books.journal.close()


def test_a_number_is_a_slide_key_and_with_its_mark_a_journal_number(laboratory: Laboratory) -> None:
    first, second = laboratory.reported("A1"), laboratory.reported("1", sample="0099", images="others")
    assert laboratory.decide("withdraw", "1")["slide"] == second.id
    assert laboratory.decide("withdraw", f"row:{first.id}")["slide"] == first.id


@pytest.mark.parametrize("name", ["2", "0042", "row:77", "row:", "row:-1", "#1", "row:\u0661"])
def test_what_names_no_slide_acts_on_none(laboratory: Laboratory, name: str) -> None:
    laboratory.reported("A1", sample="0042")
    assert refused(laboratory, "withdraw", name).code == "MDSE-JOURNAL-005"
    assert laboratory.revisions() == [("1P", None)]


@pytest.mark.parametrize("name", ["row:1", "A1.R1"])
def test_a_name_that_fits_two_slides_acts_on_neither_and_names_both(laboratory: Laboratory, name: str) -> None:
    laboratory.reported("A1")
    laboratory.reported(name, sample="0099", images="others")
    error = refused(laboratory, "withdraw", name)
    assert (error.code, "row:1, row:2" in str(error)) == ("MDSE-JOURNAL-008", True)
    assert laboratory.decide("withdraw", f"di60/{name}")["slide"] == 2


def test_a_decision_tells_whose_slide_it_was_about(laboratory: Laboratory) -> None:
    laboratory.reported("A1", sample="0042")
    named = {"slide": 1, "source": "di60", "slide_key": "A1", "sample_id": "0042"}
    for command in ("resend", "withdraw", "reanalyze"):
        reply = laboratory.decide(command, "A1")
        assert reply | named == reply
    assert journal_command._text("reanalyze", reply) == "row:1  di60/A1  sample 0042  is SPOOLED"
    assert "row:1, source di60, slide_key A1, sample_id 0042" in result_command._text("withdraw", reply)


def test_the_journal_numbers_that_are_printed_can_be_given_back(laboratory: Laboratory) -> None:
    laboratory.reported("A1")
    laboratory.arrive("A1", images="more")
    listed = journal_command._text("list", laboratory.decide("list", "A1"))
    shown = journal_command._text("show", laboratory.decide("show", "A1"))
    for number in ("row:1", "row:2"):
        assert number in listed.split()
        assert number in shown.split()
        assert laboratory.decide("show", number)["slide"]["id"] == int(number[4:])


def held_incomplete(laboratory: Laboratory, key: str) -> None:
    slide = laboratory.slides.add("di60", key, key.encode())
    laboratory.slides.move(slide.id, "HELD", code="MDSE-SPOOL-004", text="incomplete")


def test_releasing_an_incomplete_slide_is_no_answer_to_its_images_being_anothers(laboratory: Laboratory) -> None:
    first = laboratory.reported("P1", sample="0042")
    held_incomplete(laboratory, "P2")
    assert laboratory.decide("release", "P2")["state"] == "SEEN"
    row = laboratory.arrive("P2", sample="0099")
    assert (row.state, row.reason_code, row.related_slide) == ("HELD", "MDSE-SPOOL-005", first.id)
    # Trying again is no answer either, nor is letting the incomplete folder pass once more.
    laboratory.decide("requeue", "P2")
    assert laboratory.arrive("P2", sample="0099").state == "HELD"
    laboratory.decide("requeue", "P2")
    row = laboratory.slide("P2")
    laboratory.slides.move(row.id, "HELD", code="MDSE-SPOOL-004", text="incomplete")
    laboratory.decide("release", "P2")
    assert laboratory.arrive("P2", sample="0099").state == "HELD"
    assert laboratory.decide("release", "P2")["state"] == "SPOOLED"


def test_a_likeness_that_a_person_has_seen_is_not_asked_about_again_and_another_is(laboratory: Laboratory) -> None:
    laboratory.reported("P1", sample="0042")
    laboratory.arrive("P2", sample="0099")
    laboratory.decide("release", "P2")
    assert laboratory.arrive("P2", sample="0099", manifest_sha256="e" * 64).state == "SPOOLED"
    assert laboratory.arrive("P2", sample="0077").state == "HELD"


def test_the_same_images_after_the_retention_are_held_until_a_person_has_looked(laboratory: Laboratory) -> None:
    laboratory.reported("P1", sample="0042")
    laboratory.slides.purge("di60", "P1")
    for key, sample in (("P2", "0042"), ("P3", "0099")):
        row = laboratory.arrive(key, sample=sample)
        assert (row.state, row.reason_code) == ("HELD", "MDSE-SPOOL-011")
        laboratory.decide("discard", key)
    assert laboratory.arrive("P4", sample="0042", images="others").state == "SPOOLED"
    laboratory.arrive("P5", sample="0042")
    assert laboratory.decide("release", "P5")["state"] == "SPOOLED"
    assert laboratory.arrive("P5", sample="0042", manifest_sha256="e" * 64).state == "SPOOLED"


def test_a_result_can_be_withdrawn_while_another_analysis_of_it_has_failed(laboratory: Laboratory) -> None:
    slide = laboratory.reported()
    laboratory.decide("reanalyze", "A1")
    laboratory.quarantine(slide)
    assert laboratory.decide("withdraw", "A1")["status"] == "W"
    assert laboratory.slide().state == "QUARANTINED"
    laboratory.place.run()
    assert laboratory.place.state("A1.R2") == "SENT"


@pytest.mark.parametrize("failed", [True, False])
def test_giving_up_another_analysis_leaves_the_result_that_was_sent(laboratory: Laboratory, failed: bool) -> None:
    slide = laboratory.reported()
    laboratory.decide("reanalyze", "A1")
    if failed:
        laboratory.quarantine(slide)
    assert laboratory.decide("discard", "A1")["state"] == "CLOSED"
    assert laboratory.slide().reason_code == ""
    account = reconcile(laboratory.books)
    assert (account["delivered"], account["discarded"]) == (1, 0)
    assert laboratory.arrive("B1").state == "DUPLICATE"
    assert laboratory.decide("reanalyze", "A1")["state"] == "SPOOLED"


def test_the_images_of_a_result_are_known_also_while_another_analysis_of_it_has_failed(laboratory: Laboratory) -> None:
    slide = laboratory.reported()
    laboratory.decide("reanalyze", "A1")
    laboratory.quarantine(slide)
    assert laboratory.arrive("B1").state == "DUPLICATE"


def test_giving_up_another_analysis_leaves_a_parked_delivery_for_a_person(laboratory: Laboratory) -> None:
    slide = laboratory.analyze(laboratory.arrive())
    delivery = laboratory.place.deliveries()[0]
    sql = "UPDATE deliveries SET state = 'PARKED' WHERE id = ?"
    laboratory.books.journal.connection.execute(sql, (delivery.id,))
    laboratory.decide("reanalyze", "A1")
    laboratory.quarantine(slide)
    assert laboratory.decide("discard", "A1")["state"] == "COMPUTED"
    assert laboratory.decide("discard", "A1")["state"] == "CLOSED"
    assert laboratory.place.state() == "ARCHIVED"


def test_a_slide_whose_only_message_was_that_it_has_no_result_is_discarded(laboratory: Laboratory) -> None:
    slide = laboratory.quarantine(laboratory.arrive())
    new = NewRevision(1, "A1.R1", "X", "P", "0" * 64, None, "0" * 64, None, "daemon", None)
    laboratory.books.journal.results.add_revision(slide.id, new, [])
    laboratory.decide("discard", "A1")
    assert laboratory.slide().reason_code == "DISCARDED"


def elsewhere(laboratory: Laboratory) -> object:
    """Return the books with the output at another path."""
    config = laboratory.books.config
    output = config.outputs[0].model_copy(update={"path": laboratory.place.root / "other"})
    return dataclasses.replace(laboratory.books, config=config.model_copy(update={"outputs": (output,)}))


def test_a_result_that_no_configured_output_has_is_not_said_to_be_sent_again(laboratory: Laboratory) -> None:
    laboratory.reported()
    assert refused(laboratory, "resend", "A1", elsewhere(laboratory)).code == "MDSE-JOURNAL-019"
    assert (laboratory.slide().state, len(laboratory.place.deliveries())) == ("CLOSED", 1)


@pytest.mark.parametrize("state", ["RENDERED", "STAGED"])
def test_only_what_is_for_an_output_configured_no_longer_may_be_given_up_unsent(
    laboratory: Laboratory, state: str
) -> None:
    slide = laboratory.reported()
    laboratory.books.journal.connection.execute("UPDATE deliveries SET state = ?", (state,))
    laboratory.slides.move(slide.id, "COMPUTED")
    assert refused(laboratory, "discard", "A1").code == "MDSE-JOURNAL-006"
    assert laboratory.place.state() == state
    assert laboratory.decide("discard", "A1", elsewhere(laboratory))["state"] == "CLOSED"
    assert laboratory.place.state() == "ARCHIVED"
    assert laboratory.place.deliveries()[0].reason_text == "given up: because"
