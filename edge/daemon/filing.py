"""Whether a new result may be sent under its label: one result stands under each sample id and slide label.

A receiver files a result by both, and knows no folder. A second slide under the label of a first would take the place
of its result, and its withdrawal would mark the first. A revision under another label than its folder's result would
leave that one standing, and no later revision could take it back. Control material is scanned under one label day after
day: there the newest result is meant to take the place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from edge.daemon.archive import archived_record
from edge.daemon.books import Books
from edge.daemon.next_revision import standing_result
from edge.errors import EdgeError
from edge.journal_rows import RevisionRow, SlideRow, row_name
from edge.writers.report_facts import slide_label


def label_objection(books: Books, slide: SlideRow, record: Mapping[str, Any]) -> EdgeError | None:
    """Return why the slide's new result must not be sent under its label; None where nothing stands in its way.

    MDSE-SPOOL-014: another slide's result stands under the same sample id and label, of whatever source (not every
    format names it); not asked of control material. MDSE-SPOOL-015: the folder's own result stands under another
    label.
    Raises EdgeError MDSE-JOURNAL-007 when the record of a result that stands cannot be read.
    """
    where, filed = f"slide {slide.id}", filed_under(record)
    own = standing_result(books, slide)
    if own is not None:
        before = filed_under(record_of(books, own))
        if before != filed:
            return EdgeError(
                "MDSE-SPOOL-015", where=where, message_id=own.message_id, other=row_name(own.slide_id),
                before=before[1], label=filed[1],
            )  # fmt: skip
    if is_control(books, slide.source, filed[0]):
        return None
    for other in other_slides(books, slide, filed[1]):
        standing = standing_result(books, other)
        if standing is not None and filed_under(record_of(books, standing)) == filed:
            return EdgeError(
                "MDSE-SPOOL-014", where=where, message_id=standing.message_id, other=row_name(standing.slide_id),
                label=filed[1],
            )  # fmt: skip
    return None


def is_control(books: Books, source: str, sample_id: str) -> bool:
    """Tell whether the whole sample id is one of control material to the source: see `control_pattern`."""
    pattern = next((section.control_pattern for section in books.config.sources if section.id == source), None)
    return pattern is not None and re.fullmatch(pattern, sample_id) is not None


def filed_under(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a receiver files a record by: sample id and slide label."""
    named = record["slide"]
    return str(named["sample_id"]), slide_label(named["slide_no"], named["slide_key"])


def record_of(books: Books, revision: RevisionRow) -> dict[str, Any]:
    """Return the archived record of a revision; raises EdgeError MDSE-JOURNAL-007."""
    record: dict[str, Any] = json.loads(archived_record(books.folders.archive, revision))
    return record


def other_slides(books: Books, slide: SlideRow, label: str) -> list[SlideRow]:
    """Return the slides of the same sample in other folders that may have the label, one arrival of each.

    The others' records are not read: thousands of slides may carry the number of one control sample.
    """
    if slide.sample_id is None:
        return []
    found = {(row.source, row.slide_key): row for row in books.journal.slides.filed(slide.sample_id, label)}
    found.pop((slide.source, slide.slide_key), None)
    return list(found.values())
