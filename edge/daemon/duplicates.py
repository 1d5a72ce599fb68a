"""Copies under another name (DUPLICATE) whose slide gives no result any more: a person has to decide about them.

A copy is set aside because the other slide has the result of these images, or gets it. When that slide is discarded, or
its result is withdrawn, nothing would ever come of the copy, and nobody would be told.
"""

from __future__ import annotations

from edge.daemon.books import Books
from edge.daemon.next_revision import WITHDRAWN, has_own_result, is_refused, last_revision
from edge.errors import EdgeError
from edge.journal import Journal
from edge.journal_rows import SlideRow, row_name
from edge.journal_states import WITHOUT_RESULT

_OF_ANOTHER_FOLDER = "(t.source, t.slide_key) IS NOT (s.source, s.slide_key)"
# Whatever its images are by now, the other slide was given up, or other files took the place of the common ones.
_IS_GIVEN_UP = (
    "(t.state = 'CLOSED' AND t.reason_code = 'DISCARDED' AND NOT EXISTS (SELECT 1 FROM revisions r"
    " WHERE r.slide_id = t.id AND r.status != 'X'))"
    " OR t.content_sha256 != s.content_sha256 OR t.sample_id != s.sample_id"
)
# CROSS JOIN keeps SQLite to this order, from the one folder on.
_OF_ITS_NEWEST_RESULT = (
    "FROM slides u CROSS JOIN revisions r ON r.slide_id = u.id WHERE u.source = t.source"
    " AND u.slide_key = t.slide_key ORDER BY r.number DESC, r.id DESC LIMIT 1)"
)
_IS_REPLACED = (
    f"('W' = (SELECT r.status {_OF_ITS_NEWEST_RESULT}"
    f" OR s.content_sha256 != (SELECT u.content_sha256 {_OF_ITS_NEWEST_RESULT}"
    f" OR s.sample_id != (SELECT u.sample_id {_OF_ITS_NEWEST_RESULT})"
)


def is_withdrawn(books: Books, slide: SlideRow) -> bool:
    """Tell whether the newest result of the slide's folder is withdrawn, and the slide is not to give another one."""
    last = last_revision(books, slide)
    is_taken_back = last is not None and last.status == WITHDRAWN and not is_refused(books, last)
    return slide.state not in WITHOUT_RESULT and is_taken_back


def withdrawn_likeness(slide: SlideRow, other: SlideRow) -> EdgeError:
    """Return why a slide waits whose images another slide had, the result of which was withdrawn."""
    return EdgeError("MDSE-SPOOL-016", where=f"slide {slide.id}", other=row_name(other.id))


def hold_withdrawn_duplicates(books: Books, slide: SlideRow, *, by: str) -> None:
    """Hold the copies, under other names, of every arrival of a folder whose result was withdrawn."""
    for other in books.journal.slides.arrivals(slide.source, slide.slide_key):
        for copy in duplicates_of(books, other):
            error = withdrawn_likeness(copy, other)
            books.journal.slides.move(copy.id, "HELD", by=by, code=error.code, text=str(error), released=0)


def hold_discarded_duplicates(books: Books, slide: SlideRow, *, by: str) -> None:
    """Hold the copies, under other names, of a slide that was discarded without a result."""
    for copy in duplicates_of(books, slide):
        error = EdgeError("MDSE-SPOOL-017", where=f"slide {copy.id}", other=row_name(slide.id))
        books.journal.slides.move(copy.id, "HELD", by=by, code=error.code, text=str(error), released=0)


def duplicates_of(books: Books, slide: SlideRow) -> list[SlideRow]:
    """Return the slides of other folders that were set aside as copies of this one and have no result of their own."""
    return [
        copy
        for copy in books.journal.slides.duplicates_of(slide.id)
        if (copy.source, copy.slide_key) != (slide.source, slide.slide_key) and not has_own_result(books, copy)
    ]


def duplicates_to_decide(journal: Journal) -> int:
    """Count the copies whose slide was discarded without a result, withdrawn, or is of other images or sample by now.

    A slide that is on its way to a result answers for them.
    """
    marks = ",".join("?" * len(WITHOUT_RESULT))
    query = (
        "SELECT count(*) FROM slides s CROSS JOIN slides t ON t.id = s.related_slide WHERE s.state = 'DUPLICATE'"  # noqa: S608 - our own words
        f" AND {_OF_ANOTHER_FOLDER} AND ({_IS_GIVEN_UP} OR (t.state NOT IN ({marks}) AND {_IS_REPLACED}))"
        " AND NOT EXISTS (SELECT 1 FROM revisions r WHERE r.slide_id = s.id AND r.status != 'X')"
    )
    return int(journal.connection.execute(query, WITHOUT_RESULT).fetchone()[0])
