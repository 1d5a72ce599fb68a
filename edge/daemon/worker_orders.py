"""What the worker is told: how the models are opened, and of each slide what its result is to say and to be called."""

from __future__ import annotations

import json
from typing import Any

from edge.config import Config
from edge.daemon.archive import archived_record, record_path
from edge.daemon.books import Books
from edge.daemon.clock_guard import UNSYNCHRONISED, UNSYNCHRONISED_TEXT
from edge.daemon.gate import COPY_DIFFERS
from edge.daemon.house import House
from edge.daemon.next_revision import last_revision
from edge.errors import EdgeError
from edge.journal_rows import RevisionRow, SlideRow


def order_for(house: House, slide: SlideRow, folder: str, *, is_degraded: bool) -> dict[str, Any]:
    """Return the order to analyze a spooled slide, whose copied files lie in `folder`, for its folder's next result.

    Raises EdgeError MDSE-JOURNAL-007 when the result that it follows cannot be read, MDSE-SPOOL-018 without a key.
    """
    books = house.books
    last = last_revision(books, slide)
    number = next_number(books, slide, last)
    warnings = []
    if slide.released:
        warnings.append(["RELEASED", "a person let this slide pass although the daemon had held it"])
    if house.clock_doubt:
        warnings.append([UNSYNCHRONISED, UNSYNCHRONISED_TEXT])
    pattern = next((s.sample_id_pattern for s in books.config.sources if s.id == slide.source), None)
    job = {
        "source": slide.source, "revision": number, "message_id": message_id_of(slide, number),
        "supersedes": last.message_id if last else None, "reason": slide.planned_reason if last else None,
        "status": "C" if last is not None and last.status in ("F", "C") else "P",
        "analysed_at": books.site_time(), "assess_all": books.config.assess.assess_all,
        "manifest_sha256": slide.manifest_sha256, "site": books.config.site.id,
        "degraded": is_degraded, "warnings": warnings, "reported": reported_by(books, last),
    }  # fmt: skip
    return {
        "kind": "analyze", "slide_key": slide.slide_key, "sample_id": slide.sample_id, "folder": folder,
        "sample_id_pattern": pattern, "attempt": slide.attempts + 1, "job": job,
    }  # fmt: skip


def reported_by(books: Books, last: RevisionRow | None) -> list[dict[str, Any]]:
    """Return the targets that the earlier revision reported: the new one must say something of each of them."""
    if last is None:
        return []
    names = ("target", "positive", "negative", "threshold")
    rows = json.loads(archived_record(books.folders.archive, last))["assessments"]
    return [{name: row[name] for name in names} for row in rows if row["call"] != "NOT-REQUESTED"]


def next_number(books: Books, slide: SlideRow, last: RevisionRow | None) -> int:
    """Return the number of the folder's next revision.

    The archive outlives the rows: where the same files had a result before these were given back, the number goes on
    past it. A receiver that knows messages by their id would take the new result for the old one sent again.
    """
    number = last.number + 1 if last else 1
    if slide.idempotency_key is not None and books.journal.slides.was_purged(slide.idempotency_key):
        while record_path(books.folders.archive, message_id_of(slide, number)).exists():
            number += 1
    return number


def message_id_of(slide: SlideRow, number: int) -> str:
    """Return the message id of a revision: the first 12 digits of the idempotency key, and the number (<= 20 bytes).

    Raises EdgeError MDSE-SPOOL-018 for a slide without a key: two of them would have one message id.
    """
    if slide.idempotency_key is None:
        raise EdgeError(COPY_DIFFERS, where=f"slide {slide.id}", reason="the journal has no key of its files")
    return f"{slide.idempotency_key[:12].upper()}.R{number}"


def model_settings(config: Config, *, device: str, cache: str | None) -> dict[str, Any]:
    """Return how the models are to be opened, as the worker takes it; `cache` None: nothing compiled is kept."""
    key = config.bundle.public_key
    return {
        "bundle": str(config.bundle.path), "public_key": None if key is None else str(key),
        "device": device, "threads": config.engine.threads, "cache": cache,
        "plans": None if cache is None else f"{cache}/plans", "targets": list(config.assess.targets),
        "formats": sorted({output.format for output in config.outputs}),
        "limits": {
            "cell_side_px": config.limits.cell_side_px, "cell_bytes": config.limits.cell_bytes,
            "unreadable_fraction": config.limits.unreadable_fraction,
        },
        "report": {
            "language": config.site.language, "reference": list(config.reference.intervals),
            "reference_source": config.reference.source,
        },
    }  # fmt: skip
