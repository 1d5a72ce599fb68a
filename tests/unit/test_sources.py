"""What the supervisor makes of a scanner's messages: alarms in time, urgent slides first, nothing concluded early."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from test_outbox import place_with

from edge.daemon.channel import Message
from edge.daemon.house import SPOOLED_MAX, House
from edge.daemon.sources import ALARM_AFTER_S, SourceKeeper
from edge.daemon.trouble import DOUBT_S


class Scanner:
    """Stands for the child: keeps the orders."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []

    def send(self, order: dict[str, Any], blobs: tuple[bytes, ...] = ()) -> None:
        self.orders.append(order)

    def expect_within(self, budget_s: float | None, now_s: float) -> None:
        pass


class Source:
    def __init__(self, root: Path) -> None:
        self.place = place_with(root, "none", "json", report=False)
        self.house = self.place.keeper.house
        self.keeper = SourceKeeper(self.house, self.place.books.config.sources[0])
        self.keeper.child = Scanner()  # type: ignore[assignment]  # like a child

    def hear(self, kind: str, **facts: Any) -> None:
        if kind in ("looked", "fetched", "moved", "refused", "failed"):
            facts.setdefault("slow", False)
        self.keeper.on_message(Message({"kind": kind, **facts}))

    def settled(self, *names: str, stat: bool = False) -> None:
        self.hear("seen", folders=list(names))
        for name in names:
            self.hear("settled", folder=name, signature="s", reason="", stat=stat)

    def later(self, seconds: float) -> None:
        self.place.now_s[0] += seconds

    def fetches(self) -> list[str]:
        return [order["folder"] for order in self.keeper.child.orders if order["kind"] == "fetch"]

    def alarms(self) -> str:
        return self.place.alarms()

    def row(self, name: str):
        return self.place.books.journal.slides.newest("di60", name)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(House, "may_take", lambda self: True)
    made = Source(tmp_path)
    yield made
    made.place.books.journal.close()


def test_an_urgent_slide_is_copied_before_those_that_settled_earlier(source: Source) -> None:
    source.settled("A1", "A2")
    source.settled("Z1", stat=True)
    source.keeper.work()
    assert source.fetches() == ["Z1"]


def test_a_full_spool_holds_every_slide_but_an_urgent_one(source: Source) -> None:
    slides = source.place.books.journal.slides
    for number in range(SPOOLED_MAX):
        row = slides.move(slides.add("di60", f"B{number}", b"B").id, "SETTLED")
        slides.move(row.id, "SPOOLED", idempotency_key=f"k{number}")
    source.settled("A1")
    source.keeper.work()
    assert source.fetches() == []
    source.settled("Z1", stat=True)
    source.keeper.work()
    assert source.fetches() == ["Z1"]
    # While the urgent one waits for its next try, nothing else takes its place.
    slide = source.row("Z1").id
    source.hear("failed", slide=slide, folder="Z1", signature="s", text="OSError", errno=errno.EACCES)
    source.hear("settled", folder="Z1", signature="s", reason="", stat=True)
    source.keeper.work()
    assert source.fetches() == ["Z1"]


@pytest.mark.case("D15")
def test_a_silent_scanner_and_one_that_never_finishes_a_look_are_alarms_within_thirty_seconds(source: Source) -> None:
    source.hear("looked", folders=0, all_gone=False, events="")
    source.later(ALARM_AFTER_S)
    source.keeper.work()
    assert source.alarms() == ""
    source.later(0.5)
    source.keeper.work()
    assert "silent" in source.alarms()
    source.hear("looked", folders=0, all_gone=False, events="")
    assert source.alarms() == ""
    for _ in range(15):
        source.later(2.0)
        source.hear("alive")
        source.keeper.work()
    assert source.alarms() == ""
    source.later(0.5)
    source.keeper.work()
    assert "slow" in source.alarms()
    assert ALARM_AFTER_S + source.keeper.source.scan_s <= 30.0


@pytest.mark.case("D15")
def test_a_look_that_the_share_delayed_is_no_sign_that_it_is_well(source: Source) -> None:
    limit_s = ALARM_AFTER_S + source.keeper.source.scan_s
    source.hear("looked", folders=0, all_gone=False, events="")
    for _ in range(2):
        source.later(limit_s / 2)
        source.hear("looked", slow=True, folders=0, all_gone=False, events="")
        source.keeper.work()
    assert source.alarms() == ""
    source.later(0.5)
    source.hear("looked", slow=True, folders=0, all_gone=False, events="")
    source.keeper.work()
    assert "slow" in source.alarms()
    source.hear("looked", slow=True, folders=0, all_gone=False, events="")
    assert "slow" in source.alarms()
    source.hear("looked", folders=0, all_gone=False, events="")
    source.keeper.work()
    assert source.alarms() == ""


@pytest.mark.parametrize(("slow", "alarm"), [(False, ""), (True, "slow")])
def test_a_copy_is_a_sign_that_the_share_is_well_unless_it_was_delayed(source: Source, slow: bool, alarm: str) -> None:
    source.settled("A1")
    source.keeper.work()
    slide = source.row("A1").id
    source.later(ALARM_AFTER_S)
    source.hear("moved", slow=slow, slide=slide, folder="A1", signature="s", token="t", text="it changed")  # noqa: S106 - a folder's name
    source.later(source.keeper.source.scan_s + 0.5)
    source.keeper.work()
    assert alarm in source.alarms()
    assert bool(source.alarms()) is slow


@pytest.mark.case("D17")
def test_a_source_that_lists_none_of_its_finished_folders_is_an_alarm_until_it_does(source: Source) -> None:
    source.hear("looked", folders=0, all_gone=True, events="")
    assert "source-di60" in source.alarms()
    source.hear("looked", folders=1, all_gone=False, events="")
    assert source.alarms() == ""


@pytest.mark.case("S19")
def test_a_folder_that_cannot_be_a_slide_is_set_aside_and_told_as_finished(source: Source) -> None:
    source.hear("seen", folders=["FLOOD"])
    source.hear("hopeless", folder="FLOOD", signature="MDSE-SLIDE-009", code="MDSE-SLIDE-009", text="too many")
    assert (source.row("FLOOD").state, source.row("FLOOD").signature) == ("QUARANTINED", "MDSE-SLIDE-009")
    assert source.keeper.child.orders[-1] == {"kind": "finished", "folder": "FLOOD", "signature": "MDSE-SLIDE-009"}


def fail(source: Source, name: str, number: int) -> None:
    source.keeper.work()
    slide = source.row(name).id
    source.hear("failed", slide=slide, folder=name, signature="s", text="OSError", errno=number)


@pytest.mark.case("D7")
def test_a_file_that_cannot_be_read_for_an_hour_sets_its_slide_aside(source: Source) -> None:
    source.settled("A1")
    for _ in range(8):
        fail(source, "A1", errno.EIO)
        assert (source.row("A1").state, source.row("A1").attempts) == ("SETTLED", 0)
        source.later(DOUBT_S / 8)
        source.hear("alive")
    source.later(600.0)
    source.hear("alive")
    fail(source, "A1", errno.EIO)
    assert (source.row("A1").state, source.row("A1").reason_code) == ("QUARANTINED", "MDSE-SPOOL-009")


@pytest.mark.case("A26")
def test_a_file_that_another_program_holds_is_tried_again_for_ever(source: Source) -> None:
    source.settled("A1")
    for _ in range(30):
        fail(source, "A1", errno.EACCES)
        source.later(DOUBT_S)
    assert (source.row("A1").state, source.row("A1").attempts) == ("SETTLED", 0)


@pytest.mark.parametrize("kind", ["vanished", "unlisted"])
def test_many_folders_that_go_at_once_are_one_transaction(source: Source, kind: str) -> None:
    names = [f"A{number}" for number in range(20)]
    source.hear("seen", folders=names)
    connection, commits = source.place.books.journal.connection, []
    connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    source.hear(kind, folders=names)
    connection.set_trace_callback(None)
    assert len(commits) == 1
    assert all(source.row(name).unlisted_at is not None for name in names)


@pytest.mark.case("A19")
def test_a_folder_that_comes_and_goes_is_remembered_with_when_it_went(source: Source) -> None:
    source.hear("seen", folders=["A1"])
    source.hear("vanished", folders=["A1"])
    assert source.row("A1").state == "VANISHED"
    assert source.row("A1").unlisted_at is not None
    source.hear("seen", folders=["A1"])
    assert (source.row("A1").state, source.row("A1").unlisted_at) == ("SEEN", None)
    slides = source.place.books.journal.slides
    slides.move(source.row("A1").id, "CLOSED", code="DISCARDED")
    source.hear("unlisted", folders=["A1"])
    first = source.row("A1").unlisted_at
    source.hear("unlisted", folders=["A1"])
    assert first is not None
    assert source.row("A1").unlisted_at == first
    source.hear("seen", folders=["A1"])
    assert source.row("A1").unlisted_at is None
