"""A record as one page of plain text for a terminal: what the report says, without its pictures.

What was counted, the differential, findings, each call with its interval and what moved it, the quality of the images,
warnings, what to do next, and what made the result. All words are those of `edge/writers/strings.toml` and its
translations. Texts of the export are shown with control characters escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from edge.catalogue import Catalogue
from edge.errors import printable
from edge.gates import NEUTROPHILS_TOO_FEW, WBC_TOO_FEW
from edge.writers.figures import per_hundred, shortest, with_decimals
from edge.writers.html_charts import interval_words
from edge.writers.html_explanation import amount, group_name, signed
from edge.writers.html_next import next_steps
from edge.writers.html_quality import judgements, preclass_words
from edge.writers.html_summary import call_words, use_words
from edge.writers.names import finding_name, naming_after, parameter_name, type_name
from edge.writers.record_view import (
    NOT_EVALUABLE,
    NOT_REQUESTED,
    AssessmentView,
    CodedText,
    ParameterView,
    RecordView,
    view_of_record,
)
from edge.writers.strings import ENGLISH, sentence, speaking, words

_FINDINGS_SHOWN = 10
_CONTRIBUTIONS_SHOWN = 5
_GROUPS_SHOWN = 4
_CHANGES_SHOWN = 3
_CELLS_SHOWN = 6
_NAME_WIDTH = 42
_VALUE_WIDTH = 14  # the longest is "not countable"
_LINE_WIDTH = 110
# The reasons for which too few cells are the matter; an assessment can be without a score for many others.
_SHORTAGES = (WBC_TOO_FEW, NEUTROPHILS_TOO_FEW)


def page_from_record(record: Mapping[str, Any], catalogue: Catalogue, language: str = ENGLISH) -> str:
    """Return the page for a record of schema mds-edge.record/1, ending with a newline.

    Numbers are those of the record, only rounded. Raises EdgeError MDSE-WRITER-001 for one that contradicts itself.
    """
    view = view_of_record(record)
    with speaking(language), naming_after(catalogue):
        lines = [
            *_heading(view),
            *_differential(view),
            *_findings(view),
            *(line for assessment in view.assessments for line in _assessment(assessment, _numerators(view))),
            *_quality(view),
            *_coded("section.warnings", view.warnings),
            *_next(view),
            *_footing(view),
        ]
    return "\n".join(printable(line.rstrip()) for line in lines) + "\n"


def _heading(view: RecordView) -> Iterator[str]:
    slide = view.slide
    parts = (f"{sentence('report.sample')} {slide.sample_id}", f"{sentence('report.slide')} {slide.slide_key}")
    yield "   ".join((*parts, *filter(None, (slide.analyzer_model,)), sentence(f"status.{view.status}")))
    if view.mode == "T":
        yield f"{sentence('banner.test_title')}: {sentence('banner.test', intended_use=use_words(view))}"
    if view.research_only:
        yield f"{sentence('banner.research_title')}: {sentence('banner.research', intended_use=use_words(view))}"
    if view.simulated:
        yield f"{sentence('banner.simulated_title')}: {sentence('banner.simulated')}"
    if view.provenance.degraded:
        engine = {"engine": view.provenance.engine_name, "device": view.provenance.engine_device}
        yield f"{sentence('banner.degraded_title')}: {sentence('banner.degraded', **engine)}"
    keys = ("images", "leucocytes", "others", "unidentified", "out_of_distribution", "unreadable")
    yield ", ".join(f"{getattr(view, key)} {sentence(f'counted.{key}')}" for key in keys)


def _differential(view: RecordView) -> Iterator[str]:
    rows = [row for row in (*view.shares, *view.per_100) if row.numerator]
    yield ""
    yield _columns(sentence("section.differential"), sentence("table.count"), "", sentence("table.interval"))
    for row in rows:
        yield _columns(f"{type_name(row.code)} {row.code}", str(row.numerator), *_share(row))
    if not rows:
        yield f"  {sentence('terminal.no_cell')}"


def _share(row: ParameterView) -> tuple[str, str]:
    """Return value and interval: a share in per cent, or a number per 100 leucocytes."""
    per_100 = row.name.endswith("_per_100_wbc")
    if not row.denominator:
        return sentence("table.nothing"), ""
    value = f"{per_hundred(row.numerator, row.denominator)} {'/100' if per_100 else '%'}"
    if row.interval is None:
        return value, ""
    low, high = (with_decimals(end * (1 if per_100 else 100), 1) for end in row.interval)
    return value, sentence("table.to", low=low, high=high)


def _findings(view: RecordView) -> Iterator[str]:
    seen = sorted((row for row in view.rates if row.numerator), key=lambda row: -(row.value or 0.0))
    yield ""
    yield _columns(sentence("section.findings"), sentence("table.shown"), "", sentence("table.interval"))
    for row in seen[:_FINDINGS_SHOWN]:
        of = f"{row.numerator}/{row.denominator}"
        yield _columns(f"{finding_name(row.code)} {row.code}", of, *_share(row))
    if len(seen) > _FINDINGS_SHOWN:
        yield f"  {sentence('terminal.more_findings', count=len(seen) - _FINDINGS_SHOWN)}"
    if not seen:
        yield f"  {sentence('table.none')}"


def _numerators(view: RecordView) -> dict[str, int]:
    return {row.name: row.numerator for row in (*view.shares, *view.per_100, *view.rates)}


def _assessment(assessment: AssessmentView, numerators: Mapping[str, int]) -> Iterator[str]:
    names = {"positive": assessment.positive, "negative": assessment.negative}
    scored = assessment.score is not None and assessment.call not in (NOT_EVALUABLE, NOT_REQUESTED)
    yield ""
    yield f"{sentence('section.assessment', **names)}: {assessment.call}"
    yield from _wrapped(call_words(assessment))
    if scored:
        score = sentence("call.score", score=with_decimals(assessment.score or 0.0, 3))
        threshold = sentence("call.score_threshold", threshold=shortest(assessment.threshold))
        yield f"  {score}, {interval_words(assessment)}, {threshold}"
        yield from _wrapped(sentence("call.interval_note"))
    yield from _sufficiency(assessment)
    yield from (f"  {text}" for text in _texts(assessment.reasons))
    if scored:
        yield from _explanation(assessment, numerators)


def _sufficiency(assessment: AssessmentView) -> Iterator[str]:
    if assessment.call == NOT_REQUESTED:
        return
    if assessment.sufficient:
        yield f"  {sentence('call.sufficient')} {sentence('call.sufficient_minimum')}"
    found = assessment.sufficiency
    if not assessment.sufficient and (found or any(reason.code in _SHORTAGES for reason in assessment.reasons)):
        yield f"  {sentence('call.insufficient')}"
    if found is None:
        return
    counted = sentence(
        "call.counted_of_minimum",
        leucocytes=found.leucocytes,
        neutrophils=found.neutrophils,
        minimum_leucocytes=found.minimum_leucocytes,
        minimum_neutrophils=found.minimum_neutrophils,
    )
    more = (
        sentence("call.more_cells", count=found.more_cells) if found.more_cells and assessment.score is not None else ""
    )
    yield from _wrapped(f"{counted} {more}")


def _explanation(assessment: AssessmentView, numerators: Mapping[str, int]) -> Iterator[str]:
    """Yield what moved the score, by parameter with its cells and by group, and what would move it across."""
    names = {"positive": assessment.positive, "negative": assessment.negative}
    typical = {row.name: row for row in assessment.contrast}
    yield f"  {sentence('section.contributions', **names)}"
    for row in assessment.contributions[:_CONTRIBUTIONS_SHOWN]:
        other = typical.get(row.name)
        beside = "" if other is None else sentence(
            "terminal.typical",
            slide=amount(row.name, other.value),
            positive_value=amount(row.name, other.positive_median),
            negative_value=amount(row.name, other.negative_median),
            **names,
        )  # fmt: skip
        yield f"  {signed(row.value):>8}  {_padded(parameter_name(row.name), _NAME_WIDTH)}  {beside}"
        if row.cells:
            yield f"            {_cells(row.cells, numerators.get(row.name, 0))}"
    strongest = sorted(assessment.groups, key=lambda group: -abs(group.value))[:_GROUPS_SHOWN]
    if strongest:
        groups = ", ".join(f"{group_name(row.group)} {signed(row.value, 2)}" for row in strongest)
        yield from _wrapped(sentence("terminal.groups", groups=groups))
    for change in assessment.changes[:_CHANGES_SHOWN]:
        facts = {"counted": change.counted, "of": change.of, "needed": change.needed}
        score = with_decimals(change.score, 3)
        yield from _wrapped(sentence("terminal.change", name=parameter_name(change.name), score=score, **facts))
    if assessment.groups and not assessment.changes:
        yield f"  {sentence('change.none')}"


def _cells(cells: tuple[str, ...], counted: int) -> str:
    rest = max(counted, len(cells)) - min(len(cells), _CELLS_SHOWN)
    more = f" {sentence('table.more', count=rest)}" if rest else ""
    return sentence("terminal.cells", cells=", ".join(cells[:_CELLS_SHOWN]) + more)


def _quality(view: RecordView) -> Iterator[str]:
    measured, preclass = view.quality, view.preclass
    if measured is None and preclass is None:
        return
    yield ""
    yield sentence("section.quality")
    for judgement in judgements(measured) if measured else ():
        yield f"  {judgement.name}: {judgement.verdict + ' ' if judgement.verdict else ''}{judgement.figures}"
    if preclass is not None and preclass.compared:
        yield f"  {preclass_words(preclass)}"


def _next(view: RecordView) -> Iterator[str]:
    yield ""
    yield sentence("section.next")
    for number, step in enumerate(next_steps(view, {}), start=1):
        yield from _wrapped(f"{number}. {step.text}")


def _coded(heading: str, texts: tuple[CodedText, ...]) -> Iterator[str]:
    if texts:
        yield ""
        yield sentence(heading)
        yield from (f"  {text}" for text in _texts(texts))


def _texts(texts: tuple[CodedText, ...]) -> Iterator[str]:
    titles = words("code")
    for text in texts:
        yield f"{text.code}: {titles[text.code] + ' ' if text.code in titles else ''}{text.text}"


def _footing(view: RecordView) -> Iterator[str]:
    made_by = view.provenance
    engine = sentence(
        "provenance.engine_value",
        name=made_by.engine_name,
        device=made_by.engine_device,
        precision=made_by.engine_precision,
    )
    bundle = f"{made_by.bundle_name} {made_by.bundle_version} ({made_by.bundle_digest[:12]}, {use_words(view)})"
    degraded = sentence("provenance.yes" if made_by.degraded else "provenance.no")
    facts = {
        "bundle": bundle,
        "engine": engine,
        "trees": made_by.trees,
        "software": made_by.software,
        "degraded": degraded,
    }
    yield ""
    yield "; ".join(f"{sentence('provenance.' + key)}: {fact}" for key, fact in facts.items())
    yield sentence("limits.support")


def _columns(name: str, count: str, value: str, interval: str) -> str:
    cut = name if _width(name) <= _NAME_WIDTH + 8 else name[: _NAME_WIDTH + 6] + "\u2026"
    figures = f"{_padded(count, 8, right=True)}{_padded(value, _VALUE_WIDTH, right=True)}"
    return f"  {_padded(cut, _NAME_WIDTH + 8)}{figures}   {interval}"


def _padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text filled up to the columns that a terminal gives it: Japanese letters take two."""
    blanks = " " * max(0, width - _width(text))
    return blanks + text if right else text + blanks


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _wrapped(text: str) -> Iterator[str]:
    """Yield a text in lines of two blanks more, broken between words; Japanese has none and is broken anywhere."""
    line = " "
    for word in text.split(" "):
        while _width(line) + 1 + _width(word) > _LINE_WIDTH:
            if line.strip():
                yield line
                line = " "
                continue
            fits = _LINE_WIDTH // 2 - 1
            yield f"  {word[:fits]}"
            word = word[fits:]
        line += f" {word}"
    if line.strip():
        yield line
