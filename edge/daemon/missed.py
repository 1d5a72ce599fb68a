"""What an output missed while it was not configured: a newer result of a slide whose older one still waits there.

Results are planned for the outputs that are configured when they are made. An output that was taken out of the
configuration with a result waiting, and put back after the slide had a newer one, would send the older result, and its
receiver would never hear that it was corrected or withdrawn. It gets the newest in its place.
"""

from __future__ import annotations

import json

from edge.config import OutputSection
from edge.daemon.archive import archived_record, archived_report
from edge.daemon.books import Books
from edge.daemon.decisions import reopen
from edge.daemon.intents import ReportFacts, intents_for
from edge.journal_rows import DeliveryRow, RevisionRow


def missed_revision(books: Books, row: DeliveryRow) -> RevisionRow | None:
    """Return the newest result of the delivery's folder when it was never planned for this output, else None."""
    results = books.journal.results
    slide = books.journal.slides.get(results.slide_of_delivery(row.id))
    newest = results.revisions_of_folder(slide.source, slide.slide_key)[-1]
    is_planned = newest.id == row.revision_id or any(
        delivery.output == row.output for delivery in results.deliveries_of(newest.id)
    )
    return None if is_planned else newest


def plan_missed(books: Books, output: OutputSection, row: DeliveryRow) -> tuple[str, list[int]]:
    """Plan the missed result for the output; return its message id ("" when none) and what must not leave any more.

    Raises EdgeError MDSE-JOURNAL-007 when its archived record or report is missing or was changed.
    """
    missed = missed_revision(books, row)
    if missed is None:
        return "", []
    results, archive = books.journal.results, books.folders.archive
    record = json.loads(archived_record(archive, missed))
    facts = None
    if output.report and missed.report_sha256 is not None:
        facts = ReportFacts(missed.report_sha256, len(archived_report(archive, missed)))
    slide = books.journal.slides.get(missed.slide_id)
    older = [
        delivery.id
        for revision in results.revisions_of_folder(slide.source, slide.slide_key)
        for delivery in results.deliveries_of(revision.id)
        if delivery.output == row.output and delivery.state in ("RENDERED", "PARKED")
    ]
    with books.journal.change():
        for intent in intents_for([output], record, report=facts):
            results.add_delivery(missed.id, intent, copy=intent.copy)
        reopen(books, slide.id, by="daemon", text=f"to be sent to {row.output} as well")
    return missed.message_id, older
