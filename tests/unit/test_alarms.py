"""Alarms: status tells their words in full, the log nothing that names a patient, and none stays for ever."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_outbox import add_result, make  # noqa: F401 - a fixture

from edge.daemon.alarms import Alarms
from edge.daemon.analysis import AnalysisKeeper
from edge.daemon.channel import Message
from edge.daemon.keeper import NONSENSE_OVER_S
from edge.daemon.quarantine import quarantine_slide
from edge.daemon.waiting import raise_alarms_for_people
from edge.errors import EdgeError
from edge.logs import configure_logging

NO_SPACE = {"kind": "failed", "id": 0, "code": "MDSE-DELIVERY-001", "errno": 28}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level, stream = tuple(root.handlers), root.level, io.StringIO()
    configure_logging(logging.INFO, stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_place_of_an_error_is_in_the_status_and_not_in_the_log(log: io.StringIO) -> None:
    alarms = Alarms()
    error = EdgeError("MDSE-DELIVERY-007", where="/srv/drop/0042_r1.hl7")
    alarms.raise_alarm("output-hl7", f"tried again in 3 s: {error}", 1.0)
    assert "0042_r1" in str(alarms.listed(2.0))
    assert "0042_r1" not in log.getvalue()
    assert "MDSE-DELIVERY-007 alarm=output-hl7 words=~" in log.getvalue()


def test_the_words_of_a_receiver_are_not_in_the_log(log: io.StringIO) -> None:
    Alarms().raise_alarm("ack-hl7", "delivery 3: patient Tanaka Hanako unknown", 1.0)
    assert "Tanaka" not in log.getvalue()
    assert "alarm=ack-hl7" in log.getvalue()


def test_figures_and_fixed_words_of_an_alarm_are_in_the_log(log: io.StringIO) -> None:
    alarms = Alarms()
    alarms.raise_alarm("state-disk", "less than 500 bytes are free", 1.0, is_open=True)
    alarms.clear("state-disk")
    assert "less than 500 bytes are free" in log.getvalue()
    assert "an alarm is over" in log.getvalue()


def test_what_a_deliverer_tells_of_a_file_is_not_in_the_log(make: Any, log: io.StringIO) -> None:  # noqa: F811 - the fixture
    place = make()
    place.keeper._in_flight = {"kind": "publish", "id": 0}
    place.keeper.on_message(Message({**NO_SPACE, "text": "MDSE-DELIVERY-001 /srv/drop/0042_r1.hl7: no room."}))
    assert "0042_r1" in place.alarms()
    assert "0042_r1" not in log.getvalue()


@pytest.mark.parametrize("was_ready", [False, True])
def test_a_bundle_that_cannot_be_used_ends_a_start_and_after_a_reload_is_an_alarm(
    make: Any,  # noqa: F811 - the fixture
    was_ready: bool,
) -> None:
    keeper = AnalysisKeeper(make().keeper.house, was_ready=was_ready)
    keeper.on_message(Message({"kind": "failed", "code": "MDSE-ASSESS-004", "text": "no such target", "exit": 78}))
    fatal = keeper.house.fatal
    assert (fatal is None) == was_ready
    assert keeper.house.alarms.is_raised("model") == was_ready


@pytest.mark.parametrize("was_ready", [False, True])
@pytest.mark.parametrize("change", [{"version": "1"}, {"intended_use": "demo"}], ids=["older", "demo"])
def test_a_bundle_that_may_not_be_used_opens_no_model_and_ends_only_a_start(
    make: Any,  # noqa: F811 - the fixture
    was_ready: bool,
    change: dict[str, str],
) -> None:
    house = make().keeper.house
    sound = {"kind": "ready", "bundle": "wbc", "version": "2", "digest": "ab", "intended_use": "clinical"}
    AnalysisKeeper(house).on_message(Message(sound))
    keeper = AnalysisKeeper(house, was_ready=was_ready)
    keeper.on_message(Message({**sound, **change}))
    assert not keeper.is_ready
    assert (house.fatal is None) == was_ready
    assert house.alarms.is_raised("model") == was_ready
    keeper.on_message(Message(sound))
    assert keeper.is_ready
    assert not house.alarms.is_raised("model")


def test_the_alarm_about_a_nonsense_message_ends_when_none_came_for_a_while(make: Any) -> None:  # noqa: F811 - the fixture
    place = make()
    keeper = place.keeper
    keeper.may_start = lambda: False
    keeper.house.alarms.raise_alarm(f"{keeper.name}-nonsense", "x", place.now_s[0])
    keeper._nonsense_s, keeper.child = place.now_s[0], None
    place.now_s[0] += NONSENSE_OVER_S - 1
    keeper.turn()
    assert "nonsense" in place.alarms()
    place.now_s[0] += 2
    keeper.turn()
    assert "nonsense" not in place.alarms()


def test_the_alarm_about_a_missing_notice_ends_when_a_person_has_decided_about_the_slide(
    make: Any,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = make()
    notices, slides = AnalysisKeeper(place.keeper.house).notices, place.books.journal.slides

    def no_room(*_: object, **__: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.daemon.notice.plan_notice", no_room)
    for key in ("A1", "A2"):
        slide = slides.move(slides.add("di60", key, key.encode()).id, "SETTLED")
        slide = quarantine_slide(place.books, slide, None, code="MDSE-SLIDE-008", text="unreadable", stage="analyzing")
        notices.plan(slide, code="MDSE-SLIDE-008", model={}, message_id=f"{key}.R1")
    for key, alarms in (("A1", True), ("A2", False)):
        slides.move(place.slide(key).id, "CLOSED", code="DISCARDED", text="examined by hand")
        notices.look()
        assert ("notice" in place.alarms()) == alarms


def test_results_for_an_output_that_is_configured_no_longer_are_an_alarm_until_they_are_gone(make: Any) -> None:  # noqa: F811 - the fixture
    place = make()
    add_result(place)
    raise_alarms_for_people(place.keeper.house)
    assert "results-without-output" not in place.alarms()
    former = f"hl7:{Path('/srv/wrong')}"
    place.books.journal.connection.execute("UPDATE deliveries SET output = ?", (former,))
    raise_alarms_for_people(place.keeper.house)
    assert f"1 for {former}" in place.alarms()
    (row,) = place.deliveries()
    place.books.journal.results.move_delivery(row.id, "ARCHIVED", text="given up: the path was wrong")
    raise_alarms_for_people(place.keeper.house)
    assert "results-without-output" not in place.alarms()
