"""Claims about a report that may fail (`--assert`), and a report beside an earlier one (`--compare`)."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import EdgeError

_CLAIM = re.compile(r"\s*([a-z_0-9.]+)\s*(<=|>=|<|>)\s*([0-9.]+)\s*(s|ms)?\s*")
_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SHORT = {f"p{share}": f"slide_s.p{share}" for share in (50, 95, 99)}
_SMALLER_IS_BETTER = ("slide_s", "stage_ms", "rss_mb", "ready_s", "first_slide_s", "base_rss_mb")
_COMPARED = (*_SMALLER_IS_BETTER, "images_per_s", "limit")
_SAME = ("engine", "precision", "image_px", "cells", "bundle.digest", "machine.cpu", "machine.cores")


@dataclass(frozen=True, slots=True)
class Claim:
    """The number of the report called `name` compares so with `limit`."""

    name: str
    comparison: str
    limit: float


def claim_from_text(text: str) -> Claim:
    """Return a claim such as `slide_s.p99<10` or `p99<10s`; `s` and `ms` are allowed behind a number of the same unit.

    Raises EdgeError MDSE-BENCH-002 for what is no claim; that the report has no such number is seen by `check_claim`.
    """
    matched = _CLAIM.fullmatch(text)
    if matched is None:
        raise EdgeError("MDSE-BENCH-002", where=text)
    name = _SHORT.get(matched[1], matched[1])
    if matched[4] and not name.split(".")[0].endswith(f"_{matched[4]}"):
        raise EdgeError("MDSE-BENCH-002", where=text)
    try:
        return Claim(name, matched[2], float(matched[3]))
    except ValueError as error:
        raise EdgeError("MDSE-BENCH-002", where=text) from error


def check_claim(text: str, report: Mapping[str, Any]) -> None:
    """Raise EdgeError unless the report bears out a claim.

    MDSE-BENCH-001: it does not hold. MDSE-BENCH-002: it is no claim about a number of the report.
    """
    claim = claim_from_text(text)
    value = _at(report, claim.name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EdgeError("MDSE-BENCH-002", where=text)
    if not _COMPARISONS[claim.comparison](value, claim.limit):
        raise EdgeError("MDSE-BENCH-001", where=text, value=value)


def saved_report(path: Path) -> dict[str, Any]:
    """Return a report that `edge-bench --json` wrote; raises EdgeError MDSE-BENCH-003."""
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EdgeError("MDSE-BENCH-003", where=str(path), reason=str(error)) from error
    if not isinstance(report, dict) or not isinstance(report.get("slide_s"), dict):
        raise EdgeError("MDSE-BENCH-003", where=str(path), reason="it has no slide_s")
    return report


def comparison_table(report: Mapping[str, Any], earlier: Mapping[str, Any]) -> str:
    """Return every number of both reports with its ratio; above 1.00 x this run is the better one."""
    lines = ["", "compared with the earlier run; above 1.00 x this run is better", ""]
    lines += [f"  NOT THE SAME {name}: {_at(earlier, name)} then, {_at(report, name)} now" for name in _differing(
        report, earlier)]  # fmt: skip
    lines.append(f"  {'':24}{'earlier':>12}{'now':>12}{'':>10}")
    before = dict(_numbers(earlier))
    for name, value in _numbers(report):
        old = before.get(name)
        if old is None:
            lines.append(f"  {name:24}{'-':>12}{value:12.3f}")
            continue
        better, worse = (old, value) if name.split(".")[0] in _SMALLER_IS_BETTER else (value, old)
        ratio = f"{better / worse:8.2f} x" if worse else f"{'-':>10}"
        lines.append(f"  {name:24}{old:12.3f}{value:12.3f}{ratio}")
    return "\n".join(lines) + "\n"


def _differing(report: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[str]:
    return [name for name in _SAME if _at(report, name) != _at(earlier, name)]


def _at(report: Mapping[str, Any], name: str) -> Any:
    value: Any = report
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _numbers(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name in _COMPARED:
        value = report.get(name)
        parts = {f"{name}.{part}": number for part, number in value.items()} if isinstance(value, Mapping) else {
            name: value}  # fmt: skip
        for whole, number in parts.items():
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield whole, float(number)
