"""Whether the images of a slide were seen before, under another name: a second result, or two samples for one slide."""

from __future__ import annotations

from edge.daemon.books import Books
from edge.daemon.duplicates import is_withdrawn, withdrawn_likeness
from edge.daemon.next_revision import LATE_FILES, WITHDRAWN, has_own_result, last_result, result_of_another_sample
from edge.errors import EdgeError
from edge.journal_rows import SlideRow

SAME_IMAGES = "MDSE-SPOOL-006"
OTHER_SAMPLE = "MDSE-SPOOL-005"
PURGED_IMAGES = "MDSE-SPOOL-011"
WITHDRAWN_IMAGES = "MDSE-SPOOL-016"
QUESTIONS = (OTHER_SAMPLE, SAME_IMAGES, PURGED_IMAGES, WITHDRAWN_IMAGES)
"""What a person answers with a release of these images for this sample."""
CLAIMS_CONTENT = ("SPOOLED", "COMPUTED", "CLOSED", "LATE", "HELD")


def twin_of(
    books: Books, slide: SlideRow, content_sha256: str, sample_id: str, *, is_next: bool = False
) -> SlideRow | None:
    """Return the slide under another name that holds exactly these images; of several the one to be asked about.

    That is the earliest of another sample, then of the same one; one whose result was withdrawn comes after these.
    `is_next`: the slide is to be analyzed now. Of two that both wait the earlier one goes first, or none ever would.
    """

    def is_asked_after(other: SlideRow) -> tuple[bool, bool]:
        return is_withdrawn(books, other), other.sample_id == sample_id

    claiming = [
        other
        for other in books.journal.slides.with_content(content_sha256)
        if (other.source, other.slide_key) != (slide.source, slide.slide_key)
        and not (is_next and other.id > slide.id and not has_own_result(books, other))
        and claims_content(books, other)
    ]
    return min(claiming, key=is_asked_after, default=None)


def claims_content(books: Books, slide: SlideRow) -> bool:
    """Tell whether a slide has a result of its images, or may still get one. What was sent stays sent in any state."""
    if slide.state in CLAIMS_CONTENT and slide.reason_code != "DISCARDED":
        return True
    return has_own_result(books, slide)


def was_let_pass(slide: SlideRow, content_sha256: str, sample_id: str) -> bool:
    """Tell whether a person has released these very images for this very sample."""
    return bool(slide.released) and (slide.content_sha256, slide.sample_id) == (content_sha256, sample_id)


def is_reported(books: Books, slide: SlideRow, content_sha256: str, sample_id: str) -> bool:
    """Tell whether the folder's result stands and was made of these very images for this very sample."""
    last = last_result(books, slide)
    if last is None or last.status == WITHDRAWN:
        return False
    made_of = books.journal.slides.get(last.slide_id)
    return (made_of.content_sha256, made_of.sample_id) == (content_sha256, sample_id)


def doubt_about(
    books: Books, slide: SlideRow, content_sha256: str, sample_id: str, *, is_next: bool = False
) -> tuple[EdgeError | None, SlideRow | None]:
    """Return why a slide must wait (a copy: MDSE-SPOOL-006), and the other slide; None where it is as it should be.

    MDSE-SPOOL-005: a slide of another sample has the same images. MDSE-SPOOL-011: a slide had them whose rows are gone.
    A release of an incomplete folder is no answer to either: nobody had seen the likeness then. `is_next` as `twin_of`.
    """
    if is_reported(books, slide, content_sha256, sample_id):
        return None, None  # Whatever is like it was asked about before that result.
    where, seen = f"slide {slide.id}", was_let_pass(slide, content_sha256, sample_id)
    twin = twin_of(books, slide, content_sha256, sample_id, is_next=is_next)
    if twin is not None and seen and slide.related_slide == twin.id:
        return None, None
    if twin is not None:
        if twin.sample_id != sample_id:
            return EdgeError(OTHER_SAMPLE, where=where, other=twin.id), twin
        if is_withdrawn(books, twin):
            return withdrawn_likeness(slide, twin), twin
        return EdgeError(SAME_IMAGES, where=where, other=twin.id), twin
    if not seen and books.journal.slides.was_content_purged(content_sha256):
        return EdgeError(PURGED_IMAGES, where=where), None
    return None, None


def late_error(
    books: Books, slide: SlideRow, content_sha256: str, sample_id: str | None
) -> tuple[EdgeError, SlideRow | None]:
    """Return what a person has to know of a slide's late files, and the slide that they are like.

    Only that they are late (MDSE-SPOOL-007), of what other sample they are (-010), or what they are like (-005, -006,
    -011).
    """
    where = f"slide {slide.id}"
    if sample_id is not None:
        standing = result_of_another_sample(books, slide, sample_id)
        if standing is not None:
            return EdgeError("MDSE-SPOOL-010", where=where, message_id=standing.message_id), None
        doubt, twin = doubt_about(books, slide, content_sha256, sample_id)
        if doubt is not None:
            return doubt, twin
    return EdgeError(LATE_FILES, where=where), None
