"""HL7 v2.5.1 OUL^R22 in the manner of IHE LAW (LAB-29): for receivers that take specimen-centred messages.

    MSH SFT [PID] SPM SAC OBR ORC {NTE} { OBX {NTE} }

The barcode leads: SPM-2 and SAC-3 hold it, ORC follows OBR, an unknown order is `""` in OBR-2. LAW is a profile of a
socket; as a file it is off-profile, so ORU^R01 is the wider choice. OBX-29, which LAW takes from a later version, is
not in v2.5.1 and is left out.
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

PROFILE = "LAB-29^IHE"
UNKNOWN_ORDER = '""'


@dataclass(frozen=True, slots=True)
class Hl7OulWriter:
    """Writes a record as an HL7 v2.5.1 OUL^R22 message."""

    options: WriterOptions = field(default_factory=WriterOptions)
    name = "hl7-oul"

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the message as a `.hl7` file. Raises EdgeError MDSE-WRITER-001 to -004."""
        view = view_of_record(record)
        header = message_header(view, self.options, "OUL^R22^OUL_R22", "UNICODE UTF-8", PROFILE)
        content = bytes_from_segments([header, *_body(view, self.options)])
        self.check(content)
        return RenderedFile(".hl7", content)

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not one whole, sound message."""
        check_hl7(content, "OUL_R22")


def _body(view: RecordView, options: WriterOptions) -> Iterator[str]:
    sample = identifier_field(view.slide.sample_id, "sample_id")
    slide = identifier_field(view.slide.slide_key, "slide_key")
    yield software(view)
    yield from patient(view)
    specimen = f"{sample}&BARCODE^{slide}&MDSEDGE"
    yield segment("SPM", {1: "1", 2: specimen, 4: "BLD^Blood^HL70487", 11: "P^^HL70369"})
    yield segment("SAC", {3: sample})
    yield request(view, options, unknown_order=UNKNOWN_ORDER)
    yield segment("ORC", {1: "SC", 2: order_field(view), 3: sample_field(view), 5: "CM"})
    yield from notes(report_notes(view))
    yield from result_segments(view, options)
