"""The nearest rivals of the engine, which stand in the tables with or without a bar.

Without them a ratio over single precision that is forced reads like the gain over OpenVINO as anybody gets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.side_by_side.claims import CLAIMS, Claim

RIVALS = ("openvino_default", "openvino_int8")
FORCED = "openvino_fp32"
"""The ratio that they are to be read with, and stand below."""


def rows_with_rivals(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the ratios of the results, with a row for each rival that ran but has none.

    Results that were written before a rival had its ratio keep the rates of both, but not by round: then the ratio is
    that of the medians, without lowest and highest.
    """
    rows: list[Mapping[str, Any]] = list(results["ratios"])
    for size, found in results["sizes"].items():
        for claim in reversed([claim for claim in CLAIMS if claim.name in RIVALS]):
            have = [place for place, row in enumerate(rows) if row["size_px"] == int(size)]
            if any(rows[place]["claim"] == claim.name for place in have):
                continue
            row = _of_medians(claim, int(size), found["contestants"])
            if row is not None:
                below = [place + 1 for place in have if rows[place]["claim"] == FORCED]
                rows.insert(below[0] if below else len(rows), row)
    return rows


def _of_medians(claim: Claim, size_px: int, contestants: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    names = [name.partition(".")[0] for name in (claim.over, *claim.under)]
    rates = [contestants.get(name, {}).get("images_per_s") for name in names]
    if rates[0] is None or not (others := [rate for rate in rates[1:] if rate]):
        return None
    best = max(others, key=lambda rate: float(rate["median"]))
    ratio = {"median": rates[0]["median"] / best["median"], "rounds": min(rates[0]["rounds"], best["rounds"])}
    row = {"claim": claim.name, "text": claim.text, "size_px": size_px, "percent": False}
    return {**row, "ratio": ratio, "bar": None, "verdict": ""}
