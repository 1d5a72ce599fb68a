"""Shapley values of small tree models straight from their definition, as the judge of the fast ones.

The value of a coalition of parameters is the expected margin when only these are known: at a split on an unknown one
both branches count, weighted by the training rows that took them (Lundberg et al., Nature Machine Intelligence
2020;2:56, "tree path dependent"). A parameter's Shapley value is its mean gain over all orders of joining (Shapley
1953). All 2^n coalitions are walked through, so this is for models of ten parameters or fewer.
"""

from __future__ import annotations

import json
from math import factorial
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

FEATURES_MAX = 10


def random_model(random: np.random.Generator) -> tuple[xgboost.Booster, NDArray[np.float32]]:
    """Return trees of 2 to 10 parameters, trained on noise with missing values, and rows to explain, [8, features]."""
    features = int(random.integers(2, FEATURES_MAX + 1))
    rows = np.round(random.random((80, features)), 2).astype(np.float32)
    rows[random.random(rows.shape) < 0.2] = np.nan
    labels = (random.random(80) < 0.5).astype(np.float32)
    settings = {
        "objective": "binary:logistic",
        "max_depth": int(random.integers(1, 6)),
        "eta": 0.3,
        "min_child_weight": 0.1,
        "base_score": 0.5,
        "nthread": 1,
        "seed": int(random.integers(1 << 30)),
        "tree_method": "exact",
    }
    names = [f"P{column}_rate" for column in range(features)]
    matrix = xgboost.DMatrix(rows, label=labels, feature_names=names)
    return xgboost.train(settings, matrix, num_boost_round=int(random.integers(1, 9))), rows[:8]


def shapley_by_definition(model_json: bytes, row: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the Shapley value of every parameter and, last, the value of the empty coalition, float64 [features + 1].

    Raises ValueError for more than ten parameters.
    """
    features = len(row)
    if features > FEATURES_MAX:
        raise ValueError(f"{features} parameters have too many coalitions")
    values = coalition_values(model_json, row)
    found = np.zeros(features + 1)
    masks = np.arange(1 << features)
    sizes = np.array([mask.bit_count() for mask in masks.tolist()])
    weights = np.array([factorial(size) * factorial(features - size - 1) for size in range(features)])
    for feature in range(features):
        without = masks[(masks >> feature) & 1 == 0]
        gains = values[without | (1 << feature)] - values[without]
        found[feature] = (weights[sizes[without]] * gains).sum() / factorial(features)
    found[-1] = values[0]
    return found


def coalition_values(model_json: bytes, row: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the expected margin for every coalition of known parameters, float64 [2 ** features]."""
    learner = json.loads(model_json)["learner"]
    values = np.zeros(1 << len(row), np.float64)
    for tree in learner["gradient_booster"]["model"]["trees"]:
        values += _expected(tree, 0, row, np.arange(1 << len(row)))
    share = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    margins: NDArray[np.float64] = values + np.log(share / (1 - share))
    return margins


def _expected(
    tree: dict[str, Any], node: int, row: NDArray[np.float32], masks: NDArray[np.intp]
) -> NDArray[np.float64]:
    left, right = tree["left_children"][node], tree["right_children"][node]
    if left == -1:
        return np.full(len(masks), tree["split_conditions"][node])
    below = [_expected(tree, child, row, masks) for child in (left, right)]
    feature, value = tree["split_indices"][node], row[tree["split_indices"][node]]
    goes_left = (
        bool(tree["default_left"][node]) if np.isnan(value) else value < np.float32(tree["split_conditions"][node])
    )
    covers = [tree["sum_hessian"][child] for child in (left, right)]
    unknown = (covers[0] * below[0] + covers[1] * below[1]) / (covers[0] + covers[1])
    return np.where((masks >> feature) & 1, below[0] if goes_left else below[1], unknown)
