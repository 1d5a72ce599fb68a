"""What a receiver refused waits for a person as long as it takes, and a decision acts on one arrival of a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from decided_slides import Laboratory, refused
from test_decisions import elsewhere

from edge.commands import result as result_command
from edge.daemon.reconciliation import reconcile
from edge.daemon.retention import purge_old_copies
from edge.daemon.waiting import raise_alarms_for_people
from edge.journal_rows import DeliveryIntent


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Laboratory]:
    made = Laboratory(tmp_path)
    yield made
    made.books.journal.close()


def alarms(laboratory: Laboratory) -> str:
    raise_alarms_for_people(laboratory.place.keeper.house)
    return laboratory.place.alarms()


def refuse(laboratory: Laboratory) -> None:
    laboratory.books.journal.connection.execute("UPDATE deliveries SET state = 'REFUSED' WHERE state = 'SENT'")


def after_the_retention(laboratory: Laboratory) -> None:
    books = laboratory.books
    later = books.wall() + timedelta(days=books.config.retention.days + 1)
    purge_old_copies(dataclasses.replace(books, wall=lambda: later))


def test_a_refused_result_that_nobody_decided_about_outlives_the_retention(laboratory: Laboratory) -> None:
    laboratory.reported()
    refuse(laboratory)
    after_the_retention(laboratory)
    assert (laboratory.place.state(), "results-REFUSED" in alarms(laboratory)) == ("REFUSED", True)


def test_a_refused_result_that_was_replaced_is_archived_with_the_retention(laboratory: Laboratory) -> None:
    laboratory.reported()
    refuse(laboratory)
    laboratory.decide("resend", "A1")
    laboratory.place.run()
    after_the_retention(laboratory)
    assert [row.state for row in laboratory.place.deliveries()] == ["ARCHIVED", "ARCHIVED"]


def test_a_refused_result_that_was_replaced_is_nothing_to_give_up(laboratory: Laboratory) -> None:
    laboratory.reported()
    refuse(laboratory)
    laboratory.decide("resend", "A1")
    laboratory.place.run()
    assert refused(laboratory, "discard", "A1").code == "MDSE-JOURNAL-006"
    assert [row.state for row in laboratory.place.deliveries()] == ["REFUSED", "SENT"]


def test_the_alarm_about_a_refused_result_ends_with_the_result_of_later_files(laboratory: Laboratory) -> None:
    laboratory.reported()
    refuse(laboratory)
    laboratory.arrive(images="more")
    laboratory.decide("release", "A1")
    laboratory.analyze(laboratory.slide())
    assert alarms(laboratory) == ""


def test_a_refused_result_can_be_given_up_and_counts_as_what_had_left(laboratory: Laboratory) -> None:
    laboratory.reported()
    refuse(laboratory)
    assert laboratory.decide("discard", "A1")["state"] == "CLOSED"
    assert laboratory.place.state() == "ARCHIVED"
    assert laboratory.place.deliveries()[0].reason_text == "refused, and given up: because"
    account = reconcile(laboratory.books)
    assert (account["delivered"], account["discarded"], alarms(laboratory)) == (1, 0, "")
    assert refused(laboratory, "discard", "A1").code == "MDSE-JOURNAL-006"


def stranded_beside_late_files(laboratory: Laboratory) -> object:
    slide = laboratory.reported()
    laboratory.books.journal.connection.execute("UPDATE deliveries SET state = 'RENDERED'")
    laboratory.slides.move(slide.id, "COMPUTED")
    laboratory.arrive(images="more")
    return elsewhere(laboratory)


@pytest.mark.parametrize("name", ["A1", "di60/A1"])
def test_a_decision_that_two_arrivals_of_a_folder_allow_is_refused_and_names_both(
    laboratory: Laboratory, name: str
) -> None:
    other = stranded_beside_late_files(laboratory)
    audit = laboratory.books.journal.connection.execute("SELECT count(*) FROM audit").fetchone()
    error = refused(laboratory, "discard", name, other)
    assert (error.code, "row:1, row:2" in str(error)) == ("MDSE-JOURNAL-023", True)
    assert (laboratory.slide().state, laboratory.place.state()) == ("LATE", "RENDERED")
    assert laboratory.books.journal.connection.execute("SELECT count(*) FROM audit").fetchone() == audit
    assert laboratory.decide("discard", "row:1", other)["slide"] == 1
    assert (laboratory.slide().state, laboratory.place.state()) == ("LATE", "ARCHIVED")
    assert laboratory.decide("discard", name, other)["slide"] == 2


def test_a_decision_that_only_the_newest_arrival_allows_takes_the_slide_key(laboratory: Laboratory) -> None:
    laboratory.reported()
    laboratory.arrive(images="more")
    assert laboratory.decide("release", "A1")["slide"] == 2
    laboratory.analyze(laboratory.slide())
    # Row 1 is finished as well, and later files have replaced its own.
    assert laboratory.decide("reanalyze", "A1")["slide"] == 2


def test_two_arrivals_that_wait_for_a_decision_are_told_apart(laboratory: Laboratory) -> None:
    laboratory.reported()
    laboratory.arrive(images="second")
    laboratory.decide("release", "A1")
    laboratory.quarantine(laboratory.slide())
    laboratory.arrive(images="third")
    assert refused(laboratory, "discard", "A1").code == "MDSE-JOURNAL-023"
    assert laboratory.decide("discard", "row:3")["state"] == "CLOSED"
    assert laboratory.slides.get(2).state == "QUARANTINED"


def test_where_a_discard_is_advised_the_row_to_discard_is_named(laboratory: Laboratory) -> None:
    other = stranded_beside_late_files(laboratory)
    house = laboratory.place.keeper.house
    house.books = other
    assert "edge-journal discard row:1" in alarms(laboratory)
    shown = result_command._text("open", laboratory.decide("open-results", "A1"))
    assert "row:1" in shown.split()


def withdrawal_refused(laboratory: Laboratory) -> None:
    laboratory.reported(sample="0042")
    laboratory.arrive(sample="0099")
    laboratory.decide("withdraw", "A1")
    laboratory.place.run()
    results = laboratory.books.journal.results
    for row in results.deliveries_of(results.revision("A1.R2").id):
        results.move_delivery(row.id, "REFUSED", text="not filed")


def test_the_next_sample_waits_for_a_withdrawal_that_the_receiver_refused(laboratory: Laboratory) -> None:
    withdrawal_refused(laboratory)
    assert refused(laboratory, "release", "row:2").code == "MDSE-JOURNAL-016"
    laboratory.decide("resend", "A1")
    assert refused(laboratory, "release", "row:2").code == "MDSE-JOURNAL-016", "it has not left yet"
    laboratory.place.run()
    assert laboratory.decide("release", "row:2")["state"] == "SPOOLED"


def test_a_refused_withdrawal_that_was_settled_by_hand_holds_nothing_back(laboratory: Laboratory) -> None:
    withdrawal_refused(laboratory)
    laboratory.decide("discard", "row:1")
    assert laboratory.decide("release", "row:2")["state"] == "SPOOLED"


def test_a_copy_of_a_result_whose_withdrawal_was_refused_is_no_slide_of_its_own(laboratory: Laboratory) -> None:
    withdrawal_refused(laboratory)
    laboratory.decide("discard", "row:2")
    assert laboratory.arrive("B1", sample="0042").state == "DUPLICATE"


def test_a_refused_result_is_not_replaced_by_a_late_repeat_of_an_older_one(laboratory: Laboratory) -> None:
    laboratory.reported()
    laboratory.decide("finalize", "A1")
    laboratory.place.run()
    results = laboratory.books.journal.results
    older, newer = (results.deliveries_of(results.revision(name).id)[-1] for name in ("A1.R1", "A1.R2"))
    results.move_delivery(newer.id, "REFUSED", text="not filed")
    intent = DeliveryIntent(older.output, "again.json", b"{}", "0", 2)
    results.add_delivery(older.revision_id, intent, copy=2)
    assert results.unanswered()["REFUSED"] == 1
    assert not results.is_replaced(results.delivery(newer.id))


def test_a_slide_key_means_the_one_arrival_for_which_a_decision_is_possible(laboratory: Laboratory) -> None:
    laboratory.reported()
    laboratory.arrive(images="second")
    laboratory.decide("release", "A1")
    laboratory.quarantine(laboratory.slide())
    laboratory.arrive(images="third")
    laboratory.decide("discard", "row:3")
    assert laboratory.decide("requeue", "A1")["slide"] == 2
    assert laboratory.slides.get(3).reason_code == "DISCARDED"
