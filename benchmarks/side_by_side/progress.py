"""Says on standard error what runs, how long it has been going on and about how long it will."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """Counts planned seconds down. The estimate grows with what the work so far took over its plan."""

    def __init__(self, planned_s: float, stream: TextIO | None = None) -> None:
        self._planned_s, self._done_s = planned_s, 0.0
        self._start_s = time.monotonic()
        self._stream = stream if stream is not None else sys.stderr
        self._current, self._current_s, self.title = "", 0.0, ""

    def begin(self, what: str, planned_s: float) -> None:
        """Start a piece of work that is planned to take so many seconds."""
        self._current, self._current_s = what, planned_s

    def end(self, outcome: str) -> None:
        """End it and print a line."""
        self._done_s += self._current_s
        elapsed_s = time.monotonic() - self._start_s
        self._say(f"{self.title} {self._current}: {outcome}", elapsed_s, self.remaining_s(elapsed_s))

    def skip(self, what: str, planned_s: float) -> None:
        """Leave out what an earlier run has done already."""
        self._planned_s -= planned_s
        self._say(f"{self.title} {what}: done before", time.monotonic() - self._start_s, self.remaining_s(0.0))

    def remaining_s(self, elapsed_s: float) -> float:
        """Return the seconds that are left, if the rest takes as much longer than planned as what was done."""
        slower = elapsed_s / self._done_s if self._done_s and elapsed_s else 1.0
        return max(0.0, self._planned_s - self._done_s) * slower

    def _say(self, text: str, elapsed_s: float, remaining_s: float) -> None:
        print(f"[{_clock(elapsed_s)}, about {_clock(remaining_s)} left] {text}", file=self._stream, flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
