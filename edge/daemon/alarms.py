"""What is wrong at the moment: named alarms with the time since when, for status, metrics and the log.

The words of an alarm may name a slide's file or repeat what a receiver said of a patient. Status shows them to who may
ask; the log, which more people read, gets them as one confidential fact, and the error's code in full.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from edge.logs import log_event

log = logging.getLogger("mds_edge.daemon")
_CODE = re.compile(r"MDSE-[A-Z]+-[0-9]{3}")
ELSEWHERE = "an alarm is up: edge-journal status shows its words"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong: since when (monotonic seconds) and what."""

    since_s: float
    text: str


class Alarms:
    """Raised and cleared by name; only a change is logged."""

    def __init__(self) -> None:
        self._raised: dict[str, Alarm] = {}

    def raise_alarm(self, name: str, text: str, now_s: float, *, is_open: bool = False) -> None:
        """Note that something is wrong; the time since when stays that of the first call.

        `is_open`: the words are a fixed sentence and figures, nothing that was read or received, and may be logged.
        """
        before = self._raised.get(name)
        if before is None or before.text != text:
            code = _CODE.search(text)
            facts = {} if is_open else {"words": text}
            log_event(
                log, logging.WARNING, code[0] if code else "alarm", text if is_open else ELSEWHERE, alarm=name, **facts
            )
        self._raised[name] = Alarm(before.since_s if before else now_s, text)

    def clear(self, name: str) -> None:
        """Note that it is well again."""
        if self._raised.pop(name, None) is not None:
            log_event(log, logging.INFO, "alarm", "an alarm is over", alarm=name)

    def listed(self, now_s: float) -> list[dict[str, object]]:
        """Return every alarm with its age in whole seconds, oldest first."""
        return [
            {"name": name, "text": alarm.text, "for_s": int(now_s - alarm.since_s)}
            for name, alarm in sorted(self._raised.items(), key=lambda item: item[1].since_s)
        ]

    def is_raised(self, name: str) -> bool:
        """Tell whether this alarm is up."""
        return name in self._raised
