"""Falling back from a GPU and going back to it: when, for how long, and what is said about it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from edge.daemon.alarms import Alarms
from edge.daemon.device_state import DeviceState, is_device_fault
from edge.daemon.health import degraded_text
from edge.daemon.plan_keeping import PlanKeeper


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def house():
    notes = []
    journal = SimpleNamespace(change=nullcontext, note=notes.append)
    engine = SimpleNamespace(device="gpu", retry_s=60.0)
    books = SimpleNamespace(config=SimpleNamespace(engine=engine), journal=journal)
    return SimpleNamespace(books=books, alarms=Alarms(), monotonic=Clock(), notes=notes, restarts={}, stopping=False)


def wait_for_return(state, clock):
    clock.now_s += 5000  # however long the CPU's model takes to open: the pause has not begun
    assert not state.may_return()
    state.opened()
    start_s = clock.now_s
    while not state.may_return():
        clock.now_s += 1
    return clock.now_s - start_s


def test_each_failure_in_a_row_doubles_the_pause_up_to_an_hour(house):
    state = DeviceState(house)
    waits = []
    for _ in range(9):
        state.fall_back("MDSE-GPU-003", "lost")
        waits.append(wait_for_return(state, house.monotonic))
        state.return_to_configured()
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_slide_that_came_back_well_makes_the_next_fault_a_first_one(house):
    state = DeviceState(house)
    for _ in range(3):
        state.fall_back("MDSE-GPU-003", "lost")
        state.worked()  # on the CPU: that says nothing about the GPU
        wait_for_return(state, house.monotonic)
        state.return_to_configured()
    state.worked()
    state.fall_back("MDSE-GPU-003", "lost")
    assert wait_for_return(state, house.monotonic) == 60
    assert state.faults == 4


def test_a_missing_plan_is_no_fault_and_is_waited_for_however_long_it_takes(house):
    state = DeviceState(house)
    state.fall_back("MDSE-PLAN-007", "no plan")
    house.monotonic.now_s += 100_000
    assert not state.may_return()
    assert state.facts() == {
        "configured": "gpu", "state": "no plan", "faults": 0, "last_fault": "", "retry_in_s": 0.0,
    }  # fmt: skip
    state.plan_is_there()
    assert state.may_return()


def test_the_alarm_stays_until_the_model_is_ready_on_the_device_again(house):
    state = DeviceState(house)
    state.fall_back("MDSE-GPU-002", "memory")
    state.opened()
    assert house.alarms.is_raised("degraded"), "the CPU's model is ready, not the GPU's"
    state.return_to_configured()
    assert house.alarms.is_raised("degraded")
    state.opened()
    assert not house.alarms.is_raised("degraded")
    assert [(note.action, note.old, note.new) for note in house.notes] == [
        ("device lost", "gpu", "cpu"), ("device back", "cpu", "gpu"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        ("MDSE-GPU-001", True), ("MDSE-GPU-002", True), ("MDSE-GPU-003", True), ("MDSE-PLAN-003", True),
        ("MDSE-PLAN-005", True), ("MDSE-PLAN-006", True), ("MDSE-PLAN-007", True), ("MDSE-BUNDLE-014", True),
        ("MDSE-ENGINE-004", True), ("MDSE-GPU-004", False), ("MDSE-PLAN-001", False), ("MDSE-ENGINE-001", False),
        ("MDSE-ENGINE-002", False), ("MDSE-BUNDLE-007", False), ("MDSE-BUNDLE-010", False), ("", False),
    ],
)  # fmt: skip
def test_what_passes_leaves_the_cpu_and_what_a_person_must_mend_is_refused_at_start(code, passes):
    assert is_device_fault(code) == passes


def test_a_plan_that_was_built_in_vain_is_not_built_again_at_once(house):
    keeper = PlanKeeper(house, dict, lambda: None)
    keeper.want()
    assert keeper.may_start()
    assert keeper.restart.is_ready(house.monotonic())
    for wait_s in (60, 120):
        keeper._is_wanted, keeper._built_in_vain = False, True  # as after a build
        keeper.want()
        keeper.want()
        assert keeper.restart.wait_s(house.monotonic()) == wait_s
    keeper._is_wanted, keeper._built_in_vain = False, True
    keeper.was_of_use()
    keeper.want()
    assert keeper.restart.is_ready(house.monotonic())


def test_the_line_for_people_says_why_and_how_long_still():
    gpu = {"configured": "gpu", "state": "no plan", "retry_in_s": 0.0}
    building = {"state": "building", "elapsed_s": 12.2, "last_build_s": 95.0}
    assert degraded_text(gpu | {"plan": building}).endswith("gpu no plan, building for 12 s (the last one took 95 s)")
    building["last_build_s"] = None
    assert degraded_text(gpu | {"plan": building}).endswith("building for 12 s")
    out = {"configured": "gpu", "state": "out of order", "retry_in_s": 59.6, "plan": {"state": "built"}}
    assert degraded_text(out).endswith("gpu out of order, tried again in 60 s")
