"""What a person may decide about a slide: let it pass, try again, drop it, analyze it anew. All audited.

The functions work on the books alone, so that a running daemon (through its control socket) and a command that holds
the lock itself do exactly the same. Each returns the slide's row afterwards and raises EdgeError MDSE-JOURNAL-* when
the slide's state does not allow it.
"""

from __future__ import annotations

import json
from typing import Any

from edge.daemon.archive import archived_record
from edge.daemon.arrival import NO_SAMPLE_ID, spooled_folder
from edge.daemon.books import Books
from edge.daemon.duplicates import hold_discarded_duplicates, hold_withdrawn_duplicates, is_withdrawn
from edge.daemon.gate import unanswered_likeness, was_question
from edge.daemon.intents import intent_for
from edge.daemon.likeness import QUESTIONS
from edge.daemon.next_revision import has_own_result, last_result, require_turn
from edge.errors import EdgeError
from edge.journal_rows import SIDECAR_COPY, DeliveryRow, SlideRow, row_name

DISCARDABLE = ("SEEN", "SPOOLED", "HELD", "QUARANTINED", "LATE", "DUPLICATE", "VANISHED", "WAITING_SOURCE")
INCOMPLETE = "MDSE-SPOOL-004"


def release(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Let a slide pass that was stopped: late files, an incomplete folder, a doubtful likeness.

    Where another question has come up than the one it was stopped with, it waits with that one.
    """
    slides = books.journal.slides
    if slide.state == "LATE":
        return release_late(books, slide, by=by, reason=reason)
    if slide.state == "VANISHED":
        return release_copy(books, slide, by=by, reason=reason)
    if slide.state not in ("HELD", "DUPLICATE"):
        raise refusal(slide, "released")
    if slide.state == "HELD" and slide.reason_code == NO_SAMPLE_ID:
        raise EdgeError("MDSE-JOURNAL-009", where=row_name(slide.id))
    require_turn(books, slide)
    if slide.state == "HELD" and slide.reason_code == INCOMPLETE:
        # Nobody has seen these images yet: whether they are like another slide's is asked when they are read.
        # What a result was made of stays known.
        unseen: dict[str, Any] = {} if has_own_result(books, slide) else {"content_sha256": None}
        columns = {"released": 1, "related_slide": None, **unseen, **planned(books, slide, by=by, reason=reason)}
        return slides.move(slide.id, "SEEN", by=by, text=f"released as it is: {reason}", **columns)
    require_spooled(books, slide)
    return to_worker(books, slide, by=by, text=f"released: {reason}", reason=reason, is_release=True)


def release_late(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Let late files become the next revision of the slide's result."""
    require_spooled(books, slide)
    if slide.sample_id is None:
        raise EdgeError("MDSE-JOURNAL-009", where=row_name(slide.id))
    require_turn(books, slide)
    return to_worker(books, slide, by=by, text=f"released: {reason}", reason=reason, is_release=True)


def to_worker(books: Books, slide: SlideRow, *, by: str, text: str, reason: str, is_release: bool = False) -> SlideRow:
    """Hand a slide with a copy to the worker, or let it wait with a question about its images that nobody answered."""
    slides = books.journal.slides
    doubt, twin = unanswered_likeness(books, slide)
    if doubt is not None and not (is_release and was_question(slide, doubt, twin)):
        columns: dict[str, Any] = {"released": 0, "related_slide": twin.id if twin else slide.related_slide}
        state = "LATE" if slide.state == "LATE" else "HELD"
        return slides.move(slide.id, state, by=by, code=doubt.code, text=str(doubt), **columns)
    columns = {"attempts": 0, **planned(books, slide, by=by, reason=reason)}
    if is_release and (slide.state in ("HELD", "DUPLICATE") or slide.reason_code in QUESTIONS):
        columns["released"] = 1
    return slides.move(slide.id, "SPOOLED", by=by, text=text, **columns)


def planned(books: Books, slide: SlideRow, *, by: str, reason: str) -> dict[str, Any]:
    """Return the columns that say who wants the next result of a folder that has one, and why."""
    if last_result(books, slide) is None:
        return {}
    return {"planned_reason": reason, "planned_by": by}


def release_copy(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Let a slide whose folder went away be analyzed from its copy, or held where a likeness is still to be decided.

    The copy was made before a person had the folder read again, and nothing said of it then was answered by that.
    """
    require_spooled(books, slide)
    if slide.sample_id is None:
        raise EdgeError("MDSE-JOURNAL-009", where=row_name(slide.id))
    if slide.idempotency_key is None or slide.content_sha256 is None:
        raise EdgeError("MDSE-JOURNAL-010", where=row_name(slide.id))
    require_turn(books, slide)
    return to_worker(books, slide, by=by, text=f"released from its copy: {reason}", reason=reason, is_release=True)


def requeue(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Try a slide again that was set aside, held or is waiting for its next try; or render parked deliveries again."""
    slides = books.journal.slides
    text = f"requeued: {reason}"
    columns: dict[str, Any] = {"attempts": 0, **planned(books, slide, by=by, reason=reason)}
    if slide.state == "QUARANTINED" and is_copied(books, slide) and not is_listed(books, slide):
        require_turn(books, slide)
        return to_worker(books, slide, by=by, text=text, reason=reason)
    if slide.state in ("QUARANTINED", "HELD", "VANISHED", "WAITING_SOURCE"):
        require_newest(books, slide)
        return slides.move(slide.id, "SEEN", by=by, text=text, signature=None, **columns)
    if slide.state == "SPOOLED":
        return slides.amend(slide.id, "requeued", by=by, **columns)
    if slide.state in ("COMPUTED", "CLOSED") and render_parked(books, slide, by=by):
        return slides.get(slide.id)
    raise refusal(slide, "requeued")


def render_parked(books: Books, slide: SlideRow, *, by: str) -> int:
    """Render the parked deliveries of a slide again; return how many pass the check now.

    Raises EdgeError MDSE-JOURNAL-022 where all that is parked was replaced by a newer result that has left.
    """
    results, outputs, passed = books.journal.results, books.outputs(), 0
    replaced: EdgeError | None = None
    with books.journal.change():
        for revision in results.revisions_of_folder(slide.source, slide.slide_key):
            for delivery in results.deliveries_of(revision.id):
                if delivery.state != "PARKED" or delivery.output not in outputs or revision.slide_id != slide.id:
                    continue
                if delivery.copy == SIDECAR_COPY:
                    continue
                if newer := results.newer_sent(delivery):
                    replaced = EdgeError("MDSE-JOURNAL-022", where=revision.message_id, message_id=newer)
                    continue
                record = json.loads(archived_record(books.folders.archive, revision))
                intent = intent_for(outputs[delivery.output], record, copy=delivery.copy)
                if not intent.parked:
                    results.rerender(delivery.id, intent, by=by)
                    passed += 1
        if not passed and replaced is not None:
            raise replaced
        if passed:
            reopen(books, slide.id, by=by, text="parked results rendered again")
    return passed


def discard(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Close a slide without a result, or with a result that an output cannot take, with the reason."""
    if slide.state == "COMPUTED":
        return discard_parked(books, slide, by=by, reason=reason)
    if slide.state == "CLOSED":
        return discard_refused(books, slide, by=by, reason=reason)
    if slide.state not in DISCARDABLE:
        raise refusal(slide, "discarded")
    with books.journal.change():
        if has_own_result(books, slide):
            row = give_up_reanalysis(books, slide, by=by, reason=reason)
            if is_withdrawn(books, row):
                hold_withdrawn_duplicates(books, row, by=by)
            return row
        row = books.journal.slides.move(slide.id, "CLOSED", by=by, code="DISCARDED", text=reason)
        hold_discarded_duplicates(books, row, by=by)
    return row


def give_up_reanalysis(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Let a slide stand as it was before it was to be analyzed again: its result was sent and is not discarded."""
    text = f"reanalysis given up: {reason}"
    planned: dict[str, Any] = {"planned_reason": None, "planned_by": None, "attempts": 0}
    with books.journal.change():
        row = books.journal.slides.move(slide.id, "CLOSED", by=by, text=text, **planned)
        if not books.journal.results.is_delivered(slide.id):
            row = books.journal.slides.move(slide.id, "COMPUTED", by=by, text=text)
    return row


def discard_parked(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Give up what our own check refused to send, and what was for an output that is configured no longer.

    Everything else of the slide must have left.
    """
    results = books.journal.results
    revisions = [r for r in results.revisions_of_folder(slide.source, slide.slide_key) if r.slide_id == slide.id]
    deliveries = [delivery for revision in revisions for delivery in results.deliveries_of(revision.id)]
    outputs = books.outputs()
    if any(delivery.state in ("RENDERED", "STAGED") and delivery.output in outputs for delivery in deliveries):
        raise refusal(slide, "discarded")
    with books.journal.change():
        for delivery in deliveries:
            if delivery.state in ("RENDERED", "STAGED", "PARKED"):
                give_up_delivery(books, delivery, by=by, reason=reason)
        return books.journal.slides.move(slide.id, "CLOSED", by=by, text=f"parked results given up: {reason}")


def discard_refused(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Settle what the receiver refused and nothing has replaced, such as a result that was typed in by hand."""
    results = books.journal.results
    refused = [
        delivery
        for revision in results.revisions_of_folder(slide.source, slide.slide_key)
        for delivery in results.deliveries_of(revision.id)
        if revision.slide_id == slide.id and delivery.state == "REFUSED" and not results.is_replaced(delivery)
    ]
    if not refused:
        raise refusal(slide, "discarded")
    with books.journal.change():
        for delivery in refused:
            # It had left: in the account it stays delivered.
            results.move_delivery(delivery.id, "ARCHIVED", by=by, text=f"refused, and given up: {reason}")
        return books.journal.slides.amend(slide.id, f"refused results given up: {reason}", by=by)


def give_up_delivery(books: Books, delivery: DeliveryRow, *, by: str, reason: str) -> None:
    """Archive a delivery that nobody sends any more; of a staged one nobody knows whether it had left."""
    results = books.journal.results
    if delivery.state == "STAGED":
        text = "its output is configured no longer: whether it had been published is not known"
        results.move_delivery(delivery.id, "PARKED", by=by, text=text)
    results.move_delivery(delivery.id, "ARCHIVED", by=by, text=f"given up: {reason}")


def reanalyze(books: Books, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Analyze a finished slide again with the present bundle; another outcome becomes the next revision."""
    if slide.state not in ("CLOSED", "COMPUTED") or slide.reason_code == "DISCARDED":
        raise refusal(slide, "reanalyzed")
    require_turn(books, slide)
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


def refusal(slide: SlideRow, wanted: str) -> EdgeError:
    """Return the error for a decision that the slide's state does not allow."""
    return EdgeError("MDSE-JOURNAL-006", where=row_name(slide.id), old=slide.state, new=wanted)


def is_copied(books: Books, slide: SlideRow) -> bool:
    """Tell whether the spool holds a copy of the slide that can be analyzed without its folder."""
    known = slide.idempotency_key is not None and slide.sample_id is not None
    return known and spooled_folder(books, slide) is not None


def is_listed(books: Books, slide: SlideRow) -> bool:
    """Tell whether the slide can be read anew: a configured source lists its folder, and it is the newest of that."""
    newest = books.journal.slides.newest(slide.source, slide.slide_key)
    is_newest = newest is not None and newest.id == slide.id
    return is_newest and slide.unlisted_at is None and any(s.id == slide.source for s in books.config.sources)


def require_spooled(books: Books, slide: SlideRow) -> None:
    """Raise EdgeError MDSE-JOURNAL-010 when the slide's images are no longer in the spool, or not known by a key."""
    if spooled_folder(books, slide) is None or slide.idempotency_key is None:
        raise EdgeError("MDSE-JOURNAL-010", where=row_name(slide.id))


def require_newest(books: Books, slide: SlideRow) -> None:
    """Raise EdgeError MDSE-JOURNAL-010 when the folder holds later files: those of the slide cannot be read again."""
    newest = books.journal.slides.newest(slide.source, slide.slide_key)
    if newest is None or newest.id != slide.id:
        raise EdgeError("MDSE-JOURNAL-010", where=row_name(slide.id))
    require_turn(books, slide)


def reopen(books: Books, slide_id: int, *, by: str, text: str) -> None:
    """Show a finished slide as COMPUTED again, because something of it has to be delivered."""
    if books.journal.slides.get(slide_id).state == "CLOSED":
        books.journal.slides.move(slide_id, "COMPUTED", by=by, text=text)
