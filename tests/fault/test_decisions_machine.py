"""Random decisions of people in a few schedules: the bench `decisions` runs many more (tests/fault/bench)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import edge.daemon.analysis as analysis_module
from tests.fault.bench import decisions
from tests.fault.decision_judge import Content, NamedError, PatientError, StrandedError
from tests.fault.decision_world import World, opened_world

SHORT = [bench for bench in decisions.BENCHES if bench.control_of]


def test_random_decisions_keep_every_slide_with_its_patient(tmp_path: Path) -> None:
    outcome = decisions.run_schedules(1, tmp_path, schedules=50)
    assert outcome.faults == 0, outcome.note.replace(" / ", "\n")
    assert outcome.points >= 50


@pytest.mark.parametrize("control", SHORT, ids=lambda bench: bench.name)
def test_the_bench_sees_wrong_rules(control: Any, tmp_path: Path) -> None:
    assert control.run(0, tmp_path).faults > 0


def shown_and_reported(world: World, folder: str, content: Content) -> None:
    world.show(folder, content)
    world.settle()
    assert [sent.status for sent in world.judge.in_force("first") if sent.folder == folder] == ["P"]


def test_the_worlds_daemon_reports_holds_releases_and_withdraws_as_the_product_does(tmp_path: Path) -> None:
    with opened_world(tmp_path) as world:
        shown_and_reported(world, "A", Content(("a",), "S1", None))
        world.show("B", Content(("a",), "S2", None))
        world.settle()
        assert world.alarms() >= {"slides-HELD"}
        assert world.decide("release", "B") == ""
        assert world.decide("withdraw", "A") == ""
        world.rest()
        assert [(sent.folder, sent.status) for sent in world.judge.in_force("first")] == [("OLD", "P"), ("B", "P")]
        world.judge.judge_end(world.books, world.alarms())


def test_the_judge_sees_images_that_stand_for_two_samples(tmp_path: Path) -> None:
    with opened_world(tmp_path) as world:
        shown_and_reported(world, "A", Content(("a",), "S1", None))
        world.show("B", Content(("a",), "S2", None))
        world.settle()
        held = world.books.journal.slides.newest("di60", "B")
        assert held is not None
        world.books.journal.slides.move(held.id, "SPOOLED")
        with (
            patch.object(analysis_module, "ask_gate", lambda *_: (None, None)),
            pytest.raises(PatientError, match="nobody released that"),
        ):
            world.settle()


def test_the_judge_sees_a_slide_that_nobody_is_told_of(tmp_path: Path) -> None:
    with opened_world(tmp_path) as world:
        shown_and_reported(world, "A", Content(("a",), "S1", None))
        world.judge.shown["A"] = Content(("b",), "S1", None)
        with pytest.raises(StrandedError, match="A shows b of S1"):
            world.judge.judge_end(world.books, world.alarms())


def test_the_judge_sees_a_command_that_acts_on_another_result_than_it_names(tmp_path: Path) -> None:
    with opened_world(tmp_path) as world:
        shown_and_reported(world, "A", Content(("a",), "S1", None))
        named = next(sent for sent in world.judge.sent if sent.folder == "A")
        before = world.judge.before_command(world.books)
        reply = {"slide": 2, "slide_key": "A", "revision": 3, "message_id": "x"}
        with pytest.raises(NamedError, match="acted on revision 2"):
            world.judge.on_decided("withdraw", named.message_id, reply, before)
