"""Intervals and curves: exact ones for counts, bootstrap ones for what is no count.

    proportion          hits of n with the exact (Clopper-Pearson) interval
    area_with_interval  area under the ROC curve, by resampling cells or slides within their class
    recall_with_interval   mean recall over types, by resampling cells, or patients where they are known
    reliability         confidence against accuracy in bins of equal size

Every bootstrap has a fixed seed: the same predictions give the same report. Where a class or a type comes from fewer
than FEWEST_CLUSTERS patients (or cells, slides) there is no interval: one patient drawn again and again is always the
same, and an interval of no width would say that nothing is uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.decision_fit import area_under_curve
from edge.intervals import clopper_pearson

DRAWS = 2000
LEVEL = 0.95
# A draw misses all of five clusters or more with a probability of e^-5 (0.7 %) at most: draws that are left out,
# because they show nothing of one class or of the other, are 1.4 % at most and move no 2.5 % quantile noticeably.
FEWEST_CLUSTERS = 5
_QUANTILES = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_CHUNK = 100  # draws held at once: 100 x 25,000 cells are 20 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, its 95 % interval (None: too few to have one), and how many cells, slides or types it rests on."""

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def ci95(self) -> list[float] | None:
        """The interval, rounded as it is written."""
        return None if self.low is None or self.high is None else [round(self.low, 4), round(self.high, 4)]


def proportion(hits: int, count: int) -> Estimate | None:
    """Return hits / count with its exact interval, None where nothing was counted."""
    if not count:
        return None
    low, high = clopper_pearson(hits, count)
    return Estimate(hits / count, float(low), float(high), count)


def area_with_interval(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], *, groups: Sequence[str] | None = None, seed: int = 1
) -> Estimate | None:
    """Return the area under the ROC curve of scores [N] with its bootstrap interval, None where a class is empty.

    With `groups` (the patient of every row) patients are drawn with all their rows. Rows or patients are drawn within
    each class, or all together where a patient has rows of both.
    """
    values = np.asarray(scores, np.float32)
    area = area_under_curve(values, positive)
    if area is None:
        return None
    draws = [_areas(values, positive, weights) for weights in _class_weights(positive, groups, seed)]
    return Estimate(area, *_interval(np.concatenate(draws) if draws else None), len(values))


def curve_with_band(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], *, groups: Sequence[str] | None = None, seed: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Return the ROC curve: false positive rates and sensitivities [K], and the band [2, 101], None for too few.

    The band holds the 2.5 % and 97.5 % quantiles of the sensitivity at the rates 0, 0.01 ... 1. Both classes must be
    there; resampled as in `area_with_interval`.
    """
    values = np.asarray(scores, np.float64)
    order, ends = _descending(values)
    grid = np.linspace(0, 1, 101)
    draws: list[NDArray[np.float64]] = []
    for weights in _class_weights(positive, groups, seed):
        false_rate, true_rate = _curve(weights, positive, order, ends)
        draws.extend(np.interp(grid, *pair) for pair in zip(false_rate, true_rate, strict=True))
    false_rate, true_rate = _curve(np.ones((1, len(values))), positive, order, ends)
    return false_rate[0], true_rate[0], np.quantile(draws, _QUANTILES, axis=0) if draws else None


def recall_with_interval(
    truth: NDArray[np.int64],
    right: NDArray[np.bool_],
    types: Sequence[int],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 1,
) -> Estimate | None:
    """Return the mean over `types` of the share of `right` cells [N] of each, with its bootstrap interval.

    Cells are resampled, or patients where `groups` names them. None without types.
    """
    if not len(types):
        return None
    hits, counts = _per_cluster(truth, right, types, groups)
    weights = _cluster_weights(counts, seed)
    draws = None if weights is None else _mean_recall(weights @ hits, weights @ counts)
    return Estimate(float(_mean_recall(hits.sum(0), counts.sum(0))), *_interval(draws), len(types))


def cost_with_interval(
    truth: NDArray[np.int64],
    right: NDArray[np.bool_],
    changed_right: NDArray[np.bool_],
    types: Sequence[int],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 1,
) -> Estimate | None:
    """Return how much mean recall a change of the same images costs, paired: the interval is of the difference.

    All arrays are [N]; the rest as in `recall_with_interval`.
    """
    if not len(types):
        return None
    hits, counts = _per_cluster(truth, right, types, groups)
    changed, _ = _per_cluster(truth, changed_right, types, groups)
    value = _mean_recall(hits.sum(0), counts.sum(0)) - _mean_recall(changed.sum(0), counts.sum(0))
    weights = _cluster_weights(counts, seed)
    if weights is None:
        return Estimate(float(value), None, None, len(types))
    seen = weights @ counts
    draws = _mean_recall(weights @ hits, seen) - _mean_recall(weights @ changed, seen)
    return Estimate(float(value), *_interval(draws), len(types))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Cells of similar confidence: how many, their mean confidence, and how many of them were right."""

    n: int
    confidence: float
    accuracy: float
    low: float
    high: float


def reliability(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], *, bins: int = 15
) -> tuple[tuple[ReliabilityBin, ...], float]:
    """Return bins of equal size in the order of confidence [N] (0-1), and the expected calibration error over them.

    Of nothing there are no bins, and the error is 0.
    """
    if not len(confidence):
        return (), 0.0
    order = np.argsort(confidence, kind="stable")
    found = []
    for part in np.array_split(order, min(bins, len(order))):
        if len(part):
            hits = int(right[part].sum())
            low, high = (float(bound) for bound in clopper_pearson(hits, len(part)))
            found.append(ReliabilityBin(len(part), float(np.mean(confidence[part])), hits / len(part), low, high))
    error = sum(row.n * abs(row.confidence - row.accuracy) for row in found) / max(len(order), 1)
    return tuple(found), float(error)


def _interval(draws: NDArray[np.float64] | None) -> tuple[float | None, float | None]:
    if draws is None:
        return None, None
    low, high = np.quantile(draws, _QUANTILES)
    return float(low), float(high)


def _class_weights(positive: NDArray[np.bool_], groups: Sequence[str] | None, seed: int) -> list[NDArray[np.float64]]:
    """Return, in chunks, how often each row is drawn: float64 [draws, N]; no chunk where a class has too few patients.

    Every class keeps its number of patients. A patient with rows of both classes cannot be drawn once for each: then
    all patients are drawn together, and a draw that shows one class only, which has no area, is left out.
    """
    random = np.random.default_rng(seed)
    names = np.arange(len(positive)).astype(str) if groups is None else np.asarray(groups)
    if min(len(np.unique(names[positive == kind])) for kind in (True, False)) < FEWEST_CLUSTERS:
        return []
    in_both = np.intersect1d(names[positive], names[~positive]).size > 0
    strata = [np.arange(len(positive))] if in_both else [np.flatnonzero(positive == kind) for kind in (True, False)]
    rows = []
    for _ in range(0, DRAWS, _CHUNK):
        weights = np.zeros((_CHUNK, len(positive)))
        for members in strata:
            _, group = np.unique(names[members], return_inverse=True)
            count = int(group.max()) + 1
            weights[:, members] = random.multinomial(count, np.full(count, 1 / count), _CHUNK)[:, group]
        rows.append(weights[(weights @ positive > 0) & (weights @ ~positive > 0)])
    return rows


def _cluster_weights(counts: NDArray[np.int64], seed: int) -> NDArray[np.int64] | None:
    """Return how often each cluster is drawn, int64 [draws, clusters], of draws that show a type at all.

    `counts` is int64 [clusters, types]; None where a type comes from too few clusters.
    """
    if (counts > 0).sum(axis=0).min() < FEWEST_CLUSTERS:
        return None
    weights = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), DRAWS)
    return np.asarray(weights[((weights @ counts) > 0).any(axis=1)])


def _areas(
    scores: NDArray[np.float32], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the area for every row of weights, float64 [draws]; equal scores count half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    above = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    below = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    passed = np.cumsum(below, axis=1) - below / 2
    return np.asarray((above * passed).sum(1) / (above.sum(1) * below.sum(1)))


def _descending(values: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    order = np.argsort(-values, kind="stable")
    return order, np.flatnonzero(np.r_[np.diff(values[order]) < 0, True])


def _curve(
    weights: NDArray[np.float64], positive: NDArray[np.bool_], order: NDArray[np.intp], ends: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rates = []
    for kind in (~positive, positive):
        passed = np.cumsum(weights[:, order] * kind[order], axis=1)
        rates.append(np.pad(passed[:, ends] / passed[:, -1:], ((0, 0), (1, 0))))
    return rates[0], rates[1]


def _per_cluster(
    truth: NDArray[np.int64], right: NDArray[np.bool_], types: Sequence[int], groups: Sequence[str] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return hits and counts per cluster (a cell, or a patient) and type, int64 [clusters, types]."""
    cluster = np.arange(len(truth)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    of_type = truth[:, None] == np.asarray(types)[None, :]
    counts = np.zeros((int(cluster.max()) + 1, len(types)), np.int64)
    hits = np.zeros_like(counts)
    np.add.at(counts, cluster, of_type)
    np.add.at(hits, cluster, of_type & right[:, None])
    return hits, counts


def _mean_recall(hits: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean over the last axis of hits / counts; a type that a draw lost does not enter its mean."""
    recall = np.divide(hits, counts, out=np.full(hits.shape, np.nan), where=counts > 0)
    return np.asarray(np.nanmean(recall, axis=-1))
