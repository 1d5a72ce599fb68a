"""The results of a run as one JSON document: facts, figures with their spread, ratios with bars and verdicts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.side_by_side.claims import figure, judged, judged_cold
from benchmarks.side_by_side.contestants import ENTRIES, FP32_LIMIT, INT8_LIMIT
from benchmarks.side_by_side.contestants.matmul import GIGA_OPERATIONS
from benchmarks.side_by_side.layers import operations
from benchmarks.side_by_side.spread import Spread, short, spread

if TYPE_CHECKING:
    from benchmarks.side_by_side.material import Material
    from benchmarks.side_by_side.run import Settings

WHAT = (
    "the shipped pipeline beside other ways to run the same network, in turns, each in a process of its own; the "
    "network has the paper's size and RANDOM weights: times only, its outputs mean nothing"
)

_FOLDERS = re.compile(r"(?<![\w.])/(?:[\w.+-]+/)+")
"""What a library's words say of where files lie on this machine: nobody else's business."""


def result_document(
    settings: Settings, materials: Mapping[int, Material], facts: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that was found, without the state's folders and other places of the machine."""
    giga = {size: sum(operations(material.int8.read_bytes())[0].values()) for size, material in materials.items()}
    ratios: list[dict[str, Any]] = []
    sizes = {}
    for size, (rounds, contestants) in found["sizes"].items():
        sizes[str(size)] = size_document(rounds, contestants, giga[size])
        ratios += judged(size, rounds, giga[size], GIGA_OPERATIONS)
    for size, rounds in found["cold"].items():
        ratios += judged_cold(size, rounds)
    seconds = settings.seconds
    return {
        "what": WHAT,
        **facts,
        "threads": settings.threads,
        "slice_s": {"rate": seconds.rate, "latency": seconds.latency, "slide": seconds.slide},
        "sizes": sizes,
        "ratios": ratios,
        "cold_s": {str(size): cold_document(rounds) for size, rounds in found["cold"].items()},
        "layers": {str(size): rows for size, rows in found["layers"].items()},
        **{name: found[name] for name in ("trees", "waiting") if name in found},
    }


def size_document(
    rounds: Sequence[Mapping[str, Any]], contestants: Mapping[str, Mapping[str, Any]], giga_operations: float
) -> dict[str, Any]:
    """Return the figures of one image size: by contestant, and what disturbed each round."""
    rows = {name: _contestant(name, rounds, facts, giga_operations) for name, facts in contestants.items()}
    ordered = {name: rows[name] for name in ENTRIES if name in rows}
    disturbed = {key: [row[key] for row in rounds] for key in ("steal", "others", "load_1min")}
    return {"giga_operations": short(giga_operations), "contestants": ordered, **disturbed}


def cold_document(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the seconds of cold starts by contestant."""
    names = rounds[0]["values"] if rounds else ()
    figures = {name: spread(list(figure(rounds, name).values())).as_words() for name in names}
    return {**figures, "steal": [row["steal"] for row in rounds]}


def _contestant(
    name: str, rounds: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], giga_operations: float
) -> dict[str, Any]:
    row = dict(facts)
    if "not_run" in row:
        row["not_run"] = _FOLDERS.sub("", row["not_run"])
    for kind in ENTRIES[name].kinds:
        values = figure(rounds, f"{name}.{kind}")
        if not values:
            continue
        found = spread(list(values.values()))
        if name in (INT8_LIMIT, FP32_LIMIT):
            row["giga_operations_per_s"] = _scaled(found, GIGA_OPERATIONS)
        else:
            row[{"rate": "images_per_s", "latency": "latency_ms", "slide": "slide_images_per_s"}[kind]] = (
                found.as_words()
            )
            if kind == "rate":
                row["giga_operations_per_s"] = _scaled(found, giga_operations)
        spent = [one["cpu_ms"][f"{name}.{kind}"] for one in rounds if f"{name}.{kind}" in one["cpu_ms"]]
        if spent:
            row.setdefault("cpu_ms_a_cell", {})[kind] = spread(spent).as_words()
    return row


def _scaled(found: Spread, factor: float) -> dict[str, float | int]:
    return Spread(found.median * factor, found.lowest * factor, found.highest * factor, found.rounds).as_words()
