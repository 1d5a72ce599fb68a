"""Do small differences of cells add up on a slide? Slides composed of test cells, scored through both networks.

A composed slide takes 200 cells in a random mixture of the types at hand. Sixty are mixed out of one slide above and
one below the threshold until their score by the original comes near it, because there a difference could turn the
call; forty are left as they fell. A slide may change sides only where both say INDETERMINATE. Composed slides are no
patients: they measure the arithmetic, not medicine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.conversion_request import Preflight
from convert.engine_proof import ProofMaterial, ProvedEngine
from convert.library_from_xgboost import CompiledTrees
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

CANDIDATES = 400
NEAREST, OTHERS = 60, 40
CELLS_PER_SLIDE = 200
NEAR = 0.1
_MIXING_STEP = 5
_SEED = 20190913


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
        """Return the call of one slide, with its counting interval."""
        assessment = assess_profile(
            profile_slide([cells[place] for place in places], self.catalogue),
            spec=self.spec,
            cohort=self.cohort,
            gates=self.gates,
            trees=self.trees,
            catalogue=self.catalogue,
            requested=True,
        )
        if assessment.score is None:
            raise ValueError("a composed slide has no score although every gate is open")
        return assessment.call

    def margins(self, cells: Sequence[CellFindings], slides: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Return the raw margin of every slide."""
        profiles = [profile_slide([cells[place] for place in places], self.catalogue).values for places in slides]
        return self.trees.predict_margin(np.stack(profiles).astype(np.float32))

    def scores(self, cells: Sequence[CellFindings], slides: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Return the calibrated score of every slide."""
        return scores_from_margins(self.margins(cells, slides), self.spec.calibration)

    def distances(self, cells: Sequence[CellFindings], slides: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Return how far each slide's score lies above (+) or below (-) the threshold, in log-odds."""
        threshold = min(max(self.spec.threshold, 1e-6), 1 - 1e-6)
        logits = self.spec.calibration.slope * self.margins(cells, slides) + self.spec.calibration.intercept
        return np.asarray(logits - np.log(threshold / (1 - threshold)), np.float64)


def prove_slides(
    ready: Preflight,
    material: ProofMaterial,
    proved: Sequence[ProvedEngine],
    compiled: Sequence[tuple[TrainedTrees, CompiledTrees]],
) -> dict[str, dict[str, Any]]:
    """Return the comparison on composed slides by engine name; empty without trees or without test cells."""
    if not compiled or material.parity_expected is None:
        return {}
    decision = _Decision(ready.card.decision["finding_threshold"], ready.card.decision["unidentified_below"])
    original = _decoded(material.parity_expected, ready.catalogue, decision)
    scorers = [_scorer(ready, trained, made) for trained, made in compiled]
    chosen = [(scorer, _compose(scorer, original, ready.catalogue)) for scorer in scorers]
    return {
        engine.parity.engine: _compare(chosen, original, _decoded(engine.outputs, ready.catalogue, decision))
        for engine in proved
        if engine.parity is not None and engine.outputs is not None
    }


def require_slides(slides: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise EdgeError MDSE-PARITY-006 where a slide changes sides although one of the two was sure."""
    for engine, found in slides.items():
        if found["flipped_unforeseen"]:
            raise EdgeError(
                "MDSE-PARITY-006", where="slides", flipped=found["flipped_unforeseen"], slides=found["n"], engine=engine
            )


def _compare(
    chosen: Sequence[tuple[_Scorer, list[NDArray[np.intp]]]],
    original: Sequence[CellFindings],
    found: Sequence[CellFindings],
) -> dict[str, Any]:
    differences: list[float] = []
    flipped, unforeseen, near = 0, 0, 0
    for scorer, slides in chosen:
        ours, theirs = scorer.scores(original, slides), scorer.scores(found, slides)
        differences += np.abs(ours - theirs).tolist()
        near += int((np.abs(ours - scorer.spec.threshold) <= NEAR).sum())
        turned = np.flatnonzero((ours >= scorer.spec.threshold) != (theirs >= scorer.spec.threshold))
        flipped += len(turned)
        for place in turned:
            calls = {scorer.call(cells, slides[place]) for cells in (original, found)}
            unforeseen += calls != {INDETERMINATE}
    return {
        "n": len(differences),
        "near_threshold": near,
        "flipped": flipped,
        "flipped_unforeseen": unforeseen,
        "score_diff": {
            "mean": round(float(np.mean(differences)), 6),
            "p99": round(float(np.quantile(differences, 0.99)), 6),
        },
    }


def _compose(scorer: _Scorer, original: Sequence[CellFindings], catalogue: Catalogue) -> list[NDArray[np.intp]]:
    """Compose slides: some as they fall, and pairs from either side mixed until their score nears the threshold."""
    random = np.random.default_rng(_SEED)
    candidates = _mixtures(original, catalogue, random)
    distance = scorer.distances(original, candidates)
    order = np.argsort(np.abs(distance), kind="stable")
    above, below = [p for p in order if distance[p] >= 0], [p for p in order if distance[p] < 0]
    if not above or not below:
        near = [candidates[place] for place in order[:NEAREST]]
    else:
        pairs = [(candidates[above[i % len(above)]], candidates[below[i % len(below)]]) for i in range(NEAREST)]
        near = [_nearest_mixture(scorer, original, random.permutation(a), random.permutation(b)) for a, b in pairs]
    others = candidates[:: CANDIDATES // OTHERS][:OTHERS]
    return [*near, *others]


def _nearest_mixture(
    scorer: _Scorer, original: Sequence[CellFindings], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Exchange cells of `first` for cells of `second`, step by step, and keep the slide nearest to the threshold."""
    mixtures = [np.concatenate([second[:count], first[count:]]) for count in range(0, len(first) + 1, _MIXING_STEP)]
    distance = np.abs(scorer.distances(original, mixtures))
    return mixtures[int(np.argmin(distance))]


def _mixtures(
    original: Sequence[CellFindings], catalogue: Catalogue, random: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Return slides of 200 cells each, the types in random proportions from even to one-sided."""
    places: dict[str, list[int]] = {}
    for place, cell in enumerate(original):
        if cell.cell_type is not None:
            places.setdefault(cell.cell_type, []).append(place)
    codes = [code for code in catalogue.type_codes if code in places]
    slides = []
    for _ in range(CANDIDATES):
        mixture = random.dirichlet(np.full(len(codes), random.choice([0.3, 1.0, 3.0])))
        counts = random.multinomial(CELLS_PER_SLIDE, mixture)
        drawn = [random.choice(places[code], count) for code, count in zip(codes, counts, strict=True) if count]
        slides.append(np.concatenate(drawn).astype(np.intp))
    return slides


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


def _decoded(outputs: EngineOutputs, catalogue: Catalogue, decision: _Decision) -> tuple[CellFindings, ...]:
    ids = [f"cell{number}" for number in range(len(outputs.cell_type))]
    return decode_findings(outputs, ids, catalogue, decision)
