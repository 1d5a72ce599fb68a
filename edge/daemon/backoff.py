"""Waiting longer after each failure: 5 s, 10 s, ... 10 minutes, on the monotonic clock."""

from __future__ import annotations

FIRST_S = 5.0
LONGEST_S = 600.0


class Backoff:
    """When something may be tried again. Times are monotonic seconds that the caller passes in."""

    def __init__(self, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self.failures = 0
        self._ready_at_s = float("-inf")

    def failed(self, now_s: float, *, at_most_s: float | None = None) -> float:
        """Note a failure; return the seconds until the next try, this time at most `at_most_s`."""
        wait_s = min(self._first_s * 2.0 ** min(self.failures, 30), self._longest_s)
        wait_s = wait_s if at_most_s is None else min(wait_s, at_most_s)
        self.failures += 1
        self._ready_at_s = now_s + wait_s
        return wait_s

    def succeeded(self) -> None:
        """Forget all failures."""
        self.failures = 0
        self._ready_at_s = float("-inf")

    def is_ready(self, now_s: float) -> bool:
        """Tell whether the next try may begin."""
        return now_s >= self._ready_at_s

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the next try, 0 when it may begin."""
        return max(0.0, self._ready_at_s - now_s)
