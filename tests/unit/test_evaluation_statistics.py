"""Intervals and curves of a validation, held against scipy and scikit-learn, which know nothing of our code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score, recall_score, roc_auc_score, roc_curve

from convert.evaluation.paper import load_paper
from convert.evaluation.preclass import kappa
from convert.evaluation.statistics import (
    area_with_interval,
    cost_with_interval,
    curve_with_band,
    proportion,
    recall_with_interval,
    reliability,
)


def scores_and_labels(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    positive = random.random(count) < 0.3
    # One decimal: many equal scores, which is where ranks go wrong.
    return np.round(random.normal(positive * 1.2, 1.0), 1), positive


@pytest.mark.parametrize(("hits", "count"), [(0, 11), (11, 11), (25, 26), (1, 200), (700, 896)])
def test_the_interval_of_a_share_is_the_exact_one_of_scipy(hits, count):
    found = proportion(hits, count)
    judge = binomtest(hits, count).proportion_ci(0.95, method="exact")
    assert (found.value, found.n) == (hits / count, count)
    assert (found.low, found.high) == pytest.approx((judge.low, judge.high), abs=1e-9)


def test_a_share_of_nothing_has_no_value():
    assert proportion(0, 0) is None


def test_the_area_under_the_curve_is_that_of_scikit_learn_with_ties():
    scores, positive = scores_and_labels(400)
    found = area_with_interval(scores, positive)
    assert found.value == pytest.approx(roc_auc_score(positive, scores), abs=1e-9)
    assert found.low < found.value < found.high


def test_the_bootstrap_of_the_area_covers_as_resampling_by_hand_does():
    scores, positive = scores_and_labels(300, seed=3)
    random = np.random.default_rng(9)
    members = np.flatnonzero(positive), np.flatnonzero(~positive)
    areas = []
    for _ in range(600):
        rows = np.concatenate([random.choice(group, len(group)) for group in members])
        areas.append(roc_auc_score(positive[rows], scores[rows]))
    found = area_with_interval(scores, positive)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(areas, (0.025, 0.975))), abs=0.012)


def test_the_same_scores_give_the_same_interval_again():
    scores, positive = scores_and_labels(120)
    assert area_with_interval(scores, positive) == area_with_interval(scores, positive)
    assert area_with_interval(scores, positive, seed=2) != area_with_interval(scores, positive)


def test_slides_of_one_patient_widen_the_interval_of_the_area():
    scores, positive = scores_and_labels(60, seed=5)
    repeated, labels = np.repeat(scores, 6), np.repeat(positive, 6)
    patients = [f"P{index}" for index in np.repeat(np.arange(60), 6)]
    alone, grouped = area_with_interval(repeated, labels), area_with_interval(repeated, labels, groups=patients)
    assert grouped.value == pytest.approx(alone.value)
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_an_area_needs_both_classes():
    assert area_with_interval(np.array([0.1, 0.2]), np.array([True, True])) is None


def test_the_curve_is_that_of_scikit_learn_and_lies_in_its_band():
    scores, positive = scores_and_labels(200)
    false_rate, true_rate, band = curve_with_band(scores, positive)
    judge_false, judge_true, _ = roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(false_rate, judge_false)
    np.testing.assert_allclose(true_rate, judge_true)
    at_grid = np.interp(np.linspace(0, 1, 101), false_rate, true_rate)
    assert (band[0] <= at_grid + 1e-9).mean() > 0.95
    assert (band[1] >= at_grid - 1e-9).mean() > 0.95


def test_mean_recall_is_that_of_scikit_learn():
    random = np.random.default_rng(1)
    truth = random.integers(0, 5, 500)
    called = np.where(random.random(500) < 0.8, truth, random.integers(0, 5, 500))
    found = recall_with_interval(truth, called == truth, [0, 1, 2, 3, 4])
    assert found.value == pytest.approx(recall_score(truth, called, average="macro"))
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.12


def test_mean_recall_of_patients_is_less_certain_than_that_of_their_cells():
    random = np.random.default_rng(2)
    patients = np.repeat(np.arange(20), 40)
    truth = np.tile([0, 1], 400)
    right = np.repeat(random.random(20) < 0.7, 40)
    by_cell = recall_with_interval(truth, right, [0, 1])
    by_patient = recall_with_interval(truth, right, [0, 1], groups=[f"P{p}" for p in patients])
    assert by_patient.high - by_patient.low > 3 * (by_cell.high - by_cell.low)


def test_a_change_that_changes_nothing_costs_nothing_and_is_sure_of_it():
    truth, right = np.repeat([0, 1], 50), np.tile([True, False], 50)
    cost = cost_with_interval(truth, right, right, [0, 1])
    assert (cost.value, cost.low, cost.high) == (0, 0, 0)


def test_a_cost_is_the_recall_before_minus_the_recall_after():
    truth = np.repeat([0, 1], 10)
    right = np.ones(20, np.bool_)
    changed = right.copy()
    changed[:5] = False
    assert cost_with_interval(truth, right, changed, [0, 1]).value == pytest.approx(0.25)


def test_reliability_has_bins_of_equal_size_and_no_error_where_confidence_is_right():
    random = np.random.default_rng(4)
    confidence = random.uniform(0.3, 1.0, 30_000)
    bins, error = reliability(confidence, random.random(30_000) < confidence)
    assert {row.n for row in bins} == {2000}
    assert error < 0.01
    _, overconfident = reliability(np.full(1000, 0.99), random.random(1000) < 0.6)
    assert overconfident == pytest.approx(0.39, abs=0.05)


def test_kappa_is_that_of_scikit_learn():
    random = np.random.default_rng(6)
    first, second = random.integers(0, 4, 300), random.integers(0, 4, 300)
    second[:200] = first[:200]
    assert kappa(first, second) == pytest.approx(cohen_kappa_score(first, second), abs=5e-5)


def test_the_published_numbers_add_up_as_the_paper_says():
    paper = load_paper()
    assert sum(row.training for row in paper.cell_types.values()) == 695_030
    assert sum(row.validation for row in paper.cell_types.values()) == 8_940
    assert len(paper.findings) == 20
    assert sum(row.images for row in paper.findings.values()) == 2_338


def test_the_published_result_on_slides_has_the_exact_intervals_that_were_computed_elsewhere():
    slides = load_paper().slides["mds_aa"]
    assert slides.sensitivity_ci95 == pytest.approx((0.804, 0.999), abs=5e-4)
    assert slides.specificity_ci95 == pytest.approx((0.715, 1.0), abs=5e-4)


def test_a_class_of_fewer_than_five_patients_has_an_area_and_no_interval():
    scores, positive = np.linspace(1, 0, 40), np.arange(40) < 20
    patients = [f"A{row % 4}" if positive[row] else f"B{row}" for row in range(40)]
    found = area_with_interval(scores, positive, groups=patients)
    assert (found.value, found.low, found.high, found.ci95) == (1, None, None, None)
    assert curve_with_band(scores, positive, groups=patients)[2] is None
    few = area_with_interval(np.array([0.9, 0.8, 0.1]), np.array([True, True, False]))
    assert (few.value, few.ci95) == (1, None)


def test_patients_with_rows_of_both_classes_are_drawn_with_all_of_them():
    random = np.random.default_rng(3)
    level = random.normal(size=20)
    patient = np.repeat(np.arange(20), 20)
    positive = random.random(400) < 0.3
    scores = positive + 2 * level[patient] + random.normal(size=400)
    areas = []
    for _ in range(600):
        rows = np.concatenate([np.flatnonzero(patient == drawn) for drawn in random.integers(0, 20, 20)])
        areas.append(roc_auc_score(positive[rows], scores[rows]))
    found = area_with_interval(scores, positive, groups=[f"P{index}" for index in patient])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(areas, (0.025, 0.975))), abs=0.012)


def test_a_type_of_fewer_than_five_patients_leaves_mean_recall_without_an_interval():
    truth, right = np.repeat([0, 1], 20), np.tile([True, False], 20)
    patients = [f"P{row % 4}" if row < 20 else f"Q{row % 10}" for row in range(40)]
    recall = recall_with_interval(truth, right, [0, 1], groups=patients)
    cost = cost_with_interval(truth, right, ~right, [0, 1], groups=patients)
    assert (recall.value, recall.ci95, cost.value, cost.ci95) == (0.5, None, 0, None)
    assert recall_with_interval(truth, right, [1], groups=patients).low < 0.5


def test_draws_that_show_no_cell_of_the_averaged_type_leave_the_interval_finite():
    truth = np.r_[np.zeros(10, np.int64), np.ones(95, np.int64)]
    right = np.arange(105) % 3 > 0
    patients = [f"P{row // 2}" if row < 10 else f"Q{row}" for row in range(105)]
    recall = recall_with_interval(truth, right, [0], groups=patients)
    cost = cost_with_interval(truth, right, ~right, [0], groups=patients)
    assert 0 <= recall.low < recall.high <= 1
    assert -1 <= cost.low < cost.high <= 1


def test_without_a_type_that_has_cells_enough_there_is_no_cost():
    assert cost_with_interval(np.array([0]), np.array([True]), np.array([True]), []) is None
