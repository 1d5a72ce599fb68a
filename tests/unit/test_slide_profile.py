"""The 114 parameters rest on counted cells only, are missing where nothing was counted, and carry exact intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.catalogue import load_catalogue
from edge.findings import CellFindings
from edge.intervals import clopper_pearson, ratio_interval
from edge.slide_profile import count_cells, intervals_from_profile, parameters_from_counts, profile_slide

CATALOGUE = load_catalogue()
NOTHING = np.zeros(0, np.float32)


def cell(cell_type: str | None, *present: str) -> CellFindings:
    flags = () if cell_type else ("UNIDENTIFIED",)
    return CellFindings("c", cell_type, 0.9, NOTHING, NOTHING, NOTHING, present, flags)


def told(profile, name: str) -> tuple[float, int, int]:
    at = profile.names.index(name)
    return profile.values[at], int(profile.numerators[at]), int(profile.denominators[at])


def test_shares_are_of_leucocytes_other_types_per_100_and_rates_of_their_own_cells():
    cells = [
        *[cell("SNE", "NE01", "NE04")] * 3,
        *[cell("SNE")] * 5,
        *[cell("BNE", "NE04")] * 2,
        *[cell("LY", "LY01")] * 1,
        *[cell("LY")] * 9,
        *[cell("SMU")] * 30,
        *[cell("ERB", "EB01")] * 2,
        *[cell(None)] * 7,
    ]
    profile = profile_slide(cells, CATALOGUE)
    assert profile.names == CATALOGUE.parameter_names
    assert told(profile, "SNE_share") == (0.4, 8, 20)
    assert told(profile, "LY_share") == (0.5, 10, 20)
    assert told(profile, "BL_share") == (0.0, 0, 20)
    assert told(profile, "SMU_per_100_wbc") == (150.0, 30, 20)
    assert told(profile, "ERB_per_100_wbc") == (10.0, 2, 20)
    assert told(profile, "NE04_rate") == (0.5, 5, 10)
    assert told(profile, "NE01_rate") == (0.3, 3, 10)
    assert told(profile, "LY01_rate") == (0.1, 1, 10)
    assert told(profile, "EB01_rate") == (1.0, 2, 2)


def test_what_could_not_be_counted_is_missing_and_never_zero():
    profile = profile_slide([cell("SNE")], CATALOGUE)
    value, numerator, denominator = told(profile, "BL01_rate")
    assert math.isnan(value)
    assert (numerator, denominator) == (0, 0)
    assert told(profile, "NE01_rate") == (0.0, 0, 1)


@pytest.mark.parametrize("cells", [[], [cell(None)] * 3])
def test_a_slide_without_identified_cells_has_114_missing_values(cells):
    profile = profile_slide(cells, CATALOGUE)
    assert len(profile.values) == 114
    assert np.isnan(profile.values).all()
    assert np.isnan(intervals_from_profile(profile)).all()


def test_without_leucocytes_the_counts_of_other_objects_are_kept_but_no_ratio_is_made():
    value, numerator, denominator = told(profile_slide([cell("SMU")] * 4, CATALOGUE), "SMU_per_100_wbc")
    assert math.isnan(value)
    assert (numerator, denominator) == (4, 0)


@pytest.mark.parametrize(
    "wrong", [cell("SNE", "LY01"), cell(None, "NE01"), cell("XXX"), cell("SNE", "NE99")], ids=lambda c: str(c.present)
)
def test_cells_that_cannot_come_from_the_catalogue_are_refused(wrong):
    with pytest.raises(ValueError, match=r"catalogue|apply|without a type"):
        profile_slide([cell("SNE"), wrong], CATALOGUE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*CATALOGUE.type_codes, None]), max_size=80), st.randoms(use_true_random=False))
def test_the_profile_is_a_matter_of_counting(types, chance):
    cells = []
    for code in types:
        possible = [f.code for f in CATALOGUE.findings_of(code)] if code else []
        cells.append(cell(code, *chance.sample(possible, chance.randint(0, len(possible)))))
    profile = profile_slide(cells, CATALOGUE)
    leucocytes = sum(code in CATALOGUE.leucocyte_codes for code in types)
    by_name: Mapping[str, tuple[int, int, int]] = {
        **{f"{t.code}_share": (types.count(t.code), leucocytes, 1) for t in CATALOGUE.cell_types if t.leucocyte},
        **{f"{t.code}_per_100_wbc": (types.count(t.code), leucocytes, 100) for t in CATALOGUE.cell_types},
        **{
            f"{f.code}_rate": (sum(f.code in c.present for c in cells), sum(t in f.applies_to for t in types), 1)
            for f in CATALOGUE.findings
        },
    }
    bounds = intervals_from_profile(profile)
    for at, name in enumerate(profile.names):
        numerator, denominator, factor = by_name[name]
        assert (profile.numerators[at], profile.denominators[at]) == (numerator, denominator)
        if denominator:
            assert profile.values[at] == pytest.approx(factor * numerator / denominator)
            assert bounds[at, 0] <= profile.values[at] + 1e-12
            assert profile.values[at] <= bounds[at, 1] + 1e-12
        else:
            assert math.isnan(profile.values[at])
            assert np.isnan(bounds[at]).all()
    shares = profile.values[:11]
    assert not leucocytes or shares.sum() == pytest.approx(1)


def test_many_slides_at_once_give_the_same_as_one_by_one():
    slides = [[cell("SNE", "NE01"), cell("LY")], [], [cell("SMU"), cell("BL", "BL01"), cell("BL")]]
    counted = [count_cells(cells, CATALOGUE) for cells in slides]
    together = parameters_from_counts(np.stack([c for c, _ in counted]), np.stack([s for _, s in counted]), CATALOGUE)
    for row, cells in enumerate(slides):
        profile = profile_slide(cells, CATALOGUE)
        np.testing.assert_array_equal(together[0][row], profile.numerators)
        np.testing.assert_array_equal(together[1][row], profile.denominators)
        np.testing.assert_array_equal(together[2][row], profile.values)


def test_counts_that_contradict_each_other_are_refused():
    counts, shown = np.zeros(17, np.int64), np.zeros(97, np.int64)
    shown[0] = 1
    with pytest.raises(ValueError, match="contradict"):
        parameters_from_counts(counts, shown, CATALOGUE)
    counts[0] = -1
    with pytest.raises(ValueError, match="contradict"):
        parameters_from_counts(counts, shown * 0, CATALOGUE)


# ---- intervals


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (25, 26, 0.804, 0.999),  # the paper's sensitivity
        (11, 11, 0.715, 1.0),  # the paper's specificity
        (1, 200, 0.0001, 0.0275),
        (0, 10, 0.0, 0.3085),
        (5, 10, 0.1871, 0.8129),
    ],
)
def test_the_exact_interval_is_that_of_the_published_tables(successes, trials, low, high):
    bounds = clopper_pearson(successes, trials)
    assert bounds[0] == pytest.approx(low, abs=6e-4)
    assert bounds[1] == pytest.approx(high, abs=6e-4)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3000), st.data())
def test_at_the_ends_of_the_interval_the_tails_hold_a_fortieth(trials, data):
    successes = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(successes, trials)
    assert (low == 0) == (successes == 0)
    assert (high == 1) == (successes == trials)
    if successes:
        assert upper_tail(successes, trials, low) == pytest.approx(0.025, rel=1e-6)
    if successes < trials:
        assert 1 - upper_tail(successes + 1, trials, high) == pytest.approx(0.025, rel=1e-6)


def upper_tail(successes: int, trials: int, share: float) -> float:
    """P(X >= successes), summed term by term: an account of the interval that shares no code with it."""
    terms = (
        math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(k + 1)
            - math.lgamma(trials - k + 1)
            + k * math.log(share)
            + (trials - k) * math.log1p(-share)
        )
        for k in range(successes, trials + 1)
    )
    return math.fsum(terms)


def test_the_interval_of_a_ratio_is_that_of_its_share_turned_back():
    low, high = ratio_interval(30, 20)
    share_low, share_high = clopper_pearson(30, 50)
    assert (low, high) == (pytest.approx(share_low / (1 - share_low)), pytest.approx(share_high / (1 - share_high)))
    assert low < 1.5 < high
    assert ratio_interval(0, 100)[0] == 0
    assert np.isnan(ratio_interval(4, 0)).all()


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0.5, 5), (1, 2.5)])
def test_counts_that_are_no_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="whole"):
        clopper_pearson(successes, trials)
