"""Do small differences of cells add up on a slide? Slides composed of test cells, scored through both networks.

For each assessment 200 slides (slide_mixtures.py), half of them searched until the original's score lies within 0.1 of
the threshold. Every assessment is held to the bars by itself, and the engine to the worst of them:

REFUSED      a slide changes sides without being INDETERMINATE on both, or the scores differ by 0.05 in the mean
PROVEN       the scores differ by at most 0.005 in the mean and 0.05 at the 99th percentile, on at least 60 slides near
             the threshold
NOT PROVEN   between: boosted trees jump, and near the threshold a single count may move a score by more than that; what
             one exchanged cell of each slide does stands beside it

Composed slides are no patients: they measure the arithmetic, not medicine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.conversion_request import Preflight
from convert.engine_proof import ProofMaterial, ProvedEngine
from convert.library_from_xgboost import CompiledTrees
from convert.parity import rows_of
from convert.parity_statistics import Verdict, overall_verdict
from convert.progress import Progress
from convert.slide_mixtures import MOST_PAIRS, CellCounts, Slide, compose_slides, counts_of_cells, with_one_other_cell
from convert.tree_model import TrainedTrees
from edge.assessment import INDETERMINATE, assess_profile
from edge.bundle.manifest import AssessmentSpec, Cohort, Gates, Minimum
from edge.catalogue import Catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.findings import CellFindings, decode_findings
from edge.score import scores_from_margins
from edge.slide_profile import profile_slide
from edge.trees import TreeModel, trees_from_checkpoint

NEAR, NEAR_NEEDED = 0.1, 60
MEAN_BAR, P99_BAR, REFUSED_MEAN = 0.005, 0.05, 0.05


@dataclass(frozen=True, slots=True)
class _Decision:
    """The part of the manifest's decision that decoding needs."""

    finding_threshold: Mapping[str, float]
    unidentified_below: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Scorer:
    """Scores composed slides for one target, with every gate open: here the score itself is in question."""

    spec: AssessmentSpec
    cohort: Cohort
    gates: Gates
    trees: TreeModel
    catalogue: Catalogue

    def call(self, cells: Sequence[CellFindings], places: NDArray[np.intp]) -> str:
        """Return the call of one slide, with its counting interval; that there is none, where nothing is scored."""
        assessment = assess_profile(
            profile_slide([cells[place] for place in places], self.catalogue),
            spec=self.spec,
            cohort=self.cohort,
            gates=self.gates,
            trees=self.trees,
            catalogue=self.catalogue,
            requested=True,
        )
        return assessment.call

    def scores(self, counts: CellCounts, slides: Sequence[Slide]) -> NDArray[np.float64]:
        """Return the calibrated score of every slide."""
        margins = self.trees.predict_margin(counts.profiles(slides, self.catalogue))
        return scores_from_margins(margins, self.spec.calibration)

    def compose(self, counts: CellCounts, progress: Progress) -> list[Slide]:
        """Compose the slides of this target from the original's cells."""
        return compose_slides(
            counts,
            lambda slides: self.scores(counts, slides) - self.spec.threshold,
            lambda distance: abs(distance) <= NEAR,
            progress.advance,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """The test cells as one network reads them."""

    cells: Sequence[CellFindings]
    counts: CellCounts


def prove_slides(
    ready: Preflight,
    material: ProofMaterial,
    proved: Sequence[ProvedEngine],
    compiled: Sequence[tuple[TrainedTrees, CompiledTrees]],
    stream: TextIO | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the comparison on composed slides by engine name; empty without trees or without test cells."""
    if not compiled or material.parity_expected is None or material.parity_cells is None:
        return {}
    decision = _Decision(ready.card.decision["finding_threshold"], ready.card.decision["unidentified_below"])
    # One row for each cell: its other orientations are no other cells.
    first_views = np.unique(material.parity_cells, return_index=True)[1]
    original = _side(rows_of(material.parity_expected, first_views), ready.catalogue, decision)
    scorers = [_scorer(ready, trained, made) for trained, made in compiled]
    with Progress("composing slides", MOST_PAIRS * len(scorers), stream) as progress:
        chosen = [(scorer, scorer.compose(original.counts, progress)) for scorer in scorers]
    return {
        engine.parity.engine: _compare(
            chosen, original, _side(rows_of(engine.outputs, first_views), ready.catalogue, decision)
        )
        for engine in proved
        if engine.parity is not None and engine.outputs is not None
    }


def require_slides(slides: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse an engine whose slides do not hold, and name the assessment.

    Raises EdgeError MDSE-PARITY-006 where a slide changes sides although one of the two was sure, MDSE-PARITY-007 where
    the scores of an assessment differ by more than 0.05 in the mean.
    """
    for engine, of_engine in slides.items():
        for target, found in of_engine["targets"].items():
            _require_target(engine, f"slides of {target}", found)


def _require_target(engine: str, where: str, found: Mapping[str, Any]) -> None:
    unforeseen, difference = found["flipped_unforeseen"], found["score_diff"]
    if unforeseen:
        raise EdgeError("MDSE-PARITY-006", where=where, flipped=unforeseen, slides=found["n"], engine=engine)
    if found["verdict"] == "REFUSED":
        mean, p99 = f"{difference['mean']:.4f}", f"{difference['p99']:.4f}"
        raise EdgeError("MDSE-PARITY-007", where=where, engine=engine, mean=mean, p99=p99, bar=REFUSED_MEAN)


def _compare(chosen: Sequence[tuple[_Scorer, list[Slide]]], original: _Side, found: _Side) -> dict[str, Any]:
    """Return the comparison of every assessment under `targets`, and over all of them what is worst."""
    targets = {
        scorer.spec.target: _compare_target(scorer, slides, original, found)
        for scorer, slides in sorted(chosen, key=lambda pair: pair[0].spec.target)
    }
    rows = list(targets.values())
    return {
        **{name: sum(row[name] for row in rows) for name in ("n", "flipped", "flipped_unforeseen")},
        "near_threshold": min(row["near_threshold"] for row in rows),
        **{
            name: {number: max(row[name][number] for row in rows) for number in ("mean", "p99")}
            for name in ("score_diff", "one_other_cell")
        },
        "verdict": overall_verdict([row["verdict"] for row in rows]),
        "targets": targets,
    }


def _compare_target(scorer: _Scorer, slides: list[Slide], original: _Side, found: _Side) -> dict[str, Any]:
    ours, theirs = scorer.scores(original.counts, slides), scorer.scores(found.counts, slides)
    changed = scorer.scores(original.counts, with_one_other_cell(slides, len(original.cells)))
    near = int((np.abs(ours - scorer.spec.threshold) <= NEAR).sum())
    turned = np.flatnonzero((ours >= scorer.spec.threshold) != (theirs >= scorer.spec.threshold))
    calls = [{scorer.call(side.cells, slides[place]) for side in (original, found)} for place in turned]
    unforeseen = sum(call != {INDETERMINATE} for call in calls)
    difference = _mean_and_p99(np.abs(ours - theirs))
    return {
        "n": len(slides),
        "near_threshold": near,
        "flipped": len(turned),
        "flipped_unforeseen": unforeseen,
        "score_diff": difference,
        "one_other_cell": _mean_and_p99(np.abs(ours - changed)),
        "verdict": _verdict(difference, unforeseen, enough=near >= NEAR_NEEDED),
    }


def _mean_and_p99(values: NDArray[np.float64]) -> dict[str, float]:
    return {"mean": round(float(np.mean(values)), 6), "p99": round(float(np.quantile(values, 0.99)), 6)}


def _verdict(difference: Mapping[str, float], unforeseen: int, *, enough: bool) -> Verdict:
    if unforeseen or difference["mean"] > REFUSED_MEAN:
        return "REFUSED"
    within = difference["mean"] <= MEAN_BAR and difference["p99"] <= P99_BAR
    return "PROVEN" if enough and within else "NOT PROVEN"


def _scorer(ready: Preflight, trained: TrainedTrees, made: CompiledTrees) -> _Scorer:
    spec = AssessmentSpec.model_validate(trained.assessment).model_copy(
        update={"minimum": Minimum(wbc=0, neutrophil=0)}
    )
    everything = {"outside_allowed": len(ready.catalogue.parameter_names)}
    ranges = {name: tuple(bounds) for name, bounds in trained.cohort["range"].items()}
    cohort = Cohort.model_validate({**trained.cohort, "range": ranges}).model_copy(update=everything)
    gates = Gates.model_validate(ready.card.decision["gates"]).model_copy(update={"blast_not_evaluable_share": 1.0})
    trees = trees_from_checkpoint(
        made.checkpoint, trained.target, len(ready.catalogue.parameter_names), where=f"trees/{trained.target}"
    )
    return _Scorer(spec, cohort, gates, trees, ready.catalogue)


def _side(outputs: EngineOutputs, catalogue: Catalogue, decision: _Decision) -> _Side:
    ids = [f"cell{number}" for number in range(len(outputs.cell_type))]
    cells = decode_findings(outputs, ids, catalogue, decision)
    return _Side(cells, counts_of_cells(cells, catalogue))
