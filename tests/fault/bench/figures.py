"""What the finished runs add up to: the table, the file of figures, and the verdict."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fault.bench.contract import FAULTS, Bench
from tests.fault.bench.ledger import FinishedRun
from tests.fault.bench.ranges import text_from_numbers

CONTROL_NOTE_CHARACTERS = 300
"""A control's faults are wanted: the beginning of what it noted is enough."""
PLACES = re.compile(r"(?:/[\w.~-]+)+/(?=tests/|edge/|mds-edge-)")
"""Where a run lay on its machine: of interest to nobody, and another one each time."""
COLUMNS = ("runs", "of", "points", *FAULTS, "seconds", "verdict")


@dataclass(frozen=True, slots=True)
class Total:
    """The sums over the finished runs of one bench. `seconds` are those of the runs, however many ran side by side.

    `numbers` are the finished runs, `faulty` those of them that showed a fault, `notes` what some of them noted.
    """

    bench: Bench
    numbers: frozenset[int] = frozenset()
    faulty: frozenset[int] = frozenset()
    notes: Mapping[int, str] = field(default_factory=dict)
    points: int = 0
    lost: int = 0
    duplicate: int = 0
    torn: int = 0
    other: int = 0
    seconds: float = 0.0

    @property
    def runs(self) -> int:
        """How many runs are finished."""
        return len(self.numbers)

    @property
    def verdict(self) -> str:
        """`ok`, `FAULTS`, `not run`; of a control `caught` or `MISSED`."""
        if self.runs == 0:
            return "not run"
        faults = self.lost + self.duplicate + self.torn + self.other
        if self.bench.control_of is not None:
            return "caught" if faults else "MISSED"
        return "FAULTS" if faults else "ok"


def total_of(bench: Bench, runs: Iterable[FinishedRun], kept: Total) -> Total:
    """Add up the finished runs of a bench, and those that were kept of it.

    A run that stands in both counts once. Where it showed a fault here alone, that fault counts too: none is hidden
    by a run of the same number that went well elsewhere.
    """
    runs = list(runs)
    fresh = [run for run in runs if run.number not in kept.numbers]
    faulty = [run for run in runs if run.outcome.faults and run.number not in kept.faulty]
    told = {run.number: run.outcome.note for run in (*fresh, *faulty) if run.outcome.note}
    return Total(
        bench,
        kept.numbers | {run.number for run in fresh},
        kept.faulty | {run.number for run in faulty},
        {**kept.notes, **told},
        points=kept.points + sum(run.outcome.points for run in fresh),
        **{name: getattr(kept, name) + sum(getattr(run.outcome, name) for run in faulty) for name in FAULTS},
        seconds=round(kept.seconds + sum(run.seconds for run in fresh), 1),
    )


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


def figures_from_totals(totals: Iterable[Total], digest: str, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of benchmarks/faults.json: every bench that ran, and its controls.

    `earlier` is that content as it was for the same code, {} for none: the machines of its runs stay named.
    """
    ran = [total for total in totals if total.runs]
    benches = {total.bench.name: _row(total) for total in ran if total.bench.control_of is None}
    controls = {
        total.bench.name: {"control_of": total.bench.control_of, **_row(total)}
        for total in ran
        if total.bench.control_of is not None
    }
    machine = machine_facts()
    machines = [*earlier.get("earlier_machines", []), *([earlier["machine"]] if earlier else [])]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "earlier_machines": [facts for n, facts in enumerate(machines) if facts not in (machine, *machines[:n])],
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


def _row(total: Total) -> dict[str, object]:
    """Return what the file says of a bench: enough to go on from it on another machine."""
    runs_of_note: dict[str, list[int]] = {}
    for number, told in sorted(total.notes.items()):
        note = PLACES.sub("", told)
        text = note if total.bench.control_of is None else note[:CONTROL_NOTE_CHARACTERS]
        runs_of_note.setdefault(text, []).append(number)
    return {
        "unit": total.bench.unit, **_facts(total), "finished": text_from_numbers(total.numbers),
        "with_faults": text_from_numbers(total.faulty),
        "notes": {text_from_numbers(numbers): note for note, numbers in runs_of_note.items()},
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
    """Write the figures as JSON, the whole file at once: it keeps runs that may stand nowhere else."""
    made = path.with_name(f".{path.name}.new")
    with made.open("w", encoding="utf-8") as file:
        file.write(json.dumps(figures, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)
