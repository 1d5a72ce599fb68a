"""Figures of an assessment from its outer loop: all of them on patients that had no part in any choice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.cell_scores import exact_interval
from convert.nested_validation import Nested
from convert.score_fit import area_with_interval, calibration_from_margins
from convert.slide_cohort import Cohort

CURVE_POINTS = 101


def figures_from_nested(cohort: Cohort, judged: Nested, seed: int, split: str) -> dict[str, Any]:
    """Return the figures as JSON values.

    Sensitivity and specificity are of the first repeat, so that their exact intervals count every slide once. The
    calibration slope is that of the outer scores: below 1 they are too sure, above 1 too timid.
    """
    truth, called = cohort.positive, judged.called[0]
    hits, positives = int((called & truth).sum()), int(truth.sum())
    spared, negatives = int((~called & ~truth).sum()), int((~truth).sum())
    area = area_with_interval(judged.logits, truth, cohort.patients, seed)
    slope, intercept = calibration_from_margins(judged.logits.ravel(), np.tile(truth, len(judged.logits)))
    return {
        "simulated": bool(cohort.simulated.any()),
        "split": split,
        "slides": len(cohort.slides),
        "patients": len(set(cohort.patients)),
        "auc": round(area[0], 4),
        "auc_ci95": [round(area[1], 4), round(area[2], 4)],
        "sensitivity": round(hits / positives, 4),
        "sensitivity_ci95": [round(bound, 4) for bound in exact_interval(hits, positives)],
        "specificity": round(spared / negatives, 4),
        "specificity_ci95": [round(bound, 4) for bound in exact_interval(spared, negatives)],
        "brier": round(float(np.mean((judged.scores - truth) ** 2)), 4),
        "calibration_slope": round(slope, 3),
        "calibration_intercept": round(intercept, 3),
    }


def roc_from_scores(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the sensitivity at 101 evenly spaced false positive rates, float64 [101]; ties count half by area."""
    order = np.unique(scores)[::-1]
    sensitivity = np.concatenate([[0.0], [np.mean(scores[positive] >= cut) for cut in order]])
    false_positive = np.concatenate([[0.0], [np.mean(scores[~positive] >= cut) for cut in order]])
    return np.asarray(np.interp(np.linspace(0, 1, CURVE_POINTS), false_positive, sensitivity), np.float64)
