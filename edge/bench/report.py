"""The result of a benchmark as the contract `bench` (design section 10) and as a table for a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.bench.machine import machine_facts
from edge.bench.stages import Timings
from edge.engines.openvino_limits import MatmulLimit, computed_in
from edge.model import Model

__all__ = ["Limit", "machine_facts", "percentile", "report_from_timings", "table_from_report"]
STAGE_NAMES = {
    "read": "list, hash",
    "decode": "decode *",
    "resize": "resize, thumbnail *",
    "wait": "network waits for cells",
    "infer": "infer",
    "findings": "findings",
    "profile": "profile",
    "assess": "trees, interval",
    "explain": "SHAP, what would change",
    "record": "record",
    "render": "render report",
    "publish": "publish",
}
PARALLEL = ("decode", "resize")
"""Stages on threads of their own: their time is that of the threads together and lies inside of "wait" and "infer"."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The machine's measured limit beside what the network asks for: multiply-accumulates of one image."""

    matmul: MatmulLimit
    macs_per_image: int
    engine_images_per_s: float


def report_from_timings(
    timings: Timings,
    model: Model,
    *,
    synthetic: bool,
    ready_s: float,
    machine: Mapping[str, Any],
    limit: Limit | None,
) -> dict[str, Any]:
    """Return the report: where, with what, and how fast. Seconds and milliseconds are wall time.

    `ready_s`: from the start of opening the bundle to the proved engine. `limit` is None where it was not measured.
    """
    spec = model.engine.spec
    numbers = computed_in(spec.precision) if spec.device == "cpu" else spec.precision
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": dict(machine),
        "bundle": {"name": model.manifest.name, "version": model.manifest.version, "digest": model.digest},
        "engine": f"{spec.name}-{spec.device}",
        "precision": spec.precision,
        "computed_in": numbers,
        "layout": {"copies": spec.copies, "threads": spec.threads, "batch": spec.max_batch},
        "image_px": spec.size_px,
        "simulated": synthetic,
        "slides": len(timings.slide_s),
        "cells": round(sum(timings.images) / len(timings.images)),
        "images_per_s": round(timings.images_per_s, 1),
        "ready_s": round(ready_s, 3),
        "first_slide_s": round(timings.slide_s[0], 4),
        "slide_s": {f"p{share}": round(percentile(timings.slide_s, share), 4) for share in (50, 95, 99)},
        "slides_s": [round(value, 4) for value in timings.slide_s],
        "stage_ms": {stage: round(value, 2) for stage, value in timings.stage_ms.items()},
        "rss_mb": round(timings.rss_mb, 1),
        "base_rss_mb": round(timings.base_rss_mb, 1),
        "limit": None if limit is None else _limit_document(limit, timings, numbers),
    }


def _limit_document(limit: Limit, timings: Timings, numbers: str) -> dict[str, Any]:
    """Return rates in 10^9 operations per second; a multiply-accumulate is two operations.

    What was reached is a share of the limit of those `numbers` in which the network was computed.
    """
    matmul = limit.matmul
    reachable = matmul.int8_gops if numbers == "int8" else matmul.fp32_gflops
    giga = 2 * limit.macs_per_image / 1e9
    return {
        "int8_gops": matmul.int8_gops,
        "fp32_gflops": matmul.fp32_gflops,
        "copies": matmul.copies,
        "threads": matmul.threads,
        "gmac_per_image": round(limit.macs_per_image / 1e9, 4),
        "engine_images_per_s": round(limit.engine_images_per_s, 1),
        "pct": None if not reachable else round(100 * limit.engine_images_per_s * giga / reachable, 1),
        "end_to_end_pct_of_engine": round(100 * timings.images_per_s / limit.engine_images_per_s, 1),
    }


def percentile(values: Sequence[float], share: int) -> float:
    """Return the smallest value that at least `share` per cent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 100)
    return ordered[max(rank, 1) - 1]


def table_from_report(report: Mapping[str, Any]) -> str:
    """Return the report as text for a terminal."""
    slide_s, machine, layout = report["slide_s"], report["machine"], report["layout"]
    simulated = "simulated " if report["simulated"] else ""
    threads = f"{layout['copies']} x {layout['threads']} threads, " if layout["threads"] else ""
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1min']}",
        f"{report['engine']} {report['precision']}, {threads}batch {layout['batch']}, {report['image_px']} px, "
        f"bundle {report['bundle']['name']}",
        f"{report['slides']} {simulated}slides of {report['cells']} cells",
        "",
        f"  images/s        {report['images_per_s']:10.1f}   end to end, from files to the published record",
        *_limit_lines(report["limit"]),
        f"  model ready s   {report['ready_s']:10.3f}   opened and proved",
        f"  first slide s   {report['first_slide_s']:10.3f}",
        *(f"  slide {name} s     {value:10.3f}" for name, value in slide_s.items()),
        f"  peak RSS MiB    {report['rss_mb']:10.1f}   {report['base_rss_mb']:.1f} before the first slide",
        "",
        "  stage                      ms/slide",
        *(f"    {STAGE_NAMES.get(stage, stage):24} {value:8.2f}" for stage, value in report["stage_ms"].items()),
        "    * on several threads while the network works: their time together, not part of the sum",
        *_disturbance_lines(machine),
        *_numbers_lines(report["precision"], report["computed_in"]),
    ]
    return "\n".join(lines) + "\n"


def _limit_lines(limit: Mapping[str, Any] | None) -> list[str]:
    if limit is None:
        return []
    lines = [
        f"  engine alone    {limit['engine_images_per_s']:10.1f}   images/s; end to end reaches "
        f"{limit['end_to_end_pct_of_engine']:.0f} % of it",
        f"  fp32 limit      {limit['fp32_gflops']:10.1f}   GFLOP/s, products of 2048 x 2048 matrices, measured now",
    ]
    if limit["int8_gops"] is not None:
        lines.append(f"  int8 limit      {limit['int8_gops']:10.1f}   GOP/s, the same in int8")
    if limit["pct"] is not None:
        lines.append(
            f"  reached %       {limit['pct']:10.1f}   of that limit; the network needs "
            f"{limit['gmac_per_image']:.3f} GMAC an image"
        )
    return lines


def _numbers_lines(precision: str, computed_in: str) -> list[str]:
    if precision != "int8" or computed_in == "int8":
        return []
    return [
        "  NOTE: this processor has no int8 dot product (VNNI, AMX): the int8 network is computed in single precision,",
        "        with the same results and fewer cells a second",
    ]


def _disturbance_lines(machine: Mapping[str, Any]) -> list[str]:
    found = machine.get("disturbance")
    if not found:
        return []
    clock = f", clock {found['clock_mhz'][0]}-{found['clock_mhz'][1]} MHz" if found["clock_mhz"] else ""
    lines = ["", f"  steal {found['steal_pct']:.1f} %, throttled {found['throttled']} times{clock}"]
    return lines + [f"  NOTE: {note}" for note in found["notes"]]
