"""What the finished runs add up to: the table, the file of figures, and the verdict."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fault.bench.contract import FAULTS, Bench
from tests.fault.bench.ledger import FinishedRun

COLUMNS = ("runs", "of", "points", *FAULTS, "seconds", "verdict")


@dataclass(frozen=True, slots=True)
class Total:
    """The sums over the finished runs of one bench. `seconds` are those of the runs, however many ran side by side."""

    bench: Bench
    runs: int
    points: int
    lost: int
    duplicate: int
    torn: int
    other: int
    seconds: float

    @property
    def verdict(self) -> str:
        """`ok`, `FAULTS`, `not run`; of a control `caught` or `MISSED`."""
        if self.runs == 0:
            return "not run"
        faults = self.lost + self.duplicate + self.torn + self.other
        if self.bench.control_of is not None:
            return "caught" if faults else "MISSED"
        return "FAULTS" if faults else "ok"


def total_of(bench: Bench, runs: Iterable[FinishedRun]) -> Total:
    """Add up the finished runs of a bench."""
    outcomes = [(run.outcome, run.seconds) for run in runs]
    sums = {name: sum(getattr(outcome, name) for outcome, _ in outcomes) for name in ("points", *FAULTS)}
    return Total(bench, len(outcomes), **sums, seconds=round(sum(seconds for _, seconds in outcomes), 1))


def is_good(totals: Iterable[Total]) -> bool:
    """Tell whether no bench that ran shows a fault and every control that ran shows one."""
    return all(total.verdict in ("ok", "caught", "not run") for total in totals)


def table_from_totals(totals: Iterable[Total], digest: str) -> str:
    """Return the table for people: one bench a line, each control below the bench that it proves."""
    rows: list[tuple[str, ...]] = [("bench", *COLUMNS)]
    for total in sorted(totals, key=_place):
        name = f"  control: {total.bench.name}" if total.bench.control_of else total.bench.name
        rows.append((name, *(str(value) for value in _facts(total).values()), total.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([f"code under test: {digest}", *lines])


def figures_from_totals(totals: Iterable[Total], digest: str) -> dict[str, Any]:
    """Return the content of benchmarks/faults.json: every bench that ran, and its controls."""
    ran = [total for total in totals if total.runs]
    benches = {t.bench.name: {"unit": t.bench.unit, **_facts(t)} for t in ran if t.bench.control_of is None}
    controls = {
        t.bench.name: {"control_of": t.bench.control_of, **_facts(t)} for t in ran if t.bench.control_of is not None
    }
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine_facts(),
        "digest": digest,
        **dict(sorted(benches.items())),
        "controls": dict(sorted(controls.items())),
    }


def _place(total: Total) -> tuple[str, bool, str]:
    bench = total.bench
    return bench.control_of or bench.name, bench.control_of is not None, bench.name


def _facts(total: Total) -> dict[str, float]:
    return {
        "runs": total.runs, "full_count": total.bench.full_count, "points": total.points, "lost": total.lost,
        "duplicate": total.duplicate, "torn": total.torn, "other": total.other, "seconds": total.seconds,
    }  # fmt: skip


def machine_facts() -> dict[str, object]:
    """Return what the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": named[0] if named else platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
        "python": platform.python_version(),
    }  # fmt: skip


def write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    """Write the figures as JSON."""
    path.write_text(json.dumps(figures, indent=1) + "\n")
