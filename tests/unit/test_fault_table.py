"""README's table of the fault benches: what was counted, of how much, and what the state before it showed."""

from __future__ import annotations

from typing import Any

from benchmarks.fault_table import readme_table

NONE = {"lost": 0, "duplicate": 0, "torn": 0, "other": 0}


def figures(digest: str, **benches: dict[str, Any]) -> dict[str, Any]:
    """Figures as benchmarks/faults.json has them, with one control that was caught and one that was not."""
    controls = {"caught": {**NONE, "lost": 1}, "missed": NONE}
    machine = {"cores": 2, "processor": "Some Processor"}
    facts = {"date": "2026-01-02", "machine": machine, "earlier_machines": [], "digest": digest}
    return {**facts, "controls": controls, **benches}


def row(table: str, what: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {what} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


NEW = figures("a" * 64, clock={**NONE, "runs": 5, "full_count": 20, "points": 250, "other": 2})
BEFORE = figures(
    "b" * 64,
    clock={**NONE, "runs": 20, "full_count": 20, "points": 1000},
    full_disk={**NONE, "runs": 100, "full_count": 200, "points": 100, "lost": 1, "torn": 2},
)


def test_a_line_shows_what_part_of_its_bench_ran_and_every_fault() -> None:
    table = readme_table(NEW)
    assert row(table, "steps of the clock") == ["250", "25 %", "0", "0", "0", "2"]
    assert row(table, "SIGKILL at a random moment")[:2] == ["0", "not run"]
    assert "controls 1 of 2 were caught" in table
    assert "state before" not in table


def test_until_the_counts_are_whole_those_of_the_state_before_stand_beside_them() -> None:
    table = readme_table(NEW, BEFORE)
    assert row(table, "steps of the clock")[-1] == "1,000, no faults"
    assert row(table, "full disks, and disks without inodes")[-1] == "100 (50 %), 3 faults"
    assert row(table, "SIGKILL at a random moment")[-1] == "not run"
    assert "The state before (bbbbbbbbbbbb)" in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_every_processor_that_counted_is_named_once() -> None:
    other = {"cores": 4, "processor": "Another", "kernel": "6.1"}
    figured = {**NEW, "earlier_machines": [other, {**other, "kernel": "6.2"}]}
    assert "on 2 cores of Some Processor and 4 cores of Another, all on" in readme_table(figured)
