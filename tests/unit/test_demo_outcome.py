"""What edge-demo says of its results is what the published records say, whatever bundle made them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.demo.outcome import SlideOutcome, marks_of_outcomes


def outcome(mode, use):
    record = {"mode": mode, "provenance": {"bundle": {"intended_use": use}}}
    return SlideOutcome(record, Path("a.hl7"), acknowledged=True)


def test_results_of_the_demo_bundle_are_said_to_be_marked_as_tests():
    told = marks_of_outcomes([outcome("T", "demo")] * 2)
    assert "SIMULATED" in told
    assert "every result is marked as a test (MSH-11 T)" in told
    assert "Not for any clinical use." in told


@pytest.mark.parametrize("use", ["research", "clinical"])
def test_results_of_another_bundle_are_said_not_to_be_marked(use):
    told = marks_of_outcomes([outcome("P", use)] * 2)
    assert "SIMULATED" in told
    assert f"bundle for {use} use" in told
    assert "NOT marked as tests (MSH-11 P)" in told
    assert "marked as a test (" not in told
    assert "Not for any clinical use" in told


def test_without_a_result_nothing_is_said_of_its_marks():
    told = marks_of_outcomes([])
    assert "SIMULATED" in told
    assert "MSH-11" not in told
