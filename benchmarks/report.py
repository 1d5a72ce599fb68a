"""Measures the HTML report: size and rendering time for 200 cells, with every section and 1,500 cells of an atlas.

python benchmarks/report.py [--bundle DIR --public-key PEM] [--out benchmarks/report.json]

A simulated slide of 200 drawn cells runs through the shipped pipeline with the demo bundle; then the report of its
record is rendered again and again. Where the bundle carries no atlas and no cohort, made-up ones of the largest allowed
size stand in, so that the figure holds for the bundles to come.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

from edge.bench.report import machine_facts
from edge.bench.stages import synthetic_slides
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.images import CellImage, read_cells
from edge.model import open_model
from edge.pipeline import Job, analyze_slide
from edge.result import unsent_job
from edge.slide import Slide, read_slide
from edge.thumbnails import thumbnail_from_pixels
from edge.writers.html_report import render_report
from edge.writers.report_context import AtlasPoints, CohortRows, CohortSlide, ReportContext

CELLS = 200
ATLAS_CELLS = 1500
COHORT_SLIDES = 120
RUNS = 15
LIMIT_BYTES = 6_000_000


def main() -> None:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    parser.add_argument("--public-key", type=Path, default=DEMO_PUBLIC_KEY)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    facts = measure(arguments.bundle, arguments.public_key)
    arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=1))


def measure(bundle: Path, public_key: Path) -> dict[str, Any]:
    """Return size and times of the report of one simulated slide."""
    model = open_model(bundle, public_key=public_key.read_bytes())
    try:
        with synthetic_slides(1, cells_per_slide=CELLS) as (folder,):
            slide = read_slide(folder)
            record = analyze_slide(slide, model, job()).record
            thumbnails = pictures(slide)
    finally:
        model.close()
    context = largest_context(record, model.manifest.types)
    times_ms, cpu_ms, content = [], [], b""
    for _ in range(RUNS):
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        content = render_report(record, thumbnails, context)
        times_ms.append(1000 * (time.perf_counter() - start_s))
        cpu_ms.append(1000 * (time.process_time() - start_cpu_s))
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine_facts(),
        "bundle": {"name": model.manifest.name, "version": model.manifest.version, "digest": model.digest},
        "simulated": True,
        "cells": len(record["cells"]),
        "atlas_cells": ATLAS_CELLS,
        "cohort_slides": COHORT_SLIDES,
        "atlas_and_cohort": "made up, of the largest size",
        "report_bytes": len(content),
        "limit_bytes": LIMIT_BYTES,
        "pictures_bytes": sum(map(len, thumbnails.values())),
        "render_ms": {"p50": round(statistics.median(times_ms), 1), "max": round(max(times_ms), 1), "runs": RUNS},
        "render_cpu_ms": {"p50": round(statistics.median(cpu_ms), 1), "max": round(max(cpu_ms), 1)},
    }


def job() -> Job:
    """Return the order to analyze the slide."""
    return unsent_job("benchmark", "BENCHMARK.R1", site="BENCHMARK", analysed_at="2026-11-28T12:00:00+00:00")


def pictures(slide: Slide) -> dict[str, bytes]:
    """Return the pictures that the pipeline would keep."""
    return {
        cell.cell_id: thumbnail_from_pixels(cell.pixels) for cell in read_cells(slide) if isinstance(cell, CellImage)
    }


def largest_context(record: dict[str, Any], type_codes: tuple[str, ...]) -> ReportContext:
    """Return a made-up atlas and cohort of the largest size that a bundle may carry."""
    chance = random.Random(1)  # noqa: S311 - dots on a picture, not a secret

    def point() -> tuple[float, float]:
        return chance.gauss(0, 30), chance.gauss(0, 30)

    share = ATLAS_CELLS // len(type_codes)
    references = {code: tuple(point() for _ in range(share)) for code in type_codes}
    cells = {cell["id"]: point() for cell in record["cells"]}
    cohorts = {}
    for assessment in record["assessments"]:
        groups = tuple(row["group"] for row in assessment["groups"])
        slides = tuple(
            CohortSlide(number % 2 == 0, chance.random(), tuple(chance.gauss(0, 0.5) for _ in groups))
            for number in range(COHORT_SLIDES)
        )
        cohorts[assessment["target"]] = CohortRows(groups, slides)
    return ReportContext(atlas=AtlasPoints(references, cells), cohorts=cohorts)


if __name__ == "__main__":
    main()
