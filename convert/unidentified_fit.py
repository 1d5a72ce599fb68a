"""From which probability on a cell is named: one limit per type, all at the same cost.

At a given share of cells left without a name, as many wrong names as possible shall go with them. A logistic curve per
named type says how likely a name is wrong at a probability, once counting every wrong type and once only those that
leave the published group (a lymphocyte called monocyte weighs more than a band neutrophil called segmented); curves of
rare types are drawn towards the common one. Where the cost of naming, the mean of both, exceeds one common value, the
cell stays unidentified.
"""

# Whoever changes what is fitted here raises `_RULE` in convert/decision_digest.py: trees then know the other decision.
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special  # type: ignore[import-untyped]  # scipy ships no type information

from convert.cell_scores import group_indices
from edge.catalogue import Catalogue

# Of the validation cells; on other cells of the same kind the share must stay below 5 %.
UNIDENTIFIED_SHARE = 0.042
FEWEST_CELLS = 200
_PULL_OF_LEVEL, _PULL_OF_SLOPE = 1.0, 4.0  # ridge penalties of a type's own curve
_LEAST_SLOPE = 0.05  # a name must not become less certain with a higher probability
_LOWEST, _HIGHEST = 1e-4, 1 - 1e-4


def unidentified_limits(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], catalogue: Catalogue, evidence: Mapping[str, str]
) -> dict[str, float]:
    """Return `decision.unidentified_below`: the probability below which a cell of that best type stays unnamed.

    `probabilities` float32 [N, T] after the temperature, `truth` int64 [N]; a cell may stand in several rows (views).
    A type without evidence is never named (1.0); where nobody said what was learned, for want of a card, one without a
    cell in `truth`. Raises ValueError for fewer than FEWEST_CELLS rows.
    """
    if len(truth) < FEWEST_CELLS:
        raise ValueError(f"{len(truth)} cells are too few to fit limits on")
    called, best = probabilities.argmax(axis=1), probabilities.max(axis=1).astype(np.float64)
    group = group_indices(catalogue)
    wrong_type = called != truth
    wrong_group = wrong_type & ((group[called] != group[truth]) | (group[called] < 0))
    curves = [_curves(best, called, wrong, len(catalogue.cell_types)) for wrong in (wrong_type, wrong_group)]
    learned = np.array([evidence[code] != "none" for code in catalogue.type_codes])
    if not learned.any():
        learned = np.bincount(truth, minlength=len(learned)) > 0
    limit = float(np.quantile(_cost(best, called, curves), 1 - UNIDENTIFIED_SHARE))
    return {
        code: _probability_at(limit, index, curves) if learned[index] else 1.0
        for index, code in enumerate(catalogue.type_codes)
    }


def _curves(
    best: NDArray[np.float64], called: NDArray[np.int64], wrong: NDArray[np.bool_], types: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit log-odds of being wrong = level[type] - slope[type] x log-odds of the probability; return both [types]."""
    certainty = special.logit(np.clip(best, _LOWEST, _HIGHEST))
    target = wrong.astype(np.float64)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        level, slope = weights[0] + weights[2 : 2 + types], weights[1] + weights[2 + types :]
        odds = level[called] - slope[called] * certainty
        own_level, own_slope = weights[2 : 2 + types], weights[2 + types :]
        value = float(np.logaddexp(0, odds).sum() - (target * odds).sum())
        value += float(_PULL_OF_LEVEL * (own_level**2).sum() + _PULL_OF_SLOPE * (own_slope**2).sum()) / 2
        rest = special.expit(odds) - target
        by_level = np.bincount(called, rest, types) + _PULL_OF_LEVEL * own_level
        by_slope = np.bincount(called, -rest * certainty, types) + _PULL_OF_SLOPE * own_slope
        common = [rest.sum(), (-rest * certainty).sum()]
        return value, np.concatenate([common, by_level, by_slope])

    fitted = optimize.minimize(loss, np.zeros(2 + 2 * types), jac=True, method="L-BFGS-B").x
    slope = fitted[1] + fitted[2 + types :]
    return fitted[0] + fitted[2 : 2 + types], np.maximum(slope, _LEAST_SLOPE)


def _cost(
    best: NDArray[np.float64],
    called: NDArray[np.int64],
    curves: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> NDArray[np.float64]:
    certainty = special.logit(np.clip(best, _LOWEST, _HIGHEST))
    return np.asarray(np.mean([special.expit(level[called] - slope[called] * certainty) for level, slope in curves], 0))


def _probability_at(limit: float, index: int, curves: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """Return the probability at which naming this type costs `limit`: the cost falls with the probability."""
    low, high = _LOWEST, _HIGHEST
    for _ in range(40):
        middle = (low + high) / 2
        cost = _cost(np.array([middle]), np.array([index]), curves)[0]
        low, high = (middle, high) if cost > limit else (low, middle)
    return 0.0 if high <= 2 * _LOWEST else round(high, 4)
