"""What every format says of the whole report: its notes, the time of the slide, the slide's number, the analyzer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime

from edge.writers.record_view import RecordView
from edge.writers.strings import sentence

SUB_ID_LIMIT = 20  # OBX-4 in HL7 v2.5.1, the narrowest place where a slide's number goes


def report_notes(view: RecordView) -> Iterator[str]:
    """Yield the sentences that concern the whole report: status, limits, marks, reason, warnings."""
    made_by = view.provenance
    yield sentence(f"status_meaning.{view.status}")
    yield sentence("note.support")
    if view.mode == "T":
        yield sentence("note.test", intended_use=made_by.intended_use)
    if view.research_only:
        yield sentence("note.research", intended_use=made_by.intended_use)
    if view.simulated:
        yield sentence("note.simulated")
    if made_by.degraded:
        yield sentence("note.degraded", engine=f"{made_by.engine_name} {made_by.engine_device}")
    if view.reason:
        yield sentence("note.reason", reason=view.reason)
    if not view.leucocytes:
        yield sentence("note.no_leucocytes")
    if view.slide.acquired_at and acquired_moment(view) is None:
        yield sentence("note.acquired_unclear", acquired_at=view.slide.acquired_at)
    for warning in view.warnings:
        yield sentence("note.warning", code=warning.code, text=warning.text)


def acquired_moment(view: RecordView) -> datetime | None:
    """Return when the slide was acquired; None where the export names no offset: a guessed zone may shift the day."""
    try:
        moment = datetime.fromisoformat(view.slide.acquired_at or "")
    except ValueError:
        return None
    return moment if moment.utcoffset() is not None else None


def slide_number(view: RecordView) -> str:
    """Return what tells the slides of one sample apart, as `slide_label`."""
    return slide_label(view.slide.slide_no, view.slide.slide_key)


def slide_label(slide_no: int | None, slide_key: str) -> str:
    """Return under what a receiver files a slide beside others of its sample: its number, else its key or a digest."""
    if slide_no is not None:
        return str(slide_no)
    return slide_key if len(slide_key) <= SUB_ID_LIMIT else number_from_slide_key(slide_key)


def number_from_slide_key(key: str) -> str:
    """Return a short stand-in for a slide key that is too long to be a number: K and 12 hexadecimal digits."""
    return "K" + hashlib.sha256(key.encode("utf-8")).hexdigest()[:12]


def analyzer_name(view: RecordView) -> str:
    """Return the analyzer's model and serial number with a slash between; empty where the export names neither."""
    return "/".join(word for word in (view.slide.analyzer_model, view.slide.analyzer_serial or "") if word)
