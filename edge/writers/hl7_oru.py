"""HL7 v2.5.1 ORU^R01: one message a file, each segment ended by CR.

    MSH SFT [PID] ORC OBR {NTE} { OBX {NTE} } SPM

The sample id stands in OBR-3, where receivers look for it; slides of one sample are told apart by OBX-4. The status
letter is one for the whole message, except that a value which could not be given leaves empty with X.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edge.writers.base import RenderedFile, WriterOptions
from edge.writers.hl7_check import check_hl7
from edge.writers.hl7_segments import (
    bytes_from_segments,
    message_header,
    notes,
    order_field,
    patient,
    request,
    result_segments,
    sample_field,
    segment,
    software,
)
from edge.writers.hl7_text import identifier_field
from edge.writers.record_view import RecordView, view_of_record
from edge.writers.report_facts import report_notes


@dataclass(frozen=True, slots=True)
class Hl7OruWriter:
    """Writes a record as an HL7 v2.5.1 ORU^R01 message."""

    options: WriterOptions = field(default_factory=WriterOptions)
    name = "hl7"

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the message as a `.hl7` file. Raises EdgeError MDSE-WRITER-001 to -004."""
        content = message_from_view(view_of_record(record), self.options)
        self.check(content)
        return RenderedFile(".hl7", content)

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not one whole, sound message."""
        check_hl7(content, "ORU_R01")


def message_from_view(view: RecordView, options: WriterOptions) -> bytes:
    """Return the message: ASCII, or UTF-8 where an identifier needs it (then MSH-18 says so)."""
    body = [*_head(view, options), *result_segments(view, options), _specimen(view)]
    charset = "" if "".join(body).isascii() and view.site.isascii() else "UNICODE UTF-8"
    return bytes_from_segments([message_header(view, options, "ORU^R01^ORU_R01", charset), *body])


def _head(view: RecordView, options: WriterOptions) -> Iterator[str]:
    yield software(view)
    yield from patient(view)
    yield segment("ORC", {1: "RE", 2: order_field(view), 3: sample_field(view)})
    yield request(view, options)
    yield from notes(report_notes(view))


def _specimen(view: RecordView) -> str:
    sample = identifier_field(view.slide.sample_id, "sample_id")
    slide = identifier_field(view.slide.slide_key, "slide_key")
    return segment("SPM", {1: "1", 2: f"{sample}&LIS^{slide}&MDSEDGE", 4: "BLD^Blood^HL70487"})
