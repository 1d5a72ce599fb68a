"""Measures rendering and checking of one result: the example record in all formats, and a message of 140 OBX.

    python benchmarks/formats.py            # writes benchmarks/formats.json
    python benchmarks/formats.py --assert   # exit 1 when a bar is missed: 50 ms for all formats, 20 ms for the check

Figures are the median and the 95th percentile of repeated runs in one warm process, as the daemon renders.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLE = REPOSITORY / "docs" / "examples" / "record.json"
OUT = REPOSITORY / "benchmarks" / "formats.json"
ROUNDS = 30
BAR_RENDER_MS, BAR_CHECK_MS = 50.0, 20.0
CHECKED_OBX = 140


def milliseconds(work: Callable[[], object]) -> dict[str, float]:
    """Return median and 95th percentile of the wall-clock time and the median of the processor time."""
    walls, processors = [], []
    for _ in range(ROUNDS):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        walls.append((time.perf_counter() - wall) * 1e3)
        processors.append((time.process_time() - processor) * 1e3)
    return {
        "median": round(statistics.median(walls), 2),
        "p95": round(sorted(walls)[int(0.95 * ROUNDS) - 1], 2),
        "processor_median": round(statistics.median(processors), 2),
    }


def machine() -> dict[str, object]:
    """Return what ran this."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {"processor": names[0].split(": ")[1] if names else "", "cores_logical": os.cpu_count()}


def message_of(record: dict[str, Any], wanted: int) -> bytes:
    """Return an ORU^R01 of at least `wanted` OBX: the example as a revision, which repeats every finding."""
    from edge.writers.choose import writer_for

    revision = {**record, "revision": 2, "message_id": f"{record['message_id'].rpartition('.')[0]}.R2"}
    content = writer_for("hl7").render(revision).content
    if content.count(b"\rOBX|") < wanted:
        raise ValueError(f"the message holds {content.count(b'OBX|')} OBX, fewer than {wanted}")
    return content


def measured() -> dict[str, Any]:
    """Measure everything once the code and its tables are loaded."""
    from edge.writers.choose import FORMATS, writer_for

    record = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    record["slide"]["analyzer"]["model"] = "DI-60"  # the wide table refuses the simulated slide that the example is
    writers = [writer_for(name) for name in FORMATS]

    def render_all() -> None:
        for writer in writers:
            writer.render(record)

    message = message_of(record, CHECKED_OBX)
    render_all()
    return {
        "render_all_ms": milliseconds(render_all),
        "render_ms": {w.name: milliseconds(partial(w.render, record))["median"] for w in writers},
        "bytes": {writer.name: len(writer.render(record).content) for writer in writers},
        "check_hl7_ms": milliseconds(lambda: writer_for("hl7").check(message)),
        "check_hl7_obx": message.count(b"\rOBX|"),
        "bars_ms": {"render_all": BAR_RENDER_MS, "check_hl7": BAR_CHECK_MS},
    }


def main() -> int:
    """Measure, print and write. Returns 1 when a bar is missed and --assert was given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assert", dest="must_hold", action="store_true", help="exit 1 when a bar is missed")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    result = {
        "machine": machine(),
        "load_average_at_start": load,
        "python": platform.python_version(),
        "measured_on": datetime.now(UTC).date().isoformat(),
        "rounds": ROUNDS,
        **measured(),
    }
    text = json.dumps(result, indent=1) + "\n"
    arguments.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    held = result["render_all_ms"]["median"] <= BAR_RENDER_MS and result["check_hl7_ms"]["median"] <= BAR_CHECK_MS
    return 1 if arguments.must_hold and not held else 0


if __name__ == "__main__":
    raise SystemExit(main())
