"""Whether the wall clock can be believed. It dates what is written down; only the removal of what is old rests on it.

A machine with an empty battery starts in 1970, a wrong time server sets it years ahead. Then nothing is removed by age,
results say that their times are in doubt, and an alarm stands until the clock is right or a person accepts it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from edge.audit import AuditEvent
from edge.daemon.books import Books, utc_text

CLOCK_DRIFT_MAX_S = 3600.0
GAP_MAX_S = 14 * 86_400.0
"""A machine that was off for longer is rare: more probably its clock was set ahead."""
PLAUSIBLE_FROM = datetime(2026, 1, 1, tzinfo=UTC)
"""No time before the first version of this software is right."""
UNSYNCHRONISED = "CLOCK-UNSYNCHRONISED"
UNSYNCHRONISED_TEXT = "the clock of this machine is in doubt, and so are the times of this result"


DATED = (
    ("slides", "changed_at"), ("slides", "seen_at"), ("slides", "unlisted_at"), ("deliveries", "changed_at"),
    ("deliveries", "made_at"),
)  # fmt: skip
"""Times from which an age is reckoned."""


class ClockGuard:
    """Compares the wall clock with the monotonic one and with the newest time in the journal."""

    def __init__(self, wall: datetime, monotonic_s: float, newest_row: str = "") -> None:
        self._wall = wall
        self._monotonic_s = monotonic_s
        # A journal that was begun before the clock was right says nothing about how long the machine was off.
        self._begun_after = newest_row if newest_row >= utc_text(PLAUSIBLE_FROM) else ""

    def doubt(self, wall: datetime, monotonic_s: float, newest_row: str) -> str:
        """Return why the wall clock cannot be believed; "" when it can. `newest_row`: the newest journal time."""
        if wall < PLAUSIBLE_FROM:
            return f"the clock stands in {wall.year}"
        drift_s = (wall - self._wall).total_seconds() - (monotonic_s - self._monotonic_s)
        if self._wall < PLAUSIBLE_FROM:
            self.accept(wall, monotonic_s)  # it was set right while we ran
        elif abs(drift_s) >= CLOCK_DRIFT_MAX_S:
            return f"the clock jumped by {drift_s:.0f} s"
        if newest_row and (wall - moment(newest_row)).total_seconds() < -CLOCK_DRIFT_MAX_S:
            return "the journal holds a time from the future"
        if self._begun_after and (self._wall - moment(self._begun_after)).total_seconds() > GAP_MAX_S:
            return "the newest time in the journal lay more than 14 days back at the start"
        return ""

    def accept(self, wall: datetime, monotonic_s: float) -> None:
        """Believe the wall clock as it stands now."""
        self._wall, self._monotonic_s, self._begun_after = wall, monotonic_s, ""


def moment(text: str) -> datetime:
    """Return a journal time as a moment; one that cannot be read counts as the first plausible one."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return PLAUSIBLE_FROM
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def newest_audit_time(books: Books) -> str:
    """Return the time of the newest audit row; "" in an empty journal."""
    row = books.journal.connection.execute("SELECT at FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return str(row[0]) if row else ""


def redate_rows(books: Books, *, by: str) -> int:
    """Give rows that were dated by a wrong clock the present time; return how many dates were changed.

    So that none expires early, and none seems to have waited for decades. The audit keeps what the clock said.
    """
    now, first = utc_text(books.wall()), utc_text(PLAUSIBLE_FROM)
    journal = books.journal
    with journal.change():
        changed = 0
        for table, column in DATED:
            changed += journal.connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE {column} < ? OR {column} > ?",  # noqa: S608 - our own words
                (now, first, now),
            ).rowcount
        if changed:
            journal.note(AuditEvent(by, "rows dated anew", "journal", detail={"rows": changed}))
    return changed
