"""How fast the daemon is there: supervisor ready, model ready with and without caches, and the memory of both.

python -m benchmarks.startup [--bundle DIR --public-key PEM] [--python VENV/bin/python] [--rounds 5] [--out FILE.json]

Runs the real edge-daemon. "supervisor ready" is READY=1 as systemd hears it; "model ready" is the journal's entry after
the golden cells were proved; both count from the start of the process. `--python` should be the interpreter of a plain
`.[cpu]` install: a workstation's environment imports more. "first start" has neither compiled networks nor a measured
layout; "without compiled networks" has the layout alone.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.running_daemon import RunningDaemon, memory_mb, processor_s
from edge.bench.machine import disturbance, machine_facts, moment
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY

MODEL_WITHIN_S = 120.0
KINDS = ("first start", "without compiled networks", "with caches")


def one_start(daemon: RunningDaemon, kind: str) -> dict[str, float]:
    """Start, wait for the model, measure, and stop."""
    cache = daemon.stage.state / "cache"
    if kind == "first start":
        shutil.rmtree(cache, ignore_errors=True)
    elif kind == "without compiled networks" and cache.exists():
        for entry in cache.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
    supervisor_s = daemon.start()
    assert daemon.process is not None
    supervisor_mb, supervisor_cpu_s = memory_mb(daemon.process.pid), processor_s(daemon.process.pid)

    def ready() -> list[float]:
        events = daemon.events("action = 'model ready'")
        return [at - daemon.started_at for _, at in events if at >= daemon.started_at]

    daemon.wait_for(lambda: bool(ready()), "the model is ready", MODEL_WITHIN_S)
    worker = daemon.children()["worker"]
    found = {
        "supervisor_ready_s": supervisor_s,
        "supervisor_ready_cpu_s": supervisor_cpu_s,
        "model_ready_s": ready()[0],
        "worker_ready_cpu_s": processor_s(worker),
        "supervisor_mb": max(supervisor_mb, memory_mb(daemon.process.pid)),
        "worker_mb": memory_mb(worker),
        "worker_peak_mb": memory_mb(worker, "VmHWM"),
    }
    daemon.stop()
    return found


def measure(bundle: Path, public_key: Path, python: str, rounds: int) -> dict[str, Any]:
    """Return medians, least and most of every figure for every kind of start, the kinds in turn."""
    before, load, machine = moment(), os.getloadavg()[0], machine_facts()
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="mds-edge-start-") as root:
        daemon = RunningDaemon(Path(root) / "stage", bundle, public_key, python=python)
        try:
            for number in range(rounds):
                for kind in KINDS:
                    found[kind].append(one_start(daemon, kind))
                    print(f"round {number + 1} of {rounds}, {kind}: {found[kind][-1]}", file=sys.stderr, flush=True)
        finally:
            daemon.stop()
    machine["disturbance"] = disturbance(before, moment(), load)
    script = (
        "import json, edge, sys, importlib.util as u; print(json.dumps([edge.__version__, bool(u.find_spec('keras'))]))"
    )
    version, is_workstation = json.loads(subprocess.check_output([python, "-c", script]))
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine,
        "bundle": json.loads((bundle / "manifest.json").read_bytes())["name"],
        "version": version,
        "workstation_environment": is_workstation,
        "rounds": rounds,
        "starts": {
            kind: {
                name: {
                    "median": round(median(row[name] for row in rows), 3),
                    "min": round(min(row[name] for row in rows), 3),
                    "max": round(max(row[name] for row in rows), 3),
                }
                for name in rows[0]
            }
            for kind, rows in found.items()
        },
    }


def main() -> int:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    parser.add_argument("--public-key", type=Path, default=DEMO_PUBLIC_KEY)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    figures = measure(arguments.bundle, arguments.public_key, arguments.python, arguments.rounds)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
