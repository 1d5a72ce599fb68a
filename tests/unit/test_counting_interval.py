"""The counting interval holds what an endless count of the same blood would score, and more cells halve it."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bundle.manifest import Calibration
from edge.catalogue import load_catalogue
from edge.counting_interval import counting_interval, more_cells_to_halve
from edge.resampling import resampled_profiles
from edge.score import score_from_margin
from edge.slide_profile import profile_from_counts
from edge.trees import TreeModel

CATALOGUE = load_catalogue()
NAMES = CATALOGUE.parameter_names
CALIBRATION = Calibration(slope=1.0, intercept=0.0)


def profile(counts=None, shown=None):
    counts = {"SNE": 60, "LY": 30, "MO": 10} if counts is None else counts
    numbers = np.array([counts.get(code, 0) for code in CATALOGUE.type_codes], np.int64)
    findings = np.array([(shown or {}).get(code, 0) for code in CATALOGUE.finding_codes], np.int64)
    return profile_from_counts(numbers, findings, CATALOGUE)


def trees_of(function, used=None):
    margins = lambda rows: np.array([function(row) for row in rows], np.float64)  # noqa: E731 - one line says it
    return TreeModel("mds_aa", "treelite", len(NAMES), margins, used)


def column(rows, name):
    return rows[:, NAMES.index(name)].astype(np.float64)


def steps_on(name, limit, height=4.0):
    place = NAMES.index(name)
    return trees_of(lambda row: height if row[place] >= limit else -height)


def interval_of(found, trees):
    score = score_from_margin(float(trees.predict_margin(found.values.astype(np.float32)[None])[0]), CALIBRATION)
    return counting_interval(found, score, trees=trees, calibration=CALIBRATION, catalogue=CATALOGUE)


def more_of(found, trees):
    interval = interval_of(found, trees)
    return more_cells_to_halve(found, interval, trees=trees, calibration=CALIBRATION, catalogue=CATALOGUE)


# ---- the draws


def test_draws_are_shares_and_rates_around_what_was_counted():
    found = profile({"SNE": 120, "LY": 60, "MO": 20, "ERB": 30}, {"NE01": 30})
    rows = resampled_profiles(found, CATALOGUE)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[:, :11].astype(np.float64).sum(axis=1), 1, atol=1e-5)
    for name, expected in (("SNE_share", 0.6), ("NE01_rate", 0.25), ("ERB_per_100_wbc", 15.0)):
        assert column(rows, name).mean() == pytest.approx(expected, rel=0.05)
        assert column(rows, name).std() > 0
    assert np.nanmin(rows) >= 0
    assert np.nanmax(rows[:, :11]) <= 1


def test_the_spread_of_a_rate_is_jeffreys_posterior():
    rows = resampled_profiles(profile({"SNE": 100, "LY": 100}, {"NE01": 20}), CATALOGUE, draws=20_000)
    a, b = 20.5, 80.5
    assert column(rows, "NE01_rate").std() == pytest.approx(np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1))), rel=0.03)


def test_a_type_that_was_met_is_in_every_draw_with_its_findings():
    rows = resampled_profiles(profile({"SNE": 99, "PMY": 1}), CATALOGUE)
    assert (column(rows, "PMY_share") > 0).all()
    assert not np.isnan(column(rows, "PM01_rate")).any()


def test_a_type_that_was_not_met_is_absent_in_about_half_of_the_draws_and_unknown_in_the_others():
    rows = resampled_profiles(profile({"SNE": 60, "LY": 40}), CATALOGUE)
    absent = column(rows, "PMY_share") == 0
    assert 0.4 < absent.mean() < 0.6
    assert (np.isnan(column(rows, "PM01_rate")) == absent).all()
    assert column(rows, "PMY_share").max() < 0.05
    seen = column(rows, "PM01_rate")[~absent]
    assert seen.min() < 0.1 < 0.9 < seen.max()


def test_how_often_unseen_types_are_absent_differs_between_draws():
    rows = resampled_profiles(profile({"SNE": 60, "LY": 40}), CATALOGUE)
    absent_types = (rows[:, :17] == 0).sum(axis=1)
    assert (absent_types == 15).mean() > 0.05  # with independent coins: 1 in 30,000
    assert (absent_types <= 1).mean() > 0.05


def test_without_leucocytes_everything_stays_missing():
    rows = resampled_profiles(profile({"ERB": 3}), CATALOGUE)
    assert np.isnan(rows[:, :17]).all()


def test_findings_that_no_tree_reads_are_left_as_counted_and_the_others_are_drawn():
    used = np.zeros(len(NAMES), np.bool_)
    used[NAMES.index("NE04_rate")] = True
    rows = resampled_profiles(profile(shown={"NE01": 6, "NE04": 6}), CATALOGUE, used=used)
    assert set(column(rows, "NE01_rate")) == {np.float64(np.float32(0.1))}
    assert column(rows, "NE04_rate").std() > 0.01
    assert column(rows, "SNE_share").std() > 0.01


def test_the_same_slide_gives_the_same_draws():
    np.testing.assert_array_equal(resampled_profiles(profile(), CATALOGUE), resampled_profiles(profile(), CATALOGUE))


# ---- the interval


def test_an_interval_spans_both_sides_of_a_step_that_counting_may_have_missed():
    low, high = interval_of(profile({"SNE": 60, "LY": 40}), steps_on("SNE_share", 0.62))
    assert low < 0.05 < 0.95 < high


def test_an_interval_ends_at_a_step_that_counting_cannot_have_missed():
    low, high = interval_of(profile({"SNE": 60, "LY": 40}), steps_on("SNE_share", 0.9))
    assert low == high < 0.05


def test_trees_that_ask_whether_a_rare_type_occurs_are_answered_both_ways():
    place = NAMES.index("PM01_rate")
    low, high = interval_of(profile(), trees_of(lambda row: -4.0 if np.isnan(row[place]) else 4.0))
    assert low < 0.05 < 0.95 < high


@pytest.mark.parametrize("seed", range(3))
def test_simulated_blood_is_covered_at_the_stated_level(seed):
    # SIMULATED: films of 100 cells of known blood, judged by steps near the truth; more in benchmarks/.
    random = np.random.default_rng(seed)
    covered = 0
    for _ in range(100):
        share, rate, rare = random.uniform(0.3, 0.7), random.uniform(0, 0.3), random.uniform(0, 0.02)
        truth = np.array([share, rate, rare])
        limits = truth * random.uniform(0.8, 1.2, 3)
        places = [NAMES.index(name) for name in ("SNE_share", "NE04_rate", "PMY_share")]

        def margin(row, places=places, limits=limits):
            return float(((np.nan_to_num(row[places]) >= limits) * [2.0, 1.5, 1.0]).sum() - 2)

        row = np.zeros(len(NAMES), np.float32)
        row[places] = truth
        sne, pmy, ly = random.multinomial(100, [share, rare, 1 - share - rare])
        found = profile({"SNE": sne, "PMY": pmy, "LY": ly}, {"NE04": random.binomial(sne, rate)})
        low, high = interval_of(found, trees_of(margin))
        covered += low - 1e-9 <= score_from_margin(margin(row), CALIBRATION) <= high + 1e-9
    assert covered >= 90


# ---- more cells


def test_about_three_times_as_many_more_cells_halve_an_interval_that_is_smooth():
    place = NAMES.index("SNE_share")
    more = more_of(profile({"SNE": 60, "LY": 40}), trees_of(lambda row: float(row[place])))
    assert more == 300  # four times the cells, half the spread


def test_a_narrow_interval_asks_for_no_more_cells():
    assert more_of(profile(), trees_of(lambda row: 3.0)) is None


def test_no_number_is_given_where_ten_times_as_many_cells_would_not_do():
    place = NAMES.index("PM01_rate")
    assert more_of(profile(), trees_of(lambda row: -4.0 if np.isnan(row[place]) else 4.0)) is None
