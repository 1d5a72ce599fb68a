"""Trees for few slides: the settings that may be chosen, and one booster fitted with them.

There are more parameters than slides, so trees are shallow, learn slowly and see few parameters each. What may be
chosen is a short, fixed list (`candidate_grid`), simplest first. One thread and a fixed seed: equal rows, equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xgboost
from numpy.typing import NDArray

RATE = 0.05
_FEWEST_OBSERVED = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings of one booster: depth of the trees, monotone constraints, L2 penalty on the leaves, number of trees."""

    depth: int
    monotone: bool
    penalty: float
    rounds: int

    def text(self) -> str:
        """Return the settings in words."""
        kind = "monotone" if self.monotone else "free"
        return f"depth {self.depth}, {kind}, penalty {self.penalty:g}, {self.rounds} trees"


def candidate_grid(
    depths: Sequence[int], monotone: Sequence[bool], penalties: Sequence[float], rounds: Sequence[int]
) -> tuple[Candidate, ...]:
    """Return all combinations, simplest first: shallow, monotone, few trees, strong penalty."""
    return tuple(
        Candidate(depth, constrained, penalty, count)
        for depth in sorted(depths)
        for constrained in sorted(monotone, reverse=True)
        for count in sorted(rounds)
        for penalty in sorted(penalties, reverse=True)
    )


def fit_trees(
    profiles: NDArray[np.float64],
    positive: NDArray[np.bool_],
    candidate: Candidate,
    names: Sequence[str],
    seed: int,
) -> xgboost.Booster:
    """Return trees for profiles float64 [N, P]; NaN is missing. Rows are float32, as at run time."""
    matrix = xgboost.DMatrix(profiles.astype(np.float32), label=positive.astype(np.float32), feature_names=list(names))
    settings = {
        "objective": "binary:logistic",
        "max_depth": candidate.depth,
        "eta": RATE,
        "subsample": 0.8,
        "colsample_bytree": 0.3,
        "min_child_weight": 1.0,  # at least four undecided slides a leaf
        "reg_lambda": candidate.penalty,
        "reg_alpha": 0.5,
        "base_score": 0.5,
        "tree_method": "exact",  # few rows: exact splits, no binning to reproduce
        "seed": seed,
        "nthread": 1,  # sums in one order, so that the same cohort gives the same trees
    }
    if candidate.monotone:
        directions = directions_from_profiles(profiles, positive)
        settings["monotone_constraints"] = "(" + ",".join(str(direction) for direction in directions) + ")"
    return xgboost.train(settings, matrix, num_boost_round=candidate.rounds)


def margins_from_trees(
    booster: xgboost.Booster, profiles: NDArray[np.float64], names: Sequence[str], rounds: int
) -> NDArray[np.float64]:
    """Return the raw margins float64 [N] of the first `rounds` trees: boosting a prefix is training a shorter one."""
    rows = xgboost.DMatrix(profiles.astype(np.float32), feature_names=list(names))
    return np.asarray(booster.predict(rows, output_margin=True, iteration_range=(0, rounds)), np.float64)


def contributions_from_trees(
    booster: xgboost.Booster, profiles: NDArray[np.float64], names: Sequence[str]
) -> NDArray[np.float64]:
    """Return the exact SHAP contributions float64 [N, P] (the bias of the trees is left out)."""
    rows = xgboost.DMatrix(profiles.astype(np.float32), feature_names=list(names))
    return np.asarray(booster.predict(rows, pred_contribs=True), np.float64)[:, :-1]


def directions_from_profiles(profiles: NDArray[np.float64], positive: NDArray[np.bool_]) -> list[int]:
    """Return for every parameter +1, -1 or 0: the way it points when it is looked at alone, on these slides only.

    A constraint takes from a tree the freedom to follow a zigzag of noise, not the freedom to be wrong: the direction
    itself is learned, so it must be asked of training slides alone. 0 (no constraint): no direction, or fewer than
    three slides of a class have a value. `profiles` float64 [S, P], NaN missing; `positive` bool [S].
    """
    directions = []
    for values in profiles.T:
        first, second = values[positive & ~np.isnan(values)], values[~positive & ~np.isnan(values)]
        if min(len(first), len(second)) < _FEWEST_OBSERVED:
            directions.append(0)
            continue
        # Twice the difference of the area under the curve from one half, times the number of pairs.
        higher = int((first[:, None] > second[None, :]).sum()) - int((first[:, None] < second[None, :]).sum())
        directions.append(int(np.sign(higher)))
    return directions
