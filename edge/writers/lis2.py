r"""LIS2-A2 (ASTM E1394) record file: one message a file, printable ASCII, CR LF by default.

    H  P {C}  O {C}  R {C} R {C} ...  L

The default end of a record is CR LF: one published reader splits on CR and one on LF, and only both together serve
both. No field holds an offset from UTC: times are local wall time of the site. R.9 knows no "withdrawn" (W is "validity
questionable" there), so a withdrawn result leaves as C with an empty value and comments that say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edge.errors import EdgeError
from edge.writers.base import RenderedFile, WriterOptions
from edge.writers.hl7_text import ascii_from_text, time_field
from edge.writers.letters import Outgoing
from edge.writers.lis2_check import RECORD_ENDS, check_lis2
from edge.writers.observations import Observation, observations_of_record
from edge.writers.record_view import RecordView, view_of_record
from edge.writers.report_facts import acquired_moment, analyzer_name, report_notes
from edge.writers.strings import sentence

IDENTIFIER_LIMIT = 150
# Delimiters as H.2 declares them: field, repeat, component, escape.
_ESCAPES = str.maketrans({"|": "&F&", "\\": "&R&", "^": "&S&", "&": "&E&"})


@dataclass(frozen=True, slots=True)
class Lis2Writer:
    """Writes a record as a LIS2-A2 record file."""

    options: WriterOptions = field(default_factory=WriterOptions)
    name = "lis2"

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the message as an `.astm` file. Raises EdgeError MDSE-WRITER-001 to -004."""
        view = view_of_record(record)
        lines = (
            *_head(view),
            *_order(view, self.options),
            *_results(view, self.options),
            _record("L", {2: "1", 3: "N"}),
        )
        end = RECORD_ENDS[self.options.record_end]
        content = "".join(f"{line}{end}" for line in lines).encode("ascii")
        self.check(content)
        return RenderedFile(".astm", content)

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not one whole, sound message."""
        check_lis2(content)


def _record(kind: str, fields: Mapping[int, str]) -> str:
    """Return a record from its fields by number; field 1 is the record type."""
    last = max(number for number, value in fields.items() if value)
    return "|".join([kind, *(fields.get(number, "") for number in range(2, last + 1))])


def _text(text: str) -> str:
    """Return free text for one field: ASCII, one line, delimiters escaped."""
    lines = (ascii_from_text(line).strip() for line in text.splitlines())
    return " ".join(line for line in lines if line).translate(_ESCAPES)


def _identifier(text: str, name: str) -> str:
    """Return an identifier, escaped and otherwise unchanged. Raises EdgeError MDSE-WRITER-002 where that cannot be."""
    escaped = text.translate(_ESCAPES)
    if not text.strip() or not text.isprintable() or not text.isascii() or len(escaped) > IDENTIFIER_LIMIT:
        raise EdgeError("MDSE-WRITER-002", where="lis2", field=name, limit_characters=IDENTIFIER_LIMIT)
    return escaped


def _wall_time(moment: datetime, view: RecordView) -> str:
    return time_field(moment, view.analysed_at, with_offset=False)


def _head(view: RecordView) -> Iterator[str]:
    _, _, version = view.provenance.software.rpartition(" ")
    sender = f"MDSEDGE^{_text(version)}^{_identifier(view.site, 'site.id')}"
    processing = "T" if view.mode == "T" else "P"
    reported = _wall_time(view.analysed_at, view)
    yield _record(
        "H", {2: "\\^&", 3: view.message_id, 5: sender, 10: "LIS", 12: processing, 13: "LIS2-A2", 14: reported}
    )
    # A patient record must be there; what it says of the patient is what the export said, and that may be nothing.
    patient_id = view.slide.patient_id
    yield _record("P", {2: "1", 3: _identifier(patient_id, "patient_id") if patient_id else ""})


def _order(view: RecordView, options: WriterOptions) -> Iterator[str]:
    sample = _identifier(view.slide.sample_id, "sample_id")
    slide = _identifier(view.slide.slide_key, "slide_key")
    letter = _order_letter(options.letters.letter(view.status))
    yield _record("O", {2: "1", 3: sample, 4: slide, 5: "^^^DIFF", 6: "R", 16: "Blood", 26: letter})
    yield from _comments(_order_notes(view))


def _order_letter(letter: str) -> str:
    return "C" if letter == "W" else letter


def _order_notes(view: RecordView) -> Iterator[str]:
    if view.slide.order_id:
        _identifier(view.slide.order_id, "order_id")
        yield sentence("note.order", order_id=view.slide.order_id)
    if view.slide.slide_no is not None:
        yield sentence("note.slide_number", slide_no=view.slide.slide_no)
    yield from report_notes(view)


def _results(view: RecordView, options: WriterOptions) -> Iterator[str]:
    # Presence terms are LOINC's alone and have no local code; a comment of the finding says the same.
    rows = [row for row in observations_of_record(view) if row.local]
    for number, row in enumerate(rows, start=1):
        sent = _as_lis2(options.letters.sent(row.value, view.status, fact=row.fact), row)
        yield _result(view, number, row, sent)
        yield from _comments((row.name, *row.notes_beside(sent)))


def _as_lis2(sent: Outgoing, row: Observation) -> Outgoing:
    """Return what leaves where our letter is W: C, without the value that is withdrawn."""
    if sent.letter != "W":
        return sent
    return Outgoing(sent.value if row.fact else None, "C")


def _result(view: RecordView, number: int, row: Observation, sent: Outgoing) -> str:
    acquired = acquired_moment(view)
    plain = sent.replaced or sent.value is None
    fields = {
        2: str(number),
        3: f"^^^{row.local}",
        4: "" if sent.value is None else _text(sent.value),
        5: "" if sent.replaced else row.unit,
        7: "" if plain else row.flag,
        9: sent.letter,
        12: _wall_time(acquired, view) if acquired else "",
        13: _wall_time(view.analysed_at, view),
        14: _text(analyzer_name(view)),
    }
    return _record("R", fields)


def _comments(texts: Iterable[str]) -> Iterator[str]:
    lines = [line for text in texts for line in text.splitlines()]
    kept = [text for text in map(_text, lines) if text]
    for number, text in enumerate(kept, start=1):
        yield _record("C", {2: str(number), 3: "I", 4: text, 5: "G"})
