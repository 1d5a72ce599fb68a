"""Train the assessment of slides: XGBoost on the 114 parameters, judged on patients that it did not see.

What leaves are trees fitted on all slides with the settings, the calibration and the threshold that the inner loop
chose on all slides. What is reported about them is the outer loop's figure: the same procedure, on patients that had no
part in any of these choices (`nested_validation.py`). One thread, a fixed seed: the same cohort gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import xgboost

from convert.assessment_figures import figures_from_nested
from convert.cohort_arrays import document_from_cohort
from convert.nested_validation import Chosen, Nested, NestedSettings, choose, nested, out_of_fold_contributions
from convert.progress import Progress
from convert.scope_fit import FEWEST_OTHERS, document_from_scope, fit_scope
from convert.score_fit import scores_from_calibration
from convert.slide_cohort import Cohort
from convert.tree_fit import candidate_grid, fit_trees
from edge.errors import EdgeError

ATTRIBUTE = "mds_edge"
FEWEST_PATIENTS = 10
_OUTSIDE_QUANTILE = 0.99


@dataclass(frozen=True, slots=True)
class AssessmentTraining:
    """The question and all settings.

    depths, monotone, penalties, rounds: what the inner loop may choose from. `specificity` None: Youden's threshold.
    Minimum counts of cells for a score. `family`: the common name of one-versus-rest questions. `network`,
    `decision`: digests of the network and of the decision (by part) that made the profiles, None where their bundle
    does not say.
    """

    target: str
    positive: str
    negative: str
    depths: tuple[int, ...] = (1, 2)
    monotone: tuple[bool, ...] = (True, False)
    penalties: tuple[float, ...] = (5.0, 1.0)
    rounds: tuple[int, ...] = (100, 200, 400)
    folds: int = 5
    repeats: int = 3
    inner_folds: int = 5
    seed: int = 1
    specificity: float | None = None
    minimum_wbc: int = 100
    minimum_neutrophil: int = 20
    family: str | None = None
    network: str | None = None
    decision: Mapping[str, str] | None = None

    def nested_settings(self) -> NestedSettings:
        """Return the settings of the two loops."""
        grid = candidate_grid(self.depths, self.monotone, self.penalties, self.rounds)
        return NestedSettings(grid, self.folds, self.repeats, self.inner_folds, self.seed, self.specificity)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedAssessment:
    """The booster with its `mds_edge` attribute, the report as JSON values, and the outer loop with its slides."""

    booster: xgboost.Booster
    report: dict[str, Any]
    cohort: Cohort
    nested: Nested


def train_assessment(
    cohort: Cohort,
    training: AssessmentTraining,
    say: Callable[[str], None],
    *,
    others: Sequence[Cohort] = (),
    stream: TextIO | None = None,
) -> TrainedAssessment:
    """Train and judge. `others`: films known to be of neither class; they only bound the question, see scope_fit.

    Raises EdgeError MDSE-TRAIN-015 (too few patients), -016 (no separation at all), -020 (too few other films).
    """
    cohort = _countable(cohort, training, say)
    others = [_countable(group, training, say) for group in others]
    _require_slides(cohort, others)
    settings = training.nested_settings()
    with Progress("nested cross-validation", training.repeats * training.folds + 1, stream) as progress:
        judged = nested(cohort, settings, progress.advance)
        chosen = choose(cohort, settings, [training.seed, 0])
        progress.advance()
    validation = figures_from_nested(cohort, judged, training.seed, _split_text(training))
    if chosen.calibration[0] <= 0 or validation["auc"] <= 0.5:
        raise EdgeError("MDSE-TRAIN-016", where=training.target)
    booster = fit_trees(cohort.profiles, cohort.positive, chosen.candidate, cohort.names, training.seed)
    scope, scope_shares = fit_scope(cohort, others, training.seed)
    report = {
        **_attribute(cohort, training, chosen),
        "cross_validation": validation,
        "selection": _selection(settings, chosen, judged),
        "scope_held_out": scope_shares,
    }
    arrays = document_from_cohort(
        cohort,
        out_of_fold_contributions(cohort, chosen, training.seed),
        scores_from_calibration(chosen.margins, chosen.calibration),
    )
    carried = {**report, "cohort_arrays": arrays, "scope": document_from_scope(scope, cohort.names)}
    if training.network is not None:
        carried["network"] = training.network
    if training.decision is not None:
        carried["decision"] = dict(training.decision)
    booster.set_attr(**{ATTRIBUTE: json.dumps(carried, sort_keys=True)})
    return TrainedAssessment(booster, report, cohort, judged)


def ranges_from_profiles(cohort: Cohort) -> dict[str, tuple[float, float]]:
    """Return lowest and highest value per parameter; a parameter that no slide has is left out."""
    ranges = {}
    for column, name in enumerate(cohort.names):
        values = cohort.profiles[:, column]
        values = values[~np.isnan(values)]
        if len(values):
            ranges[name] = (float(values.min()), float(values.max()))
    return ranges


def outside_allowed(cohort: Cohort) -> int:
    """Return how many parameters of a slide may lie outside the ranges before it counts as unlike the cohort.

    Each patient's slides are compared with the ranges of all other patients; the 99 % quantile of the number of
    parameters outside is allowed. So about one in a hundred slides of such patients would be refused.
    """
    patients = np.array(cohort.patients)
    counts = []
    for patient in sorted(set(cohort.patients)):
        own = patients == patient
        others = cohort.profiles[~own]
        observed = ~np.isnan(others).all(axis=0)
        low = np.where(observed, np.min(np.where(np.isnan(others), np.inf, others), axis=0), np.inf)
        high = np.where(observed, np.max(np.where(np.isnan(others), -np.inf, others), axis=0), -np.inf)
        for profile in cohort.profiles[own]:
            with np.errstate(invalid="ignore"):
                counts.append(int(((profile < low) | (profile > high)).sum()))
    return int(np.quantile(counts, _OUTSIDE_QUANTILE, method="higher"))


def _countable(cohort: Cohort, training: AssessmentTraining, say: Callable[[str], None]) -> Cohort:
    """Return the slides with enough cells for a score; name the others."""
    enough = (cohort.leucocytes >= training.minimum_wbc) & (cohort.neutrophils >= training.minimum_neutrophil)
    for row in np.flatnonzero(~enough):
        counted = f"{cohort.leucocytes[row]} leucocytes, {cohort.neutrophils[row]} neutrophils"
        say(f"note: slide {cohort.slides[row]} left out: {counted}, which is too few to score")
    return cohort.taken(enough)


def _require_slides(cohort: Cohort, others: Sequence[Cohort]) -> None:
    counts = [len(cohort.patients_of(kind)) for kind in (True, False)]
    if min(counts) < FEWEST_PATIENTS:
        raise EdgeError("MDSE-TRAIN-015", positive=counts[0], negative=counts[1], needed=FEWEST_PATIENTS)
    fewest = min((len(set(group.patients)) for group in others), default=FEWEST_OTHERS)
    if fewest < FEWEST_OTHERS:
        raise EdgeError("MDSE-TRAIN-020", found=fewest, needed=FEWEST_OTHERS)
    shared = sorted({patient for group in others for patient in group.patients} & set(cohort.patients))
    if shared:
        raise EdgeError("MDSE-TRAIN-014", where=shared[0], reason="the patient is among the classes and the others")


def _split_text(training: AssessmentTraining) -> str:
    return (
        f"nested, by patient: {training.folds} outer folds, {training.repeats} repeats, {training.inner_folds} inner "
        "folds; settings, calibration and threshold chosen on training folds only"
    )


def _attribute(cohort: Cohort, training: AssessmentTraining, chosen: Chosen) -> dict[str, Any]:
    positives, negatives = (len(cohort.patients_of(kind)) for kind in (True, False))
    return {
        "target": training.target,
        "family": training.family,
        "positive": training.positive,
        "negative": training.negative,
        "threshold": chosen.threshold,
        "calibration": {"slope": chosen.calibration[0], "intercept": chosen.calibration[1]},
        "minimum": {"wbc": training.minimum_wbc, "neutrophil": training.minimum_neutrophil},
        "parameters": list(cohort.names),
        "cohort": {
            # One simulated slide is enough: a cohort is real only if all of it is.
            "simulated": bool(cohort.simulated.any()),
            "cases": {training.positive: positives, training.negative: negatives},
            "range": {name: list(bounds) for name, bounds in ranges_from_profiles(cohort).items()},
            "outside_allowed": outside_allowed(cohort),
        },
    }


def _selection(settings: NestedSettings, chosen: Chosen, judged: Nested) -> dict[str, Any]:
    """Return what was considered: every candidate's loss on all slides, and how often the outer folds chose what."""
    used = [candidate.text() for repeat in judged.chosen for candidate in repeat]
    return {
        "chosen": chosen.candidate.text(),
        "rule": "the simplest whose loss is within one standard error of the best",
        "candidates": [
            {"settings": candidate.text(), "log_loss": round(loss, 5), "chosen_in_outer_folds": used.count(text)}
            for candidate, loss in zip(settings.candidates, chosen.losses, strict=True)
            for text in [candidate.text()]
        ],
    }
