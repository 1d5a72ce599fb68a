"""What an output missed while it was not configured: newer results of slides whose older ones it was given.

Results are planned for the outputs that are configured when they are made. An output that was taken out of the
configuration and put back would never tell its receiver that a result was corrected or withdrawn since, and would
still send the older one that waited. Asked at every start, before anything else is planned; it costs nothing where
every result was planned for every output.
"""

from __future__ import annotations

import json
import logging

from edge.config import OutputSection
from edge.daemon.archive import archived_record, archived_report
from edge.daemon.books import Books, output_name
from edge.daemon.decisions import reopen
from edge.daemon.intents import ReportFacts, intents_for
from edge.errors import EdgeError
from edge.journal_rows import DeliveryIntent, DeliveryRow, RevisionRow

log = logging.getLogger("mds_edge.daemon")


def plan_missed_results(books: Books) -> None:
    """Plan for every output the newest result of each slide of which it was given an older one; give up what waits.

    What is staged may have been published: it leaves before the newer one.
    """
    for name, output in books.outputs().items():
        with books.journal.change():
            for missed, older in missed_results(books, name):
                for delivery in older:
                    give_up(books, delivery, missed)
                plan(books, output, missed)
                log.warning("%s is planned for an output that missed it", missed.message_id)


def missed_results(books: Books, output: str) -> list[tuple[RevisionRow, list[DeliveryRow]]]:
    """Return the results that an output missed, oldest first, each with what the output has of their slide."""
    journal, found = books.journal, []
    newest_planned = "SELECT max(revision_id) FROM deliveries WHERE output = ?"
    (last,) = journal.connection.execute(newest_planned, (output,)).fetchone()
    query = (
        # CROSS JOIN keeps SQLite to this order, from the one folder on: most of them never had anything of this output.
        "SELECT s.source, s.slide_key FROM revisions r CROSS JOIN slides s ON s.id = r.slide_id WHERE r.id > ?1"
        " AND EXISTS (SELECT 1 FROM slides t CROSS JOIN revisions o ON o.slide_id = t.id AND o.id < r.id"
        " CROSS JOIN deliveries d ON d.revision_id = o.id AND d.output = ?2"
        " WHERE t.source = s.source AND t.slide_key = s.slide_key) GROUP BY s.source, s.slide_key ORDER BY max(r.id)"
    )
    for source, slide_key in [] if last is None else journal.connection.execute(query, (last, output)).fetchall():
        found += missed_of_folder(books, output, journal.results.revisions_of_folder(source, slide_key))
    return found


def missed_of_folder(books: Books, output: str, made: list[RevisionRow]) -> list[tuple[RevisionRow, list[DeliveryRow]]]:
    """Return a folder's newest result when an output was given older ones and not this one.

    Before it comes what took back a result for another sample or slide number that had left: `made` is oldest first.
    """
    results = books.journal.results
    given = {
        revision.id: [row for row in results.deliveries_of(revision.id) if row.output == output] for revision in made
    }
    if not any(given.values()):
        return []
    newest_given = max(revision_id for revision_id, rows in given.items() if rows)
    missed = {filed_place(books, revision): revision for revision in made if revision.id > newest_given}
    had = {
        filed_place(books, revision)
        for revision in made
        if any(row.state not in ("RENDERED", "PARKED") for row in given[revision.id])
    }
    wanted = [revision for place, revision in missed.items() if place in had or revision.id == made[-1].id]
    waiting = [row for rows in given.values() for row in rows]
    return [(revision, waiting) for revision in sorted(wanted, key=lambda revision: revision.number)]


def filed_place(books: Books, revision: RevisionRow) -> tuple[str | None, str | None]:
    """Return the sample id and slide label of a revision, as its slide's row has them."""
    slide = books.journal.slides.get(revision.slide_id)
    return slide.sample_id, slide.filed_as


def give_up(books: Books, delivery: DeliveryRow, missed: RevisionRow) -> None:
    """Let what waits of an older result not leave any more."""
    journal = books.journal
    if journal.results.delivery(delivery.id).state not in ("RENDERED", "PARKED"):
        return
    journal.results.move_delivery(delivery.id, "ARCHIVED", text=f"not sent: {missed.message_id} replaces it")
    slide = journal.slides.get(journal.results.slide_of_delivery(delivery.id))
    if slide.state == "COMPUTED" and journal.results.is_delivered(slide.id):
        journal.slides.move(slide.id, "CLOSED")


def plan(books: Books, output: OutputSection, missed: RevisionRow) -> None:
    """Plan a result for one output. A record that is missing or was changed is parked: an alarm says so."""
    archive = books.folders.archive
    try:
        record, facts = json.loads(archived_record(archive, missed)), None
        if output.report and missed.report_sha256 is not None:
            facts = ReportFacts(missed.report_sha256, len(archived_report(archive, missed)))
        intents = intents_for([output], record, report=facts)
    except EdgeError as error:
        intents = [DeliveryIntent(output_name(output), None, None, None, None, parked=str(error))]
    for intent in intents:
        books.journal.results.add_delivery(missed.id, intent, copy=intent.copy)
    reopen(books, missed.slide_id, by="daemon", text="to be sent to an output that missed it")
