"""CSV, one row a result (RFC 4180): for spreadsheets, scripts and middleware with a column mapping.

UTF-8 without a byte order mark, comma, CR LF, a header row. Every row repeats what identifies slide and message, so
that rows may be sorted and filtered; the last one has the code END and the number of rows before it as its value.
Patient data are never written here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edge.errors import EdgeError
from edge.writers.base import RenderedFile, WriterOptions
from edge.writers.csv_check import COLUMNS, END_CODE, check_csv_long
from edge.writers.hl7_text import ascii_from_text, site_time
from edge.writers.observations import Observation, observations_of_record
from edge.writers.record_view import RecordView, view_of_record
from edge.writers.report_facts import acquired_moment, analyzer_name, report_notes, slide_number

IDENTIFIER_LIMIT = 150


@dataclass(frozen=True, slots=True)
class CsvLongWriter:
    """Writes a record as a CSV file with one row for each result."""

    options: WriterOptions = field(default_factory=WriterOptions)
    name = "csv"

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the table as a `.csv` file. Raises EdgeError MDSE-WRITER-001 to -004."""
        view = view_of_record(record)
        rows = list(_rows(view, self.options))
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
        table.writeheader()
        table.writerows(rows)
        content = text.getvalue().encode("utf-8")
        self.check(content)
        return RenderedFile(".csv", content)

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not one whole, sound table."""
        check_csv_long(content)


def _rows(view: RecordView, options: WriterOptions) -> Iterator[dict[str, str]]:
    same = {**_identity(view), "notes": ""}
    rows = observations_of_record(view)
    for row in rows:
        yield {**same, **_result(view, options, row)}
    end = {"code": END_CODE, "name": "Number of rows before this one", "value": str(len(rows))}
    notes = " | ".join(map(_text, report_notes(view)))
    yield {**same, **end, "status": options.letters.letter(view.status), "notes": _unlike_a_formula(notes)}


def _identity(view: RecordView) -> dict[str, str]:
    made_by, slide = view.provenance, view.slide
    acquired = acquired_moment(view)
    bundle = f"{made_by.bundle_name} {made_by.bundle_version}"
    return {
        "message_id": view.message_id,
        "reported_at": _time(view.analysed_at, view),
        "mode": view.mode,
        "revision": str(view.revision),
        "supersedes": _identifier(view.supersedes, "supersedes"),
        "reason": _unlike_a_formula(_text(view.reason or "")),
        "site": _identifier(view.site, "site.id"),
        "sample_id": _identifier(slide.sample_id, "sample_id"),
        "order_id": _identifier(slide.order_id, "order_id"),
        "slide_id": _identifier(slide.slide_key, "slide_key"),
        "slide_no": _identifier(slide_number(view), "slide_key"),
        "acquired_at": _time(acquired, view) if acquired else "",
        "device": _unlike_a_formula(_text(analyzer_name(view))),
        "model_version": _unlike_a_formula(_text(bundle)),
        "software": _unlike_a_formula(_text(made_by.software)),
        "degraded": "YES" if made_by.degraded else "NO",
        "warnings": _unlike_a_formula(";".join(_text(warning.code) for warning in view.warnings)),
    }


def _result(view: RecordView, options: WriterOptions, row: Observation) -> dict[str, str]:
    sent = options.letters.sent(row.value, view.status, fact=row.fact)
    plain = sent.replaced or sent.value is None
    counted = ("", "") if plain or row.counted is None else tuple(map(str, row.counted))
    return {
        "code": row.code,
        "name": _text(row.name),
        "loinc": row.loinc.number if row.loinc else "",
        "value": _unlike_a_formula(_text(sent.value or "")),
        "unit": "" if sent.replaced else row.unit,
        # A column of the format; no result has a range.
        "reference": "",
        "flag": "" if plain else row.flag,
        "numerator": counted[0],
        "denominator": counted[1],
        "status": sent.letter,
        "notes": _unlike_a_formula(" | ".join(map(_text, row.notes_beside(sent)))),
    }


def _time(moment: datetime, view: RecordView) -> str:
    return site_time(moment, view.analysed_at).replace(microsecond=0).isoformat()


def _text(text: str) -> str:
    lines = (ascii_from_text(line).strip() for line in text.splitlines())
    return " ".join(line for line in lines if line)


def _unlike_a_formula(text: str) -> str:
    """Return free text that no spreadsheet takes for a formula. Identifiers stay as given, whatever they are."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _identifier(text: str | None, name: str) -> str:
    if text is None:
        return ""
    if not text.strip() or not text.isprintable() or len(text) > IDENTIFIER_LIMIT:
        raise EdgeError("MDSE-WRITER-002", where="csv", field=name, limit_characters=IDENTIFIER_LIMIT)
    return text
