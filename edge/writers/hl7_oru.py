"""HL7 v2.5.1 ORU^R01: one message a file, each segment ended by CR.

    MSH SFT [PID] ORC OBR {NTE} { OBX {NTE} } SPM

The sample id stands in OBR-3, where receivers look for it; slides of one sample are told apart by OBX-4. The status
letter is one for the whole message, except that a value which could not be given leaves empty with X.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime

from edge.catalogue.codes import load_codes
from edge.errors import EdgeError
from edge.writers.base import RenderedFile
from edge.writers.hl7_check import check_hl7
from edge.writers.hl7_observations import UNIT_NAMES, Observation, closing_count, observations_of_record
from edge.writers.hl7_text import (
    IDENTIFIER_LIMIT,
    ST_LIMIT,
    escaped,
    identifier_field,
    lines_from_text,
    text_field,
    time_field,
)
from edge.writers.record_view import RecordView, view_of_record
from edge.writers.strings import sentence

# OBR-25 by the record's letter; W has no place in table 0123, a withdrawn result is a corrected report.
REPORT_STATUS = {"P": "P", "F": "F", "C": "C", "W": "C", "X": "X"}
SUB_ID_LIMIT = 20  # OBX-4 in v2.5.1
NAMESPACE_LIMIT = 20  # HD.1 in v2.5.1


class Hl7OruWriter:
    """Writes a record as an HL7 v2.5.1 ORU^R01 message."""

    name = "hl7"

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the message as a `.hl7` file. Raises EdgeError MDSE-WRITER-001 to -004."""
        content = message_from_view(view_of_record(record))
        self.check(content)
        return RenderedFile(".hl7", content)

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not one whole, sound message."""
        check_hl7(content)


def message_from_view(view: RecordView) -> bytes:
    """Return the message: ASCII, or UTF-8 where an identifier needs it (then MSH-18 says so)."""
    body = [*_head(view), *_request(view), *_results(view), _specimen(view)]
    plain = "".join(f"{segment}\r" for segment in (_message_header(view, ""), *body))
    if plain.isascii():
        return plain.encode("ascii")
    return "".join(f"{segment}\r" for segment in (_message_header(view, "UNICODE UTF-8"), *body)).encode("utf-8")


def _segment(name: str, fields: Mapping[int, str]) -> str:
    """Return a segment from its fields by number (field 1 follows the first delimiter), without empty fields behind."""
    last = max(number for number, value in fields.items() if value)
    return "|".join([name, *(fields.get(number, "") for number in range(1, last + 1))])


def _message_header(view: RecordView, charset: str) -> str:
    site = identifier_field(view.site, "site.id")
    facility = site if len(site) <= NAMESPACE_LIMIT else f"^{site}^L"
    fields = {
        2: "MDSEDGE",
        3: facility,
        6: time_field(view.analysed_at, view.analysed_at),
        8: "ORU^R01^ORU_R01",
        9: view.message_id,
        10: view.mode,
        11: "2.5.1",
        14: "NE",
        15: "AL",
        17: charset,
    }
    # MSH-1 is the delimiter itself, so every number here is one less than its name in the standard.
    return _segment("MSH", {1: "^~\\&", **fields})


def _head(view: RecordView) -> Iterator[str]:
    product, _, version = view.provenance.software.rpartition(" ")
    digest = identifier_field(f"sha256:{view.provenance.bundle_digest}", "bundle digest")
    fields = {1: text_field(product or "mds-edge"), 2: text_field(version), 3: "MDSEDGE", 4: digest}
    yield _segment("SFT", fields)
    if view.slide.patient_id:
        # PID-5 is required. Name type U (unspecified) says that no name is known; "" would ask to delete it.
        yield _segment("PID", {1: "1", 3: identifier_field(view.slide.patient_id, "patient_id"), 5: "^^^^^^U"})


def _request(view: RecordView) -> Iterator[str]:
    sample = f"{identifier_field(view.slide.sample_id, 'sample_id')}^MDSEDGE"
    order = f"{identifier_field(view.slide.order_id, 'order_id')}^LIS" if view.slide.order_id else ""
    yield _segment("ORC", {1: "RE", 2: order, 3: sample})
    panel = load_codes().panel
    yield _segment(
        "OBR",
        {
            1: "1",
            2: order,
            3: sample,
            4: f"{panel.number}^{escaped(panel.name)}^LN",
            7: _acquired_field(view),
            22: time_field(view.analysed_at, view.analysed_at),
            24: "HM",
            25: REPORT_STATUS[view.status],
        },
    )
    yield from _notes(_message_notes(view))


def _message_notes(view: RecordView) -> Iterator[str]:
    made_by = view.provenance
    yield sentence(f"status_meaning.{view.status}")
    yield sentence("note.support")
    if view.mode == "T":
        yield sentence("note.test", intended_use=made_by.intended_use)
    if view.simulated:
        yield sentence("note.simulated")
    if made_by.degraded:
        yield sentence("note.degraded", engine=f"{made_by.engine_name} {made_by.engine_device}")
    if view.reason:
        yield sentence("note.reason", reason=view.reason)
    if not view.leucocytes:
        yield sentence("note.no_leucocytes")
    if view.slide.acquired_at and _acquired_moment(view) is None:
        yield sentence("note.acquired_unclear", acquired_at=view.slide.acquired_at)
    for warning in view.warnings:
        yield sentence("note.warning", code=warning.code, text=warning.text)


def _acquired_moment(view: RecordView) -> datetime | None:
    """Return when the slide was acquired; None where the export names no offset: a guessed zone may shift the day."""
    try:
        moment = datetime.fromisoformat(view.slide.acquired_at or "")
    except ValueError:
        return None
    return moment if moment.utcoffset() is not None else None


def _acquired_field(view: RecordView) -> str:
    moment = _acquired_moment(view)
    return time_field(moment, view.analysed_at) if moment else ""


def _results(view: RecordView) -> Iterator[str]:
    rows = observations_of_record(view)
    sub_id = _sub_id(view)
    for number, row in enumerate((*rows, closing_count(len(rows))), start=1):
        yield _observation_segment(view, number, sub_id, row)
        yield from _notes(row.notes)


def _observation_segment(view: RecordView, number: int, sub_id: str, row: Observation) -> str:
    value = "" if row.value is None else row.value if row.kind == "NM" else text_field(row.value)
    unit = f"{row.unit}^{UNIT_NAMES[row.unit]}^UCUM" if row.unit else ""
    fields = {
        1: str(number),
        2: row.kind if len(value) <= ST_LIMIT else "TX",
        3: _observation_identifier(row),
        4: sub_id,
        5: value,
        6: unit,
        7: row.reference,
        8: row.flag,
        11: "X" if row.value is None else view.status,
        14: _acquired_field(view),
        18: _equipment(view),
        19: time_field(view.analysed_at, view.analysed_at),
    }
    return _segment("OBX", fields)


def _observation_identifier(row: Observation) -> str:
    local = ""
    if row.local:
        if len(row.local) > NAMESPACE_LIMIT:
            raise EdgeError("MDSE-WRITER-003", where="hl7", name=row.name)
        local = f"{row.local}^{text_field(row.name)}^{load_codes().local_system}"
    if row.loinc is None:
        return local
    standard = f"{row.loinc.number}^{escaped(row.loinc.name)}^LN"
    return f"{standard}^{local}" if local else standard


def _sub_id(view: RecordView) -> str:
    """Return OBX-4, which tells the slides of one sample apart: the slide's number, else its key or a digest of it."""
    if view.slide.slide_no is not None:
        return str(view.slide.slide_no)
    key = identifier_field(view.slide.slide_key, "slide_key")
    if len(key) <= SUB_ID_LIMIT:
        return key
    return "K" + hashlib.sha256(view.slide.slide_key.encode("utf-8")).hexdigest()[:12]


def _equipment(view: RecordView) -> str:
    """Return OBX-18: the analyzer's model and serial number, in ASCII, as one entity identifier."""
    words = [view.slide.analyzer_model, view.slide.analyzer_serial or ""]
    name = text_field("/".join(word for word in words if word))
    if len(name) > IDENTIFIER_LIMIT:
        raise EdgeError("MDSE-WRITER-002", where="hl7", field="analyzer", limit_characters=IDENTIFIER_LIMIT)
    return name


def _notes(texts: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    lines = [line for text in texts for line in lines_from_text(text)]
    for number, line in enumerate(lines, start=1):
        yield _segment("NTE", {1: str(number), 2: "L", 3: line})


def _specimen(view: RecordView) -> str:
    sample = identifier_field(view.slide.sample_id, "sample_id")
    slide = identifier_field(view.slide.slide_key, "slide_key")
    return _segment("SPM", {1: "1", 2: f"{sample}&LIS^{slide}&MDSEDGE", 4: "BLD^Blood^HL70487"})
