"""Parts of the product made wrong on purpose, for controls alone (tests/fault/patched_daemon.py). Nothing here ships.

Each function breaks one part in the process that calls it; a part that this process does not load stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def journal_ignores_full_disk() -> None:
    """A transaction that the disk refused counts as done."""
    from edge.journal import Journal

    proper = Journal.change

    @contextlib.contextmanager
    def change(self: Journal) -> Iterator[None]:
        outermost = not self._depth
        try:
            with proper(self):
                yield
        except sqlite3.OperationalError:
            if not outermost:
                raise

    Journal.change = change  # type: ignore[method-assign]  # wrong on purpose


def publisher_ignores_full_disk() -> None:
    """Result files get their final name whatever the disk took of their bytes."""
    from edge.daemon import deliver

    def stage(drop: Any, staged_name: str, content: bytes) -> None:
        with contextlib.suppress(OSError), (drop.staging / staged_name).open("wb", buffering=0) as file:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) or 0 :]

    def publish(drop: Any, staged_name: str, final_name: str, *_: Any) -> None:
        with contextlib.suppress(OSError):
            (drop.staging / staged_name).rename(drop.folder / final_name)

    deliver.stage_file, deliver.publish_file = stage, publish


def empty_source_means_vanished() -> None:
    """An empty mount point is believed: every folder that is not listed has been deleted."""
    from edge.daemon.scanner import Scanner

    proper = Scanner._report_away

    def report_away(self: Scanner, reason: str) -> None:
        if "known slide folders" in reason:
            self._forget_gone(set())
        else:
            proper(self, reason)

    Scanner._report_away = report_away  # type: ignore[method-assign]  # wrong on purpose


def supervisor_looks_at_the_share() -> None:
    """The loop itself asks the share for its size at every turn."""
    from edge.daemon.supervisor import Supervisor

    proper = Supervisor.turn

    def turn(self: Supervisor, wait_s: float) -> None:
        for keeper in self.sources:
            with contextlib.suppress(OSError):
                os.listdir(keeper.source.path)  # noqa: PTH208
        proper(self, wait_s)

    Supervisor.turn = turn  # type: ignore[method-assign]  # wrong on purpose


def wall_clock_for_budgets() -> None:
    """The supervisor measures how long a child is silent on the wall clock."""
    from edge.daemon import supervisor

    proper = supervisor.House
    supervisor.House = lambda books, _monotonic, **more: proper(books, time.time, **more)  # type: ignore[assignment,misc]  # wrong on purpose


def wall_clock_for_quiet_time() -> None:
    """The scanner measures the quiet time of a folder on the wall clock."""
    from edge.daemon import scanner

    class WallClock:
        monotonic = staticmethod(time.time)

    scanner.time = WallClock  # type: ignore[assignment]  # wrong on purpose


def budgets_are_not_kept() -> None:
    """Nobody looks whether a child is silent beyond its budget."""
    from edge.daemon.child_process import ChildProcess

    ChildProcess.is_overdue = lambda _self, _now_s: False  # type: ignore[method-assign]  # wrong on purpose


def children_are_joined_without_limit() -> None:
    """A child is asked to end and waited for, however long that takes."""
    from edge.daemon.child_process import ChildProcess

    proper = ChildProcess.stop

    def stop(self: ChildProcess, now_s: float) -> None:
        proper(self, now_s)
        self._process.wait()

    ChildProcess.stop = stop  # type: ignore[method-assign]  # wrong on purpose


def scanner_has_little_time() -> None:
    """Not wrong in itself: a scanner may be silent for 3 s, so that a test need not wait for a minute."""
    from edge.daemon import sources

    sources.SILENT_BUDGET_S = 3.0


def pauses_do_not_grow() -> None:
    """Not wrong in itself: every pause is at most 1 s, so that a test need not wait for 1, 2, 4 and 8 s."""
    from edge.daemon.backoff import Backoff

    proper = Backoff.failed

    def failed(self: Backoff, now_s: float, *, at_most_s: float | None = None) -> float:
        return proper(self, now_s, at_most_s=1.0 if at_most_s is None else min(at_most_s, 1.0))

    Backoff.failed = failed  # type: ignore[method-assign]  # a stand-in


def journal_check_takes_long() -> None:
    """Not wrong in itself: the check of the journal at start works for 12 s, as that of a very large one does."""
    from edge import journal

    proper = journal.fold_log
    work = "WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM c WHERE n < 200000) SELECT count(*) FROM c"

    def fold_log(connection: sqlite3.Connection) -> None:
        end_s = time.monotonic() + 12.0
        while time.monotonic() < end_s:
            connection.execute(work).fetchone()
        proper(connection)

    journal.fold_log = fold_log


def long_check_asks_for_no_time() -> None:
    """The long check of above, of which systemd hears nothing."""
    from edge.daemon.systemd import Notifier

    journal_check_takes_long()
    Notifier.extend_start = lambda *_, **__: None  # type: ignore[assignment,method-assign]  # wrong on purpose


HANG_MARK = "hang-now"
"""The supervisor of the two below hangs for ever when a file of this name lies beside the control socket."""


def supervisor_hangs_on_demand() -> None:
    """Not wrong in itself: how a test makes the real loop stop turning."""
    from edge.daemon.supervisor import Supervisor

    proper = Supervisor.turn

    def turn(self: Supervisor, wait_s: float) -> None:
        mark = Path(self.house.books.config.health.socket).with_name(HANG_MARK)
        if mark.exists():
            mark.unlink()
            while True:
                time.sleep(3600)
        proper(self, wait_s)

    Supervisor.turn = turn  # type: ignore[method-assign]  # wrong on purpose


def watchdog_fed_by_a_thread() -> None:
    """The hanging supervisor of above, whose watchdog a thread feeds that knows nothing of the loop."""
    from edge.daemon.supervisor import Supervisor
    from edge.daemon.systemd import Notifier

    supervisor_hangs_on_demand()
    proper = Supervisor.run

    def run(self: Supervisor) -> None:
        def feed() -> None:
            while True:
                Notifier._send(self.notifier, "WATCHDOG=1")
                time.sleep(0.5)

        threading.Thread(target=feed, daemon=True).start()
        proper(self)

    Supervisor.run = run  # type: ignore[method-assign]  # wrong on purpose


def worker_opens_a_network_socket() -> None:
    """Something in the worker asks the network, as a library's telemetry would."""
    import socket

    from edge.daemon import worker

    proper = worker.open_analyzer

    def open_analyzer(settings: Any) -> Any:
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect(("127.0.0.1", 9))
        return proper(settings)

    worker.open_analyzer = open_analyzer
