"""How long a full-width, 299 px network takes from .keras to bundle, how much memory, and whether twice gives the same.

    python -m benchmarks.conversion_time CELLS     # writes benchmarks/conversion_time.json

CELLS: the folder of labelled real cells; 128 of its calibration cells are copied into a folder of their own without any
test cell, so that there is no parity run. The weights are random, as in `benchmarks/paper_bundles.py`:
time and memory do not depend on them. No layers are searched for (`--no-search`): that is for networks that miss a bar,
and these weights mean nothing. Each conversion is a process of its own, on two processors. On a machine that others
use, `seconds` holds their share, too: `load_before` and `load_after` say so, and `processor_seconds` (of both
processors together) are the conversion's own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
WRITTEN = REPOSITORY / "benchmarks" / "conversion_time.json"
CALIBRATION_CELLS, SIZE_PX, PROCESSORS = 128, 299, 2
_NETWORK = """
import sys
from pathlib import Path
from benchmarks.paper_bundles import random_model
random_model(Path(sys.argv[1]), int(sys.argv[2]))
"""


def calibration_folder(cells: Path, folder: Path) -> int:
    """Copy calibration cells with their labels into `folder`; return how many."""
    from convert.calibration_cells import choose_cells
    from edge.catalogue import load_catalogue

    chosen = choose_cells(cells, load_catalogue(), calibration_count=CALIBRATION_CELLS).calibration
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "cell_type"])
        for cell in chosen:
            shutil.copyfile(cell.path, folder / cell.path.name)
            writer.writerow([cell.path.name, cell.cell_type])
    return len(chosen)


def converted(model: Path, cells: Path, out: Path) -> dict[str, Any]:
    """Convert in a process of its own; return seconds, peak memory and the digest."""
    command = [sys.executable, "-m", "convert.commands.convert", str(model), "--cells", str(cells)]
    command += ["--precision", "int8", "--threads", str(PROCESSORS), "--json", "--no-search", "--out", str(out)]
    load, started = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdout=printed, stderr=said, cwd=REPOSITORY)
        _, status, usage = os.wait4(child.pid, 0)  # this child's own memory: making the network took more
        seconds = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0), said.seek(0)
        facts, lines = printed.read(), said.read()
    if child.returncode:
        raise SystemExit(lines)
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "peak_mb": round(usage.ru_maxrss * 1024 / 1e6),
        "digest": json.loads(facts)["digest"],
        "steps": [line for line in lines.splitlines() if ": done after" in line],
    }


def main() -> None:
    """Convert twice and write."""
    reader = argparse.ArgumentParser(description="Time and memory of a full-width conversion.")
    reader.add_argument("cells", type=Path, metavar="CELLS")
    cells = reader.parse_args().cells
    # Two processors, as in the bar, whatever the machine has.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:PROCESSORS])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        count = calibration_folder(cells, work / "cells")
        model = work / "model.keras"
        subprocess.run([sys.executable, "-c", _NETWORK, str(model), str(SIZE_PX)], cwd=REPOSITORY, check=True)
        runs = [converted(model, work / "cells", work / f"bundle{number}") for number in (1, 2)]
    document = {
        "command": "python -m benchmarks.conversion_time CELLS",
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{PROCESSORS} of {os.cpu_count()} processors, {platform.machine()}",
        "network": f"width 1.0, {SIZE_PX} px, random weights",
        "calibration_cells": count,
        "bars": {"seconds": 180, "peak_mb": 3000, "identical": True},
        "seconds": [run["seconds"] for run in runs],
        "peak_mb": max(run["peak_mb"] for run in runs),
        "identical": runs[0]["digest"] == runs[1]["digest"],
        "runs": runs,
    }
    WRITTEN.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
