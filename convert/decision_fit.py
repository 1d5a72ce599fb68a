"""Decisions that turn outputs into findings, fitted on the validation split: temperature and finding thresholds."""

# Whoever changes what is fitted here raises `_RULE` in convert/decision_digest.py: trees then know the other decision.
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special  # type: ignore[import-untyped]  # scipy ships no type information

from convert.readable_number import rounded_between

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
# Where cells can be separated, a likelihood alone would sharpen without end.
SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE = 0.2, 5.0
TEMPERATURES = (SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE)
_LARGEST_THRESHOLD, _SMALLEST_THRESHOLD = 0.98, 0.02


def temperatures_after(temperature: float) -> tuple[float, float]:
    """Return the bounds of a second temperature where a first was applied: both together stay within theirs.

    A first one out of bounds may stay as it is.
    """
    return min(SMALLEST_TEMPERATURE / temperature, 1.0), max(LARGEST_TEMPERATURE / temperature, 1.0)


def temperature_from_validation(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], *, within: tuple[float, float] = TEMPERATURES
) -> float:
    """Return the temperature with the lowest negative log-likelihood, every cell weighing the same.

    Below 1 it sharpens: a network trained with smoothed labels is less certain than it is right. Weighing the types
    alike instead would calibrate a mixture of cells that no film shows. `probabilities` float32 [N, T] are the softmax
    of the logits, whose logarithm is the logits up to a constant; `truth` int64 [N] are type indices. The search grid
    runs from one bound of `within` to the other, 0.2 to 5 in steps below one percent.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST_PROBABILITY))
    rows = np.arange(len(truth))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        log_likelihood = scaled[rows, truth] - np.log(np.exp(scaled).sum(axis=1))
        return -float(np.mean(log_likelihood))

    grid = np.exp(np.linspace(np.log(within[0]), np.log(within[1]), 400))
    return round(float(min(grid, key=loss)), 4)


def calibration_from_validation(
    probabilities: NDArray[np.float32],
    truth: NDArray[np.int64],
    *,
    copies: int,
    within: tuple[float, float] = TEMPERATURES,
) -> tuple[float, NDArray[np.float64]]:
    """Return the temperature and the offset of every type, float64 [T], with the lowest negative log-likelihood.

    Bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar, ICML 2020): a network that was shown all
    types alike often names some more often than they are. An offset is drawn towards 0, and is 0 for a type of fewer
    than FEWEST_OF_A_TYPE cells; the temperature lies within its bounds. `probabilities` float32 [N, T] and `truth`
    int64 [N] hold each cell `copies` times.
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

    fitted = _minimum_within(within, loss, 1 + types)
    return round(float(np.exp(-fitted[0])), 4), np.asarray(
        np.round(np.where(free, fitted[1:], 0.0), 4) + 0.0, np.float64
    )


def _minimum_within(
    temperatures: tuple[float, float],
    loss: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
    count: int,
) -> NDArray[np.float64]:
    """Return the weights float64 [count] with the lowest loss whose first, minus the log temperature, is allowed.

    The loss is convex in scale and offsets: where its lowest lies beyond a bound, the best within lies on that bound.
    """
    fitted = optimize.minimize(loss, np.zeros(count), jac=True, method="L-BFGS-B").x
    bound = float(np.clip(fitted[0], -np.log(temperatures[1]), -np.log(temperatures[0])))
    if fitted[0] == bound:
        return np.asarray(fitted, np.float64)

    def loss_on_bound(offsets: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = loss(np.concatenate([[bound], offsets]))
        return value, slope[1:]

    offsets = optimize.minimize(loss_on_bound, np.zeros(count - 1), jac=True, method="L-BFGS-B").x
    return np.concatenate([[bound], offsets])


def tempered(
    probabilities: NDArray[np.float32], temperature: float, offsets: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float32]:
    """Return softmax(log p / temperature + offsets), float32 [N, T]: what the network says when calibrated so."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST_PROBABILITY)) / temperature + offsets
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def finding_threshold(probabilities: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """Return the threshold with the best balanced accuracy among those with at least 95 % specificity.

    With too few positive cells to fit it is that specificity's threshold, at least 0.5; with too few of both it is 0.5.
    `probabilities` and `target` are float32 [N] for one finding; `target` is 1, 0, or negative for "not annotated". A
    finding is present at or above the threshold, which lies midway between two neighbouring probabilities, but at 0.98
    where no cell lies between, and never below 0.02. Only negatives at a probability of 1 can leave less specificity.
    """
    annotated = target >= 0
    values, shown = probabilities[annotated].astype(np.float64), target[annotated] == 1
    positives, negatives = int(shown.sum()), int((~shown).sum())
    if negatives < FEWEST_POSITIVES:
        return NEUTRAL_THRESHOLD
    if positives < FEWEST_POSITIVES:
        return _specific_threshold(np.sort(values[~shown]))
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
    return _midway(float(below), float(above))


def _specific_threshold(negatives: NDArray[np.float64]) -> float:
    """Return the threshold, at least 0.5, that spares 95 % of the sorted probabilities of negative cells."""
    middle = round(max(NEUTRAL_THRESHOLD, float(np.quantile(negatives, LOWEST_SPECIFICITY))), 4)
    if middle <= _LARGEST_THRESHOLD and np.mean(negatives < middle) >= LOWEST_SPECIFICITY:
        return middle
    # Ties of the last one to be spared are spared with it.
    last = negatives[int(np.ceil(LOWEST_SPECIFICITY * len(negatives) - 1e-9)) - 1]
    spared = int(np.searchsorted(negatives, last, side="right"))
    return _midway(float(last), float(negatives[spared]) if spared < len(negatives) else 1.0)


def _midway(below: float, above: float) -> float:
    middle = max((below + above) / 2, _SMALLEST_THRESHOLD)
    if middle > _LARGEST_THRESHOLD > below:
        middle = _LARGEST_THRESHOLD
    return rounded_between(middle, below, max(above, middle), 4)


def area_under_curve(probabilities: NDArray[np.float32], shown: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve by ranks (ties count half), None where one class is empty."""
    positives, negatives = int(shown.sum()), int((~shown).sum())
    if not positives or not negatives:
        return None
    _, places, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[places]
    return float((ranks[shown].sum() - positives * (positives + 1) / 2) / (positives * negatives))
