"""The interval of a score that comes from counting few cells, and how many more would make it half as wide.

It is called "counting interval: excludes misclassification" wherever it is shown, because the network's own errors are
not in it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Calibration
from edge.catalogue import Catalogue
from edge.resampling import DRAWS, resampled_profiles
from edge.score import scores_from_margins
from edge.slide_profile import SlideProfile, profile_from_counts
from edge.trees import TreeModel

TAIL = 0.0125
"""Share of the draws beyond either end. With the nominal 0.025, simulated films were covered in 91 to 95 %: trees are
steps, and an end that lies on a step is passed by the smallest shift. At half of it they are covered in 95 % or more
(benchmarks/score_honesty.json, simulated)."""

_FACTORS = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
_PLANNING_DRAWS = 500  # a plan is told in tens of cells
_NARROW = 0.02  # an interval that is narrower in all is not worth another cell


def counting_interval(
    profile: SlideProfile,
    score: float,
    *,
    trees: TreeModel,
    calibration: Calibration,
    catalogue: Catalogue,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """Return the 95 % counting interval of a score, widened where needed so that it contains the score itself.

    Rare types and findings are skewed, so nearly all draws may lie on one side of the score; an interval that did not
    contain its own score would contradict it, and widening is the cautious way out. Raises EdgeError MDSE-TREES-005.
    """
    rows = resampled_profiles(profile, catalogue, used=trees.used, draws=draws)
    found = scores_from_margins(trees.predict_margin(rows), calibration)
    low, high = (float(value) for value in np.quantile(found, (TAIL, 1 - TAIL)))
    return min(low, score), max(high, score)


def more_cells_to_halve(
    profile: SlideProfile,
    interval: tuple[float, float],
    *,
    trees: TreeModel,
    calibration: Calibration,
    catalogue: Catalogue,
) -> int | None:
    """Return about how many more leucocytes would halve the interval if the film went on as it began.

    Rounded up to tens. None where even ten times as many cells would not, or where the interval is narrow already.
    """
    half = (interval[1] - interval[0]) / 2
    leucocytes = int(profile.numerators[: len(catalogue.leucocyte_codes)].sum())
    if 2 * half <= _NARROW or not leucocytes:
        return None
    for factor in _FACTORS:
        longer = _counted_longer(profile, factor, catalogue)
        score = float(scores_from_margins(trees.predict_margin(_row(longer)), calibration)[0])
        low, high = counting_interval(
            longer, score, trees=trees, calibration=calibration, catalogue=catalogue, draws=_PLANNING_DRAWS
        )
        if high - low <= half:
            return 10 * math.ceil((factor - 1) * leucocytes / 10)
    return None


def _counted_longer(profile: SlideProfile, factor: float, catalogue: Catalogue) -> SlideProfile:
    """Return the profile of the same film with `factor` times as many cells of every kind."""
    types = len(catalogue.cell_types)
    in_parameter_order = np.rint(factor * profile.numerators[:types]).astype(np.int64)
    leucocyte = np.array([cell_type.leucocyte for cell_type in catalogue.cell_types], np.bool_)
    counts = np.empty(types, np.int64)
    counts[leucocyte] = in_parameter_order[: leucocyte.sum()]
    counts[~leucocyte] = in_parameter_order[leucocyte.sum() :]
    # Rounded down, so that never more cells show a finding than there are.
    shown = np.floor(factor * profile.numerators[types:] + 1e-9).astype(np.int64)
    bounded = profile_from_counts(counts, np.zeros_like(shown), catalogue).denominators[types:]
    return profile_from_counts(counts, np.minimum(shown, bounded), catalogue)


def _row(profile: SlideProfile) -> NDArray[np.float32]:
    return profile.values.astype(np.float32).reshape(1, -1)
