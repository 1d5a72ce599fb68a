"""The effective environment: what the unit set must be in force, and nothing that brings in other code."""

from __future__ import annotations

import pytest

from edge.daemon.environment import check_environment, environment_faults
from edge.errors import EdgeError

SOUND = {"ORT_DISABLE_TELEMETRY": "1", "OPENCV_IO_MAX_IMAGE_PIXELS": "16777216", "PATH": "/usr/bin"}


def test_the_environment_of_the_unit_is_sound() -> None:
    assert environment_faults(SOUND, isolated=True) == []


@pytest.mark.case("S20")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LD_PRELOAD", "/tmp/x.so"), ("LD_AUDIT", "x"), ("LD_LIBRARY_PATH", "/tmp"), ("ORT_DISABLE_TELEMETRY", "0"),
        ("OPENCV_IO_MAX_IMAGE_PIXELS", "99999999999"), ("OPENCV_IO_MAX_IMAGE_PIXELS", "all"),
        ("OPENCV_IO_ENABLE_OPENEXR", "1"),
    ],
)  # fmt: skip
def test_a_variable_that_changes_what_runs_is_named(name: str, value: str) -> None:
    assert [fault for fault in environment_faults(SOUND | {name: value}, isolated=True) if name in fault]


@pytest.mark.case("S16")
def test_python_must_be_isolated_and_its_variables_count_only_when_it_is_not() -> None:
    changed = SOUND | {"PYTHONPATH": "/tmp"}
    assert environment_faults(changed, isolated=True) == []
    assert len(environment_faults(changed, isolated=False)) == 2


@pytest.mark.case("S20")
def test_a_start_by_systemd_with_another_environment_is_refused_and_one_by_hand_is_told() -> None:
    changed = SOUND | {"LD_PRELOAD": "/tmp/x.so"}
    assert any("LD_PRELOAD" in fault for fault in check_environment(changed))
    with pytest.raises(EdgeError, match=r"MDSE-DAEMON-018.*LD_PRELOAD") as caught:
        check_environment(changed | {"INVOCATION_ID": "0123456789abcdef"})
    assert caught.value.exit_status == 78
