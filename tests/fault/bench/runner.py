"""Running a bench: the runs that are not finished yet, some side by side, with progress."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.fault.bench.contract import Bench, Outcome
from tests.fault.bench.ledger import Ledger

PROGRESS_EVERY_S = 15.0
NOTE_CHARACTERS_MAX = 4000
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a bench is run: so many runs in all, beside each other, for so long at most, in folders below `work`.

    `kept` are runs that are finished although the ledger of this machine does not hold them.
    """

    count: int
    jobs: int = 1
    seconds_max: float = float("inf")
    work: Path | None = None
    kept: frozenset[int] = frozenset()


def run_bench(bench: Bench, ledger: Ledger, plan: Plan) -> None:
    """Do the runs of the plan that the ledger does not hold yet. An interrupted call loses the runs in hand alone.

    A run that raises is a finished run with one fault: what it could not prove is not proved.
    """
    with ledger.appending():
        done = ledger.finished()
        waiting = [number for number in range(plan.count) if number not in done and number not in plan.kept]
        progress = Progress(bench.name, len(waiting), faults=sum(run.outcome.faults for run in done.values()))
        running: dict[Connection, RunningOne] = {}
        if waiting and bench.prepare is not None:
            bench.prepare()
        try:
            while running or (waiting and progress.elapsed_s <= plan.seconds_max):
                while waiting and len(running) < plan.jobs and progress.elapsed_s <= plan.seconds_max:
                    one = RunningOne(bench, waiting.pop(0), plan.work)
                    running[one.answers] = one
                for answers in wait(list(running), timeout=PROGRESS_EVERY_S):
                    one = running.pop(answers)  # type: ignore[call-overload]  # only connections are waited for
                    outcome = one.outcome()
                    ledger.append(one.number, outcome, time.monotonic() - one.began_s)
                    progress.finished(one.number, outcome)
                progress.show()
        finally:
            for one in running.values():
                one.end()
        progress.show(last=True)


class RunningOne:
    """A run in a process of its own: what it breaks in itself ends with it."""

    def __init__(self, bench: Bench, number: int, parent: Path | None) -> None:
        self.number = number
        self.began_s = time.monotonic()
        self.answers, answer = FORK.Pipe(duplex=False)
        self._process = FORK.Process(target=lambda: answer.send(run_once(bench, number, parent)))
        self._process.start()
        answer.close()

    def outcome(self) -> Outcome:
        """Return what the run counted, a fault when its process ended without a word."""
        try:
            outcome: Outcome = self.answers.recv()
        except EOFError:
            self._process.join()
            outcome = Outcome(points=0, other=1, note=f"the run ended with status {self._process.exitcode}")
        self._process.join()
        self.answers.close()
        return outcome

    def end(self) -> None:
        """Ask the run to end, as Ctrl-C does, and wait for it: it has processes and mounts to put away."""
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGINT)
        self._process.join()


def run_once(bench: Bench, number: int, parent: Path | None) -> Outcome:
    """Do one run in an empty folder that is removed afterwards."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"mds-edge-{bench.name}-", dir=parent))
    try:
        return bench.run(number, work)
    except Exception:  # noqa: BLE001 - whatever stopped the run, it has proved nothing, and the next run goes on
        return Outcome(points=0, other=1, note=traceback.format_exc()[-NOTE_CHARACTERS_MAX:])
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Progress:
    """One line on standard error now and then: how many runs, how long, how much longer, how many faults."""

    def __init__(self, name: str, total: int, *, faults: int) -> None:
        self._name = name
        self._total = total
        self._faults = faults
        self._done = 0
        self._began_s = time.monotonic()
        self._next_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began_s

    def finished(self, number: int, outcome: Outcome) -> None:
        """Count a finished run; a fault is told at once."""
        self._done += 1
        self._faults += outcome.faults
        if outcome.faults:
            print(f"{self._name}, run {number}: {outcome}", file=sys.stderr, flush=True)  # noqa: T201 - a bench prints

    def show(self, *, last: bool = False) -> None:
        """Print the line when it is time."""
        if not last and self.elapsed_s < self._next_s:
            return
        self._next_s = self.elapsed_s + PROGRESS_EVERY_S
        left_s = self.elapsed_s / self._done * (self._total - self._done) if self._done else None
        left = "unknown" if left_s is None else clock_text(left_s)
        line = (
            f"{self._name}: {self._done} of {self._total} runs, {clock_text(self.elapsed_s)} elapsed,"
            f" {left} remaining, {self._faults} faults"
        )
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - a bench prints


def clock_text(seconds: float) -> str:
    """Return seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
