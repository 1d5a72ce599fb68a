"""From out-of-fold margins to a score and a threshold: Platt's calibration, the operating point, the bootstrap.

All of it rests on margins of slides whose patients the trees did not see.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convert.decision_fit import area_under_curve

_STEPS = 100
_CONVERGED = 1e-10
_BOOTSTRAPS = 2000


def calibration_from_margins(margins: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and intercept of Platt's calibration: score = sigmoid(slope * margin + intercept).

    Newton's method on the logistic loss with Platt's smoothed targets (Platt 1999; Lin, Lin and Weng 2007), which keep
    the slope finite where the classes are separated.
    """
    count_positive, count_negative = int(positive.sum()), int((~positive).sum())
    target = np.where(positive, (count_positive + 1) / (count_positive + 2), 1 / (count_negative + 2))
    design = np.stack([margins, np.ones_like(margins)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        score = _sigmoid(design @ weights)
        gradient = design.T @ (score - target)
        curvature = (design * (score * (1 - score))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # Halve the step until the loss does not rise: Newton's full step overshoots on separated classes.
        size = 1.0
        while size > 1e-6 and _loss(design @ (weights - size * step), target) > _loss(design @ weights, target):
            size /= 2
        weights = weights - size * step
        if float(np.abs(size * step).max()) < _CONVERGED:
            break
    return float(weights[0]), float(weights[1])


def threshold_from_scores(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], *, specificity: float | None = None
) -> float:
    """Return the threshold at or above which a slide is positive.

    Without `specificity` the one with the highest sensitivity + specificity (Youden); with it the lowest threshold that
    reaches it. Thresholds lie midway between neighbouring scores; of equally good ones the middle is taken.
    """
    order = np.unique(scores)
    cuts = np.concatenate([[order[0] / 2], (order[1:] + order[:-1]) / 2, [(order[-1] + 1) / 2]])
    sensitivity = np.array([np.mean(scores[positive] >= cut) for cut in cuts])
    spared = np.array([np.mean(scores[~positive] < cut) for cut in cuts])
    if specificity is not None:
        return float(cuts[np.flatnonzero(spared >= specificity)[0]])
    youden = sensitivity + spared
    best = np.flatnonzero(youden >= youden.max() - 1e-12)
    return float(cuts[best[len(best) // 2]])


def area_with_interval(
    margins: NDArray[np.float64], positive: NDArray[np.bool_], patients: Sequence[str], seed: int
) -> tuple[float, float, float]:
    """Return the area under the ROC curve of margins [repeats, N], averaged over repeats, and its 95 % interval.

    The interval comes from resampling patients (with all their slides) within each class.
    """
    random = np.random.default_rng([seed, 2])
    rows_of: dict[str, list[int]] = {}
    for row, patient in enumerate(patients):
        rows_of.setdefault(patient, []).append(row)
    groups = [[rows for rows in rows_of.values() if positive[rows[0]] == kind] for kind in (True, False)]
    draws = []
    for _ in range(_BOOTSTRAPS):
        chosen = [row for g in groups for index in random.integers(0, len(g), len(g)) for row in g[index]]
        draws.append(_mean_area(margins[:, chosen], positive[chosen]))
    low, high = np.quantile(draws, (0.025, 0.975))
    return _mean_area(margins, positive), float(low), float(high)


def scores_from_calibration(margins: NDArray[np.float64], calibration: tuple[float, float]) -> NDArray[np.float64]:
    """Return the calibrated scores of margins of any shape."""
    return _sigmoid(calibration[0] * margins + calibration[1])


def _mean_area(margins: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    areas = [area_under_curve(row.astype(np.float32), positive) for row in margins]
    return float(np.mean([area for area in areas if area is not None]))


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def _loss(logits: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0.0, logits) - target * logits).sum())
