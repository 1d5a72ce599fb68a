"""The supervisor's side of the plan builder: a child that is there only while a plan is built."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from edge.audit import AuditEvent
from edge.daemon.backoff import Backoff
from edge.daemon.channel import Message
from edge.daemon.child_process import ChildProcess
from edge.daemon.house import House
from edge.daemon.keeper import Keeper

log = logging.getLogger("mds_edge.daemon")
BUILD_BUDGET_S = 7200.0
"""Builds at a high level have taken an hour and a half elsewhere; beyond this it hangs."""
LONGEST_PAUSE_S = 3600.0
_ALARM = "plan"


class PlanKeeper(Keeper):
    """Keeps the plan builder. `settings` gives what it is to build, `on_built` hears that a plan is there."""

    module = "edge.daemon.plan_builder"

    def __init__(self, house: House, settings: Callable[[], dict[str, Any]], on_built: Callable[[], None]) -> None:
        super().__init__(house, "plan_builder")
        self.restart = Backoff(house.books.config.engine.retry_s, LONGEST_PAUSE_S)
        self.state = "idle"
        self.builds = 0
        self._settings = settings
        self._on_built = on_built
        self._is_wanted = False
        self._built_in_vain = False
        self._progress: dict[str, Any] = {}

    def want(self) -> None:
        """Ask for a plan. When the last one was of no use, the next build waits as after a failure."""
        if self._built_in_vain and not self._is_wanted:
            wait_s = self.restart.failed(self.house.monotonic())
            log.warning("the plan that was built is of no use; the next is built in %.0f s", wait_s)
        self._is_wanted = True

    def was_of_use(self) -> None:
        """The model runs with the plan."""
        self._built_in_vain = False
        self.restart.succeeded()
        self.house.alarms.clear(_ALARM)

    def facts(self) -> dict[str, Any]:
        """Return the state for status and metrics; seconds of the build under way and of the one before it."""
        return {"state": self.state, "builds": self.builds} | self._progress

    def may_start(self) -> bool:
        """Tell whether a builder may begin: only when a plan is wanted."""
        return self._is_wanted and super().may_start()

    def begin(self, child: ChildProcess) -> None:
        """Send the builder what to build."""
        self.state, self._progress = "building", {"elapsed_s": 0.0, "last_build_s": None}
        child.send({"kind": "begin", "test_analyzer": self.house.test_analyzer, **self._settings()})
        child.expect_within(BUILD_BUDGET_S, self.house.monotonic())

    def on_message(self, message: Message) -> None:
        """Take progress or the outcome."""
        facts = {name: value for name, value in message.header.items() if name != "kind"}
        if message.kind == "progress":
            self._progress = {name: facts.get(name) for name in ("elapsed_s", "last_build_s")}
        elif message.kind == "built":
            self._note("plan built", facts)
            log.info("the plan is built: %s", facts.get("file"))
            self.state, self._progress = "built", {}
            self.builds += 1
            self._is_wanted, self._built_in_vain = False, True
            self.end_child("its work is done", expected=True)
            self._on_built()
        else:
            self._note("plan failed", {"code": facts.get("code"), "text": facts.get("text")})
            self._fail(str(facts.get("text")))
            self.end_child(f"the plan cannot be built ({facts.get('code')})")

    def on_end(self, reason: str) -> None:
        """A builder that died or hung is begun again after a pause."""
        if self.state == "building" and not self.house.stopping:
            self._note("plan failed", {"code": "", "text": reason})
            self._fail(reason)

    def work(self) -> None:
        """Nothing to hand out: the builder has its one order."""

    def _fail(self, text: str) -> None:
        self.state, self._progress = "failed", {}
        self.house.alarms.raise_alarm(_ALARM, f"the plan cannot be built: {text}", self.house.monotonic())

    def _note(self, action: str, detail: dict[str, Any]) -> None:
        journal = self.house.books.journal
        with journal.change():
            journal.note(AuditEvent("daemon", action, "journal", detail=detail))
