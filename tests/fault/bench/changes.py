"""What a bench changes in the product, in its own test process alone: pauses made short, and products made wrong.

A control is a product that is wrong on purpose: the bench must find it out. `apply` is called in the supervisor's and
in every child's process before it begins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from edge.daemon import analysis, backoff, deliver, outbox, retention, scanner, settle, sources, spool, supervisor
from edge.daemon.books import Books
from edge.errors import EdgeError
from edge.journal import Journal

ENVIRONMENT = "MDS_EDGE_FAULT_BENCH"
PURGE_NOW = "purge-now"
PAUSE_FACTOR = 0.05
LONGEST_PAUSE_S = 1.0
SLOW_PUBLISH_S = 0.5
"""Longer than a bench takes to see that the journal has closed the slide."""


def shorten_pauses(root: Path) -> None:
    """Wait less between tries, and purge whenever the file `purge-now` lies in the root, as if 400 days had passed."""
    failed = backoff.Backoff.failed

    def failed_soon(self: Any, now_s: float, *, at_most_s: float | None = None) -> float:
        wait_s = min(failed(self, now_s, at_most_s=at_most_s) * PAUSE_FACTOR, LONGEST_PAUSE_S)
        self._ready_at_s = now_s + wait_s
        return wait_s

    def purge(books: Books) -> retention.Purged:
        if not (root / PURGE_NOW).exists():
            return retention.Purged()
        return retention.purge_old_copies(dataclasses.replace(books, wall=lambda: books.wall() + timedelta(days=400)))

    backoff.Backoff.failed = failed_soon  # type: ignore[method-assign]  # a stand-in
    supervisor.JOURNAL_PAUSE_S = 0.1
    supervisor.PURGE_EVERY_S = 0.1
    supervisor.TURN_S = 0.05
    supervisor.purge_old_copies = purge  # type: ignore[attr-defined]  # a stand-in
    scanner.RECHECK_PASSES = 5
    settle.SettleWatch._needed_quiet_s = lambda self, look: 0.2  # type: ignore[method-assign]  # a stand-in


def publish_then_journal(root: Path) -> None:
    """Wrong: the file is published before the journal knows its name in the staging folder."""

    def on_message(self: Any, message: Any) -> None:
        order = self._in_flight
        if message.kind == "staged" and order is not None:
            row = self.house.books.journal.results.delivery(order["id"])
            self._in_flight = None
            self._publish(dataclasses.replace(row, staged_name=order["staged_name"]))
            self._in_flight["staged_name"] = order["staged_name"]
            return
        if message.kind == "published" and order is not None:
            results = self.house.books.journal.results
            results.move_delivery(order["id"], "STAGED", staged_name=order["staged_name"])
        whole(self, message)

    whole = outbox.OutputKeeper.on_message
    outbox.OutputKeeper.on_message = on_message  # type: ignore[method-assign]  # a stand-in


def journal_then_publish(root: Path) -> None:
    """Wrong: the journal says SENT before the file is published, which takes a while, as on a busy machine."""
    publish, mark_sent = outbox.OutputKeeper._publish, outbox.OutputKeeper._mark_sent
    whole = deliver.publish_file

    def publish_slowly(*arguments: Any) -> None:
        time.sleep(SLOW_PUBLISH_S)
        whole(*arguments)

    def publish_late(self: Any, row: Any) -> None:
        mark_sent(self, row.id)
        publish(self, row)

    def mark_once(self: Any, delivery_id: int, text: str = "") -> None:
        if self.house.books.journal.results.delivery(delivery_id).state == "STAGED":
            mark_sent(self, delivery_id, text)

    deliver.publish_file = publish_slowly  # type: ignore[attr-defined]  # a stand-in
    outbox.OutputKeeper._publish = publish_late  # type: ignore[method-assign]  # a stand-in
    outbox.OutputKeeper._mark_sent = mark_once  # type: ignore[method-assign]  # a stand-in


def clean_before_recovery(root: Path) -> None:
    """Wrong: the staging folder is cleaned before it is known what was staged there."""
    recover = deliver.Deliverer._recover

    def clean_first(self: Any, drop: Any, order: dict[str, Any]) -> dict[str, object]:
        deliver.sweep_staging(drop, [])
        return recover(self, drop, order)

    deliver.Deliverer._recover = clean_first  # type: ignore[method-assign]  # a stand-in


def scanner_order_kept(root: Path) -> None:
    """Wrong: what was ordered from a scanner that died is waited for for ever."""
    sources.SourceKeeper.on_end = lambda self, reason: None  # type: ignore[method-assign]  # a stand-in


def worker_order_kept(root: Path) -> None:
    """Wrong: the slide that a worker had when it died is waited for for ever."""
    analysis.AnalysisKeeper.on_end = lambda self, reason: None  # type: ignore[method-assign]  # a stand-in


def recovery_clears_spool(root: Path) -> None:
    """Wrong: the start throws away the copies of slides that wait for the worker."""
    recover = supervisor.recover_state

    def clear_first(books: Books) -> None:
        for folder in books.folders.spool.iterdir():
            if folder != books.folders.incoming:
                shutil.rmtree(folder)
        recover(books)

    supervisor.recover_state = clear_first


def commit_errors_swallowed(root: Path) -> None:
    """Wrong: a transaction that the disk refused counts as done."""
    whole = Journal.change

    @contextlib.contextmanager
    def change(self: Journal) -> Iterator[None]:
        with contextlib.suppress(sqlite3.OperationalError), whole(self):
            yield

    Journal.change = change  # type: ignore[method-assign]  # a stand-in


def publish_errors_swallowed(root: Path) -> None:
    """Wrong: a file that could not be published counts as published."""
    whole = deliver.publish_file

    def publish(*arguments: Any) -> None:
        with contextlib.suppress(EdgeError):
            whole(*arguments)

    deliver.publish_file = publish  # type: ignore[attr-defined]  # a stand-in


def copy_errors_swallowed(root: Path) -> None:
    """Wrong: an image that could not be copied counts as copied."""
    whole = spool.write_synced

    def write(path: Path, content: bytes) -> None:
        with contextlib.suppress(OSError):
            whole(path, content)

    spool.write_synced = write


def nothing_synced(root: Path) -> None:
    """Wrong: nothing is ever synced, neither files nor folders (the journal's own syncs stay)."""
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # a stand-in


def no_folder_sync(root: Path) -> None:
    """Wrong: names are never synced, only files."""
    import stat

    whole = os.fsync

    def sync_files(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if not stat.S_ISDIR(os.fstat(number).st_mode):
            whole(number)

    os.fsync = sync_files  # type: ignore[assignment]  # a stand-in


def no_file_sync(root: Path) -> None:
    """Wrong: files are never synced, only their folders."""
    import stat

    whole = os.fsync

    def sync_folders(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if stat.S_ISDIR(os.fstat(number).st_mode):
            whole(number)

    os.fsync = sync_folders  # type: ignore[assignment]  # a stand-in


def journal_synced_normal(root: Path) -> None:
    """Wrong: the journal's commits are not synced one by one (WAL with NORMAL)."""
    from edge import journal

    def prepare(connection: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    journal.prepare_connection = prepare


CHANGES: dict[str, Callable[[Path], None]] = {
    change.__name__: change
    for change in (
        shorten_pauses, publish_then_journal, journal_then_publish, clean_before_recovery,
        scanner_order_kept, worker_order_kept, recovery_clears_spool, commit_errors_swallowed,
        publish_errors_swallowed, copy_errors_swallowed, nothing_synced, no_folder_sync, no_file_sync,
        journal_synced_normal,
    )
}  # fmt: skip


def apply(names: list[str], root: Path) -> None:
    """Make the changes in this process."""
    for name in names:
        CHANGES[name](root)
