"""The books: configuration, journal and state folder in one hand, under the lock of the state folder.

The supervisor keeps them while it runs; a command takes them itself when no daemon runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from edge.config import Config, OutputSection
from edge.daemon.lock import lock_state
from edge.daemon.state_folders import StateFolders
from edge.errors import EdgeError
from edge.journal import Journal, open_journal


@dataclass(frozen=True, slots=True)
class Books:
    """Everything a decision about a slide needs. `wall()` is the present moment, aware of its zone."""

    config: Config
    journal: Journal
    folders: StateFolders
    wall: Callable[[], datetime]
    newest_at_start: str = ""

    def site_time(self) -> str:
        """Return the present moment in the site's zone with its offset, ISO 8601, to the second."""
        return self.wall().astimezone(ZoneInfo(self.config.site.timezone)).isoformat(timespec="seconds")

    def outputs(self) -> dict[str, OutputSection]:
        """Return the configured outputs by their name in the journal."""
        return {output_name(output): output for output in self.config.outputs}


def output_name(output: OutputSection) -> str:
    """Return the name of an output in the journal: format and place."""
    return f"{output.format}:{output.path}"


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def utc_text(moment: datetime) -> str:
    """Return a moment as the journal writes it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextlib.contextmanager
def opened_books(
    config: Config, wall: Callable[[], datetime] = utc_now, *, on_progress: Callable[[], None] = lambda: None
) -> Iterator[Books]:
    """Take the lock, open the journal, and give both back at the end. `on_progress` as `open_journal` has it.

    Raises EdgeError MDSE-DAEMON-001 (another process holds them), -014 (no state folder), -020 (not the owner's),
    MDSE-JOURNAL-*.
    """
    folders = StateFolders(config.site.state_dir)
    folders.require_ours()
    try:
        folders.make()
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise EdgeError("MDSE-DAEMON-014", where=str(folders.root), reason=error.strerror or str(error)) from error
    lock = lock_state(folders.root)
    try:
        journal = open_journal(folders.journal, now=lambda: utc_text(wall()), on_progress=on_progress)
        try:
            newest = journal.connection.execute("SELECT at FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            yield Books(config, journal, folders, wall, str(newest[0]) if newest else "")
        finally:
            journal.close()
    finally:
        lock.release()
