"""Decisions that turn outputs into findings, fitted on the validation split: temperature and finding thresholds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special  # type: ignore[import-untyped]  # scipy ships no type information

# With fewer positive cells a fitted threshold would be their accident.
FEWEST_POSITIVES = 10
NEUTRAL_THRESHOLD = 0.5
# Most findings are rare: at 80 % specificity a normal slide would show dozens that are not there. Most rows of
# the paper's Table 3 lie between 92 and 97 %.
LOWEST_SPECIFICITY = 0.95
# With fewer cells of a type its share among the names says nothing.
FEWEST_OF_A_TYPE = 20
_PULL_OF_OFFSET = 3.0  # a ridge penalty: as if some cells had been seen that fit without an offset
_SMALLEST_PROBABILITY = 1e-9
_TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(5.0), 400))


def temperature_from_validation(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Return the temperature with the lowest negative log-likelihood, every cell weighing the same.

    Below 1 it sharpens: a network trained with smoothed labels is less certain than it is right. Weighing the types
    alike instead would calibrate a mixture of cells that no film shows. `probabilities` float32 [N, T] are the softmax
    of the logits, whose logarithm is the logits up to a constant; `truth` int64 [N] are type indices. The search grid
    is 0.2 to 5 in steps below one percent.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST_PROBABILITY))
    rows = np.arange(len(truth))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        log_likelihood = scaled[rows, truth] - np.log(np.exp(scaled).sum(axis=1))
        return -float(np.mean(log_likelihood))

    return round(float(min(_TEMPERATURES, key=loss)), 4)


def calibration_from_validation(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], *, copies: int
) -> tuple[float, NDArray[np.float64]]:
    """Return the temperature and the offset of every type, float64 [T], with the lowest negative log-likelihood.

    Bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar, ICML 2020): a network that was shown all
    types alike often names some more often than they are. An offset is drawn towards 0, and is 0 for a type of fewer
    than FEWEST_OF_A_TYPE cells. `probabilities` float32 [N, T] and `truth` int64 [N] hold each cell `copies` times.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST_PROBABILITY))
    rows, types = np.arange(len(truth)), probabilities.shape[1]
    free = np.bincount(truth, minlength=types) >= FEWEST_OF_A_TYPE * copies

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, offsets = np.exp(weights[0]), np.where(free, weights[1:], 0.0)
        scaled = logits * scale + offsets
        chances = special.softmax(scaled, axis=1)
        value = -(scaled[rows, truth] - special.logsumexp(scaled, axis=1)).sum() / copies
        rest = chances.copy()
        rest[rows, truth] -= 1
        by_offset = np.where(free, rest.sum(axis=0) / copies + _PULL_OF_OFFSET * offsets, 0.0)
        by_scale = (rest * logits).sum() * scale / copies
        return float(value + _PULL_OF_OFFSET * (offsets**2).sum() / 2), np.concatenate([[by_scale], by_offset])

    fitted = optimize.minimize(loss, np.zeros(1 + types), jac=True, method="L-BFGS-B").x
    return round(float(np.exp(-fitted[0])), 4), np.asarray(
        np.round(np.where(free, fitted[1:], 0.0), 4) + 0.0, np.float64
    )


def tempered(
    probabilities: NDArray[np.float32], temperature: float, offsets: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float32]:
    """Return softmax(log p / temperature + offsets), float32 [N, T]: what the network says when calibrated so."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST_PROBABILITY)) / temperature + offsets
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def finding_threshold(probabilities: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """Return the most sensitive threshold with at least 95 % specificity among annotated cells.

    With too few positive cells to fit it is that specificity's threshold, at least 0.5; with too few of both it is 0.5.
    `probabilities` and `target` are float32 [N] for one finding; `target` is 1, 0, or negative for "not annotated". A
    finding is present at or above the threshold, which lies midway between two neighbouring probabilities.
    """
    annotated = target >= 0
    values, shown = probabilities[annotated].astype(np.float64), target[annotated] == 1
    positives, negatives = int(shown.sum()), int((~shown).sum())
    if negatives < FEWEST_POSITIVES:
        return NEUTRAL_THRESHOLD
    if positives < FEWEST_POSITIVES:
        specific = float(np.quantile(values[~shown], LOWEST_SPECIFICITY))
        return round(min(max(NEUTRAL_THRESHOLD, specific), 0.98), 4)
    order = np.argsort(values, kind="stable")
    values, shown = values[order], shown[order]
    # Cutting before index i calls i.. present.
    missed = np.concatenate([[0], np.cumsum(shown)]) / positives
    spared = np.concatenate([[0], np.cumsum(~shown)]) / negatives
    balanced = 0.5 * ((1 - missed) + spared)
    possible = np.concatenate([[True], values[1:] > values[:-1], [True]])
    # Calling nothing present has a specificity of 1, so a cut always remains.
    balanced[~possible | (spared < LOWEST_SPECIFICITY)] = -1.0
    # Of equally good cuts take the middle one: it lies farthest from either class.
    best = np.flatnonzero(balanced == balanced.max())
    cut = int(best[len(best) // 2])
    below = values[cut - 1] if cut > 0 else 0.0
    above = values[cut] if cut < len(values) else 1.0
    return round(float(np.clip((below + above) / 2, 0.02, 0.98)), 4)


def area_under_curve(probabilities: NDArray[np.float32], shown: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve by ranks (ties count half), None where one class is empty."""
    positives, negatives = int(shown.sum()), int((~shown).sum())
    if not positives or not negatives:
        return None
    _, places, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[places]
    return float((ranks[shown].sum() - positives * (positives + 1) / 2) / (positives * negatives))
