"""How long published results of one output have waited for their receiver, and the alarm when it is too long."""

from __future__ import annotations

from edge.daemon.house import House


class PickupWatch:
    """A clock of its own for every published result.

    It starts when the result is published; for one that was published before this process looked, at the first look:
    the wall clock, the only one that goes on over a restart, may have been set meanwhile.
    """

    def __init__(self, house: House, output: str, longest_s: float) -> None:
        self._house = house
        self._output = output
        self._longest_s = longest_s
        self._since_s: dict[int, float] | None = None  # in the order of publication; None: not looked yet

    def published(self, delivery_id: int) -> None:
        """Start the clock of a result that was published just now."""
        if self._since_s is not None:
            self._since_s[delivery_id] = self._house.monotonic()

    def settled(self, delivery_id: int) -> None:
        """Stop the clock of a result that its receiver took or answered."""
        if self._since_s is not None:
            self._since_s.pop(delivery_id, None)

    def look(self, now_s: float) -> None:
        """Raise the alarm when the one that has waited longest waits too long, and clear it when none does."""
        if self._since_s is None:
            rows = self._house.books.journal.results.deliveries(self._output, ["SENT"])
            self._since_s = {row.id: now_s for row in rows}
        delivery_id, since_s = next(iter(self._since_s.items()), (0, now_s))
        name = f"pickup-{self._output}"
        if now_s - since_s > self._longest_s:
            text = f"delivery {delivery_id} was not collected within {self._longest_s:.0f} s"
            self._house.alarms.raise_alarm(name, text, now_s, is_open=True)
        else:
            self._house.alarms.clear(name)
