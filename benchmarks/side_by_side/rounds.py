"""One size: its contestants opened once, then rounds in which each has its turn while all others stand still.

A finished round is one line of a file; a run that was ended goes on after the last whole round. The order turns by one
place from round to round, so that nobody always follows the same neighbour.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.side_by_side.contestant_process import ContestantProcess, NotRunError
from benchmarks.side_by_side.contestants import ENTRIES, PIPELINE
from benchmarks.side_by_side.machine import processor_time
from benchmarks.side_by_side.material import Material
from benchmarks.side_by_side.progress import Progress

Start = Callable[[str], ContestantProcess]


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long a slice of each kind lasts; a slice always ends with a whole batch or slide."""

    rate: float
    latency: float
    slide: float

    def of(self, kind: str) -> float:
        """Return the seconds of a kind of slice."""
        return float(getattr(self, kind))


def slices_of(names: Sequence[str], number: int) -> list[tuple[str, str]]:
    """Return the slices of round `number`, (contestant, kind) in their order."""
    turn = number % len(names) if names else 0
    return [(name, kind) for name in (*names[turn:], *names[:turn]) for kind in ENTRIES[name].kinds]


def finished_rounds(file: Path) -> list[dict[str, Any]]:
    """Return the whole rounds of a file. A line that was cut off by the end of a run is no round."""
    if not file.exists():
        return []
    rows = []
    for line in file.read_text(encoding="ascii").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # the run was ended in the middle of this line; its round is measured again
    return rows


def measure_size(
    file: Path, names: Sequence[str], count: int, seconds: Seconds, start: Start, progress: Progress
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure what is missing of `count` rounds and return all of them, and the facts about each contestant.

    `start` starts the process of a contestant. What cannot run is told in the facts as {"not_run": reason}.
    """
    rows = finished_rounds(file)
    kept = file.with_suffix(".facts.json")
    facts: dict[str, Any] = json.loads(kept.read_text(encoding="ascii")) if kept.exists() else {}
    missing = [number for number in range(count) if number not in {row["round"] for row in rows}]
    if not missing:
        return rows, facts
    with ExitStack() as stack:
        running = _open(names, facts, start, stack, progress)
        for number in missing:
            row = measure_round(number, list(running), seconds, running, facts, progress)
            with file.open("a", encoding="ascii") as stream:
                stream.write(("\n" if _ends_in_the_middle(file) else "") + json.dumps(row) + "\n")
            rows.append(row)
        for name, process in running.items():
            process.resume()
            try:
                facts[name] |= _without_time(process.ask("facts"))
            except NotRunError as error:
                facts[name].setdefault("not_run", str(error))
            process.pause()
    kept.write_text(json.dumps(facts, indent=1) + "\n", encoding="ascii")
    return rows, facts


def measure_round(
    number: int,
    names: Sequence[str],
    seconds: Seconds,
    running: Mapping[str, ContestantProcess],
    facts: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """Give every contestant its turn. One that fails now is left out of this round, with its reason in the facts."""
    values: dict[str, float] = {}
    cpu_ms: dict[str, float] = {}
    before, load = processor_time(), os.getloadavg()[0]
    own_s = 0.0
    for name, kind in slices_of(names, number):
        process = running[name]
        progress.begin(f"round {number + 1}: {name} {kind}", seconds.of(kind))
        process.resume()
        try:
            answer = process.ask(kind, seconds.of(kind))
        except NotRunError as error:
            facts[name] = {**facts.get(name, {}), "not_run": f"{kind}: {error}"}
            progress.end(f"not run: {error}")
            continue
        finally:
            process.pause()
        values[f"{name}.{kind}"] = answer["value"]
        if answer.get("images"):
            cpu_ms[f"{name}.{kind}"] = round(1000 * answer["cpu_s"] / answer["images"], 4)
        own_s += answer["cpu_s"]
        progress.end(f"{answer['value']:.2f}")
    took = processor_time().since(before)
    others = max(0.0, took.busy_s - own_s) / took.total_s if took.total_s else 0.0
    return {
        "round": number,
        "values": values,
        "cpu_ms": cpu_ms,
        "steal": round(took.steal, 4),
        "others": round(others, 3),
        "load_1min": round(load, 2),
    }


def starter(
    material: Material, threads: int, log: Path, own_python: str | None, product_python: str = sys.executable
) -> Start:
    """Return what starts a contestant's process on this material.

    `own_python`: the interpreter of those with libraries of their own. `product_python`: that of our pipeline.
    """

    def start(name: str) -> ContestantProcess:
        own = ENTRIES[name].own_python
        if own and own_python is None:
            raise NotRunError("no interpreter with its libraries was given (--triton-python)")
        python = str(own_python) if own else product_python if name == PIPELINE else sys.executable
        return ContestantProcess(name, material, threads, log, python)

    return start


def _open(
    names: Sequence[str], facts: dict[str, Any], start: Start, stack: ExitStack, progress: Progress
) -> dict[str, ContestantProcess]:
    running = {}
    for name in names:
        progress.begin(f"opening {name}", OPEN_S)
        with ExitStack() as unless_opened:
            try:
                process = start(name)
                unless_opened.callback(process.close)
                facts[name] = _without_time(process.ask("open"))
            except NotRunError as error:
                facts[name] = {"not_run": str(error)}
                progress.end(f"not run: {error}")
                continue
            stack.push(unless_opened.pop_all())
        process.pause()
        running[name] = process
        progress.end(f"{facts[name]['open_s']:.1f} s, batch {facts[name]['batch']}")
    return running


def _ends_in_the_middle(file: Path) -> bool:
    text = file.read_bytes() if file.exists() else b""
    return bool(text) and not text.endswith(b"\n")


def _without_time(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "cpu_s"}


OPEN_S = 5.0
"""What opening one contestant takes, for the estimate of the remaining time."""
