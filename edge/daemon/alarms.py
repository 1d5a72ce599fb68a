"""What is wrong at the moment: named alarms with the time since when, for status, metrics and the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass

log = logging.getLogger("mds_edge.daemon")


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong: since when (monotonic seconds) and what."""

    since_s: float
    text: str


class Alarms:
    """Raised and cleared by name; only a change is logged."""

    def __init__(self) -> None:
        self._raised: dict[str, Alarm] = {}

    def raise_alarm(self, name: str, text: str, now_s: float) -> None:
        """Note that something is wrong; the time since when stays that of the first call."""
        before = self._raised.get(name)
        if before is None or before.text != text:
            log.warning("alarm %s: %s", name, text)
        self._raised[name] = Alarm(before.since_s if before else now_s, text)

    def clear(self, name: str) -> None:
        """Note that it is well again."""
        if self._raised.pop(name, None) is not None:
            log.info("alarm %s is over", name)

    def listed(self, now_s: float) -> list[dict[str, object]]:
        """Return every alarm with its age in whole seconds, oldest first."""
        return [
            {"name": name, "text": alarm.text, "for_s": int(now_s - alarm.since_s)}
            for name, alarm in sorted(self._raised.items(), key=lambda item: item[1].since_s)
        ]

    def is_raised(self, name: str) -> bool:
        """Tell whether this alarm is up."""
        return name in self._raised
