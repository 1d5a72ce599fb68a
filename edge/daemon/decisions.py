"""What a person may decide about a slide: let it pass, try again, drop it, analyze it anew. All audited.

The functions work on the books alone, so that a running daemon (through its control socket) and a command that holds
the lock itself do exactly the same. Each returns the slide's row afterwards and raises EdgeError MDSE-JOURNAL-* when
the slide's state does not allow it.
"""

from __future__ import annotations

import json

from edge.daemon.archive import archived_record
from edge.daemon.arrival import NO_SAMPLE_ID, spooled_folder
from edge.daemon.books import Books
from edge.daemon.intents import intent_for
from edge.errors import EdgeError
from edge.journal_rows import SIDECAR_COPY, SlideRow

DISCARDABLE = ("SEEN", "SPOOLED", "HELD", "QUARANTINED", "LATE", "DUPLICATE", "VANISHED", "WAITING_SOURCE")
INCOMPLETE = "MDSE-SPOOL-004"


def find_slide(books: Books, name: str) -> SlideRow:
    """Return the slide that a person names: journal number, message id, `source/slide_key`, or a slide key.

    Raises EdgeError MDSE-JOURNAL-005 when there is none, MDSE-JOURNAL-008 when a slide key fits several sources.
    """
    journal = books.journal
    if name.isdecimal() and len(name) < 16:
        row = journal.connection.execute("SELECT id FROM slides WHERE id = ?", (int(name),)).fetchone()
        if row is not None:
            return journal.slides.get(row[0])
    row = journal.connection.execute("SELECT slide_id FROM revisions WHERE message_id = ?", (name,)).fetchone()
    if row is not None:
        return journal.slides.get(row[0])
    found = []
    for source in books.config.sources:
        keys = [name] + ([name.removeprefix(f"{source.id}/")] if name.startswith(f"{source.id}/") else [])
        found += [slide for key in keys if (slide := journal.slides.newest(source.id, key)) is not None]
    if not found:
        raise EdgeError("MDSE-JOURNAL-005", where=name)
    if len(found) > 1:
        raise EdgeError("MDSE-JOURNAL-008", where=name, count=len(found))
    return found[0]


def release(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Let a slide pass that was stopped: late files, an incomplete folder, a doubtful likeness."""
    if slide.state == "LATE":
        return release_late(books, slide, by=by, reason=reason)
    if slide.state == "HELD" and slide.reason_code == NO_SAMPLE_ID:
        raise EdgeError("MDSE-JOURNAL-009", where=f"slide {slide.id}")
    slides = books.journal.slides
    if slide.state == "HELD" and slide.reason_code == INCOMPLETE:
        return slides.move(slide.id, "SEEN", by=by, text=f"released as it is: {reason}", released=1)
    if slide.state in ("HELD", "DUPLICATE"):
        require_spooled(books, slide)
        return slides.move(slide.id, "SPOOLED", by=by, text=f"released: {reason}", released=1, attempts=0)
    raise EdgeError("MDSE-JOURNAL-006", where=f"slide {slide.id}", old=slide.state, new="released")


def release_late(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Let late files become the next revision of the slide's result."""
    require_spooled(books, slide)
    if slide.sample_id is None:
        raise EdgeError("MDSE-JOURNAL-009", where=f"slide {slide.id}")
    return books.journal.slides.move(
        slide.id, "SPOOLED", by=by, text=f"released: {reason}", planned_reason=reason, planned_by=by, attempts=0
    )


def requeue(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Try a slide again that was set aside, held or is waiting for its next try; or render parked deliveries again."""
    slides = books.journal.slides
    text = f"requeued: {reason}"
    if slide.state == "QUARANTINED":
        if spooled_folder(books, slide) is not None and slide.sample_id is not None:
            return slides.move(slide.id, "SPOOLED", by=by, text=text, attempts=0)
        return slides.move(slide.id, "SEEN", by=by, text=text, attempts=0, signature=None)
    if slide.state in ("HELD", "VANISHED", "WAITING_SOURCE"):
        return slides.move(slide.id, "SEEN", by=by, text=text, attempts=0, signature=None)
    if slide.state == "SPOOLED":
        return slides.amend(slide.id, "requeued", by=by, attempts=0)
    if slide.state in ("COMPUTED", "CLOSED") and render_parked(books, slide, by=by):
        return slides.get(slide.id)
    raise EdgeError("MDSE-JOURNAL-006", where=f"slide {slide.id}", old=slide.state, new="requeued")


def render_parked(books: Books, slide: SlideRow, *, by: str) -> int:
    """Render the parked deliveries of a slide again; return how many pass the check now."""
    results, outputs, passed = books.journal.results, books.outputs(), 0
    with books.journal.change():
        for revision in results.revisions_of_folder(slide.source, slide.slide_key):
            for delivery in results.deliveries_of(revision.id):
                if delivery.state != "PARKED" or delivery.output not in outputs or revision.slide_id != slide.id:
                    continue
                if delivery.copy == SIDECAR_COPY:
                    continue
                record = json.loads(archived_record(books.folders.archive, revision))
                intent = intent_for(outputs[delivery.output], record, copy=delivery.copy)
                if not intent.parked:
                    results.rerender(delivery.id, intent, by=by)
                    passed += 1
        if passed:
            reopen(books, slide.id, by=by, text="parked results rendered again")
    return passed


def discard(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Close a slide without a result, or with a result that an output cannot take, with the reason."""
    if slide.state == "COMPUTED":
        return discard_parked(books, slide, by=by, reason=reason)
    if slide.state not in DISCARDABLE:
        raise EdgeError("MDSE-JOURNAL-006", where=f"slide {slide.id}", old=slide.state, new="discarded")
    return books.journal.slides.move(slide.id, "CLOSED", by=by, code="DISCARDED", text=reason)


def discard_parked(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Give up what our own check refused to send; everything else of the slide must have left."""
    results = books.journal.results
    revisions = [r for r in results.revisions_of_folder(slide.source, slide.slide_key) if r.slide_id == slide.id]
    deliveries = [delivery for revision in revisions for delivery in results.deliveries_of(revision.id)]
    if any(delivery.state in ("RENDERED", "STAGED") for delivery in deliveries):
        raise EdgeError("MDSE-JOURNAL-006", where=f"slide {slide.id}", old=slide.state, new="discarded")
    with books.journal.change():
        for delivery in deliveries:
            if delivery.state == "PARKED":
                results.move_delivery(delivery.id, "ARCHIVED", by=by, text=f"given up: {reason}")
        return books.journal.slides.move(slide.id, "CLOSED", by=by, text=f"parked results given up: {reason}")


def reanalyze(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Analyze a finished slide again with the present bundle; another outcome becomes the next revision."""
    if slide.state not in ("CLOSED", "COMPUTED") or slide.reason_code == "DISCARDED":
        raise EdgeError("MDSE-JOURNAL-006", where=f"slide {slide.id}", old=slide.state, new="reanalyzed")
    require_spooled(books, slide)
    return books.journal.slides.move(
        slide.id,
        "SPOOLED",
        by=by,
        text=f"to be analyzed again: {reason}",
        planned_reason=reason,
        planned_by=by,
        attempts=0,
    )


def require_spooled(books: Books, slide: SlideRow) -> None:
    """Raise EdgeError MDSE-JOURNAL-010 when the slide's images are no longer in the spool."""
    if spooled_folder(books, slide) is None:
        raise EdgeError("MDSE-JOURNAL-010", where=f"slide {slide.id}")


def reopen(books: Books, slide_id: int, *, by: str, text: str) -> None:
    """Show a finished slide as COMPUTED again, because something of it has to be delivered."""
    if books.journal.slides.get(slide_id).state == "CLOSED":
        books.journal.slides.move(slide_id, "COMPUTED", by=by, text=text)
