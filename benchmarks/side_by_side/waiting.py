"""How the cost grows with the number of slides that wait: the real daemon, started before a full export folder.

Small slides of the demo bundle's network, so that a thousand take minutes: what grows with their number is the daemon's
own work (folders, spool, journal, archive, publishing), not the network's. Everything is synced as in operation.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.side_by_side.contestant_process import NotRunError
from benchmarks.side_by_side.machine import processor_time
from benchmarks.side_by_side.progress import Progress
from benchmarks.side_by_side.rounds import finished_rounds
from benchmarks.side_by_side.slides import write_slide_folder

CELLS = 10
COUNTS = (1, 10, 100, 1000)
PLANNED_S = {1: 10.0, 10: 11.0, 100: 20.0, 1000: 110.0}
LONGEST_S_A_SLIDE = 3.0


def measure_waiting(
    file: Path, counts: Sequence[int], pictures: Sequence[bytes], folder: Path, progress: Progress
) -> list[dict[str, Any]]:
    """Return one row for each number of waiting slides; rows that the file has are not measured again."""
    rows = finished_rounds(file)
    for count in counts:
        if any(row["slides"] == count for row in rows):
            continue
        progress.begin(f"{count} waiting slides", PLANNED_S.get(count, 0.11 * count + 10))
        row = drained(count, pictures, folder)
        with file.open("a", encoding="ascii") as stream:
            stream.write(json.dumps(row) + "\n")
        rows.append(row)
        rate = row["slides_per_s"]
        progress.end(f"{row['all_s']:.1f} s" + ("" if rate is None else f", {rate:.1f} slides/s"))
    return rows


def drained(count: int, pictures: Sequence[bytes], folder: Path) -> dict[str, Any]:
    """Let a fresh daemon drain `count` slides and return seconds, rate and memory.

    `all_s`: from the start of the process to the last published result, with the model's start and the wait until the
    folders are quiet. `slides_per_s`: between the first and the last result, None for one slide. Raises NotRunError
    where results stay out.
    """
    from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
    from edge.demo.stage import Players, set_stage

    with TemporaryDirectory(prefix="waiting-", dir=folder) as root:
        stage = set_stage(Path(root) / "site", DEMO_BUNDLE, DEMO_PUBLIC_KEY)
        for number in range(count):
            # Another step each time round: the same pictures under another sample id would be held for a person.
            stride = 1 + number // len(pictures)
            cells = [pictures[(number + step * stride) % len(pictures)] for step in range(CELLS)]
            write_slide_folder(stage.export / f"S{number:05d}", cells, f"W{number:05d}", marker=".complete")
        before = processor_time()
        start_s = time.time()
        with Players(stage) as players:
            players.start_daemon()
            deadline_s = start_s + 60 + LONGEST_S_A_SLIDE * count
            while len(published := _published(stage.results / "json")) < count:
                if time.time() > deadline_s:
                    raise NotRunError(f"{len(published)} of {count} results came out")
                time.sleep(0.1)
            memory = _memory_mb(players.processes["daemon"].pid)
    times = sorted(published.values())
    span_s = times[-1] - times[0]
    return {
        "slides": count, "cells": CELLS, "all_s": round(times[-1] - start_s, 3),
        "slides_per_s": round((count - 1) / span_s, 3) if count > 1 and span_s else None,
        "supervisor_rss_mb": memory.get("supervisor"), "worker_rss_mb": memory.get("worker"),
        "steal": round(processor_time().since(before).steal, 4),
    }  # fmt: skip


def _published(drop: Path) -> dict[str, float]:
    """Return when each published file was written, in seconds since 1970."""
    return {
        entry.name: entry.stat().st_mtime for entry in os.scandir(drop)
        if entry.is_file() and not entry.name.startswith(".")
    }  # fmt: skip


def _memory_mb(supervisor: int) -> dict[str, int]:
    """Return the largest memory of supervisor and worker so far, in MiB."""
    found = {"supervisor": _peak_rss_mb(supervisor)}
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii").split():
        if b"edge.daemon.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
            found["worker"] = _peak_rss_mb(int(child))
    return found


def _peak_rss_mb(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
