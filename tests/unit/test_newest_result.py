"""A decision about a result acts on the one that was named, and a withdrawal works whatever else is under way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from decided_slides import Laboratory, refused
from test_sources import Scanner

from edge.daemon.analysis import AnalysisKeeper
from edge.daemon.channel import Message
from edge.daemon.house import House
from edge.daemon.sources import SourceKeeper


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    monkeypatch.setattr(House, "may_take", lambda _: True)
    monkeypatch.setattr(House, "has_room", lambda _: True)
    made = Laboratory(tmp_path)
    yield made
    made.books.journal.close()


def source_of(laboratory: Laboratory) -> SourceKeeper:
    keeper = SourceKeeper(laboratory.place.keeper.house, laboratory.books.config.sources[0])
    keeper.child = Scanner()  # type: ignore[assignment]
    return keeper


class Worker:
    """Takes orders and does nothing."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []

    def send(self, order: dict[str, Any], _blobs: tuple[bytes, ...] = ()) -> None:
        self.orders.append(order)

    def expect_within(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("command", ["withdraw", "resend", "finalize"])
def test_a_decision_that_names_a_replaced_result_is_refused_and_told_the_newest_and_its_sample(
    laboratory: Laboratory, command: str
) -> None:
    laboratory.reported(sample="0042")
    laboratory.decide("withdraw", "A1")
    laboratory.arrive(sample="0099", images="more")
    laboratory.decide("release", "A1")
    laboratory.analyze(laboratory.slide())
    before = (laboratory.revisions(), laboratory.place.state("A1.R3"))
    for name in ("A1.R1", "A1.R2"):
        error = refused(laboratory, command, name)
        assert error.code == "MDSE-JOURNAL-021"
        assert "A1.R3 (status P) for sample 0099" in str(error)
    assert (laboratory.revisions(), laboratory.place.state("A1.R3")) == before
    reply = laboratory.decide(command, "A1.R3")
    assert (reply["slide"], reply["sample_id"]) == (2, "0099")


@pytest.mark.parametrize("name", ["A1", "di60/A1", "row:2"])
def test_a_slide_that_is_named_by_key_or_by_its_row_means_its_newest_result(laboratory: Laboratory, name: str) -> None:
    laboratory.reported()
    laboratory.arrive(images="more")
    laboratory.decide("release", "A1")
    laboratory.analyze(laboratory.slide())
    assert laboratory.decide("finalize", name)["message_id"] == "A1.R3"


@pytest.mark.parametrize(("name", "newest"), [("row:1", "A1.R2"), ("row:3", "A1.R2")])
def test_a_row_that_the_newest_result_was_not_made_of_is_refused(
    laboratory: Laboratory, name: str, newest: str
) -> None:
    laboratory.reported()
    laboratory.arrive(images="more")
    laboratory.decide("release", "A1")
    laboratory.analyze(laboratory.slide())
    assert laboratory.arrive(images="still more").id == 3
    error = refused(laboratory, "withdraw", name)
    assert error.code == "MDSE-JOURNAL-021"
    assert newest in str(error)


def test_a_replaced_message_id_still_shows_its_slide(laboratory: Laboratory) -> None:
    laboratory.reported()
    laboratory.decide("finalize", "A1")
    assert laboratory.decide("show", "A1.R1")["slide"]["id"] == 1


def to_be_read_again(laboratory: Laboratory) -> None:
    laboratory.decide("reanalyze", "A1")
    laboratory.lose_copy(laboratory.quarantine(laboratory.slide()))
    laboratory.decide("requeue", "A1")


def reopened(laboratory: Laboratory, state: str) -> None:
    """Bring a slide with a result into a state of a later analysis."""
    laboratory.decide("reanalyze", "A1")
    if state == "SPOOLED":
        return
    if state in ("HELD", "DUPLICATE"):
        laboratory.slides.move(laboratory.slide().id, state, code="MDSE-SPOOL-013", text="held")
        return
    laboratory.lose_copy(laboratory.quarantine(laboratory.slide()))
    laboratory.decide("requeue", "A1")
    if state != "SEEN":
        laboratory.slides.move(laboratory.slide().id, state)


@pytest.mark.parametrize("state", ["SPOOLED", "SEEN", "SETTLED", "VANISHED", "WAITING_SOURCE", "HELD", "DUPLICATE"])
def test_a_result_is_withdrawn_whatever_became_of_a_later_analysis(laboratory: Laboratory, state: str) -> None:
    laboratory.reported()
    reopened(laboratory, state)
    assert laboratory.slide().state == state
    assert laboratory.decide("withdraw", "A1")["status"] == "W"
    row = laboratory.slide()
    assert (row.state, row.planned_reason, row.planned_by) == ("COMPUTED", None, None)
    laboratory.place.run()
    assert (laboratory.place.state("A1.R2"), laboratory.slide().state) == ("SENT", "CLOSED")


@pytest.mark.parametrize("command", ["finalize", "resend"])
def test_only_a_withdrawal_gives_a_later_analysis_up(laboratory: Laboratory, command: str) -> None:
    laboratory.reported()
    laboratory.decide("reanalyze", "A1")
    if command == "finalize":
        assert refused(laboratory, command, "A1").code == "MDSE-JOURNAL-006"
    else:
        laboratory.decide(command, "A1")
    assert laboratory.slide().state == "SPOOLED"


@pytest.mark.parametrize(
    "answer",
    [
        {"kind": "rejected", "code": "MDSE-SLIDE-005", "text": "no cells"},
        {"kind": "analyzed"},
    ],
)
def test_the_answer_about_a_slide_that_was_withdrawn_meanwhile_is_dropped(
    laboratory: Laboratory, answer: dict[str, Any]
) -> None:
    laboratory.reported()
    laboratory.decide("reanalyze", "A1")
    analysis = AnalysisKeeper(laboratory.place.keeper.house)
    analysis.child = worker = Worker()  # type: ignore[assignment]
    analysis.is_ready = True
    analysis.work()
    assert len(worker.orders) == 1
    laboratory.decide("withdraw", "A1")
    analysis.on_message(Message(answer, (b"{}", b"") if answer["kind"] == "analyzed" else ()))
    assert analysis.in_work is None
    assert laboratory.slide().state == "COMPUTED"
    assert laboratory.revisions() == [("1P", None), ("2W", "A1.R1")]


def test_other_files_of_a_withdrawn_result_that_were_to_be_read_are_held(laboratory: Laboratory) -> None:
    laboratory.reported()
    laboratory.arrive(images="more")
    laboratory.decide("release", "A1")
    laboratory.lose_copy(laboratory.quarantine(laboratory.slide()))
    laboratory.decide("requeue", "row:2")
    assert laboratory.slide().state == "SEEN"
    laboratory.decide("withdraw", "A1")
    assert (laboratory.slide().state, laboratory.slide().reason_code) == ("HELD", "MDSE-SPOOL-013")


def test_a_copy_that_arrives_after_its_slide_was_withdrawn_changes_nothing(laboratory: Laboratory) -> None:
    laboratory.reported()
    to_be_read_again(laboratory)
    keeper = source_of(laboratory)
    settled = {"kind": "settled", "folder": "A1", "signature": "s", "reason": "", "stat": False}
    keeper.on_message(Message(settled))
    keeper.work()
    laboratory.decide("withdraw", "A1")
    facts = laboratory.facts_of("A1", sample="0042", images="first")
    keeper.on_message(Message({"kind": "fetched", "slide": 1, "folder": "A1", "slow": False, **facts}))
    assert (laboratory.slide().id, laboratory.slide().state) == (1, "COMPUTED")
    assert laboratory.revisions() == [("1P", None), ("2W", "A1.R1")]
