"""Fitted decisions keep their promises: no endless sharpness, and the specificity that a threshold is chosen for."""

from __future__ import annotations

import numpy as np
import pytest

from convert.decision_fit import (
    LARGEST_TEMPERATURE,
    LOWEST_SPECIFICITY,
    SMALLEST_TEMPERATURE,
    calibration_from_validation,
    finding_threshold,
    temperature_from_validation,
    temperatures_after,
    tempered,
)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def specificity(threshold, negatives):
    return float(np.mean(negatives < threshold))


def separable_cells(types=4, each=75):
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(types), each)
    return softmax(2.0 * np.eye(types)[truth] + random.normal(0, 0.2, (len(truth), types))), truth


def test_cells_that_can_be_separated_do_not_sharpen_the_network_without_end():
    probabilities, truth = separable_cells()
    temperature, offsets = calibration_from_validation(probabilities, truth, copies=1)
    assert temperature == SMALLEST_TEMPERATURE
    assert np.abs(offsets).max() < 1


def test_cells_without_any_order_do_not_flatten_the_network_without_end():
    random = np.random.default_rng(1)
    probabilities = softmax(random.normal(0, 6.0, (400, 4)))
    temperature, _ = calibration_from_validation(probabilities, random.permutation(np.arange(400) % 4), copies=1)
    assert temperature == LARGEST_TEMPERATURE


def test_a_second_fit_does_not_sharpen_beyond_what_the_first_was_allowed():
    probabilities, truth = separable_cells()
    first = temperature_from_validation(probabilities, truth)
    assert first == SMALLEST_TEMPERATURE
    sharpened = tempered(probabilities, first)
    within = temperatures_after(first)
    assert first * temperature_from_validation(sharpened, truth, within=within) == pytest.approx(SMALLEST_TEMPERATURE)
    assert first * calibration_from_validation(sharpened, truth, copies=1, within=within)[0] >= SMALLEST_TEMPERATURE
    assert temperatures_after(8.0)[1] == 1.0  # what a card says beyond the bounds may stay


def test_the_offsets_are_those_that_fit_best_at_the_bound():
    probabilities, truth = separable_cells()
    shifted = softmax(np.log(probabilities.astype(np.float64)) + np.array([0.4, 0.0, 0.0, -0.4]))
    temperature, offsets = calibration_from_validation(shifted, truth, copies=1)
    assert temperature == SMALLEST_TEMPERATURE

    def cost(chosen):
        chances = tempered(shifted, temperature, chosen).astype(np.float64)
        return -np.log(chances[np.arange(len(truth)), truth]).sum() + 1.5 * (chosen**2).sum()

    for column in range(4):
        for step in (-0.05, 0.05):
            assert cost(offsets) <= cost(offsets + step * np.eye(4)[column])


def cells_of(negatives, positives):
    values = np.array([*negatives, *positives], np.float32)
    return values, np.array([0] * len(negatives) + [1] * len(positives), np.float32)


@pytest.mark.parametrize("positives", [0, 40])
def test_a_threshold_keeps_its_specificity_where_probabilities_crowd_near_one(positives):
    negatives = np.float32(1 - np.linspace(1e-6, 5e-5, 100))
    threshold = finding_threshold(*cells_of(negatives, np.full(positives, 1 - 2.5e-5)))
    assert specificity(threshold, negatives.astype(np.float64)) >= LOWEST_SPECIFICITY


@pytest.mark.parametrize("positives", [0, 15])
def test_a_threshold_keeps_its_specificity_where_probabilities_differ_in_the_fifth_decimal(positives):
    negatives = np.float32(0.7 + np.linspace(0, 4e-5, 60))
    threshold = finding_threshold(*cells_of(negatives, np.full(positives, 0.70002)))
    assert specificity(threshold, negatives.astype(np.float64)) >= LOWEST_SPECIFICITY


@pytest.mark.parametrize("count", [10, 19, 21, 30, 99])
def test_few_negative_cells_keep_the_specificity_too(count):
    negatives = np.float32(np.linspace(0.55, 0.9, count))
    threshold = finding_threshold(*cells_of(negatives, []))
    assert specificity(threshold, negatives.astype(np.float64)) >= LOWEST_SPECIFICITY


def test_a_threshold_stays_short_where_no_cell_lies_between():
    threshold = finding_threshold(*cells_of([0.1] * 50, [0.9] * 20))
    assert threshold == 0.5
    assert finding_threshold(*cells_of([0.97] * 50, [0.999] * 20)) == 0.98
    assert finding_threshold(*cells_of([0.0] * 50, [0.001] * 20)) == 0.02
