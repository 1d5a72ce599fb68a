"""The daily account: every slide that was ever seen is delivered, waits for somebody, or was closed with a reason.

Both sides are counted apart. "Seen" comes from the audit, which can only grow; what became of the slides comes from
their rows. A difference means that a row was lost or made outside the journal's own ways: an alarm.
"""

from __future__ import annotations

from typing import Any

from edge.audit import AuditEvent
from edge.daemon.books import Books

RECONCILE_EVERY_S = 86_400.0
FIRST_AFTER_S = 60.0
NAMED_MAX = 100
OUTCOMES = (
    "delivered", "delivered_unseen", "waiting", "held", "quarantined", "late", "vanished", "duplicates", "discarded",
    "purged",
)  # fmt: skip
"""`delivered`: closed, and a result has left. `delivered_unseen`: of these, published and gone before it was seen.
`discarded`: closed by a person without a result; also a result that was given up before anything of it had left."""

# CROSS JOIN keeps SQLite to this order, from the one folder on. Left to itself it begins with all that is ARCHIVED, for
# every slide anew: minutes in one transaction once 100,000 slides are archived.
_OF_THE_FOLDER = (
    "SELECT 1 FROM slides t CROSS JOIN revisions r ON r.slide_id = t.id CROSS JOIN deliveries d ON d.revision_id = r.id"
    " WHERE t.source = s.source AND t.slide_key = s.slide_key"
)
_GIVEN_UP = f"EXISTS ({_OF_THE_FOLDER} AND d.state = 'ARCHIVED' AND d.reason_text LIKE 'given up:%')"
# A report beside its message (copy 0) is no result. What is ARCHIVED has left, unless the reason says otherwise.
_HAS_LEFT = (
    f"EXISTS ({_OF_THE_FOLDER} AND d.copy > 0 AND d.state NOT IN ('RENDERED', 'STAGED', 'PARKED')"
    " AND NOT (d.state = 'ARCHIVED' AND (d.reason_text LIKE 'given up:%' OR d.reason_text LIKE 'not sent:%')))"
)
_CLOSED = "FROM slides s WHERE s.state = 'CLOSED' AND s.reason_code NOT IN ('DISCARDED', 'ADOPTED')"


def reconcile(books: Books) -> dict[str, Any]:
    """Return the account of every slide; `difference` and `closed_without_result` are 0 and empty when it is whole."""
    connection = books.journal.connection
    seen = int(connection.execute("SELECT count(*) FROM audit WHERE action = 'arrived'").fetchone()[0])
    states = books.journal.slides.counts()
    discarded = states["CLOSED"] - int(connection.execute(f"SELECT count(*) {_CLOSED}").fetchone()[0])
    discarded += int(connection.execute(f"SELECT count(*) {_CLOSED} AND {_GIVEN_UP} AND NOT {_HAS_LEFT}").fetchone()[0])
    counts = {
        "delivered": states["CLOSED"] - discarded,
        "waiting": sum(states[name] for name in ("SEEN", "SETTLED", "SPOOLED", "COMPUTED", "WAITING_SOURCE")),
        "held": states["HELD"],
        "quarantined": states["QUARANTINED"],
        "late": states["LATE"],
        "vanished": states["VANISHED"],
        "duplicates": states["DUPLICATE"],
        "discarded": discarded,
        "purged": int(connection.execute("SELECT count(*) FROM purged").fetchone()[0]),
    }
    unseen = [row[0] for row in connection.execute(
        "SELECT r.message_id FROM deliveries d JOIN revisions r ON r.id = d.revision_id"
        " WHERE d.state = 'DELIVERED_UNSEEN' ORDER BY d.id LIMIT ?", (NAMED_MAX,)
    )]  # fmt: skip
    return {
        "seen": seen, **counts, "difference": seen - sum(counts.values()), "delivered_unseen": unseen,
        "closed_without_result": closed_without_result(books),
    }  # fmt: skip


def closed_without_result(books: Books) -> list[int]:
    """Return the slides that are closed although nothing of them ever left and nobody discarded or gave them up."""
    query = f"SELECT s.id {_CLOSED} AND NOT {_HAS_LEFT} AND NOT {_GIVEN_UP} ORDER BY s.id LIMIT ?"
    rows = books.journal.connection.execute(query, (NAMED_MAX,))
    return [row[0] for row in rows]


def is_whole(account: dict[str, Any]) -> bool:
    """Tell whether the account adds up."""
    return account["difference"] == 0 and not account["closed_without_result"]


def note_account(books: Books, account: dict[str, Any]) -> None:
    """Write the day's account into the audit."""
    with books.journal.change():
        books.journal.note(AuditEvent("daemon", "reconciled", "journal", detail=account))
