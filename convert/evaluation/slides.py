"""The slide level: labelled slides through the deployed pipeline, and how their scores separate the two classes.

`edge.pipeline.analyze_slide` does the work, so that gates, intervals and calls are those of the runtime. A slide that
may not be scored is counted with its reason; it enters no area and no rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.evaluation.paper import load_paper
from convert.evaluation.question_labels import SlideTables, negatives_of
from convert.evaluation.shap_values import ShapValues, shap_from_profiles
from convert.evaluation.statistics import Estimate, area_with_interval, proportion, reliability
from convert.progress import Progress
from convert.slide_cohort import SIMULATED_PREFIX
from convert.slide_labels import LabelledSlide
from edge.bundle.manifest import AssessmentSpec
from edge.catalogue import Catalogue
from edge.errors import EXIT_SLIDE_REJECTED, EdgeError
from edge.model import Model
from edge.pipeline import analyze_slide
from edge.result import unsent_job
from edge.score import score_from_margin
from edge.slide import read_slide
from edge.slide_profile import PER_100_SUFFIX
from edge.trees import TreeModel

_CALIBRATION_BINS = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled slide and what the record says about it.

    `score`: in full, None where none was given. The record's is rounded for people: near the threshold and near 0 and 1
    it makes other calls and ties.
    """

    slide: str
    patient: str
    positive: bool
    simulated: bool
    assessment: Mapping[str, Any]
    profile: Sequence[Mapping[str, Any]]
    score: float | None

    @property
    def scored(self) -> bool:
        """Whether a score was given."""
        return self.score is not None


@dataclass(frozen=True, slots=True, eq=False)
class SlideResult:
    """The JSON section of one target, the scored cases and their SHAP values (None without a scored case)."""

    section: dict[str, Any]
    cases: tuple[Case, ...]
    shap: ShapValues | None


def evaluate_slides(
    tables: SlideTables, model: Model, model_json: Callable[[str], bytes], stream: TextIO | None
) -> dict[str, SlideResult]:
    """Return a result per question that the table labels. `model_json` gives the XGBoost JSON of a target.

    Raises EdgeError MDSE-VALIDATE-008 (a class without a slide that can be read), and those of a slide but for a
    rejected one.
    """
    labelled, table = tables.labelled, tables.table
    records, rejected = _records(tables.root, sorted(tables.slides), model, stream)
    results = {}
    for spec in tables.specs:
        cases = tuple(_cases(labelled[spec.target], records, spec, model.trees[spec.target]))
        _require_classes(cases, spec, table)
        shap = _shap(cases, spec, model, model_json)
        section = section_from_cases(cases, spec, shap, table, tables.trained_on)
        if spec.family is not None:
            section |= negatives_of(section["note"], [e for e in labelled[spec.target] if e.slide in records], spec)
        section["rejected"] = {e.slide: rejected[e.slide] for e in labelled[spec.target] if e.slide in rejected}
        results[spec.target] = SlideResult(section, cases, shap)
    return results


def profile_from_record(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return float64 [P], a record's parameters at full precision from their counts; NaN where nothing was counted."""
    return np.array(
        [
            (100.0 if row["name"].endswith(PER_100_SUFFIX) else 1.0) * row["numerator"] / row["denominator"]
            if row["denominator"]
            else np.nan
            for row in rows
        ]
    )


def exact_score(profile: Sequence[Mapping[str, Any]], trees: TreeModel, spec: AssessmentSpec) -> float:
    """Return the score of a record's profile as the runtime computes it, before it is rounded into the record."""
    row = profile_from_record(profile).astype(np.float32).reshape(1, -1)
    return score_from_margin(float(trees.predict_margin(row)[0]), spec.calibration)


def _records(
    root: Path, slides: Sequence[str], model: Model, stream: TextIO | None
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the record of every slide, and the reasons of those that the runtime rejects."""
    records: dict[str, dict[str, Any]] = {}
    rejected: dict[str, str] = {}
    with Progress("slides", len(slides), stream) as progress:
        for name in slides:
            try:
                records[name] = analyze_slide(read_slide(root / name), model, _JOB).record
            except EdgeError as error:
                if error.exit_status != EXIT_SLIDE_REJECTED:
                    raise
                rejected[name] = str(error)
            progress.advance()
    return records, rejected


# The record is read and thrown away: its names and times go nowhere.
_JOB = unsent_job("edge-validate", "VALIDATION.R1", site="validation", analysed_at="1970-01-01T00:00:00+00:00")


def _cases(
    labelled: Sequence[LabelledSlide],
    records: Mapping[str, Mapping[str, Any]],
    spec: AssessmentSpec,
    trees: TreeModel,
) -> Iterator[Case]:
    for entry in labelled:
        record = records.get(entry.slide)
        if record is None:
            continue
        (assessment,) = [row for row in record["assessments"] if row["target"] == spec.target]
        simulated = str(record["slide"]["analyzer"]["model"] or "").startswith(SIMULATED_PREFIX)
        positive = entry.label == spec.positive
        score = None if assessment["score"] is None else exact_score(record["profile"], trees, spec)
        yield Case(entry.slide, entry.patient, positive, simulated, assessment, record["profile"], score)


def section_from_cases(
    cases: Sequence[Case], spec: AssessmentSpec, shap: ShapValues | None, table: Path, trained_on: Path | None
) -> dict[str, Any]:
    """Return the figures of one target. Rates, area and calibration are over the scored cases; calls are over all."""
    scored = [case for case in cases if case.scored]
    positive = np.array([case.positive for case in scored], np.bool_)
    scores = np.array([case.score for case in scored], np.float64)
    patients = [case.patient for case in scored]
    called = scores >= spec.threshold
    simulated = any(case.simulated for case in cases)
    area = area_with_interval(scores, positive, groups=patients) if len(scored) else None
    bins, _ = reliability(scores, positive, bins=_CALIBRATION_BINS)
    section = {
        "simulated": simulated,
        "note": _note(simulated, trained_on),
        "table": table.name,
        **_counted(cases, spec),
        "threshold": spec.threshold,
        **_named("sensitivity", proportion(int((called & positive).sum()), int(positive.sum()))),
        **_named("specificity", proportion(int((~called & ~positive).sum()), int((~positive).sum()))),
        **_named("auc", area),
        "ci95": None if area is None else area.ci95,
        "calls": {
            kind: dict(Counter(case.assessment["call"] for case in cases if case.positive == value))
            for kind, value in ((spec.positive, True), (spec.negative, False))
        },
        "brier": round(float(np.mean((scores - positive) ** 2)), 4) if len(scored) else None,
        "calibration": [asdict(row) for row in bins],
        "cases": [
            {
                "slide": c.slide,
                "positive": c.positive,
                "called_positive": None if c.score is None else c.score >= spec.threshold,
                **{k: c.assessment[k] for k in ("score", "ci95", "call")},
            }
            for c in cases
        ],
        "shap": None if shap is None else shap.facts(),
    }
    published = load_paper().slides.get(spec.target)
    if published is not None and not simulated:
        section["paper"] = asdict(published)
    return section


def _counted(cases: Sequence[Case], spec: AssessmentSpec) -> dict[str, Any]:
    return {
        "positive": spec.positive,
        "negative": spec.negative,
        "n": len(cases),
        "n_positive": sum(case.positive for case in cases),
        "n_negative": sum(not case.positive for case in cases),
        "patients": len({case.patient for case in cases}),
        "scored": sum(case.scored for case in cases),
        "not_scored": dict(Counter(r["code"] for c in cases if not c.scored for r in c.assessment["reasons"])),
    }


def _shap(
    cases: Sequence[Case], spec: AssessmentSpec, model: Model, model_json: Callable[[str], bytes]
) -> ShapValues | None:
    scored = [case for case in cases if case.scored]
    if not scored:
        return None
    profiles = np.stack([profile_from_record(case.profile) for case in scored])
    runtime = np.stack([_contributions(case, model.catalogue) for case in scored])
    return shap_from_profiles(model_json(spec.target), profiles, runtime, model.catalogue, where=spec.target)


def _contributions(case: Case, catalogue: Catalogue) -> NDArray[np.float64]:
    """Return what the record says each parameter added to the margin; a parameter that it leaves out added nothing."""
    added = {row["name"]: float(row["value"]) for row in case.assessment["contributions"]}
    return np.array([added.get(name, 0.0) for name in catalogue.parameter_names])


def _note(simulated: bool, trained_on: Path | None) -> str:
    if simulated:
        return "SIMULATED slides: says that the parts fit together; says nothing about patients."
    if trained_on is None:
        return "slides; whether their patients were kept out of the training was not checked."
    return "slides of patients who are not in the training table."


def _require_classes(cases: Sequence[Case], spec: AssessmentSpec, table: Path) -> None:
    for kind, name in ((True, spec.positive), (False, spec.negative)):
        if not any(case.positive == kind for case in cases):
            raise EdgeError("MDSE-VALIDATE-008", where=str(table), target=spec.target, kind=name)


def _named(name: str, found: Estimate | None) -> dict[str, Any]:
    if found is None:
        return {name: None, f"{name}_ci95": None}
    return {name: round(found.value, 4), f"{name}_ci95": found.ci95}
