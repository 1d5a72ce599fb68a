"""Which device slides run on: the configured one, or the CPU while that one is out of order or has no plan yet."""

from __future__ import annotations

import logging
from typing import Any

from edge.audit import AuditEvent
from edge.daemon.backoff import Backoff
from edge.daemon.house import House

log = logging.getLogger("mds_edge.daemon")
NO_PLAN_YET = "MDSE-PLAN-007"
LONGEST_PAUSE_S = 3600.0
_DEVICE_FAULTS = ("MDSE-GPU-001", "MDSE-GPU-002", "MDSE-GPU-003", "MDSE-BUNDLE-014", "MDSE-ENGINE-004")
_ALARM = "degraded"


def is_device_fault(code: str) -> bool:
    """Tell whether an error is the device's or its plan's, and not that of the configuration or the bundle.

    A plan is missing on a new machine, a driver was changed, memory is short: all of these pass, so slides go on on the
    CPU. A library that is not installed, or a bundle without such an engine, does not: a person has to act.
    """
    return code in _DEVICE_FAULTS or (code.startswith("MDSE-PLAN-") and code != "MDSE-PLAN-001")


class DeviceState:
    """Falls back to the CPU, waits, and goes back. Every change is an audit entry and an alarm."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.configured = house.books.config.engine.device
        self.current: str = self.configured
        self.faults = 0
        self.last_fault = ""
        self.awaits_plan = False
        self._pause = Backoff(house.books.config.engine.retry_s, LONGEST_PAUSE_S)
        self._wait_s = 0.0
        self._return_at_s: float | None = None

    @property
    def is_degraded(self) -> bool:
        """Whether slides run on the CPU although the site configured another device."""
        return self.current != self.configured

    def fall_back(self, code: str, reason: str) -> None:
        """Go on with the CPU. A plan that is still to be built is no fault of the device; anything else is counted."""
        now_s = self._house.monotonic()
        self.awaits_plan = code == NO_PLAN_YET
        # The pause begins when the CPU's model is ready: a short one must not be over before any slide ran there.
        self._return_at_s = None
        if self.awaits_plan:
            text = f"{self.configured} has no plan yet: slides run on the CPU while it is built"
        else:
            self.faults += 1
            self.last_fault = reason
            self._wait_s = self._pause.failed(now_s)
            text = f"{self.configured} failed, slides run on the CPU: {reason}"
            log.warning("%s is tried again after %.0f s on the CPU", self.configured, self._wait_s)
        self._house.alarms.raise_alarm(_ALARM, text, now_s)
        self._note("device lost", self.configured, "cpu", {"code": code, "reason": reason, "faults": self.faults})
        self.current = "cpu"

    def may_return(self) -> bool:
        """Tell whether the configured device may be tried again."""
        due_s = self._return_at_s
        return self.is_degraded and not self.awaits_plan and due_s is not None and self._house.monotonic() >= due_s

    def return_to_configured(self) -> None:
        """Try the configured device again; the alarm stays until its model is ready."""
        self.current = self.configured

    def opened(self) -> None:
        """The model is ready on the current device."""
        if self.is_degraded and not self.awaits_plan and self._return_at_s is None:
            self._return_at_s = self._house.monotonic() + self._wait_s
        if not self.is_degraded and self._house.alarms.is_raised(_ALARM):
            self._house.alarms.clear(_ALARM)
            self._note("device back", "cpu", self.configured, {"faults": self.faults})

    def worked(self) -> None:
        """A slide came back well from the configured device: its next fault is a first one again."""
        if not self.is_degraded:
            self._pause.succeeded()

    def plan_is_there(self) -> None:
        """The plan was built: the device may be tried with the next slide."""
        self.awaits_plan = False
        self._return_at_s = self._house.monotonic()

    def facts(self) -> dict[str, Any]:
        """Return the state for status and metrics."""
        state = "running" if not self.is_degraded else "no plan" if self.awaits_plan else "out of order"
        due_s = self._return_at_s
        left_s = self._wait_s if due_s is None else max(0.0, due_s - self._house.monotonic())
        retry_in_s = left_s if state == "out of order" else 0.0
        return {
            "configured": self.configured, "state": state, "faults": self.faults, "last_fault": self.last_fault,
            "retry_in_s": round(retry_in_s, 1),
        }  # fmt: skip

    def _note(self, action: str, old: str, new: str, detail: dict[str, Any]) -> None:
        journal = self._house.books.journal
        with journal.change():
            journal.note(AuditEvent("daemon", action, "journal", old, new, detail))
