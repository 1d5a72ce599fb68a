"""What a person may decide about a result that was sent: final, withdrawn, sent again. No worker is needed.

A finalized or withdrawn result is the archived record with another status, revision, reason and time; nothing that was
measured changes. A repeated delivery is the same bytes with the same message id under another file name.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from edge.daemon.archive import archived_record, archived_report, store_result
from edge.daemon.books import Books
from edge.daemon.decisions import give_up_reanalysis, refusal, reopen
from edge.daemon.duplicates import hold_withdrawn_duplicates
from edge.daemon.intents import ReportFacts, intent_for, intents_for
from edge.daemon.report_notice import page_with_notice
from edge.delivery.names import final_name_from_record
from edge.errors import EdgeError
from edge.journal_results import NewRevision
from edge.journal_rows import SIDECAR_COPY, DeliveryIntent, DeliveryRow, RevisionRow, SlideRow, row_name
from edge.journal_states import WITHOUT_RESULT
from edge.record_text import record_bytes, revise_record

log = logging.getLogger("mds_edge.daemon")
RESTATABLE = ("CLOSED", "COMPUTED", "QUARANTINED")
"""QUARANTINED: another analysis of it failed, and its result stands at the receiver as before."""
OPEN = ("SEEN", "SETTLED", "SPOOLED", "WAITING_SOURCE", "VANISHED", "HELD", "LATE", "QUARANTINED")


def latest_revision(books: Books, slide: SlideRow) -> RevisionRow:
    """Return the newest revision of the slide's folder; raises EdgeError MDSE-JOURNAL-011 when there is none."""
    revisions = books.journal.results.revisions_of_folder(slide.source, slide.slide_key)
    if not revisions:
        raise EdgeError("MDSE-JOURNAL-011", where=row_name(slide.id))
    return revisions[-1]


def finalize(books: Books, slide: SlideRow, *, by: str, reason: str) -> RevisionRow:
    """Release the newest result as final (F); raises EdgeError MDSE-JOURNAL-012 when it is not preliminary."""
    last = latest_revision(books, slide)
    if last.status != "P":
        raise EdgeError("MDSE-JOURNAL-012", where=last.message_id, status=last.status, wanted="final")
    return restate(books, last, "F", by=by, reason=reason)


def withdraw(books: Books, slide: SlideRow, *, by: str, reason: str) -> RevisionRow:
    """Withdraw the newest result (W): wrong sample, wrong slide. Later files that are under way are held.

    Another analysis of the same files that is under way, held or gone astray is given up: what was sent is taken back
    whatever became of it. A worker that has the slide in hand finds it decided, and its answer is dropped.
    Raises EdgeError MDSE-JOURNAL-012 when it is withdrawn already or no result was possible.
    """
    last = latest_revision(books, slide)
    if last.status in ("W", "X"):
        raise EdgeError("MDSE-JOURNAL-012", where=last.message_id, status=last.status, wanted="withdrawn")
    with books.journal.change():
        reported = books.journal.slides.get(last.slide_id)
        if reported.state not in RESTATABLE:
            give_up_reanalysis(books, reported, by=by, reason=reason)
        revision = restate(books, last, "W", by=by, reason=reason)
        hold_waiting(books, slide, by=by)
        hold_withdrawn_duplicates(books, slide, by=by)
    return revision


def hold_waiting(books: Books, slide: SlideRow, *, by: str) -> None:
    """Take back what was planned of the folder, and hold what is to be read, waits for the worker or is with it.

    Nothing follows a withdrawal with nobody asked.
    """
    for other in books.journal.slides.arrivals(slide.source, slide.slide_key):
        if other.state in OPEN and (other.planned_by or other.planned_reason or other.released):
            cleared: dict[str, Any] = {"planned_reason": None, "planned_by": None, "released": 0}
            books.journal.slides.amend(other.id, "taken back by a withdrawal", by=by, **cleared)
        if other.state in WITHOUT_RESULT:
            error = EdgeError("MDSE-SPOOL-013", where=f"slide {other.id}")
            books.journal.slides.move(other.id, "HELD", by=by, code=error.code, text=str(error))


def restate(books: Books, last: RevisionRow, status: str, *, by: str, reason: str) -> RevisionRow:
    """Make the next revision from the archived record of `last` and plan its deliveries; raises OSError, EdgeError."""
    slide = books.journal.slides.get(last.slide_id)
    if slide.state not in RESTATABLE:
        raise refusal(slide, "restated")
    number = last.number + 1
    message_id = f"{last.message_id.rpartition('.R')[0]}.R{number}"
    record = revise_record(
        json.loads(archived_record(books.folders.archive, last)),
        status=status,
        revision=number,
        supersedes=last.message_id,
        reason=reason,
        message_id=message_id,
        analysed_at=books.site_time(),
    )
    page = restated_report(books, last, record, by=by)
    record_sha256, report_sha256 = store_result(books.folders.archive, message_id, record_bytes(record), page)
    new = NewRevision(
        number, message_id, status, last.mode, record_sha256, report_sha256, last.bundle_digest, last.message_id, by,
        reason,
    )  # fmt: skip
    facts = None if page is None or report_sha256 is None else ReportFacts(report_sha256, len(page))
    with books.journal.change():
        revision = books.journal.results.add_revision(
            slide.id, new, intents_for(books.config.outputs, record, report=facts)
        )
        reopen(books, slide.id, by=by, text=f"revision {number} ({status})")
    return revision


def restated_report(books: Books, last: RevisionRow, record: Mapping[str, Any], *, by: str) -> bytes | None:
    """Return the report of `last` with a notice of what became of it; None when there is none.

    A report that is missing or was changed must not keep a wrong result from being withdrawn: it is logged.
    """
    if last.report_sha256 is None:
        return None
    try:
        page = page_with_notice(archived_report(books.folders.archive, last), record, by=by)
        reason = "the earlier one has no body"
    except EdgeError as error:
        page, reason = None, str(error)
    if page is None:
        log.warning("%s gets no report: %s", record["message_id"], reason)
    return page


def resend(books: Books, slide: SlideRow, *, by: str, reason: str) -> RevisionRow:
    """Send the newest result once more to every output that has it: same bytes, same message id, another file name.

    Raises EdgeError MDSE-JOURNAL-011 when there is no result, -019 when no configured output has it, -015 when the
    bytes would be others.
    """
    results = books.journal.results
    last = latest_revision(books, slide)
    newest = {row.output: row for row in results.deliveries_of(last.id) if row.copy != SIDECAR_COPY}
    outputs = books.outputs()
    repeated = [delivery for output, delivery in newest.items() if output in outputs]
    if not repeated:
        raise EdgeError("MDSE-JOURNAL-019", where=last.message_id)
    with books.journal.change():
        for delivery in repeated:
            repeat_delivery(books, last, delivery, by=by)
        reopen(books, last.slide_id, by=by, text=f"sent again: {reason}")
    return last


def repeat_delivery(books: Books, revision: RevisionRow, delivery: DeliveryRow, *, by: str) -> int:
    """Plan one more copy of a delivery, the same bytes under the next name; return its id. Its output is configured."""
    results, copy = books.journal.results, delivery.copy + 1
    record = json.loads(archived_record(books.folders.archive, revision))
    content = results.content(delivery.id)
    if content is None or delivery.final_name is None:
        # Parked, or archived after its retention: the record gives the same text again, unless the writer has changed.
        intent = intent_for(books.outputs()[delivery.output], record, copy=copy)
        if delivery.sha256 is not None and intent.sha256 != delivery.sha256:
            raise EdgeError("MDSE-JOURNAL-015", where=revision.message_id, output=delivery.output)
    else:
        extension = "." + delivery.final_name.rpartition(".")[2]
        name = final_name_from_record(record, extension, delivery=copy)
        intent = DeliveryIntent(delivery.output, name, content, delivery.sha256, delivery.size)
    return results.add_delivery(revision.id, intent, copy=copy, by=by)
