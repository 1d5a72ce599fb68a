"""The result of a benchmark as the contract `bench` (design section 10), as a table, and as claims that may fail."""

from __future__ import annotations

import operator
import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from edge.bench.stages import Timings
from edge.errors import EdgeError
from edge.model import Model

_CLAIM = re.compile(r"\s*([a-z_0-9.]+)\s*(<=|>=|<|>)\s*([0-9.]+)\s*")
_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ON_THE_CPU = ("numpy", "opencv-python-headless", "simplejpeg", "openvino", "treelite", "xgboost-cpu")
_LIBRARIES = (*_ON_THE_CPU, "tensorrt", "tensorrt-rtx", "pycuda", "cuda-python")


def report_from_timings(timings: Timings, model: Model, *, synthetic: bool) -> dict[str, Any]:
    """Return the report: where, with what, and how fast. Seconds and milliseconds are wall time."""
    spec = model.engine.spec
    return {
        "machine": machine_facts(),
        "bundle": {"name": model.manifest.name, "version": model.manifest.version, "digest": model.digest},
        "engine": f"{spec.name}-{spec.device}",
        "precision": spec.precision,
        "image_px": spec.size_px,
        "simulated": synthetic,
        "slides": len(timings.slide_s),
        "cells": round(sum(timings.images) / len(timings.images)),
        "images_per_s": round(timings.images_per_s, 1),
        "slide_s": {f"p{share}": round(percentile(timings.slide_s, share), 4) for share in (50, 95, 99)},
        "stage_ms": {stage: round(value, 2) for stage, value in timings.stage_ms.items()},
        "rss_mb": round(timings.rss_mb, 1),
    }


def percentile(values: Sequence[float], share: int) -> float:
    """Return the smallest value that at least `share` per cent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 100)
    return ordered[max(rank, 1) - 1]


def machine_facts() -> dict[str, Any]:
    """Return processor, cores, load, kernel and the versions of what computes."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # a library that is not installed computed nothing
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def check_claim(claim: str, report: Mapping[str, Any]) -> None:
    """Raise EdgeError unless the report bears out a claim such as `slide_s.p99<10`.

    MDSE-BENCH-001: it does not. MDSE-BENCH-002: it is no claim about a number of the report.
    """
    matched = _CLAIM.fullmatch(claim)
    value: Any = report
    for part in matched[1].split(".") if matched else ():
        value = value.get(part) if isinstance(value, Mapping) else None
    if matched is None or isinstance(value, bool) or not isinstance(value, int | float):
        raise EdgeError("MDSE-BENCH-002", where=claim)
    try:
        limit = float(matched[3])
    except ValueError as error:
        raise EdgeError("MDSE-BENCH-002", where=claim) from error
    if not _COMPARISONS[matched[2]](value, limit):
        raise EdgeError("MDSE-BENCH-001", where=claim, value=value)


def table_from_report(report: Mapping[str, Any]) -> str:
    """Return the report as text for a terminal."""
    slide_s, machine = report["slide_s"], report["machine"]
    simulated = "simulated " if report["simulated"] else ""
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1min']}",
        f"{report['engine']} {report['precision']}, {report['image_px']} px, bundle {report['bundle']['name']}",
        f"{report['slides']} {simulated}slides of {report['cells']} cells",
        "",
        f"  images/s      {report['images_per_s']:10.1f}",
        *(f"  slide {name} s   {value:10.3f}" for name, value in slide_s.items()),
        f"  peak RSS MiB  {report['rss_mb']:10.1f}",
        "",
        "  stage          ms/slide",
        *(f"    {stage:10} {value:10.2f}" for stage, value in report["stage_ms"].items()),
    ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
