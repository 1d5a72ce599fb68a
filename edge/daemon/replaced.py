"""Results that stand although their folders hold other files again, which had a result before: somebody decides."""

from __future__ import annotations

from edge.journal import Journal


def results_of_replaced_files(journal: Journal) -> int:
    """Count the results that were made of other files than those that their folders show again.

    A folder shows an earlier arrival whose signature is that of the newest look (`next_revision.shown_arrival`).
    """
    count = journal.connection.execute(
        "SELECT count(*) FROM (SELECT"
        " (SELECT r.id FROM slides t CROSS JOIN revisions r ON r.slide_id = t.id WHERE t.source = n.source"
        "   AND t.slide_key = n.slide_key AND r.status != 'X' ORDER BY r.number DESC, r.id DESC LIMIT 1) AS last,"
        " coalesce((SELECT max(k.id) FROM slides k WHERE k.source = n.source AND k.slide_key = n.slide_key"
        "   AND k.id < n.id AND k.signature = n.signature), n.id) AS shown"
        " FROM slides n WHERE n.arrival > 1 AND NOT EXISTS (SELECT 1 FROM slides m WHERE m.source = n.source"
        "   AND m.slide_key = n.slide_key AND m.arrival > n.arrival)"
        ") f CROSS JOIN revisions r ON r.id = f.last WHERE r.status != 'W' AND r.slide_id != f.shown"
        # Discarded late files leave the earlier result as a person wanted it.
        " AND (r.slide_id > f.shown OR EXISTS (SELECT 1 FROM revisions o WHERE o.slide_id = f.shown"
        "   AND o.status != 'X'))"
    ).fetchone()[0]
    return int(count)
