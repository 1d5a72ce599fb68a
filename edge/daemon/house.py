"""What the supervisor's parts share while it runs: the books, the selector, the alarms and the clock."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.daemon.alarms import Alarms
from edge.daemon.books import Books
from edge.daemon.duplicates import duplicates_to_decide
from edge.daemon.durable import free_bytes, free_files
from edge.daemon.rationed import RationedCount
from edge.daemon.replaced import results_of_replaced_files

SPOOLED_MAX = 50
"""Slides in the spool that wait for the worker; beyond, the export folder itself is the queue."""
FREE_FILES_MIN = 300
"""A slide is some hundred files, and its spooled, archived and quarantined copies are more."""


@dataclass(slots=True)
class House:
    """Shared by every keeper. `monotonic()` gives seconds that only grow; all waiting is done on it.

    `is_blameless`: what ends us is a request or the disk; nothing that is under way is to blame for it.
    """

    books: Books
    monotonic: Callable[[], float]
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    alarms: Alarms = field(default_factory=Alarms)
    stopping: bool = False
    is_blameless: bool = False
    restarts: dict[str, int] = field(default_factory=dict)
    test_analyzer: str = ""
    fatal: Exception | None = None
    clock_doubt: str = ""
    full_drops: set[str] = field(default_factory=set)
    account: dict[str, Any] = field(default_factory=dict)
    duplicates_to_decide: RationedCount = field(default_factory=lambda: RationedCount(duplicates_to_decide))
    results_of_replaced_files: RationedCount = field(default_factory=lambda: RationedCount(results_of_replaced_files))

    def has_room(self) -> bool:
        """Tell whether the state folder's disk has room for another slide; raises the alarm when not."""
        floor = self.books.config.limits.min_free_bytes
        now_s = self.monotonic()
        try:
            free, files = free_bytes(self.books.folders.root), free_files(self.books.folders.root)
        except OSError as error:
            self.alarms.raise_alarm("state-disk", f"the state folder cannot be read: {error}", now_s)
            return False
        if files < FREE_FILES_MIN:
            text = f"fewer than {FREE_FILES_MIN} files can be made in the state folder: no new slide is taken"
            self.alarms.raise_alarm("state-disk", text, now_s, is_open=True)
            return False
        if free < floor:
            text = f"less than {floor} bytes are free in the state folder: no new slide is taken"
            self.alarms.raise_alarm("state-disk", text, now_s, is_open=True)
            return False
        if free < 2 * floor:
            text = f"the state folder fills: less than {2 * floor} bytes are free"
            self.alarms.raise_alarm("state-disk", text, now_s, is_open=True)
        else:
            self.alarms.clear("state-disk")
        return True

    def may_take(self) -> bool:
        """Tell whether another slide may be copied: there is room for it here and for its results in every drop."""
        return self.has_room() and not self.full_drops
