"""Giving space back: images in spool and quarantine, kept bytes of deliveries, in the end the rows of finished slides.

Records, reports and the audit stay. A slide's rows are given back when everything about it is finished and older than
the retention, and the source has not listed its folder for just as long: what is still listed would be taken for new.
The digests of what had its result stay in `purged`: the same slide is known for ever and gets no second one.

The age is taken from the wall clock, the one clock that survives a restart; while it is in doubt, nothing is removed.
"""

from __future__ import annotations

import shutil
from dataclasses import astuple, dataclass
from datetime import UTC, timedelta

from edge.audit import AuditEvent
from edge.daemon.books import Books, utc_text
from edge.daemon.clock_guard import redate_rows
from edge.daemon.quarantine import remove_old_quarantine
from edge.daemon.recovery import remove_unnamed_copies
from edge.journal_results import IS_REPLACED

SLIDES_PER_TURN = 20


@dataclass(frozen=True, slots=True)
class Purged:
    """How much was given back: spooled copies, quarantine folders, kept bytes of deliveries, arrivals."""

    copies: int = 0
    quarantined: int = 0
    deliveries: int = 0
    arrivals: int = 0

    def __add__(self, other: Purged) -> Purged:
        """Return the sums."""
        return Purged(*(mine + more for mine, more in zip(astuple(self), astuple(other), strict=True)))

    def __bool__(self) -> bool:
        """Whether there was anything: then there may be more."""
        return any(astuple(self))


def purge_old_copies(books: Books) -> Purged:
    """Give back, of up to 20 slides, what has been finished for longer than the retention; return how much.

    A slide with a result that nobody collected yet keeps its images, and so does one that waits for a person: its
    spooled copy goes, the hard links in the quarantine stay. Raises OSError, sqlite3.Error.
    """
    redate_rows(books, by="daemon")
    border = utc_text(books.wall().astimezone(UTC) - timedelta(days=books.config.retention.days))
    rows = books.journal.connection.execute(
        "SELECT id, spool_name FROM slides WHERE spool_name NOT NULL AND changed_at < ?"
        " AND state IN ('CLOSED', 'QUARANTINED', 'DUPLICATE', 'VANISHED') ORDER BY id LIMIT ?",
        (border, SLIDES_PER_TURN),
    ).fetchall()
    for slide_id, spool_name in rows:
        books.journal.slides.amend(slide_id, "spooled images removed after retention", spool_name=None)
        shutil.rmtree(books.folders.spool / spool_name, ignore_errors=True)
    quarantined = remove_old_quarantine(books, border, SLIDES_PER_TURN)
    deliveries = archive_old_deliveries(books, border)
    arrivals = purge_old_rows(books, border)
    remove_unnamed_copies(books)
    return Purged(len(rows), quarantined, deliveries, arrivals)


def archive_old_deliveries(books: Books, border: str) -> int:
    """Move up to 200 deliveries that are long done to ARCHIVED, which drops their kept bytes; return how many.

    The record can render them again. What the receiver refused stays until something newer has replaced it or a person
    has given it up: the alarm about it must not end by itself.
    """
    done = "('ACCEPTED', 'COLLECTED', 'DELIVERED_UNSEEN')"
    silent = [name for name, output in books.outputs().items() if output.ack == "none"]
    marks = ",".join("?" * len(silent))
    rows = books.journal.connection.execute(
        f"SELECT id FROM deliveries d WHERE changed_at < ? AND (state IN {done}"  # noqa: S608 - our own words
        f" OR (state = 'REFUSED' AND {IS_REPLACED}) OR (state = 'SENT' AND output IN ({marks}))) ORDER BY id LIMIT ?",
        (border, *silent, 10 * SLIDES_PER_TURN),
    ).fetchall()
    with books.journal.change():
        for (delivery_id,) in rows:
            books.journal.results.move_delivery(delivery_id, "ARCHIVED", text="retention")
        if rows:
            books.journal.note(AuditEvent("daemon", "deliveries archived", "journal", detail={"count": len(rows)}))
    return len(rows)


def purge_old_rows(books: Books, border: str) -> int:
    """Give back the rows of up to 20 folders that are finished and no longer listed; return how many arrivals.

    What waits for a person (LATE, QUARANTINED) is never given back, and the newest row of each table stays: SQLite
    would give its number to another slide, and the audit would speak of two by one name.
    """
    rows = books.journal.connection.execute(
        "SELECT source, slide_key FROM slides s WHERE arrival = 1 AND changed_at < ?"
        # A site test (no folder) is in no source.
        " AND (folder = x'' OR EXISTS (SELECT 1 FROM slides u WHERE u.source = s.source"
        "   AND u.slide_key = s.slide_key AND u.unlisted_at < ?))"
        " AND NOT EXISTS (SELECT 1 FROM slides t WHERE t.source = s.source AND t.slide_key = s.slide_key AND ("
        "   t.state NOT IN ('CLOSED', 'DUPLICATE', 'VANISHED') OR t.changed_at >= ? OR t.spool_name NOT NULL"
        "   OR t.id = (SELECT max(id) FROM slides)))"
        " AND NOT EXISTS (SELECT 1 FROM revisions r JOIN slides t ON t.id = r.slide_id WHERE t.source = s.source"
        "   AND t.slide_key = s.slide_key AND (r.made_at >= ? OR r.id = (SELECT max(id) FROM revisions)))"
        " AND NOT EXISTS (SELECT 1 FROM deliveries d JOIN revisions r ON r.id = d.revision_id"
        "   JOIN slides t ON t.id = r.slide_id WHERE t.source = s.source AND t.slide_key = s.slide_key"
        "   AND (d.state != 'ARCHIVED' OR d.changed_at >= ? OR d.id = (SELECT max(id) FROM deliveries)))"
        " ORDER BY id LIMIT ?",
        (*[border] * 5, SLIDES_PER_TURN),
    ).fetchall()
    with books.journal.change():
        return sum(books.journal.slides.purge(source, slide_key) for source, slide_key in rows)
