"""How the cost of a slide grows with its cells: time, a straight line through it, and the worker's memory.

python benchmarks/slide_cost.py [--bundle DIR --public-key PEM] [--rounds 5] [--out benchmarks/slide_cost.json]

Simulated slides of 10 to 2,000 cells run through the shipped pipeline, every size in every round, so that a busy moment
hits all of them. The pages of each slide's report are thrown away as the worker does. `--picture FILE.svg` draws it.
Memory is that of this process: run it with the interpreter of a plain `.[cpu]` install (PYTHONPATH: this checkout).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edge.bench.machine import disturbance, machine_facts, moment
from edge.bench.stages import synthetic_slides, time_slides
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.model import open_model

SIZES = (10, 50, 100, 200, 500, 1000, 2000)


def resident_mb() -> float:
    """Return the memory of this process now, in MiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell VmRSS")


def measure(bundle: Path, public_key: Path, rounds: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return times and memory of every size, and the line through the medians."""
    before, load = moment(), os.getloadavg()[0]
    machine = machine_facts()
    with tempfile.TemporaryDirectory(prefix="mds-edge-cache-") as cache, ExitStack() as stack:
        folders = {n: stack.enter_context(synthetic_slides(1, cells_per_slide=n)) for n in sizes}
        model = open_model(bundle, public_key=public_key.read_bytes(), cache_dir=Path(cache) / "compiled")
        stack.callback(model.close)
        model.prove_golden()
        times: dict[int, list[float]] = {n: [] for n in sizes}
        memory: dict[int, list[float]] = {n: [] for n in sizes}
        ready_mb = resident_mb()
        for number in range(rounds):
            for cells, given in folders.items():
                times[cells] += time_slides(model, given, 1).slide_s
                memory[cells].append(resident_mb())
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        spec = model.engine.spec
    machine["disturbance"] = disturbance(before, moment(), load)
    medians = [median(times[n]) for n in sizes]
    slope, start, r_squared = line_through(sizes, medians)
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine,
        "bundle": model.manifest.name,
        "engine": f"{spec.name}-{spec.device} {spec.precision}, {spec.copies} x {spec.threads} threads",
        "image_px": spec.size_px,
        "simulated": True,
        "rounds": rounds,
        "slides": [
            {
                "cells": n,
                "s_median": round(median(times[n]), 4),
                "s_min": round(min(times[n]), 4),
                "s_max": round(max(times[n]), 4),
                "rss_mb_max": round(max(memory[n]), 1),
            }
            for n in sizes
        ],
        "line": {"s_per_cell": round(slope, 7), "s_start": round(start, 4), "r_squared": round(r_squared, 5)},
        "ready_rss_mb": round(ready_mb, 1),
        "rss_mb_max": round(max(max(values) for values in memory.values()), 1),
    }


def line_through(cells: tuple[int, ...], seconds: list[float]) -> tuple[float, float, float]:
    """Return slope, start and R^2 of the straight line of least squares."""
    x, y = np.array(cells, float), np.array(seconds)
    slope, start = np.polyfit(x, y, 1)
    rest = ((y - (slope * x + start)) ** 2).sum()
    return float(slope), float(start), float(1 - rest / ((y - y.mean()) ** 2).sum())


def svg_of(figures: dict[str, Any]) -> str:
    """Return a picture: seconds and memory against cells."""
    slides, line = figures["slides"], figures["line"]
    most_cells = slides[-1]["cells"]
    most_s = max(slide["s_max"] for slide in slides)
    most_mb = max(400.0, figures["rss_mb_max"])
    left, top, width, height = 70, 70, 640, 240
    ink, pale, blue = "#1b2733", "#5c6b7a", "#1f5fa8"

    def panel(y0: float, title: str, unit: str, most: float, values: list[tuple[int, float, float, float]]) -> str:
        def place(cells: float, value: float) -> tuple[float, float]:
            return left + width * cells / most_cells, y0 + height - height * value / most

        parts = [f'<text x="{left}" y="{y0 - 16}" font-size="15" font-weight="600" fill="{ink}">{title}</text>']
        for step in range(5):
            x, y = place(most_cells * step / 4, most * step / 4)
            parts += [
                f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="#e3e8ed"/>',
                f'<text x="{left - 8}" y="{y + 4:.1f}" font-size="12" text-anchor="end" fill="{pale}">'
                f"{most * step / 4:.3g} {unit}</text>",
                f'<text x="{x:.1f}" y="{y0 + height + 20}" font-size="12" text-anchor="middle" fill="{pale}">'
                f"{most_cells * step // 4}</text>",
            ]
        for cells, low, middle, high in values:
            (x, y1), (_, y), (_, y2) = place(cells, low), place(cells, middle), place(cells, high)
            parts.append(f'<line x1="{x:.1f}" y1="{y1:.1f}" x2="{x:.1f}" y2="{y2:.1f}" stroke="{blue}"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{blue}"/>')
        return "\n".join(parts)

    times = [(s["cells"], s["s_min"], s["s_median"], s["s_max"]) for s in slides]
    memory = [(s["cells"], s["rss_mb_max"], s["rss_mb_max"], s["rss_mb_max"]) for s in slides]
    y_of = [top + height - height * (line["s_start"] + line["s_per_cell"] * n) / most_s for n in (0, most_cells)]
    title = (
        f"Seconds of a slide against its cells: {1000 * line['s_per_cell']:.2f} ms a cell, R² {line['r_squared']:.4f}"
    )
    second = top + height + 80
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{second + height + 60}" '
        f'viewBox="0 0 760 {second + height + 60}" font-family="system-ui, sans-serif">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<line x1="{left}" y1="{y_of[0]:.1f}" x2="{left + width}" y2="{y_of[1]:.1f}" stroke="#9fb8d3" '
        'stroke-width="2"/>\n'
        + panel(top, title, "s", most_s, times)
        + panel(second, "Memory of the process after it, MiB", "", most_mb, memory)
        + f'\n<text x="{left}" y="{second + height + 46}" font-size="12" fill="{pale}">{figures["engine"]}, '
        f"{figures['image_px']} px, simulated slides, {figures['rounds']} rounds; bars: least and most</text>\n</svg>\n"
    )


def main() -> int:
    """Measure, write the JSON file and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    parser.add_argument("--public-key", type=Path, default=DEMO_PUBLIC_KEY)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default=",".join(str(size) for size in SIZES), help="cells (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    sizes = tuple(int(size) for size in arguments.sizes.split(","))
    start_s = time.perf_counter()
    figures = measure(arguments.bundle, arguments.public_key, arguments.rounds, sizes)
    figures["benchmark_s"] = round(time.perf_counter() - start_s, 1)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if arguments.picture:
        arguments.picture.write_text(svg_of(figures), encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
