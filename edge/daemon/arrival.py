"""What a freshly spooled slide means for the books: new, the same again, a copy under another name, or late files.

One transaction per arrival. The rules:

    same source, slide key and files            nothing happens (a touched file is no new slide)
    the files of an earlier arrival again       what waited of the newest is a DUPLICATE of it: its files are gone
    a result of this slide key exists, other files   LATE: an alarm, nothing is sent until a person releases it
    a person had a slide with a result read again    it is judged anew; another sample id is QUARANTINED
    not analyzed yet, other files               the newer copy takes the place of the older
    the same images under another name          DUPLICATE; under another sample id, or withdrawn there, HELD
    images of a slide whose rows are gone       HELD: for which sample it was is no longer known
    no sample id                                HELD: never guessed
    contradicting ids, unreadable metadata      QUARANTINED
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.daemon.books import Books
from edge.daemon.durable import sync_folder
from edge.daemon.likeness import SAME_IMAGES, doubt_about, late_error
from edge.daemon.next_revision import has_own_result, last_result, result_of_another_sample
from edge.daemon.quarantine import quarantine_slide
from edge.daemon.spool import idempotency_key
from edge.errors import EdgeError
from edge.journal_rows import SlideRow, row_name

NO_SAMPLE_ID = "MDSE-SLIDE-001"
UNSENT = ("SETTLED", "HELD", "QUARANTINED", "DUPLICATE", "SPOOLED")
NOTHING_KEPT: dict[str, Any] = {
    "idempotency_key": None, "spool_name": None, "planned_reason": None, "planned_by": None, "released": 0,
}  # fmt: skip
"""Of an arrival whose files the folder no longer holds: its copy must not become a result."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the scanner reports of a slide that it copied into `spool/incoming/<token>`."""

    token: str
    signature: str
    manifest_sha256: str
    content_sha256: str
    file_count: int
    byte_count: int
    sample_id: str | None
    problem: tuple[str, str] | None
    is_stat: bool = False

    @classmethod
    def from_message(cls, facts: dict[str, Any]) -> Arrival:
        """Return the arrival that a `fetched` message tells of."""
        problem = facts["problem"]
        return cls(
            facts["token"], facts["signature"], facts["manifest_sha256"], facts["content_sha256"],
            facts["file_count"], facts["byte_count"], facts["sample_id"],
            None if problem is None else (problem[0], problem[1]), bool(facts.get("stat")),
        )  # fmt: skip

    def columns(self, key: str) -> dict[str, Any]:
        """Return what the journal keeps of it."""
        return {
            "signature": self.signature,
            "manifest_sha256": self.manifest_sha256,
            "content_sha256": self.content_sha256,
            "file_count": self.file_count,
            "byte_count": self.byte_count,
            "sample_id": self.sample_id,
            "idempotency_key": key,
            "attempts": 0,
            "priority": int(self.is_stat),
        }


def accept_arrival(books: Books, newest: SlideRow, arrival: Arrival, *, in_work: bool) -> SlideRow:
    """Book an arrival of the folder whose latest row is `newest`; return the row that now stands for the folder.

    `in_work`: the worker has this slide at this moment. Raises sqlite3.Error, OSError (nothing is booked then).
    """
    key = idempotency_key(newest.source, newest.slide_key, arrival.manifest_sha256)
    slides = books.journal.slides
    known = slides.by_key(key)
    has_result = last_result(books, newest) is not None
    is_read_again = known is not None and known.id == newest.id and newest.state == "SETTLED"
    purged = slides.was_purged(key)
    with books.journal.change():
        if purged and newest.state in UNSENT and not has_result:
            row = note_purged(books, newest, arrival)
        elif is_read_again and in_work:
            row = note_in_work(books, newest)
        elif known is not None and not is_read_again:
            row = note_same_files(books, newest, known, arrival, in_work=in_work)
        elif newest.state in UNSENT and not in_work and (is_read_again or not has_result):
            row = judge(books, newest, arrival, key)
        else:
            row = note_late(books, newest, arrival, key)
    drop_incoming(books, arrival.token)
    return row


def note_in_work(books: Books, slide: SlideRow) -> SlideRow:
    """Let a slide settle again that is to be read anew while the worker still has it."""
    books.journal.slides.refund_attempt(slide.id)
    return books.journal.slides.move(slide.id, "SEEN", text="the worker still has it")


def note_same_files(books: Books, newest: SlideRow, known: SlideRow, arrival: Arrival, *, in_work: bool) -> SlideRow:
    """Book that a folder shows files that are known already: its look is remembered.

    Where they are an earlier arrival's, nothing may come any more of a newer one that waits: its files are gone. What
    the worker has is asked about at the gate the next time.
    """
    slides, signature = books.journal.slides, arrival.signature
    if known.id != newest.id:
        slides.amend(known.id, "its files are there again", signature=signature)
        is_analyzed = in_work and newest.state == "SPOOLED"
        if has_own_result(books, newest) and newest.state in ("SETTLED", "HELD", "SPOOLED") and not is_analyzed:
            gone = EdgeError("MDSE-SPOOL-012", where=f"slide {newest.id}")
            return slides.move(newest.id, "QUARANTINED", code=gone.code, text=str(gone), signature=signature)
        if newest.state in (*UNSENT, "LATE") and not is_analyzed and not has_own_result(books, newest):
            text = f"the same files as {row_name(known.id)}"
            columns = {**NOTHING_KEPT, "signature": signature, "related_slide": known.id}
            return slides.move(newest.id, "DUPLICATE", code=SAME_IMAGES, text=text, **columns)
    return slides.amend(newest.id, "same files seen again", signature=signature)


def note_purged(books: Books, newest: SlideRow, arrival: Arrival) -> SlideRow:
    """Book a slide whose rows were given back after their retention: it had its result, and gets no second one."""
    text = f"the same files as a slide that was finished before {books.config.retention.days} days and given back"
    columns = {**arrival.columns(""), **NOTHING_KEPT}
    return books.journal.slides.move(newest.id, "DUPLICATE", code=SAME_IMAGES, text=text, **columns)


def judge(books: Books, slide: SlideRow, arrival: Arrival, key: str) -> SlideRow:
    """Decide about a slide that has no result yet, or whose files a person had read again."""
    slides, columns = books.journal.slides, arrival.columns(key)
    if arrival.problem is not None and arrival.problem[0] != NO_SAMPLE_ID:
        code, text = arrival.problem
        columns["spool_name"] = name = place(books, slide.id, key, arrival)
        files = books.folders.spool / name
        return quarantine_slide(books, slide, files, code=code, text=text, stage="reading", **columns)
    if arrival.sample_id is None:
        text = arrival.problem[1] if arrival.problem else "no sample id"
        return slides.move(slide.id, "HELD", code=NO_SAMPLE_ID, text=text, **{**columns, "spool_name": None})
    standing = result_of_another_sample(books, slide, arrival.sample_id)
    if standing is not None:
        # Its row keeps the sample that was reported, and no copy: what is tried again is read and judged anew.
        error = EdgeError("MDSE-SPOOL-010", where=f"slide {slide.id}", message_id=standing.message_id)
        files, columns = books.folders.incoming / arrival.token, {"signature": arrival.signature, "spool_name": None}
        return quarantine_slide(books, slide, files, code=error.code, text=str(error), stage="reading", **columns)
    columns["spool_name"] = place(books, slide.id, key, arrival)
    doubt, twin = doubt_about(books, slide, arrival.content_sha256, arrival.sample_id)
    if doubt is None:
        return slides.move(slide.id, "SPOOLED", **columns)
    if twin is not None:
        columns["related_slide"] = twin.id
    if doubt.code == SAME_IMAGES:
        text = f"the same images as {row_name(columns['related_slide'])}"
        return slides.move(slide.id, "DUPLICATE", code=doubt.code, text=text, **columns)
    # An earlier release was about something else.
    return slides.move(slide.id, "HELD", code=doubt.code, text=str(doubt), released=0, **columns)


def note_late(books: Books, newest: SlideRow, arrival: Arrival, key: str) -> SlideRow:
    """Book other files under a slide key that has been analyzed: nothing is sent until a person releases them."""
    slides, columns = books.journal.slides, arrival.columns(key)
    error, twin = late_error(books, newest, arrival.content_sha256, arrival.sample_id)
    text = f"{error} ({arrival.problem[1]})" if arrival.problem else str(error)
    if newest.state == "LATE":
        columns["spool_name"] = place(books, newest.id, key, arrival)
        if twin is not None:
            columns["related_slide"] = twin.id
        return slides.move(newest.id, "LATE", code=error.code, text=text, **columns)
    if newest.state == "SETTLED":
        # It was to be read again and its files are gone: it goes back to where a person found it.
        gone = EdgeError("MDSE-SPOOL-012", where=f"slide {newest.id}")
        slides.move(newest.id, "QUARANTINED", code=gone.code, text=str(gone))
    row = slides.add(
        newest.source, newest.slide_key, newest.folder, state="LATE",
        related_slide=newest.id if twin is None else twin.id,
        reason_code=error.code, reason_text=text, **columns,
    )  # fmt: skip
    return slides.amend(row.id, "spooled", spool_name=place(books, row.id, key, arrival))


def place(books: Books, slide_id: int, key: str, arrival: Arrival) -> str:
    """Move the copy to its place in the spool, synced; return its name there. Raises OSError.

    A folder of that name was left by a crash between this move and the commit: it holds the same files.
    """
    name = f"{slide_id}-{key[:8]}"
    target = books.folders.spool / name
    if target.exists():
        shutil.rmtree(target)
    (books.folders.incoming / arrival.token).rename(target)
    sync_folder(books.folders.spool)
    return name


def drop_incoming(books: Books, token: str) -> None:
    """Remove what is left of a copy; what cannot be removed now goes at the next start."""
    folder = books.folders.incoming / token
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def spooled_folder(books: Books, slide: SlideRow) -> Path | None:
    """Return the folder of the slide's copy in the spool, or None when there is none (any more)."""
    if slide.spool_name is None:
        return None
    folder = books.folders.spool / slide.spool_name
    return folder if folder.is_dir() else None
