"""A count of the books that grows dear with their size: taken anew when they have changed, for a share of the time."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge.journal import Journal

CHEAP_S = 0.02
SHARE = 0.01


class RationedCount:
    """What `count` says of the journal. A cheap count is always of now; a dear one takes at most SHARE of the time."""

    def __init__(self, count: Callable[[Journal], int]) -> None:
        self._count = count
        self._counted_at_row = -1
        self._not_before_s = 0.0
        self._value = 0

    def value(self, journal: Journal, now_s: float) -> int:
        """Return the count; `now_s` is monotonic. One that took a second is a hundred seconds old at most."""
        (row,) = journal.connection.execute("SELECT coalesce(max(seq), 0) FROM audit").fetchone()
        if row != self._counted_at_row and now_s >= self._not_before_s:
            began_s = time.perf_counter()
            self._value, self._counted_at_row = self._count(journal), row
            took_s = time.perf_counter() - began_s
            self._not_before_s = now_s + (took_s / SHARE if took_s > CHEAP_S else 0.0)
        return self._value
