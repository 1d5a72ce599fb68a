"""Which slide a person means: the one place where a name becomes a slide, for reading and for deciding alike."""

from __future__ import annotations

from collections.abc import Iterator

from edge.daemon.books import Books
from edge.errors import EdgeError
from edge.journal_rows import ROW_MARK, SlideRow, row_name


def find_slide(books: Books, name: str) -> SlideRow:
    """Return the one slide that a person names: `row:` and journal number, message id, (`source/`)slide key.

    Raises EdgeError MDSE-JOURNAL-005 when there is none, MDSE-JOURNAL-008 when the name fits several slides.
    """
    found = set(slides_named(books, name))
    if not found:
        raise EdgeError("MDSE-JOURNAL-005", where=name)
    if len(found) > 1:
        names = ", ".join(row_name(slide_id) for slide_id in sorted(found))
        raise EdgeError("MDSE-JOURNAL-008", where=name, count=len(found), names=names)
    return books.journal.slides.get(found.pop())


def is_slide_key(slide: SlideRow, name: str) -> bool:
    """Tell whether a name is the slide's key, which all arrivals of the folder have, and not that of one arrival."""
    return name in (slide.slide_key, f"{slide.source}/{slide.slide_key}")


def require_newest_result(books: Books, slide: SlideRow, name: str) -> None:
    """Raise EdgeError MDSE-JOURNAL-021 when a name is a result's, or of an arrival's, that a newer one has replaced.

    A decision about a result acts on the folder's newest: whoever names another one has not seen that.
    """
    revisions = books.journal.results.revisions_of_folder(slide.source, slide.slide_key)
    if not revisions or is_slide_key(slide, name):
        return
    newest = revisions[-1]
    if newest.message_id == name or (name == row_name(slide.id) and newest.slide_id == slide.id):
        return
    sample_id = books.journal.slides.get(newest.slide_id).sample_id
    raise EdgeError(
        "MDSE-JOURNAL-021", where=name, message_id=newest.message_id, status=newest.status, sample_id=sample_id
    )


def slides_named(books: Books, name: str) -> Iterator[int]:
    """Yield the number of every slide that a name may mean; none goes before another: a guess acts on a patient."""
    journal = books.journal
    number = name.removeprefix(ROW_MARK)
    if number != name and number.isascii() and number.isdecimal() and len(number) < 16:
        for row in journal.connection.execute("SELECT id FROM slides WHERE id = ?", (int(number),)):
            yield int(row[0])
    for row in journal.connection.execute("SELECT slide_id FROM revisions WHERE message_id = ?", (name,)):
        yield int(row[0])
    for source in books.config.sources:
        for key in {name, name.removeprefix(f"{source.id}/")}:
            slide = journal.slides.newest(source.id, key)
            if slide is not None:
                yield slide.id
