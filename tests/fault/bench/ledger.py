"""The finished runs of one bench for one digest of the code: one JSON line each, so that a run can be interrupted.

A line is written and synced when its run is over. A line cut by a power cut or a full disk is dropped, and its run
is done again; anything else that cannot be read is refused: figures are not guessed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.fault.bench.contract import Outcome


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """One line: which run, what it counted, how long it took (seconds) and when it ended (UTC)."""

    number: int
    outcome: Outcome
    seconds: float
    ended_at: str


class Ledger:
    """The file `<name>.<first 12 of the digest>.jsonl` in a state folder."""

    def __init__(self, folder: Path, name: str, digest: str) -> None:
        self.path = folder / f"{name}.{digest[:12]}.jsonl"

    def finished(self) -> dict[int, FinishedRun]:
        """Return the finished runs by number; raises ValueError for a line that is no run."""
        runs: dict[int, FinishedRun] = {}
        if not self.path.exists():
            return runs
        content = self.path.read_bytes()
        for place, line in enumerate(content[: _whole_bytes(content)].splitlines(), start=1):
            try:
                run = _run_from_line(line)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{self.path}, line {place}: no finished run ({error})") from error
            if run.number in runs:
                raise ValueError(f"{self.path}, line {place}: run {run.number} stands there twice")
            runs[run.number] = run
        return runs

    @contextmanager
    def appending(self) -> Iterator[Ledger]:
        """Take the file for this process alone and drop a cut last line; raises BlockingIOError when it is taken."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = self.path.read_bytes()
            file.truncate(_whole_bytes(content))
            yield self

    def append(self, number: int, outcome: Outcome, seconds: float) -> None:
        """Add a finished run and sync it. Only inside `appending`."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"number": number, **asdict(outcome), "seconds": round(seconds, 3), "ended_at": at})
        with self.path.open("ab") as file:
            file.write(line.encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _whole_bytes(content: bytes) -> int:
    """Return how many bytes are whole lines."""
    return content.rfind(b"\n") + 1


def _run_from_line(line: bytes) -> FinishedRun:
    facts = json.loads(line)
    counted = {name: int(facts[name]) for name in ("points", "lost", "duplicate", "torn", "other")}
    outcome = Outcome(**counted, note=str(facts["note"]))
    return FinishedRun(int(facts["number"]), outcome, float(facts["seconds"]), str(facts["ended_at"]))
