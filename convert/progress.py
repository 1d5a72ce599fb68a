"""What a person sees while a long step runs: what is done, how long it took, how long it will take.

On a terminal one line is rewritten; elsewhere (a log, a pipe) a plain line appears at the start, every 15 seconds and
at the end. Times come from the clock that is given, so that tests need not wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

_PLAIN_EVERY_S = 15.0
_TERMINAL_EVERY_S = 0.2


class Progress:
    """One long step of `total` units; without a stream it is silent.

    Used as a context manager: the closing line says how long the step took.
    """

    def __init__(
        self, label: str, total: int, stream: TextIO | None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._total, self._stream, self._clock_s = label, total, stream, clock_s
        self._done = 0
        self._started_s = self._shown_s = clock_s()
        self._terminal = stream is not None and stream.isatty()

    def __enter__(self) -> Progress:
        self._show(f"{self._label} ...")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        took = duration_text(self._clock_s() - self._started_s)
        self._show(f"{self._label}: {'stopped' if kind else 'done'} after {took}", last=True)

    def advance(self, count: int = 1) -> None:
        """Say that `count` more units are done."""
        self._done += count
        now = self._clock_s()
        if now - self._shown_s < (_TERMINAL_EVERY_S if self._terminal else _PLAIN_EVERY_S):
            return
        self._shown_s = now
        elapsed = now - self._started_s
        remaining = elapsed / self._done * max(self._total - self._done, 0)
        self._show(
            f"{self._label}: {self._done} of {self._total}, "
            f"{duration_text(elapsed)} elapsed, about {duration_text(remaining)} to go"
        )

    def _show(self, text: str, *, last: bool = False) -> None:
        if self._stream is None:
            return
        if self._terminal:
            self._stream.write(f"\r\x1b[2K{text}" + ("\n" if last else ""))
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def duration_text(seconds: float) -> str:
    """Return a duration as people say it: 4 s, 2 min 5 s, 1 h 3 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
