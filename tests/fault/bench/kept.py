"""The finished runs that benchmarks/faults.json keeps: a ledger may be lost with its machine, a committed file is not.

They count for the digest of the code that the file names, and for the bench as it is: where its unit or its number of
runs has changed since, a run number would name another run, and the bench begins at zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fault.bench.contract import FAULTS, Bench
from tests.fault.bench.figures import Total
from tests.fault.bench.ranges import numbers_from_text


def kept_figures(path: Path, digest: str) -> dict[str, Any]:
    """Return the file's content, {} without a file and for one of other code; raises ValueError where it is damaged."""
    if not path.exists():
        return {}
    figures: dict[str, Any] = json.loads(path.read_bytes())
    if "digest" not in figures:
        raise ValueError(f"{path}: it does not say which code its figures are about")
    return figures if figures["digest"] == digest else {}


def kept_totals(path: Path, benches: Mapping[str, Bench], digest: str) -> dict[str, Total]:
    """Return what the file keeps of each bench for the present code; raises ValueError for a row that is no total."""
    figures = kept_figures(path, digest)
    rows = {**figures, **figures.get("controls", {})}
    totals = {name: Total(bench) for name, bench in benches.items()}
    for name, bench in benches.items():
        if name in rows and _is_the_same(bench, rows[name]):
            try:
                totals[name] = _total_from_row(bench, rows[name])
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, {name}: no total of finished runs ({error})") from error
    return totals


def _is_the_same(bench: Bench, row: Mapping[str, Any]) -> bool:
    return (row["unit"], row["full_count"]) == (bench.unit, bench.full_count)


def _total_from_row(bench: Bench, row: Mapping[str, Any]) -> Total:
    numbers, faulty = numbers_from_text(row["finished"]), numbers_from_text(row["with_faults"])
    notes = {number: str(note) for text, note in row["notes"].items() for number in numbers_from_text(text)}
    if len(numbers) != row["runs"] or not faulty <= numbers or not notes.keys() <= numbers:
        raise ValueError(f"it tells of {row['runs']} runs and names {len(numbers)}, or others beside them")
    sums = {name: int(row[name]) for name in ("points", *FAULTS)}
    return Total(bench, numbers, faulty, notes, **sums, seconds=float(row["seconds"]))
