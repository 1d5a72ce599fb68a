"""What a score is shown against: the training cohort as a few arrays that travel with the trees into the bundle.

    typical_positive, typical_negative   float32 [P]    medians of the parameters per class, NaN where never observed
    group_contributions                  float32 [S,13] contributions of the groups of Fig. 3 of the paper, and OTHER
    positive, score                      [S]            class (uint8) and score (float32) of the training slides

Contributions and scores are out of fold: they come from trees that did not see the slide's patient, so that a new
slide is compared with what a new slide would get. Inside trees.json they are JSON, in the bundle `cohort.npz`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.deterministic_npz import npz_from_arrays
from convert.slide_cohort import Cohort
from edge.contributions import GROUPS

_PLACES = 5


def document_from_cohort(
    cohort: Cohort, contributions: NDArray[np.float64], scores: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the arrays as JSON values (a missing median: null) from `contributions` [S, P] and `scores` [S]."""
    return {
        "typical_positive": _medians(cohort.profiles[cohort.positive]),
        "typical_negative": _medians(cohort.profiles[~cohort.positive]),
        "group_contributions": np.round(sums_by_group(contributions, cohort.groups), _PLACES).tolist(),
        "positive": [int(kind) for kind in cohort.positive],
        "score": np.round(scores, _PLACES).tolist(),
    }


def sums_by_group(contributions: NDArray[np.float64], groups: Sequence[str]) -> NDArray[np.float64]:
    """Return float64 [S, 13]: contributions [S, P] summed over the parameters of each group, then OTHER."""
    column_of = {group: column for column, group in enumerate(GROUPS)}
    sums = np.zeros((len(contributions), len(GROUPS)))
    for column, group in enumerate(groups):
        sums[:, column_of.get(group, len(GROUPS) - 1)] += contributions[:, column]
    return sums


def file_from_document(document: Mapping[str, Any], parameter_count: int) -> bytes:
    """Return cohort.npz. Raises ValueError (with the reason) where the arrays do not fit each other."""
    try:
        arrays: dict[str, NDArray[Any]] = {
            "typical_positive": _row(document["typical_positive"]),
            "typical_negative": _row(document["typical_negative"]),
            "group_contributions": np.array(document["group_contributions"], np.float32),
            "positive": np.array(document["positive"], np.uint8),
            "score": np.array(document["score"], np.float32),
        }
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"the cohort's arrays lack {error}") from error
    count = len(arrays["positive"])
    expected = {
        "typical_positive": (parameter_count,),
        "typical_negative": (parameter_count,),
        "group_contributions": (count, len(GROUPS)),
        "positive": (count,),
        "score": (count,),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ValueError(f"the cohort's {name} is {list(arrays[name].shape)}, expected {list(shape)}")
    if not count or arrays["positive"].max() > 1 or not np.isfinite(arrays["group_contributions"]).all():
        raise ValueError("the cohort's arrays hold no slide, a class other than 0 and 1, or no number")
    if not ((arrays["score"] >= 0) & (arrays["score"] <= 1)).all():
        raise ValueError("the cohort's arrays hold a score that is not between 0 and 1")
    return npz_from_arrays(arrays)


def _medians(profiles: NDArray[np.float64]) -> list[float | None]:
    observed = ~np.isnan(profiles)
    values = [np.median(profiles[seen, column]) if seen.any() else None for column, seen in enumerate(observed.T)]
    return [None if value is None else round(float(value), _PLACES) for value in values]


def _row(values: Sequence[float | None]) -> NDArray[np.float32]:
    return np.array([np.nan if value is None else value for value in values], np.float32)
