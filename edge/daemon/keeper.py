"""Keeping one child: started, watched, ended when it dies or hangs, replaced with growing pauses."""

from __future__ import annotations

import logging
import selectors
import sqlite3
from typing import ClassVar

from edge.daemon.backoff import Backoff
from edge.daemon.channel import Message
from edge.daemon.child_process import ChildProcess
from edge.daemon.house import House
from edge.errors import EdgeError

log = logging.getLogger("mds_edge.daemon")
RESTART_FIRST_S = 0.5
NONSENSE_OVER_S = 600.0
"""So long nothing of the kind was heard again: the alarm is over."""
HEAR_S = 1.0
"""A child that talks without end is interrupted after this time: the others and the watchdog have their turn."""


class Keeper:
    """Base of the keepers of scanners, worker and deliverers. `turn` is called by the supervisor's loop."""

    module: ClassVar[str]

    def __init__(self, house: House, name: str) -> None:
        self.house = house
        self.name = name
        self.child: ChildProcess | None = None
        self.restart = Backoff(RESTART_FIRST_S)
        self._ending: list[ChildProcess] = []
        self._nonsense_s: float | None = None

    # What a keeper of a certain child adds.

    def begin(self, child: ChildProcess) -> None:
        """Send a fresh child its settings."""
        raise NotImplementedError

    def on_message(self, message: Message) -> None:
        """Take a message of the child."""
        raise NotImplementedError

    def on_end(self, reason: str) -> None:
        """Put the keeper's own state right after the child is gone."""
        raise NotImplementedError

    def work(self) -> None:
        """Give the child its next order, if there is one."""
        raise NotImplementedError

    # The life of the child.

    def turn(self) -> None:
        """One turn of the loop: bury, replace, time and employ the child. Never waits."""
        now_s = self.house.monotonic()
        self._bury(now_s)
        if self._nonsense_s is not None and now_s - self._nonsense_s > NONSENSE_OVER_S:
            self._nonsense_s = None
            self.house.alarms.clear(f"{self.name}-nonsense")
        child = self.child
        if child is not None and child.is_overdue(now_s):
            self.end_child("it was silent beyond its budget")
        if self.child is None and not self.house.stopping and self.restart.is_ready(now_s) and self.may_start():
            self._start()
        if self.child is not None and self.child.has_unheard:
            self.on_ready()
        if self.child is not None:
            self.work()
            self._listen()

    def may_start(self) -> bool:
        """Tell whether a new child may begin: not beside an old one that even SIGKILL did not end."""
        return not self._ending

    @property
    def abandoned(self) -> int:
        """How many earlier children are still there although they were killed (a hung share keeps them)."""
        return sum(child.state == "abandoned" for child in self._ending)

    def _start(self) -> None:
        child = ChildProcess(self.name, self.module)
        self.child = child
        self.house.selector.register(child.socket, selectors.EVENT_READ, self.on_ready)
        log.info("%s started as process %d", self.name, child.pid)
        self.begin(child)

    def _listen(self) -> None:
        child = self.child
        if child is not None:
            child.flush()
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.wants_to_write else 0)
            self.house.selector.modify(child.socket, events, self.on_ready)

    def on_ready(self) -> None:
        """Take what the child sent (called by the selector)."""
        child = self.child
        if child is None:
            return
        end_s = self.house.monotonic() + HEAR_S
        try:
            for message in child.receive():
                self.on_message(message)
                if self.child is not child or self.house.monotonic() > end_s:
                    return
        except EOFError:
            self.end_child("it ended")
        except (sqlite3.Error, OSError):
            raise  # the books' own trouble: everything is begun anew
        except Exception as error:  # a child may send anything: it is the child that ends
            text = str(error) if isinstance(error, EdgeError) else f"{type(error).__name__}: {error}"
            log.exception("%s sent what cannot be booked", self.name)
            self._nonsense_s = self.house.monotonic()
            self.house.alarms.raise_alarm(f"{self.name}-nonsense", text, self._nonsense_s)
            self.end_child("its message cannot be booked")

    def end_child(self, reason: str, *, expected: bool = False) -> None:
        """End the child, whatever its state, and plan its successor: after a pause, unless its end was `expected`."""
        child = self.child
        if child is None:
            return
        now_s = self.house.monotonic()
        self.house.selector.unregister(child.socket)
        child.stop(now_s)
        self._ending.append(child)
        self.child = None
        if expected:
            log.info("%s (process %d) is ended: %s", self.name, child.pid, reason)
        elif not self.house.stopping:
            self.house.restarts[self.name] = self.house.restarts.get(self.name, 0) + 1
            wait_s = self.restart.failed(now_s)
            log.warning("%s (process %d) is replaced in %.1f s: %s", self.name, child.pid, wait_s, reason)
        self.on_end(reason)

    def _bury(self, now_s: float) -> None:
        for child in list(self._ending):
            child.advance(now_s)
            if child.state == "gone":
                log.info("%s (process %d) ended with %s", self.name, child.pid, child.how_it_ended())
                child.close()
                self._ending.remove(child)
        name = f"{self.name}-stuck"
        if self.abandoned:
            self.house.alarms.raise_alarm(name, f"{self.abandoned} process(es) cannot be ended", now_s, is_open=True)
        else:
            self.house.alarms.clear(name)

    @property
    def is_quiet(self) -> bool:
        """Tell whether no process of this keeper is left, or only abandoned ones."""
        return self.child is None and all(child.state == "abandoned" for child in self._ending)
