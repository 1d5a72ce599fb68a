"""Which slide's analysis may become the next revision of its folder's result.

A receiver files a result by its sample id. A revision for another sample would therefore leave the earlier result
standing, and no later revision could take it back: that has to be withdrawn first. Nor may files that were replaced by
later ones give the newest result again, or two arrivals of one folder be under way at once: who ends last would win.

Files may also be put back as they were: then the folder shows an earlier arrival, and that one makes the next result.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.daemon.books import Books
from edge.errors import EdgeError
from edge.journal_rows import SIDECAR_COPY, RevisionRow, SlideRow, row_name
from edge.journal_states import UNDELIVERED, WITHOUT_RESULT

WITHDRAWN, NO_RESULT = "W", "X"
LATE_FILES = "MDSE-SPOOL-007"


def last_revision(books: Books, slide: SlideRow) -> RevisionRow | None:
    """Return the newest revision of the slide's folder, or None."""
    revisions = books.journal.results.revisions_of_folder(slide.source, slide.slide_key)
    return revisions[-1] if revisions else None


def standing_result(books: Books, slide: SlideRow) -> RevisionRow | None:
    """Return the newest revision of the slide's folder when it is a result and not withdrawn; None otherwise.

    A withdrawal that an output was not given, or that its receiver refused, has taken nothing back there: it is
    returned until it is sent again (`resend`) or settled by hand (`discard`).
    """
    last = last_revision(books, slide)
    if last is None or last.status == NO_RESULT or (last.status == WITHDRAWN and not is_refused(books, last)):
        return None
    return last


def is_refused(books: Books, revision: RevisionRow) -> bool:
    """Tell whether an output's newest copy of a revision was refused or set aside, or still has to be sent again."""
    newest = {row.output: row for row in books.journal.results.deliveries_of(revision.id) if row.copy != SIDECAR_COPY}
    return any(
        row.state in ("REFUSED", "PARKED") or (row.copy > 1 and row.state in UNDELIVERED) for row in newest.values()
    )


def has_own_result(books: Books, slide: SlideRow) -> bool:
    """Tell whether a result was made of this very arrival. A notice that there is none (X) is none."""
    revisions = books.journal.results.revisions_of_folder(slide.source, slide.slide_key)
    return any(revision.slide_id == slide.id and revision.status != NO_RESULT for revision in revisions)


def result_of_another_sample(books: Books, slide: SlideRow, sample_id: str) -> RevisionRow | None:
    """Return the newest result of the slide's folder when it stands, not withdrawn, for another sample."""
    last = standing_result(books, slide)
    return None if last is None or books.journal.slides.get(last.slide_id).sample_id == sample_id else last


def last_result(books: Books, slide: SlideRow) -> RevisionRow | None:
    """Return the newest revision of the slide's folder that is a result, perhaps a withdrawn one, or None."""
    made = books.journal.results.revisions_of_folder(slide.source, slide.slide_key)
    return next((revision for revision in reversed(made) if revision.status != NO_RESULT), None)


def shown_arrival(arrivals: Sequence[SlideRow]) -> SlideRow:
    """Return which of a folder's arrivals, oldest first, it shows: an earlier one where its files were put back.

    The newest row always has the signature of the newest look; an earlier one gets it when its files are seen again.
    """
    newest = arrivals[-1]
    back = [row for row in arrivals[:-1] if row.signature is not None and row.signature == newest.signature]
    return back[-1] if back else newest


def objection(books: Books, slide: SlideRow) -> EdgeError | None:
    """Return why the slide must not be analyzed for the folder's next revision: MDSE-JOURNAL-016 to -018, -020."""
    where = row_name(slide.id)
    arrivals = books.journal.slides.arrivals(slide.source, slide.slide_key)
    for other in arrivals:
        if other.id != slide.id and other.state in WITHOUT_RESULT:
            return EdgeError("MDSE-JOURNAL-018", where=where, other=row_name(other.id))
    last = last_revision(books, slide)
    shown = shown_arrival(arrivals)
    if shown.id != slide.id:
        if last is not None and last.slide_id > slide.id:
            return EdgeError(
                "MDSE-JOURNAL-017", where=where, message_id=last.message_id, newest=row_name(last.slide_id)
            )
        newer = [row for row in arrivals if row.id > slide.id and not is_set_aside(row)]
        if newer or shown.id < slide.id:
            other = shown if shown.id < slide.id else newer[-1]
            return EdgeError("MDSE-JOURNAL-020", where=where, other=row_name(other.id))
    standing = result_of_another_sample(books, slide, slide.sample_id) if slide.sample_id is not None else None
    if standing is not None:
        return EdgeError("MDSE-JOURNAL-016", where=where, message_id=standing.message_id)
    return None


def is_set_aside(slide: SlideRow) -> bool:
    """Tell whether nothing will come of an arrival: it is a duplicate, or a person has discarded it."""
    return slide.state == "DUPLICATE" or (slide.state == "CLOSED" and slide.reason_code == "DISCARDED")


def require_turn(books: Books, slide: SlideRow) -> None:
    """Raise EdgeError MDSE-JOURNAL-016 to -018, -020 when the slide must not become its folder's next revision."""
    error = objection(books, slide)
    if error is not None:
        raise error


def may_follow_unasked(books: Books, slide: SlideRow) -> bool:
    """Tell whether late files may be released by `late_policy`: nothing about them is for a person to decide."""
    last = last_revision(books, slide)
    if slide.sample_id is None or slide.reason_code != LATE_FILES or last is None or last.status == WITHDRAWN:
        return False
    return objection(books, slide) is None
