"""Contributions are Shapley values: equal to their definition, worked out coalition by coalition."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from bundles import CATALOGUE, TARGET, random_trees

from benchmarks.shapley_by_definition import coalition_values, random_model, shapley_by_definition
from edge.contributions import explainer_from_json
from edge.errors import EdgeError
from edge.slide_profile import SlideProfile
from edge.trees import trees_from_library


def profile_of(names, row):
    counts = np.zeros(len(row), np.int64)
    return SlideProfile(tuple(names), row.astype(np.float64), counts, counts)


def test_two_hundred_small_models_agree_with_the_definition():
    random = np.random.default_rng(7)
    for _ in range(200):
        booster, rows = random_model(random)
        data = bytes(booster.save_raw("json"))
        explainer = explainer_from_json(data, "small", booster.feature_names, where="model.json")
        for row in rows[:1]:
            expected = shapley_by_definition(data, row)
            found = explainer.explain(profile_of(booster.feature_names, row), float(expected.sum()))
            np.testing.assert_allclose(np.append(found.values, found.bias), expected, rtol=0, atol=2e-5)


def test_the_judge_knows_the_margin_and_shares_equally_between_equals():
    booster, rows = random_model(np.random.default_rng(3))
    data = bytes(booster.save_raw("json"))
    matrix = xgboost.DMatrix(rows, feature_names=booster.feature_names)
    margins = booster.predict(matrix, output_margin=True)
    for row, margin in zip(rows, margins, strict=True):
        assert coalition_values(data, row)[-1] == pytest.approx(float(margin), abs=1e-5)
        assert shapley_by_definition(data, row).sum() == pytest.approx(float(margin), abs=1e-5)


def test_contributions_of_any_profile_add_up_to_the_margin_of_the_compiled_library():
    made = random_trees()
    names = CATALOGUE.parameter_names
    trees = trees_from_library(made.library, TARGET, len(names), where="library")
    explainer = explainer_from_json(made.json, TARGET, names, where="model.json")
    random = np.random.default_rng(5)
    rows = random.choice(made.profiles.ravel(), (500, len(names))).astype(np.float32)
    rows[random.random(rows.shape) < 0.3] = np.nan
    for row, margin in zip(rows, trees.predict_margin(rows).tolist(), strict=True):
        found = explainer.explain(profile_of(names, row), margin)
        assert abs(found.values.sum() + found.bias - margin) <= 2e-5
        with pytest.raises(EdgeError, match="MDSE-ASSESS-001"):
            explainer.explain(profile_of(names, row), margin + 1e-3 * max(1, abs(margin)))
