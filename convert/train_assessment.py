"""Train the assessment of slides: XGBoost on the 114 parameters, judged on patients that it did not see.

There are more parameters than slides, so trees are shallow, learn slowly and see few parameters each. Nothing is
tuned: every setting is fixed beforehand. Cross-validation is grouped by patient and repeated with other folds; its
out-of-fold margins give the area under the curve, the calibration and the threshold. The trees that leave are trained
on all slides. One thread and a fixed seed: the same cohort gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from convert.cell_scores import exact_interval
from convert.score_fit import (
    area_with_interval,
    calibration_from_margins,
    scores_from_calibration,
    threshold_from_scores,
)
from convert.slide_cohort import Cohort
from edge.errors import EdgeError

ATTRIBUTE = "mds_edge"
FEWEST_PATIENTS = 10
_OUTSIDE_QUANTILE = 0.99


@dataclass(frozen=True, slots=True)
class AssessmentTraining:
    """The question and all settings. `specificity` None: Youden's threshold. Minimum counts of cells for a score."""

    target: str
    positive: str
    negative: str
    depth: int = 2
    rounds: int = 200
    rate: float = 0.05
    folds: int = 5
    repeats: int = 5
    seed: int = 1
    specificity: float | None = None
    minimum_wbc: int = 100
    minimum_neutrophil: int = 20


@dataclass(frozen=True, slots=True, eq=False)
class TrainedAssessment:
    """The booster with its `mds_edge` attribute, and the report as JSON values."""

    booster: xgboost.Booster
    report: dict[str, Any]


def train_assessment(cohort: Cohort, training: AssessmentTraining, say: Callable[[str], None]) -> TrainedAssessment:
    """Train and judge. Raises EdgeError MDSE-TRAIN-015 (too few patients) and -016 (no separation at all)."""
    enough = (cohort.leucocytes >= training.minimum_wbc) & (cohort.neutrophils >= training.minimum_neutrophil)
    for row in np.flatnonzero(~enough):
        counted = f"{cohort.leucocytes[row]} leucocytes, {cohort.neutrophils[row]} neutrophils"
        say(f"note: slide {cohort.slides[row]} left out: {counted}, which is too few to score")
    cohort = cohort.taken(enough)
    _require_patients(cohort)
    margins = out_of_fold_margins(cohort, training)
    pooled, truth = margins.ravel(), np.tile(cohort.positive, training.repeats)
    calibration = calibration_from_margins(pooled, truth)
    if calibration[0] <= 0:
        raise EdgeError("MDSE-TRAIN-016", where=training.target)
    scores = scores_from_calibration(margins, calibration)
    # Three decimals: people read it beside the score, and a receiver gets it as the bound of a reference range.
    threshold = round(threshold_from_scores(scores.ravel(), truth, specificity=training.specificity), 3)
    area = area_with_interval(margins, cohort.positive, cohort.patients, training.seed)
    booster = fit_trees(cohort.profiles, cohort.positive, training, cohort.names)
    validation = _validation(cohort, scores, threshold, area, training)
    attribute = _attribute(cohort, training, calibration, threshold)
    booster.set_attr(**{ATTRIBUTE: json.dumps({**attribute, "cross_validation": validation}, sort_keys=True)})
    return TrainedAssessment(booster, {**attribute, "cross_validation": validation})


def fit_trees(
    profiles: NDArray[np.float64], positive: NDArray[np.bool_], training: AssessmentTraining, names: Sequence[str]
) -> xgboost.Booster:
    """Return trees for profiles float64 [N, P]; NaN is missing. Rows are float32, as at run time."""
    matrix = xgboost.DMatrix(profiles.astype(np.float32), label=positive.astype(np.float32), feature_names=list(names))
    settings = {
        "objective": "binary:logistic",
        "max_depth": training.depth,
        "eta": training.rate,
        "subsample": 0.8,
        "colsample_bytree": 0.3,
        "min_child_weight": 2.0,
        "reg_lambda": 5.0,
        "reg_alpha": 0.5,
        "base_score": 0.5,
        "tree_method": "exact",  # few rows: exact splits, no binning to reproduce
        "seed": training.seed,
        "nthread": 1,  # sums in one order, so that the same cohort gives the same trees
    }
    return xgboost.train(settings, matrix, num_boost_round=training.rounds)


def out_of_fold_margins(cohort: Cohort, training: AssessmentTraining) -> NDArray[np.float64]:
    """Return float64 [repeats, N]: for every repeat the margin of each slide from trees that never saw its patient."""
    margins = np.full((training.repeats, len(cohort.slides)), np.nan)
    for repeat in range(training.repeats):
        for held_out in patient_folds(cohort, training, repeat):
            kept = ~held_out
            booster = fit_trees(cohort.profiles[kept], cohort.positive[kept], training, cohort.names)
            rows = xgboost.DMatrix(cohort.profiles[held_out].astype(np.float32), feature_names=list(cohort.names))
            margins[repeat, held_out] = booster.predict(rows, output_margin=True)
    return margins


def patient_folds(cohort: Cohort, training: AssessmentTraining, repeat: int) -> Iterator[NDArray[np.bool_]]:
    """Yield the slides of each fold as bool [N]: patients of either class are shuffled and dealt out like cards."""
    random = np.random.default_rng([training.seed, 1, repeat])
    fold_of: dict[str, int] = {}
    for kind in (True, False):
        patients = sorted(cohort.patients_of(kind))
        for place, index in enumerate(random.permutation(len(patients))):
            fold_of[patients[index]] = place % training.folds
    folds = np.array([fold_of[patient] for patient in cohort.patients])
    for fold in range(training.folds):
        yield folds == fold


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


def save_assessment(trained: TrainedAssessment, out: Path) -> None:
    """Write the trees (JSON) and, beside them, the report."""
    trained.booster.save_model(out)
    out.with_suffix(".report.json").write_text(json.dumps(trained.report, indent=1) + "\n", encoding="utf-8")


def _attribute(
    cohort: Cohort, training: AssessmentTraining, calibration: tuple[float, float], threshold: float
) -> dict[str, Any]:
    positives, negatives = (len(cohort.patients_of(kind)) for kind in (True, False))
    return {
        "target": training.target,
        "positive": training.positive,
        "negative": training.negative,
        "threshold": threshold,
        "calibration": {"slope": calibration[0], "intercept": calibration[1]},
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


def _validation(
    cohort: Cohort,
    scores: NDArray[np.float64],
    threshold: float,
    area: tuple[float, float, float],
    training: AssessmentTraining,
) -> dict[str, Any]:
    """Sensitivity and specificity are of the first repeat, so that their intervals count every slide once."""
    called = scores[0] >= threshold
    truth = cohort.positive
    hits, positives = int((called & truth).sum()), int(truth.sum())
    spared, negatives = int((~called & ~truth).sum()), int((~truth).sum())
    return {
        "simulated": bool(cohort.simulated.any()),
        "split": f"{training.folds}-fold by patient, {training.repeats} repeats; threshold fitted on the same margins",
        "slides": len(cohort.slides),
        "patients": len(set(cohort.patients)),
        "auc": round(area[0], 4),
        "auc_ci95": [round(area[1], 4), round(area[2], 4)],
        "sensitivity": round(hits / positives, 4),
        "sensitivity_ci95": [round(bound, 4) for bound in exact_interval(hits, positives)],
        "specificity": round(spared / negatives, 4),
        "specificity_ci95": [round(bound, 4) for bound in exact_interval(spared, negatives)],
        "brier": round(float(np.mean((scores - truth) ** 2)), 4),
    }


def _require_patients(cohort: Cohort) -> None:
    counts = [len(cohort.patients_of(kind)) for kind in (True, False)]
    if min(counts) < FEWEST_PATIENTS:
        raise EdgeError("MDSE-TRAIN-015", positive=counts[0], negative=counts[1], needed=FEWEST_PATIENTS)
