"""SENAITE's two-dimensional CSV: one line of codes, one line of numbers, one line `end`.

The reader splits on commas without quoting, takes every cell for a number (an empty one for 0.0) and knows neither
status nor slide nor unit. So only numbers go in, a value that could not be given has no column, and what the file
cannot say is refused rather than left unsaid: tests, simulated slides, withdrawn or unevaluated results, a second slide
of a sample, and counts that are in doubt or not the whole slide's.
A score goes in only where nothing qualifies it: one that is indeterminate, was made on the fallback engine or with a
bundle that is not for clinical use, or stands beside a reason or a warning that this file has no words for, has no
column either. A revision without a column that an earlier one may have had is refused: the receiver would keep that
number. A finding is left out of this rule; the count of its cells, 0, stands in the same file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.catalogue.codes import load_codes
from edge.errors import EdgeError
from edge.writers.base import RenderedFile, WriterOptions
from edge.writers.csv_check import WIDE_SAMPLE, check_csv_wide
from edge.writers.observations import Observation, observations_of_record
from edge.writers.record_view import INDETERMINATE, NOT_REQUESTED, AssessmentView, RecordView, view_of_record

IDENTIFIER_LIMIT = 64
# Warnings that say of every count that it may be wrong, or that it is not the count of the whole slide.
COUNTS_IN_DOUBT = tuple(
    "FOCUS STAIN-OOD DOUBTFUL-CELLS DUPLICATE-IMAGES UNREADABLE-IMAGES EMPTY-FILES META-COUNT META-INCOMPLETE "
    "RELEASED".split()
)


@dataclass(frozen=True, slots=True)
class CsvWideWriter:
    """Writes a record as SENAITE's two-dimensional CSV."""

    options: WriterOptions = field(default_factory=WriterOptions)
    name = "csv-wide"

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the table as a `.csv` file. Raises EdgeError MDSE-WRITER-001 to -004, -007."""
        view = view_of_record(record)
        reason = _unsayable(view)
        if reason:
            raise EdgeError("MDSE-WRITER-007", where=view.message_id, format="csv-wide", reason=reason)
        sample = view.slide.sample_id
        if not re.fullmatch(WIDE_SAMPLE, sample, re.ASCII):
            raise EdgeError("MDSE-WRITER-002", where="csv-wide", field="sample_id", limit_characters=IDENTIFIER_LIMIT)
        rows = _rows(view)
        codes = ",".join(str(row.local) for row in rows)
        values = ",".join(str(row.value) for row in rows)
        content = f",{codes},end\r\n{sample},{values},\r\nend\r\n".encode("ascii")
        self.check(content)
        return RenderedFile(".csv", content)

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not one whole, sound table."""
        check_csv_wide(content)


def _rows(view: RecordView) -> list[Observation]:
    """Return the results that have a column. Raises EdgeError MDSE-WRITER-007 where an older number would stand on."""
    qualified = _codes_of_qualified_scores(view)
    numbers = [row for row in observations_of_record(view) if row.kind == "NM" and row.local]
    rows = [row for row in numbers if row.value is not None and row.local not in qualified]
    expected = {row.code for row in numbers} - _codes_that_may_be_missing(view)
    missing = [row.code for row in numbers if row not in rows and row.code in expected]
    if _may_take_back(view) and missing:
        reason = f"revision {view.revision} has no {missing[0]}, and the format cannot take an earlier one back"
        raise EdgeError("MDSE-WRITER-007", where=view.message_id, format="csv-wide", reason=reason)
    return rows


def _may_take_back(view: RecordView) -> bool:
    """Tell whether an earlier revision may have sent more; the release of the first one repeats it."""
    return view.revision > 1 and (view.revision, view.status) != (2, "F")


def _codes_that_may_be_missing(view: RecordView) -> set[str]:
    """Return the codes whose absence takes nothing back that the file itself does not contradict.

    A target that is not requested was in no earlier revision: one that was stands as NOT-EVALUABLE (edge/result.py).
    """
    codes = set(load_codes().finding_locals.values())
    return codes.union(*(_score_codes(row) for row in view.assessments if row.call == NOT_REQUESTED))


def _score_codes(assessment: AssessmentView) -> set[str]:
    return {load_codes().target(assessment.target).local(ending) for ending in ("SCORE", "LOWER", "UPPER", "THRES")}


def _codes_of_qualified_scores(view: RecordView) -> set[str]:
    """Return the local codes of every score that must not stand without the words beside it."""
    concerned = [
        assessment
        for assessment in view.assessments
        if assessment.call == INDETERMINATE or assessment.reasons or _qualified(view)
    ]
    return set().union(*map(_score_codes, concerned))


def _qualified(view: RecordView) -> bool:
    """Tell whether words stand beside every score of this record."""
    return bool(view.warnings) or view.provenance.degraded or view.research_only


def _unsayable(view: RecordView) -> str:
    """Return what this record says and the format cannot; empty when there is no such thing."""
    if view.mode == "T":
        return "it is a test, and the format has no mark for one"
    if view.simulated:
        return "its slide is simulated, and the format has no mark for that"
    if view.status in ("W", "X"):
        return f"its status is {view.status}, and the format has no status"
    if (view.slide.slide_no or 1) > 1:
        return "it is a further slide of its sample, and the format has one line a sample"
    doubts = [warning.code for warning in view.warnings if warning.code in COUNTS_IN_DOUBT]
    if doubts:
        return f"its counts are in doubt or incomplete ({', '.join(doubts)}), and the format has no words for that"
    return ""
