"""No command of the product speaks to a network, and none leaves a file where nobody asked for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fault.bench.network import run_network
from tests.fault.system_calls import made_outside, missing_for_tracing, read_system_calls, traced_command

WHY = missing_for_tracing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=f"no tracing: {WHY}")


@pytest.mark.case("S9")
@pytest.mark.case("S10")
@pytest.mark.parametrize("number", [0, 2], ids=["daemon", "edge-bundle-verify"])
def test_a_full_run_makes_no_network_call_but_of_this_machine(number: int, tmp_path: Path) -> None:
    outcome = run_network(number, tmp_path)
    assert outcome.faults == 0, outcome
    if number == 0:
        assert outcome.points > 100, "the daemon's own sockets were seen"


def test_the_bench_sees_a_worker_that_asks_the_network(tmp_path: Path) -> None:
    assert "AF_INET" in run_network(0, tmp_path, "worker_opens_a_network_socket").note


def test_the_trace_shows_sockets_and_files_of_children(tmp_path: Path) -> None:
    script = "import socket, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    child = f"import socket; socket.socket(socket.AF_INET6); open('{tmp_path}/device-id', 'w')"
    trace = tmp_path / "trace"
    subprocess.run(traced_command(trace, [sys.executable, "-c", script, child]), check=True)
    calls = read_system_calls(trace)
    assert len(calls.foreign) == 1
    assert made_outside(calls, tmp_path / "elsewhere") == [f"{tmp_path}/device-id"]
