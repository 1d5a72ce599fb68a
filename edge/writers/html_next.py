"""What a person does next, in order: said from the status, the reasons, the warnings and the call of the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge.writers.html_markup import Html, tag
from edge.writers.record_view import INDETERMINATE, NOT_EVALUABLE, NOT_REQUESTED, AssessmentView, RecordView
from edge.writers.strings import sentence, words

BLAST_CODE = "BL"
_SHORTAGES = ("WBC-TOO-FEW", "NEUTROPHILS-TOO-FEW")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and the place on the page where its cells or figures stand (None: nowhere)."""

    text: str
    anchor: str | None = None


def next_steps(view: RecordView, type_places: Mapping[str, str]) -> tuple[Step, ...]:
    """Return the steps, the most urgent first, each once. `type_places` gives the place of each type's cells."""
    steps = dict.fromkeys(_steps(view, type_places))
    return tuple(steps)


def next_section(view: RecordView, type_places: Mapping[str, str]) -> Html:
    """Return the steps as a numbered list; a step that has a place on the page leads there."""
    rows = [
        tag(
            "li",
            step.text,
            *((" ", tag("a", sentence("next.see"), href=f"#{step.anchor}", class_="go")) if step.anchor else ()),
        )
        for step in next_steps(view, type_places)
    ]
    return tag("section", tag("h2", sentence("section.next")), tag("ol", *rows), class_="card next", id="next")


def _steps(view: RecordView, type_places: Mapping[str, str]) -> Iterator[Step]:
    if view.status == "W":
        yield Step(sentence("next.withdrawn"))
        return
    if view.status == "X":
        yield Step(sentence("next.by_eye"))
    if view.mode == "T":
        yield Step(sentence("next.test"))
    codes = [text.code for text in (*view.warnings, *(r for a in view.assessments for r in a.reasons))]
    known = words("next_by_code")
    for code in known:  # in the order of the catalogue of sentences: the most urgent first
        if code in codes:
            place = type_places.get(BLAST_CODE) if code.startswith("BLAST") else _place_of(code)
            yield Step(known[code], place)
    for number, assessment in enumerate(view.assessments):
        yield from _after_call(assessment, number)
    unnamed = view.unidentified + view.out_of_distribution
    if unnamed:
        yield Step(sentence("next.unnamed", count=unnamed), "type-unidentified")
    if view.provenance.degraded:
        yield Step(sentence("next.degraded"), "provenance")
    yield Step(sentence("next.preliminary" if view.status == "P" else "next.smear"))


def _place_of(code: str) -> str | None:
    return {"PRECLASS-DISAGREES": "quality", "STAIN-OOD": "quality", "FOCUS": "quality"}.get(code)


def _after_call(assessment: AssessmentView, number: int) -> Iterator[Step]:
    """Return what follows from one call: count more, look at the cells behind it, or nothing more."""
    names = {"positive": assessment.positive, "negative": assessment.negative}
    found = assessment.sufficiency
    if assessment.call == NOT_REQUESTED:
        yield Step(sentence("next.not_requested", **names))
    elif assessment.call == NOT_EVALUABLE:
        short = any(reason.code in _SHORTAGES for reason in assessment.reasons)
        yield Step(_shortage_words(assessment) if short else sentence("next.not_evaluable", **names))
    elif assessment.call == INDETERMINATE:
        if found is not None and found.more_cells:
            yield Step(sentence("next.indeterminate_count", count=found.more_cells, **names))
        else:
            yield Step(sentence("next.indeterminate", **names))
    if assessment.contributions and assessment.score is not None and assessment.call != NOT_EVALUABLE:
        yield Step(sentence("next.evidence", **names), f"contributions-{number}")


def _shortage_words(assessment: AssessmentView) -> str:
    found = assessment.sufficiency
    if found is None:
        return sentence("next.count_more")
    # At least one leucocyte is always needed, whatever minimum the bundle states.
    leucocytes = max(0, max(found.minimum_leucocytes, 1) - found.leucocytes)
    neutrophils = max(0, found.minimum_neutrophils - found.neutrophils)
    if leucocytes and neutrophils:
        return sentence("next.count_both", leucocytes=leucocytes, neutrophils=neutrophils)
    if leucocytes:
        return sentence("next.count_leucocytes", leucocytes=leucocytes)
    return sentence("next.count_neutrophils", neutrophils=neutrophils)
