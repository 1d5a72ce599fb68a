"""Beginning with an empty state folder at a site whose slides were delivered before: nothing of the past is sent again.

A new journal refuses a drop folder that carries another journal's identity, and everything in the export folder looks
new to it. A person who has made sure that the past was delivered says so once: what is there now counts as done.
"""

from __future__ import annotations

from edge.audit import AuditEvent
from edge.daemon.books import Books

ADOPTED = "ADOPTED"
TO_CLOSE = ("SEEN", "SPOOLED", "HELD", "QUARANTINED", "DUPLICATE", "VANISHED", "WAITING_SOURCE", "LATE")


def adopt(books: Books, *, by: str, reason: str) -> dict[str, int]:
    """Close every slide without a result, give up what was rendered and not staged, take over the drop folders.

    Returns how many of each. Slides that settle at this moment are closed by a second call; all of it is audited.
    """
    journal = books.journal
    with journal.change():
        slides = journal.slides.in_states(TO_CLOSE)
        for slide in journal.slides.in_states(["SETTLED"]):
            slides.append(journal.slides.move(slide.id, "SEEN", by=by, text="to be adopted"))
        for slide in slides:
            journal.slides.move(slide.id, "CLOSED", by=by, code=ADOPTED, text=f"delivered before: {reason}")
        given_up = 0
        for output in books.outputs():
            for row in journal.results.deliveries(output, ["RENDERED", "PARKED"]):
                journal.results.move_delivery(row.id, "ARCHIVED", by=by, text=f"delivered before: {reason}")
                given_up += 1
        for slide in journal.slides.in_states(["COMPUTED"]):
            if journal.results.is_delivered(slide.id):
                journal.slides.move(slide.id, "CLOSED", by=by, code=ADOPTED, text=f"delivered before: {reason}")
        taken = claim_drops(books, by=by)
    return {"slides": len(slides), "deliveries": given_up, "drop_folders": taken}


def claim_drops(books: Books, *, by: str) -> int:
    """Let the books take every drop folder that they do not know, whoever had it; return how many."""
    journal, taken = books.journal, 0
    for output in books.outputs():
        name = f"drop {output}"
        known = journal.connection.execute("SELECT 1 FROM meta WHERE name = ?", (name,)).fetchone()
        if known is None:
            # The empty identity: the deliverer reads the one that is there at its next look.
            journal.connection.execute("INSERT INTO meta VALUES (?, '')", (name,))
            journal.note(AuditEvent(by, "drop folder adopted", output))
            taken += 1
    return taken
