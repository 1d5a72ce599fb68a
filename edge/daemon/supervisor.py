"""The supervisor: one process, one thread, one loop. It keeps the books and its children; it touches no share.

    run_daemon(config, environment)   until SIGTERM: 0, or the exit status of what made going on impossible

The loop never waits for anything but its selector. Whatever hangs or crashes is a child's, with a budget on the
monotonic clock; a clock that is set forward or back changes nothing but the times that are written down.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import selectors
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import edge
from edge.audit import AuditEvent
from edge.config import Config, config_digest
from edge.daemon.analysis import AnalysisKeeper
from edge.daemon.books import Books, opened_books
from edge.daemon.clock_guard import ClockGuard, newest_audit_time
from edge.daemon.control import ControlServer
from edge.daemon.hardening import refuse_executable_memory
from edge.daemon.health import status_line, take_snapshot, write_metrics
from edge.daemon.house import House
from edge.daemon.keeper import Keeper
from edge.daemon.missed import plan_missed_results
from edge.daemon.outbox import OutputKeeper
from edge.daemon.reconciliation import FIRST_AFTER_S, RECONCILE_EVERY_S, is_whole, note_account, reconcile
from edge.daemon.recovery import recover_state
from edge.daemon.requests import answer_request, text_of
from edge.daemon.retention import Purged, purge_old_copies
from edge.daemon.sources import SourceKeeper
from edge.daemon.systemd import Notifier
from edge.daemon.trouble import is_of_the_configuration
from edge.daemon.waiting import raise_alarms_for_people
from edge.delivery.owner import machine_id
from edge.errors import EdgeError
from edge.journal import is_transient

log = logging.getLogger("mds_edge.daemon")
TURN_S = 0.5
METRICS_EVERY_S = 5.0
PURGE_EVERY_S = 600.0
PURGE_AGAIN_S = 1.0
"""While there is more to remove: the loop and the watchdog have their turn between two bites."""
PURGE_FOR_S = 5.0
READY_AT_LATEST_S = 20.0
DRAIN_S = 2.0
STOP_S = 8.0
JOURNAL_PAUSE_S = 5.0


class Supervisor:
    """The running daemon over open books."""

    def __init__(
        self,
        books: Books,
        environment: Mapping[str, str],
        *,
        test_analyzer: str = "",
        reload: Callable[[], Config] | None = None,
        was_ready: bool = False,
    ) -> None:
        self.next_config: Config | None = None
        self._reload = reload
        self.house = House(books, time.monotonic, test_analyzer=test_analyzer)
        config = books.config
        self.notifier = Notifier(environment)
        self.analysis = AnalysisKeeper(self.house, was_ready=was_ready)
        self.sources = [SourceKeeper(self.house, source) for source in config.sources]
        self.outputs = [OutputKeeper(self.house, output, index) for index, output in enumerate(config.outputs)]
        for keeper in self.sources:
            keeper.is_working_on = lambda slide_id: self.analysis.in_work == slide_id
        self.keepers: list[Keeper] = [*self.outputs, self.analysis, self.analysis.plans, *self.sources]
        self.control = ControlServer(config.health.socket, self.house.selector, self._answer)
        self._guard = ClockGuard(books.wall(), self.house.monotonic(), books.newest_at_start)
        self._started_s = self.house.monotonic()
        self._next_account_s = self._started_s + FIRST_AFTER_S
        self._is_ready = False
        self._was_heard = True
        self._next_metrics_s = 0.0
        self._next_purge_s = self._started_s + PURGE_EVERY_S

    def run(self) -> None:
        """Turn until told to stop; raises EdgeError when going on is impossible, sqlite3.Error of the journal."""
        with signals_as_bytes() as wakeup:
            self.house.selector.register(wakeup, selectors.EVENT_READ, lambda: self._on_signal(wakeup))
            try:
                while not self.house.stopping:
                    self.turn(TURN_S)
                if self.next_config is None:
                    self.notifier.stopping()
                self._drain()
            except (sqlite3.OperationalError, OSError):
                self.house.is_blameless = True
                raise
            finally:
                # Whatever fails on the way, all of it is done: what begins anew must meet nothing of this life.
                with contextlib.ExitStack() as closing:
                    closing.callback(self.house.selector.close)
                    closing.callback(self.house.selector.unregister, wakeup)
                    closing.callback(self.control.close)
                    self._stop_children()
        if self.house.fatal is not None:
            raise self.house.fatal

    def turn(self, wait_s: float) -> None:
        """One turn of the loop: hear, look after every child, tell how it is."""
        if self._was_heard:  # what one keeper made of it may be work for another; after silence there is none
            for keeper in self.keepers:
                keeper.turn()
        heard = self.house.selector.select(wait_s)
        self._was_heard = bool(heard)
        for key, _ in heard:
            key.data()
        for keeper in self.keepers:
            keeper.turn()
        now_s = self.house.monotonic()
        self._announce(now_s)
        self._tell(now_s)
        self._purge(now_s)
        self._account(now_s)
        # Every child is within its budget here, or was ended just now: that is what the watchdog stands for.
        self.notifier.feed_watchdog(now_s)
        if self.house.fatal is not None:
            self.house.stopping = True

    def _announce(self, now_s: float) -> None:
        if self._is_ready:
            return
        settled = all(output.is_settled for output in self.outputs)
        if settled or now_s - self._started_s > READY_AT_LATEST_S:
            self._is_ready = True
            self.notifier.ready("started")
            log.info("ready")

    def snapshot(self) -> dict[str, Any]:
        """Return how the daemon is."""
        raise_alarms_for_people(self.house)
        self.analysis.notices.look()
        return {"ready": self._is_ready} | take_snapshot(self.house, self.sources, self.analysis, self.outputs)

    def _tell(self, now_s: float) -> None:
        if now_s < self._next_metrics_s:
            return
        self._next_metrics_s = now_s + METRICS_EVERY_S
        self._watch_clock(now_s)
        snapshot = self.snapshot()
        if self._is_ready:
            self.notifier.status(status_line(snapshot))
        try:
            write_metrics(self.house.books.config.health.metrics_file, snapshot)
            self.house.alarms.clear("metrics")
        except OSError as error:
            self.house.alarms.raise_alarm("metrics", f"the metrics file cannot be written: {error}", now_s)

    def _purge(self, now_s: float) -> None:
        if now_s < self._next_purge_s:
            return
        self._next_purge_s = now_s + PURGE_EVERY_S
        self._watch_clock(now_s)
        if not self.house.clock_doubt and purge_old_copies(self.house.books):
            self._next_purge_s = now_s + min(PURGE_EVERY_S, PURGE_AGAIN_S)

    def _purge_at_request(self, request: Mapping[str, Any], uid: int) -> dict[str, Any]:
        """Give back what is old enough, in the reply's few seconds as much as can be, the rest in the turns after it.

        Raises EdgeError MDSE-DAEMON-012 while the clock is in doubt.
        """
        by, reason = f"uid:{uid} {text_of(request, 'by')}", text_of(request, "reason")
        self._watch_clock(self.house.monotonic())
        if self.house.clock_doubt:
            raise EdgeError("MDSE-DAEMON-012", reason=f"{self.house.clock_doubt}: nothing is removed by age")
        books = self.house.books
        with books.journal.change():
            books.journal.note(AuditEvent(by, "asked to purge", "journal", detail={"reason": reason}))
        end_s, purged = self.house.monotonic() + PURGE_FOR_S, Purged()
        while (turn := purge_old_copies(books)) and self.house.monotonic() < end_s:
            purged += turn
        purged += turn
        if turn:
            self._next_purge_s = 0.0
        return {"ok": True, "more": bool(turn), **dataclasses.asdict(purged)}

    def _watch_clock(self, now_s: float) -> None:
        """See whether the wall clock can be believed; while it cannot, results say so and nothing is removed by age."""
        books = self.house.books
        doubt = self._guard.doubt(books.wall(), now_s, newest_audit_time(books))
        self.house.clock_doubt = doubt
        if doubt:
            self.house.alarms.raise_alarm("clock", f"{doubt}: nothing is removed by age", now_s, is_open=True)
        else:
            self.house.alarms.clear("clock")

    def _account(self, now_s: float) -> None:
        """Once a day (the machine's, not the calendar's) prove that every slide is accounted for."""
        if now_s < self._next_account_s:
            return
        self._next_account_s = now_s + RECONCILE_EVERY_S
        account = reconcile(self.house.books)
        self.house.account = account
        note_account(self.house.books, account)
        if is_whole(account):
            self.house.alarms.clear("account")
        else:
            closed = len(account["closed_without_result"])
            text = f"{account['difference']} slides are unaccounted for, {closed} closed without a result"
            self.house.alarms.raise_alarm("account", f"{text}: edge-journal reconcile", now_s, is_open=True)

    def _answer(self, request: Mapping[str, Any], uid: int) -> dict[str, Any]:
        if request.get("command") == "status":
            return {"ok": True} | self.snapshot()
        if request.get("command") == "purge":
            return self._purge_at_request(request, uid)
        reply = answer_request(self.house.books, request, uid=uid)
        if request.get("command") == "accept-clock" and reply.get("ok"):
            self._guard.accept(self.house.books.wall(), self.house.monotonic())
        if request.get("command") == "adopt" and reply.get("ok"):
            for keeper in self.sources:
                keeper.end_child("its slides were adopted", expected=True)
            for output in self.outputs:
                output.look_again()
        if isinstance(reply.get("slide"), int):
            row = self.house.books.journal.slides.get(reply["slide"])
            for keeper in self.sources:
                if keeper.source.id == row.source:
                    keeper.tell(row)
        return reply

    def _on_signal(self, wakeup: socket.socket) -> None:
        for number in wakeup.recv(64):
            if number in (signal.SIGTERM, signal.SIGINT):
                log.info("stopping at signal %s", signal.Signals(number).name)
                self.next_config, self.house.stopping = None, True
                self.house.is_blameless = True
            elif number == signal.SIGHUP and self._reload is not None and not self.house.stopping:
                self._begin_reload(self._reload)

    def _begin_reload(self, reload: Callable[[], Config]) -> None:
        """Read the configuration anew: a sound one takes effect with fresh children, a faulty one changes nothing."""
        journal, present = self.house.books.journal, config_digest(self.house.books.config)
        try:
            config = reload()
        except EdgeError as error:
            self.house.alarms.raise_alarm("config", f"the old configuration stays: {error}", self.house.monotonic())
            with journal.change():
                detail = {"code": error.code}
                journal.note(AuditEvent("daemon", "configuration refused", "journal", present, present, detail))
            return
        self.house.alarms.clear("config")
        if config_digest(config) == present:
            log.info("the configuration is as it was")
            return
        with journal.change():
            journal.note(AuditEvent("daemon", "configuration read anew", "journal", present, config_digest(config)))
        self.notifier.reloading()
        self.next_config, self.house.stopping = config, True
        self.house.is_blameless = True

    def _drain(self) -> None:
        """Give a delivery that is under way a moment to end; nothing new is begun."""
        deadline_s = self.house.monotonic() + DRAIN_S
        while any(output.is_busy for output in self.outputs) and self.house.monotonic() < deadline_s:
            self.turn(0.05)

    def _stop_children(self) -> None:
        """End every child: asked first, killed then, waited for within a limit; also where the journal fails."""
        self.house.stopping = True
        with contextlib.ExitStack() as ending:
            ending.callback(self._wait_for_children)
            for keeper in reversed(self.keepers):
                ending.callback(keeper.end_child, "the daemon stops")

    def _wait_for_children(self) -> None:
        deadline_s = self.house.monotonic() + STOP_S
        while not all(keeper.is_quiet for keeper in self.keepers) and self.house.monotonic() < deadline_s:
            time.sleep(0.01)
            for keeper in self.keepers:
                keeper.turn()


class signals_as_bytes:  # noqa: N801 - reads as the statement it is used in
    """Turns signals into bytes on a socket, so that the selector wakes and no handler interrupts a transaction."""

    HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

    def __enter__(self) -> socket.socket:
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in self.HANDLED}
        self._wakeup = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        return self._reading

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reading.close()
        self._writing.close()


def run_daemon(
    config: Config,
    environment: Mapping[str, str] = os.environ,
    *,
    test_analyzer: str = "",
    reload: Callable[[], Config] | None = None,
) -> None:
    """Run until SIGTERM or SIGINT; raises EdgeError for what a person has to put right.

    `reload()` reads and checks the configuration anew at SIGHUP; what it raises leaves the present one in force.

    A journal whose disk is full or fails is closed and opened again: every step is written so that beginning anew
    from the journal is always right.
    """
    refuse_executable_memory()
    notifier, was_ready = Notifier(environment), False
    while True:
        try:
            with opened_books(config, on_progress=lambda: notifier.extend_start(time.monotonic())) as books:
                start_books(books, config)
                supervisor = Supervisor(
                    books, environment, test_analyzer=test_analyzer, reload=reload, was_ready=was_ready
                )
                try:
                    supervisor.run()
                finally:
                    was_ready = supervisor.analysis.was_ready
                if supervisor.next_config is None:
                    with books.journal.change():
                        books.journal.note(AuditEvent("daemon", "daemon stopped", "journal"))
                    return
                config = supervisor.next_config
            continue
        except (sqlite3.OperationalError, OSError) as error:
            if isinstance(error, sqlite3.OperationalError) and not is_transient(error):
                raise
            log.error("the journal or its disk fails, everything is begun anew in %.0f s: %s", JOURNAL_PAUSE_S, error)
        wait_for_disk(environment)


def start_books(books: Books, config: Config) -> None:
    """Record the start with version and configuration, and bring the state folder in order."""
    detail = {
        "software": edge.__version__, "config": config_digest(config), "pid": os.getpid(), "boot": boot_id(),
        "machine": machine_id(),
    }  # fmt: skip
    with books.journal.change():
        books.journal.note(AuditEvent("daemon", "daemon started", "journal", detail=detail))
    recover_state(books)
    plan_missed_results(books)


def boot_id() -> str:
    """Return the kernel's identity of this boot: monotonic times of two boots must never be compared."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def wait_for_disk(environment: Mapping[str, str]) -> None:
    """Pause before the next try; a stop signal ends the process as usual, the watchdog stays fed."""
    notifier = Notifier(environment)
    end_s = time.monotonic() + JOURNAL_PAUSE_S
    while time.monotonic() < end_s:
        notifier.feed_watchdog(time.monotonic())
        time.sleep(0.25)


def check_bundle_use(config: Config) -> None:
    """Refuse a demonstration bundle for an output unless the site allows it.

    Raises EdgeError MDSE-DAEMON-002, -003, and -019 when reading fails in a way that can pass.
    Reads the manifest before anything is verified, to refuse early; the worker says it again of the verified bundle.
    """
    import json

    path = config.bundle.path / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        intended_use = manifest["intended_use"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and not is_of_the_configuration(error):
            raise EdgeError("MDSE-DAEMON-019", where=str(path), reason=error.strerror or str(error)) from error
        raise EdgeError("MDSE-DAEMON-002", where=str(path), reason=f"{type(error).__name__}: {error}") from error
    if intended_use == "demo" and config.outputs and not config.bundle.allow_demo:
        raise EdgeError("MDSE-DAEMON-003", where=str(config.bundle.path))
