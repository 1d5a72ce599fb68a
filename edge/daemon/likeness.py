"""Whether the images of a slide were seen before, under another name: a second result, or two samples for one slide."""

from __future__ import annotations

from edge.daemon.books import Books
from edge.daemon.duplicates import is_withdrawn
from edge.daemon.next_revision import LATE_FILES, has_own_result, result_of_another_sample
from edge.errors import EdgeError
from edge.journal_rows import SlideRow

SAME_IMAGES = "MDSE-SPOOL-006"
OTHER_SAMPLE = "MDSE-SPOOL-005"
CLAIMS_CONTENT = ("SPOOLED", "COMPUTED", "CLOSED", "LATE", "HELD")


def twin_of(books: Books, slide: SlideRow, content_sha256: str) -> SlideRow | None:
    """Return the earliest slide under another name that holds exactly these images.

    One whose result was withdrawn comes after every other: only where there is none is that result to be asked about.
    """
    claiming = [
        other
        for other in books.journal.slides.with_content(content_sha256)
        if (other.source, other.slide_key) != (slide.source, slide.slide_key) and claims_content(books, other)
    ]
    return next((other for other in claiming if not is_withdrawn(books, other)), claiming[0] if claiming else None)


def claims_content(books: Books, slide: SlideRow) -> bool:
    """Tell whether a slide has a result of its images, or may still get one. What was sent stays sent in any state."""
    if slide.state in CLAIMS_CONTENT and slide.reason_code != "DISCARDED":
        return True
    return has_own_result(books, slide)


def was_let_pass(slide: SlideRow, content_sha256: str, sample_id: str) -> bool:
    """Tell whether a person has released these very images for this very sample."""
    return bool(slide.released) and (slide.content_sha256, slide.sample_id) == (content_sha256, sample_id)


def doubt_about(
    books: Books, slide: SlideRow, content_sha256: str, sample_id: str
) -> tuple[EdgeError | None, SlideRow | None]:
    """Return why a new slide must wait (a copy: MDSE-SPOOL-006), and the other slide; None where it is as it should be.

    MDSE-SPOOL-005: a slide of another sample has the same images. MDSE-SPOOL-011: a slide had them whose rows are gone.
    A release of an incomplete folder is no answer to either: nobody had seen the likeness then.
    """
    where, seen = f"slide {slide.id}", was_let_pass(slide, content_sha256, sample_id)
    twin = twin_of(books, slide, content_sha256)
    if twin is not None and seen and slide.related_slide == twin.id:
        return None, None
    if twin is not None:
        code = SAME_IMAGES if twin.sample_id == sample_id else OTHER_SAMPLE
        return EdgeError(code, where=where, other=twin.id), twin
    if not seen and books.journal.slides.was_content_purged(content_sha256):
        return EdgeError("MDSE-SPOOL-011", where=where), None
    return None, None


def late_error(books: Books, slide: SlideRow, content_sha256: str, sample_id: str | None) -> EdgeError:
    """Return what a person has to know of a slide's late files: only that they are late, or of what other sample."""
    where = f"slide {slide.id}"
    if sample_id is not None:
        standing = result_of_another_sample(books, slide, sample_id)
        if standing is not None:
            return EdgeError("MDSE-SPOOL-010", where=where, message_id=standing.message_id)
        twin = twin_of(books, slide, content_sha256)
        if twin is not None and twin.sample_id != sample_id:
            return EdgeError(OTHER_SAMPLE, where=where, other=twin.id)
    return EdgeError(LATE_FILES, where=where)
