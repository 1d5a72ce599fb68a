"""From a process that does not exist yet to a slide's result: imports, loading, cells, network, score, explanation."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.side_by_side.contestant_process import REPOSITORY, NotRunError, command, environment
from benchmarks.side_by_side.contestants import PIPELINE, PLAIN
from benchmarks.side_by_side.machine import processor_time
from benchmarks.side_by_side.material import Material
from benchmarks.side_by_side.progress import Progress
from benchmarks.side_by_side.rounds import finished_rounds

LONGEST_S = 600.0
PLANNED_S = {PIPELINE: 6.0, PLAIN: 30.0}


def measure_cold(
    file: Path,
    count: int,
    material: Material,
    threads: int,
    log: Path,
    progress: Progress,
    product_python: str = sys.executable,
) -> list[dict[str, Any]]:
    """Return `count` rounds of seconds, {"pipeline": s, "plain": s}; rounds that the file has are not run again.

    The files are in the page cache, byte code is written, and the shipped engine has compiled this network before, as
    on any start but a machine's first. `product_python` is the interpreter of our pipeline. Raises NotRunError where a
    process gives no result.
    """
    rows = finished_rounds(file)
    for number in range(len(rows), count):
        before, values = processor_time(), {}
        for name in (PIPELINE, PLAIN):
            progress.begin(f"cold {name}, round {number + 1}", PLANNED_S[name])
            python = product_python if name == PIPELINE else sys.executable
            values[name] = cold_seconds(name, material, threads, log, python)
            progress.end(f"{values[name]:.1f} s")
        row = {"round": number, "values": values, "steal": round(processor_time().since(before).steal, 4)}
        with file.open("a", encoding="ascii") as stream:
            stream.write(json.dumps(row) + "\n")
        rows.append(row)
    return rows


def cold_seconds(name: str, material: Material, threads: int, log: Path, python: str = sys.executable) -> float:
    """Start a contestant's process for one slide and return the seconds until its score is read."""
    with log.open("ab") as errors:
        start_s = time.perf_counter()
        process = subprocess.Popen(
            [*command(name, material, threads, python), "cold"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            cwd=REPOSITORY,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - start_s
        process.communicate(timeout=LONGEST_S)
    if not line.startswith(b'{"score"'):
        raise NotRunError(f"{name} gave no result from a cold start; see {log}")
    return seconds
