"""A contestant's memory is its own and that of the server it started, not that of the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from benchmarks.side_by_side import tables
from benchmarks.side_by_side.contestant_process import REPOSITORY
from benchmarks.side_by_side.memory import peak_memory_mb

HELD_MIB = 200
HOLD = "import sys; held = b'x' * ({mib} << 20); print('held', flush=True); sys.stdin.read()"
START = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=subprocess.PIPE);"
    "sys.stdin.read(); child.stdin.close(); child.wait()"
)


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python program until what it holds is held; ends it by closing its input."""
    with subprocess.Popen(
        [sys.executable, "-c", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def test_the_memory_of_a_process_is_not_that_of_the_one_that_started_it() -> None:
    ours = np.ones(HELD_MIB << 20, np.uint8)
    with running(HOLD.format(mib=0)) as process:
        found = peak_memory_mb(process.pid)
    assert ours.nbytes == HELD_MIB << 20
    assert found["peak_rss_mb"] < HELD_MIB
    assert "peak_rss_below_mb" not in found


def test_the_memory_of_a_server_that_a_process_started_is_told_beside_its_own() -> None:
    with running(START, HOLD.format(mib=HELD_MIB)) as process:
        found = peak_memory_mb(process.pid)
    assert found["peak_rss_below_mb"] >= HELD_MIB > found["peak_rss_mb"]


def test_a_process_that_has_ended_has_no_memory_to_tell() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody waited for it yet
    try:
        with pytest.raises(ProcessLookupError):
            peak_memory_mb(process.pid)
    finally:
        process.wait()


def memory_cell(name: str, **facts: int) -> str:
    figures = {"images_per_s": {"median": 1.0, "min": 1.0, "max": 1.0}, "open_s": 1.0, "batch": 8, **facts}
    found = {"giga_operations": 1.0, "contestants": {name: figures}, "steal": [], "others": []}
    return tables.contestant_tables({"sizes": {"299": found}}).splitlines()[4].split("|")[-2].strip()


def test_the_table_adds_up_both_and_says_where_the_server_is_missing() -> None:
    assert memory_cell("triton", peak_rss_mb=300, peak_rss_below_mb=50) == "350"
    assert memory_cell("triton", peak_rss_mb=300) == "300 without its server"
    assert memory_cell("ort_s8", peak_rss_mb=300) == "300"
