"""Giving space back: the spooled images of finished slides, and the kept bytes of finished deliveries. Records stay.

The age is taken from the wall clock, the one clock that survives a restart; when it jumped, nothing is removed.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

from edge.audit import AuditEvent
from edge.daemon.books import Books, utc_text
from edge.daemon.recovery import remove_unnamed_copies

SLIDES_PER_TURN = 20
CLOCK_DRIFT_MAX_S = 3600.0


class ClockGuard:
    """Notices a wall clock that jumped, by comparing it with the monotonic one and with the newest audit row."""

    def __init__(self, wall: datetime, monotonic_s: float) -> None:
        self._wall = wall
        self._monotonic_s = monotonic_s

    def is_sound(self, wall: datetime, monotonic_s: float, newest_row: str) -> bool:
        """Tell whether both clocks went on alike since the start and the journal holds no row from the future."""
        drift_s = (wall - self._wall).total_seconds() - (monotonic_s - self._monotonic_s)
        return abs(drift_s) < CLOCK_DRIFT_MAX_S and utc_text(wall + timedelta(seconds=CLOCK_DRIFT_MAX_S)) >= newest_row


def newest_audit_time(books: Books) -> str:
    """Return the time of the newest audit row; "" in an empty journal."""
    row = books.journal.connection.execute("SELECT at FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return str(row[0]) if row else ""


def purge_old_copies(books: Books) -> int:
    """Remove up to 20 spooled copies whose slide has been finished for longer than the retention; return how many.

    A slide with a result that nobody collected yet keeps its images. Raises sqlite3.Error.
    """
    border = utc_text(books.wall().astimezone(UTC) - timedelta(days=books.config.retention.days))
    rows = books.journal.connection.execute(
        "SELECT id, spool_name FROM slides WHERE spool_name NOT NULL AND changed_at < ?"
        " AND state IN ('CLOSED', 'QUARANTINED', 'DUPLICATE') ORDER BY id LIMIT ?",
        (border, SLIDES_PER_TURN),
    ).fetchall()
    for slide_id, spool_name in rows:
        books.journal.slides.amend(slide_id, "spooled images removed after retention", spool_name=None)
        shutil.rmtree(books.folders.spool / spool_name, ignore_errors=True)
    archive_old_deliveries(books, border)
    remove_unnamed_copies(books)
    return len(rows)


def archive_old_deliveries(books: Books, border: str) -> None:
    """Move deliveries that are long done to ARCHIVED, which drops their kept bytes (the record can render them)."""
    done = "('ACCEPTED', 'COLLECTED', 'REFUSED', 'DELIVERED_UNSEEN')"
    silent = [name for name, output in books.outputs().items() if output.ack == "none"]
    marks = ",".join("?" * len(silent))
    rows = books.journal.connection.execute(
        f"SELECT id FROM deliveries WHERE changed_at < ? AND (state IN {done}"  # noqa: S608 - our own words
        f" OR (state = 'SENT' AND output IN ({marks}))) ORDER BY id LIMIT ?",
        (border, *silent, 10 * SLIDES_PER_TURN),
    ).fetchall()
    with books.journal.change():
        for (delivery_id,) in rows:
            books.journal.results.move_delivery(delivery_id, "ARCHIVED", text="retention")
        if rows:
            books.journal.note(AuditEvent("daemon", "deliveries archived", "journal", detail={"count": len(rows)}))
