"""From SETTLED to SENT: how long the real daemon takes with one slide, and how fast it works off many that wait.

python -m benchmarks.daemon_latency [--bundle DIR --public-key PEM] [--slides 20] [--cells 200]
                                      [--waiting 1000] [--waiting-cells 20] [--out benchmarks/daemon_latency.json]

One slide at a time: each is put into the export folder when the one before has been sent, so the machine is idle. From
SETTLED (the daemon knows that the slide is whole) to SENT (the file is in the drop folder and everything is on disk),
as the daemon's journal says. Copying to the spool, analysis, report, archive and both outputs are inside.

Then `--waiting` small slides lie there when the daemon starts; the rate of each tenth is shown beside the whole.
All slides are simulated. Drawing them comes first and takes its time.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.running_daemon import RunningDaemon, memory_mb
from edge.bench.machine import disturbance, machine_facts, moment
from edge.bench.report import percentile
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.simulator.analyzer import write_slide
from edge.simulator.cell_sources import DrawnCells
from edge.simulator.slide_series import plan_slides

MODEL_WITHIN_S, SLIDE_WITHIN_S, DRAIN_WITHIN_S = 300.0, 120.0, 3600.0
SETTLED = "action = 'moved' AND new = 'SETTLED'"
SENT = "subject LIKE 'delivery:%' AND new = 'SENT'"
OUTPUTS = 2
TENTHS = 10


def drawn_slides(folder: Path, count: int, cells: int, seed: int) -> list[Path]:
    """Draw slides into `folder`, complete with marker; they are simulated."""
    folder.mkdir(parents=True)
    made = []
    for _, planned in zip(range(count), plan_slides("mixed", (cells, cells), seed), strict=False):
        written = write_slide(
            planned.film, folder, planned.slide_key, planned.facts.sample_id, source=DrawnCells(),
            rng=np.random.default_rng(planned.seed), facts=planned.facts,
        )  # fmt: skip
        made.append(written.folder)
        if len(made) % 50 == 0:
            print(f"drawn {len(made)} of {count}", file=sys.stderr, flush=True)
    return made


def one_at_a_time(daemon: RunningDaemon, slides: list[Path]) -> tuple[list[float], float]:
    """Return seconds from SETTLED to the last SENT of each slide, and the worker's largest memory in MiB."""
    latencies = []

    def are_sent(count: int) -> bool:
        return len(daemon.events(SENT)) >= count

    for number, slide in enumerate(slides):
        settled, sent = len(daemon.events(SETTLED)), len(daemon.events(SENT))
        slide.rename(daemon.stage.export / slide.name)
        daemon.wait_for(partial(are_sent, sent + OUTPUTS), slide.name, SLIDE_WITHIN_S)
        latencies.append(daemon.events(SENT)[-1][1] - daemon.events(SETTLED)[settled][1])
        print(f"slide {number + 1} of {len(slides)}: {latencies[-1]:.2f} s", file=sys.stderr, flush=True)
    return latencies, memory_mb(daemon.children()["worker"], "VmHWM")


def rates_of_tenths(at: list[float]) -> list[float]:
    """Return slides per second of each tenth between the first and the last of the moments in s, in order."""
    ends = np.unique(np.linspace(0, len(at) - 1, TENTHS + 1).round().astype(int))
    return [(end - start) / max(at[end] - at[start], 1e-3) for start, end in pairwise(ends.tolist())]


def drained(daemon: RunningDaemon, count: int) -> dict[str, Any]:
    """Wait until `count` slides were sent and return the rate of the whole and of its tenths, in slides per second."""

    def sent() -> int:
        return len(daemon.events(SENT)) // OUTPUTS

    def are_sent(slides: int) -> bool:
        return sent() >= slides

    while (done := sent()) < count:
        print(f"sent {done} of {count}", file=sys.stderr, flush=True)
        goal = min(done + max(count // TENTHS, 1), count)
        daemon.wait_for(partial(are_sent, goal), f"{goal} slides are sent", DRAIN_WITHIN_S)
    at = sorted(moment_s for _, moment_s in daemon.events(SENT))[OUTPUTS - 1 :: OUTPUTS]
    tenths = rates_of_tenths(at)
    return {
        "slides": count,
        "slides_per_s": round((len(at) - 1) / (at[-1] - at[0]), 3),
        "tenths_slides_per_s": [round(rate, 3) for rate in tenths],
        "last_over_first": round(tenths[-1] / tenths[0], 3),
        "worker_peak_mb": memory_mb(daemon.children()["worker"], "VmHWM"),
        "supervisor_mb": memory_mb(daemon.process.pid) if daemon.process else None,
    }


def start(daemon: RunningDaemon) -> None:
    """Start the daemon and wait for its model."""
    before = len(daemon.events("action = 'model ready'")) if (daemon.stage.state / "journal.sqlite").exists() else 0
    daemon.start()
    daemon.wait_for(lambda: len(daemon.events("action = 'model ready'")) > before, "the model is ready", MODEL_WITHIN_S)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run both parts, each on a stage of its own."""
    machine = machine_facts()
    figures: dict[str, Any] = {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine,
        "bundle": json.loads((arguments.bundle / "manifest.json").read_bytes())["name"],
        "simulated": True,
    }
    with tempfile.TemporaryDirectory(prefix="mds-edge-latency-", dir=arguments.folder) as folder:
        root = Path(folder)
        slides = drawn_slides(root / "slides", arguments.slides, arguments.cells, 11)
        daemon = RunningDaemon(root / "one", arguments.bundle, arguments.public_key, python=arguments.python)
        try:
            start(daemon)
            before, load = moment(), os.getloadavg()[0]
            latencies, worker_mb = one_at_a_time(daemon, slides)
            machine["disturbance"] = disturbance(before, moment(), load)
        finally:
            daemon.stop()
        figures["settled_to_sent"] = {
            "slides": len(latencies),
            "cells": arguments.cells,
            **{f"p{share}": round(percentile(latencies, share), 3) for share in (50, 95, 99)},
            "median": round(median(latencies), 3),
            "all_s": [round(value, 3) for value in latencies],
            "worker_peak_mb": worker_mb,
        }
        if arguments.waiting:
            figures["waiting"] = {"cells": arguments.waiting_cells, **many_that_wait(root, arguments)}
    return figures


def many_that_wait(root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Let small slides lie in the export folder when the daemon starts, and watch them leave."""
    daemon = RunningDaemon(root / "many", arguments.bundle, arguments.public_key, python=arguments.python)
    for slide in drawn_slides(root / "waiting", arguments.waiting, arguments.waiting_cells, 12):
        slide.rename(daemon.stage.export / slide.name)
    try:
        daemon.start()
        return drained(daemon, arguments.waiting)
    finally:
        daemon.stop()


def main() -> int:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    parser.add_argument("--public-key", type=Path, default=DEMO_PUBLIC_KEY)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--waiting", type=int, default=1000, help="0 leaves this part out (default %(default)s)")
    parser.add_argument("--waiting-cells", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where the stage is made (default: the system's temporary folder)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    figures = measure(arguments)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
