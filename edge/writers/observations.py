"""What every format says of a record, in order: differential, counts, findings, assessments, facts.

    observations_of_record(view) -> tuple[Observation, ...]     values as text, from the record's integer counts

A revision repeats everything, so that nothing of an older revision lives on beside it at the receiver: from revision 2
on, findings of rate 0 are sent too, and a presence that is no longer claimed is sent empty with status X.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge.catalogue.codes import Loinc, TargetCode, load_codes
from edge.errors import EdgeError
from edge.writers.figures import per_hundred, shortest, with_decimals
from edge.writers.letters import Outgoing
from edge.writers.names import finding_name, finding_types
from edge.writers.record_view import (
    NOT_EVALUABLE,
    NOT_REQUESTED,
    AssessmentView,
    ParameterView,
    RecordView,
)
from edge.writers.strings import sentence

UNIT_NAMES = {"%": "percent", "/100{WBCs}": "per 100 WBC", "{cells}": "cells", "1": "unity"}


@dataclass(frozen=True, slots=True)
class Observation:
    """One result before encoding. `value` None: could not be given; it leaves empty, with status X.

    `kind` is NM or ST; `local` and `name` form the local code, `loinc` the standard one. `fact` marks what is true of
    the message itself and keeps its value in every status; `is_call` an assessment's call. `counted` are numerator and
    denominator, where the value rests on them. `notes` are the lines that belong to this result alone.
    """

    kind: str
    value: str | None
    local: str | None
    name: str
    loinc: Loinc | None = None
    unit: str = ""
    flag: str = ""
    fact: bool = False
    is_call: bool = False
    notes: tuple[str, ...] = ()
    counted: tuple[int, int] | None = None

    @property
    def code(self) -> str:
        """The local code, or the LOINC number where a result has no local one; unique within a record."""
        return self.local or (self.loinc.number if self.loinc else "")

    def notes_beside(self, sent: Outgoing) -> tuple[str, ...]:
        """Return the notes that leave with `sent`: none where a value was emptied or replaced, for they repeat it."""
        taken_away = self.value is not None and (sent.value is None or sent.replaced)
        return () if taken_away else self.notes


def observations_of_record(view: RecordView) -> tuple[Observation, ...]:
    """Return all observations of a record except the closing count. Raises EdgeError MDSE-WRITER-003."""
    rows = (
        *_differential(view),
        *_counts(view),
        *_findings(view),
        *_presences(view),
        *(row for assessment in view.assessments for row in _assessment(view, assessment)),
        *_facts(view),
    )
    if view.status != "X":
        return rows
    return tuple(row if row.fact else _emptied(row) for row in rows)


def _emptied(row: Observation) -> Observation:
    return Observation(row.kind, None, row.local, row.name, row.loinc, row.unit)


def _differential(view: RecordView) -> Iterator[Observation]:
    codes = load_codes()
    for row in (*view.shares, *view.per_100):
        code = codes.types.get(row.code)
        if code is None:
            raise EdgeError("MDSE-WRITER-003", where="record", name=row.code)
        counted = view.leucocytes > 0
        key = "name.percent" if code.unit == "%" else "name.per_hundred"
        yield Observation(
            kind="NM",
            value=per_hundred(row.numerator, row.denominator) if counted else None,
            local=code.local,
            name=sentence(key, name=code.name),
            loinc=code.loinc,
            unit=code.unit,
            counted=(row.numerator, row.denominator) if counted else None,
        )


def _counts(view: RecordView) -> Iterator[Observation]:
    codes = load_codes()
    for type_code, count in view.counts.items():
        code = codes.types[type_code]
        yield Observation("NM", str(count), code.count_local, sentence("name.count", name=code.name), unit="{cells}")
    for fact in ("leucocytes", "images", "unreadable", "unidentified", "out_of_distribution"):
        yield _fact("NM", fact, str(getattr(view, fact)), unit="{cells}")


def _findings(view: RecordView) -> Iterator[Observation]:
    codes = load_codes()
    for row in view.rates:
        if not row.numerator and view.revision == 1:
            continue
        local = codes.finding_locals.get(row.code)
        if local is None:
            raise EdgeError("MDSE-WRITER-003", where="record", name=row.code)
        yield Observation(
            kind="NM",
            value=per_hundred(row.numerator, row.denominator) if row.denominator else None,
            local=local,
            name=sentence("name.finding", name=finding_name(row.code), code=row.code, types=finding_types(row.code)),
            unit="%",
            notes=(_counted(row),),
            counted=(row.numerator, row.denominator),
        )


def _counted(row: ParameterView) -> str:
    interval = ""
    if row.interval:
        low, high = (f"{with_decimals(100 * end, 1)} %" for end in row.interval)
        interval = sentence("note.interval", low=low, high=high)
    return sentence("note.counted", numerator=row.numerator, denominator=row.denominator, interval=interval)


def _presences(view: RecordView) -> Iterator[Observation]:
    seen = {row.code: row.numerator for row in view.rates} | dict(view.counts)
    for presence in load_codes().presence:
        count = sum(seen.get(code, 0) for code in (*presence.findings, *presence.types))
        if not count and view.revision == 1:
            continue
        note = sentence("note.presence", count=count, noun="cell" if count == 1 else "cells")
        yield Observation(
            kind="ST",
            value="Present" if count else None,
            local=None,
            name=presence.loinc.name,
            loinc=presence.loinc,
            notes=(note,) if count else (),
        )


def _assessment(view: RecordView, assessment: AssessmentView) -> Iterator[Observation]:
    code = load_codes().target(assessment.target)
    score = None if assessment.call in (NOT_EVALUABLE, NOT_REQUESTED) else assessment.score
    if assessment.call != NOT_REQUESTED or view.revision > 1:
        yield from _score(assessment, code, score)
    reasons = tuple(sentence("note.warning", code=reason.code, text=reason.text) for reason in assessment.reasons)
    yield Observation(
        kind="ST",
        value=assessment.call,
        local=code.local("CALL"),
        name=sentence("name.call", name=code.name),
        flag="" if assessment.call in (NOT_EVALUABLE, NOT_REQUESTED) else "A",
        is_call=True,
        notes=(sentence("note.support"), *reasons, *_sufficiency(assessment)),
    )


def _sufficiency(assessment: AssessmentView) -> tuple[str, ...]:
    """Return the line about the cells that the call rests on; records from before it was kept have none."""
    return (assessment.sufficiency.text,) if assessment.sufficiency and assessment.sufficiency.text else ()


def _score(assessment: AssessmentView, code: TargetCode, score: float | None) -> Iterator[Observation]:
    threshold = shortest(assessment.threshold)
    notes: tuple[str, ...] = ()
    flag = ""
    if score is not None:
        # Below the threshold lies another disease, not health: no score is normal, and none has a reference range. The
        # call decides, because the score was rounded after it and may now lie on the threshold.
        flag = "H" if assessment.call == f"{assessment.positive}-SUSPECT" else ""
        facts = {"score": shortest(score), "threshold": threshold, "interval": _score_interval(assessment)}
        notes = (sentence("note.score", **facts, positive=assessment.positive, negative=assessment.negative),)
    yield Observation(
        kind="NM",
        value=None if score is None else with_decimals(score, 3),
        local=code.local("SCORE"),
        name=sentence("name.score", name=code.name),
        unit="1",
        flag=flag,
        notes=notes,
    )
    low, high = (assessment.interval or (None, None)) if score is not None else (None, None)
    for ending, key, end in (("LOWER", "name.lower", low), ("UPPER", "name.upper", high)):
        value = None if end is None else with_decimals(end, 3)
        yield Observation("NM", value, code.local(ending), sentence(key, name=code.name), unit="1")
    yield Observation("NM", threshold, code.local("THRES"), sentence("name.threshold", name=code.name), unit="1")


def _score_interval(assessment: AssessmentView) -> str:
    if not assessment.interval:
        return ""
    low, high = (shortest(end) for end in assessment.interval)
    return sentence("note.score_interval", low=low, high=high)


def _facts(view: RecordView) -> Iterator[Observation]:
    made_by = view.provenance
    engine = f"{made_by.engine_name} {made_by.engine_device} {made_by.engine_precision}, trees {made_by.trees}"
    model = f"{made_by.bundle_name} {made_by.bundle_version} sha256:{made_by.bundle_digest} ({made_by.intended_use})"
    yield _fact("ST", "model", model)
    yield _fact("ST", "engine", engine)
    yield _fact("ST", "degraded", "YES" if made_by.degraded else "NO", flag="A" if made_by.degraded else "")
    revision = str(view.revision)
    if view.supersedes:
        revision += f" supersedes {view.supersedes}"
    if view.reason:
        revision += f" because {view.reason}"
    yield _fact("ST", "revision", revision)


def _fact(kind: str, fact: str, value: str, *, unit: str = "", flag: str = "") -> Observation:
    code = load_codes().facts[fact]
    return Observation(kind, value, code.local, code.name, unit=unit, flag=flag, fact=True)


def closing_count(preceding: int) -> Observation:
    """Return the last observation of an HL7 message: how many OBX it holds, itself included.

    A message that was cut at the end of a segment is well formed; only this count gives it away.
    """
    return _fact("NM", "obx_count", str(preceding + 1))
