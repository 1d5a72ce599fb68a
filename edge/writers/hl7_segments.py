"""The segments of an HL7 v2.5.1 message, shared by ORU^R01 and OUL^R22; which stand where is the message's own matter.

Free text is transliterated to ASCII; identifiers are never changed: one that cannot be carried stops the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from edge.catalogue.codes import load_codes
from edge.errors import EdgeError
from edge.writers.base import WriterOptions
from edge.writers.hl7_text import (
    IDENTIFIER_LIMIT,
    ST_LIMIT,
    escaped,
    identifier_field,
    lines_from_text,
    text_field,
    time_field,
)
from edge.writers.letters import Outgoing
from edge.writers.observations import UNIT_NAMES, Observation, closing_count, observations_of_record
from edge.writers.record_view import RecordView
from edge.writers.report_facts import SUB_ID_LIMIT, acquired_moment, analyzer_name, number_from_slide_key, slide_number

# OBR-25 by the letter of the results; W and D have no place in table 0123: such a report is a corrected one.
REPORT_STATUS = {"P": "P", "F": "F", "C": "C", "W": "C", "D": "C", "X": "X"}
NAMESPACE_LIMIT = 20  # HD.1 in v2.5.1
NOTES_MAX = 9_999  # NTE-1 is a number of at most four digits (SI)


def segment(name: str, fields: Mapping[int, str]) -> str:
    """Return a segment from its fields by number (field 1 follows the first delimiter), without empty fields behind."""
    last = max(number for number, value in fields.items() if value)
    return "|".join([name, *(fields.get(number, "") for number in range(1, last + 1))])


def message_header(view: RecordView, options: WriterOptions, kind: str, charset: str, profile: str = "") -> str:
    """Return MSH. `kind` is MSH-9, `charset` MSH-18, `profile` MSH-21."""
    site = identifier_field(view.site, "site.id")
    fields = {
        2: "MDSEDGE",
        3: site if len(site) <= NAMESPACE_LIMIT else f"^{site}^L",
        6: report_time(view, options),
        8: kind,
        9: view.message_id,
        10: view.mode,
        11: "2.5.1",
        14: "NE",
        15: "AL",
        17: charset,
        20: profile,
    }
    # MSH-1 is the delimiter itself, so every number here is one less than its name in the standard.
    return segment("MSH", {1: "^~\\&", **fields})


def software(view: RecordView) -> str:
    """Return SFT: product, version and the digest of the bundle."""
    product, _, version = view.provenance.software.rpartition(" ")
    digest = identifier_field(f"sha256:{view.provenance.bundle_digest}", "bundle digest")
    return segment("SFT", {1: text_field(product or "mds-edge"), 2: text_field(version), 3: "MDSEDGE", 4: digest})


def patient(view: RecordView) -> Iterator[str]:
    """Yield PID when the export gave a patient id, and nothing otherwise."""
    if view.slide.patient_id:
        # PID-5 is required. Name type U (unspecified) says that no name is known; "" would ask to delete it.
        yield segment("PID", {1: "1", 3: identifier_field(view.slide.patient_id, "patient_id"), 5: "^^^^^^U"})


def order_field(view: RecordView) -> str:
    """Return the order id with its namespace; empty when the export gave none."""
    return f"{identifier_field(view.slide.order_id, 'order_id')}^LIS" if view.slide.order_id else ""


def sample_field(view: RecordView) -> str:
    """Return the sample id as OBR-3 and ORC-3 carry it."""
    return f"{identifier_field(view.slide.sample_id, 'sample_id')}^MDSEDGE"


def request(view: RecordView, options: WriterOptions, *, unknown_order: str = "") -> str:
    """Return OBR. `unknown_order` stands in OBR-2 when the export names no order."""
    panel = load_codes().panel
    return segment(
        "OBR",
        {
            1: "1",
            2: order_field(view) or unknown_order,
            3: sample_field(view),
            4: f"{panel.number}^{escaped(panel.name)}^LN",
            7: acquired_field(view, options),
            22: report_time(view, options),
            24: "HM",
            25: REPORT_STATUS[options.letters.letter(view.status)],
        },
    )


def report_time(view: RecordView, options: WriterOptions) -> str:
    """Return when the slide was analyzed or the revision made."""
    return time_field(view.analysed_at, view.analysed_at, with_offset=options.times_with_offset)


def acquired_field(view: RecordView, options: WriterOptions) -> str:
    """Return when the slide was imaged; empty where the export leaves the zone open."""
    moment = acquired_moment(view)
    return time_field(moment, view.analysed_at, with_offset=options.times_with_offset) if moment else ""


def _common_fields(view: RecordView, options: WriterOptions) -> dict[int, str]:
    """Return what every OBX of a message repeats. Raises EdgeError MDSE-WRITER-002 for an analyzer's name."""
    return {
        4: _sub_id(view),
        14: acquired_field(view, options),
        18: _equipment(view),
        19: report_time(view, options),
    }


def observation(common: Mapping[int, str], number: int, row: Observation, sent: Outgoing) -> str:
    """Return one OBX. Raises EdgeError MDSE-WRITER-003 for a code that is too long."""
    kind = "ST" if sent.replaced else row.kind
    value = "" if sent.value is None else sent.value if kind == "NM" else text_field(sent.value)
    plain = sent.replaced or sent.value is None
    fields = {
        **common,
        1: str(number),
        2: kind if len(value) <= ST_LIMIT else "TX",
        3: observation_identifier(row),
        5: value,
        6: f"{row.unit}^{UNIT_NAMES[row.unit]}^UCUM" if row.unit and not sent.replaced else "",
        8: "" if plain else row.flag,
        11: sent.letter,
    }
    return segment("OBX", fields)


def observation_identifier(row: Observation) -> str:
    """Return OBX-3: the LOINC term where there is one, with the local code as its alternate.

    Raises EdgeError MDSE-WRITER-003.
    """
    local = ""
    if row.local:
        if len(row.local) > NAMESPACE_LIMIT:
            raise EdgeError("MDSE-WRITER-003", where="hl7", name=row.name)
        local = f"{row.local}^{text_field(row.name)}^{load_codes().local_system}"
    if row.loinc is None:
        return local
    standard = f"{row.loinc.number}^{escaped(row.loinc.name)}^LN"
    return f"{standard}^{local}" if local else standard


def notes(texts: Iterable[str]) -> Iterator[str]:
    """Yield one NTE for each line; what is beyond the last number that NTE-1 can hold stands in that last one."""
    lines = [line for text in texts for line in lines_from_text(text)]
    if len(lines) > NOTES_MAX:
        lines[NOTES_MAX - 1 :] = [" ".join(lines[NOTES_MAX - 1 :])]
    for number, line in enumerate(lines, start=1):
        yield segment("NTE", {1: str(number), 2: "L", 3: line})


def result_segments(view: RecordView, options: WriterOptions) -> Iterator[str]:
    """Yield every OBX with its NTE, the closing count last."""
    rows = observations_of_record(view)
    common = _common_fields(view, options)
    for number, row in enumerate((*rows, closing_count(len(rows))), start=1):
        sent = options.letters.sent(row.value, view.status, fact=row.fact)
        yield observation(common, number, row, sent)
        yield from notes(row.notes_beside(sent))


def bytes_from_segments(segments: Iterable[str]) -> bytes:
    """Return the message: every segment ended by CR, also the last."""
    return "".join(f"{line}\r" for line in segments).encode("utf-8")


def _sub_id(view: RecordView) -> str:
    """Return OBX-4. A key whose escapes make it too long goes as its digest, like one that is too long itself."""
    number = slide_number(view)
    if number != view.slide.slide_key:
        return number
    key = identifier_field(number, "slide_key")
    return key if len(key) <= SUB_ID_LIMIT else number_from_slide_key(number)


def _equipment(view: RecordView) -> str:
    """Return OBX-18: the analyzer's model and serial number, in ASCII, as one entity identifier."""
    name = text_field(analyzer_name(view))
    if len(name) > IDENTIFIER_LIMIT:
        raise EdgeError("MDSE-WRITER-002", where="hl7", field="analyzer", limit_characters=IDENTIFIER_LIMIT)
    return name
