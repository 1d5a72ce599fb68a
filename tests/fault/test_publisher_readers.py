"""The publisher under fault and reader together: a short form of `python -m tests.fault.publisher_readers`."""

from __future__ import annotations

import pytest

from tests.fault.publisher_readers import CONTROLS, FAULTS, READERS, run_control, run_fault

FAST = ["strict", "senaite"]
"""Readers that take a file at once: the ones that see most of what goes wrong."""
STRIDE = {"strict": 5, "senaite": 11, "mirth": 17, "openelis": 17}
"""Every so-manieth point between two steps: more where a message takes less time."""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_read_by_half_lost_or_delivered_twice(name: str, reader: str) -> None:
    if reader not in FAST and name in ("full disk", "read-only share", "existing target"):
        pytest.skip("run with the readers that take a file at once; the whole table: tests.fault.publisher_readers")
    counted = run_fault(name, reader, STRIDE[reader])
    if counted is None:
        pytest.skip("mounting a small file system is not allowed here")
    messages = counted.pop("messages")
    assert messages >= 2
    assert counted == dict.fromkeys(counted, 0)


@pytest.mark.parametrize("name", CONTROLS)
def test_the_bench_sees_a_publisher_that_lets_files_be_read_by_half(name: str) -> None:
    assert run_control(name, "senaite")["torn"] > 0
