"""The one gate before every analysis: what the books have to say for a slide, whatever path led it to the worker.

Asked where the slide would be handed over, and not only where it was let through: between the two a result may have
been withdrawn, a twin reported, or the files put back. Early answers to a person are a courtesy; safety rests here.

    the copy is what the row says it is     else the slide is set aside
    a sample id                             never guessed
    one sample, the folder's newest files   of the folder's result, or what it shows
    a person has asked                      since the result was withdrawn
    nobody else has these images            or a person has let exactly this pass
"""

from __future__ import annotations

from pathlib import Path

from edge.daemon.arrival import NO_SAMPLE_ID
from edge.daemon.books import Books
from edge.daemon.likeness import doubt_about
from edge.daemon.next_revision import WITHDRAWN, last_result, objection, result_of_another_sample
from edge.daemon.spool import manifest_digest, read_manifest
from edge.errors import EdgeError
from edge.journal_rows import SlideRow

COPY_DIFFERS = "MDSE-SPOOL-018"


def ask_gate(books: Books, slide: SlideRow, copy: Path) -> tuple[EdgeError | None, SlideRow | None]:
    """Return why a spooled slide must not be analyzed, and the slide that it is like; None where it may be.

    MDSE-SPOOL-018: it has to be set aside; any other: held for a person. Raises OSError when the copy cannot be read.
    """
    error = doubt_about_copy(slide, copy)
    if error is not None:
        return error, None
    where = f"slide {slide.id}"
    if slide.sample_id is None:
        return EdgeError(NO_SAMPLE_ID, where=where), None
    standing = result_of_another_sample(books, slide, slide.sample_id)
    if standing is not None:
        return EdgeError("MDSE-SPOOL-010", where=where, message_id=standing.message_id), None
    error = objection(books, slide)
    if error is not None:
        return error, None
    last = last_result(books, slide)
    if last is not None and last.status == WITHDRAWN and not was_asked_for(slide):
        return EdgeError("MDSE-SPOOL-013", where=where), None
    return unanswered_likeness(books, slide)


def doubt_about_copy(slide: SlideRow, copy: Path) -> EdgeError | None:
    """Return MDSE-SPOOL-018 when the copy is not the one that the row tells of. Raises OSError."""
    reason = ""
    if slide.idempotency_key is None:
        reason = "the journal has no key of its files"
    else:
        try:
            digest = manifest_digest(read_manifest(copy))
        except (FileNotFoundError, ValueError, TypeError) as error:
            reason = f"its manifest cannot be used ({type(error).__name__})"
        else:
            reason = "" if digest == slide.manifest_sha256 else "its manifest is of other files"
    return EdgeError(COPY_DIFFERS, where=f"slide {slide.id}", reason=reason) if reason else None


def was_asked_for(slide: SlideRow) -> bool:
    """Tell whether a person wants this analysis. A withdrawal takes back what was asked before it."""
    return slide.planned_by not in (None, "daemon")


def unanswered_likeness(books: Books, slide: SlideRow) -> tuple[EdgeError | None, SlideRow | None]:
    """Return whose images a slide with a copy has and no person has let pass (MDSE-SPOOL-005, -006, -011), or None."""
    if slide.content_sha256 is None or slide.sample_id is None:
        return None, None
    return doubt_about(books, slide, slide.content_sha256, slide.sample_id, is_next=True)


def was_question(slide: SlideRow, doubt: EdgeError, twin: SlideRow | None) -> bool:
    """Tell whether a slide waits with this very question, so that a release answers it."""
    return slide.reason_code == doubt.code and (twin is None or slide.related_slide == twin.id)
