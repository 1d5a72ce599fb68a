"""The training cohort that a score is shown against: typical profiles, and every slide's contributions and score.

Read from the bundle's `trees/<target>/cohort.npz` (docs/bundle.md):

    typical_positive, typical_negative  float32 [P]     medians of the parameters per class, NaN where never observed
    group_contributions                 float32 [S, G]  contributions by group: the 12 of Fig. 3 of the paper, OTHER
    positive                            uint8 [S]       1 for slides of the positive class, 0 for the others
    score                               float32 [S]     calibrated scores 0-1

Bundles from before this file exist without it: there is no cohort to show then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.assessment import ContrastRow, ContributionRow
from edge.bundle.arrays import ArraySpec, arrays_from_npz
from edge.bundle.manifest import AssessmentSpec
from edge.bundle.reader import Bundle
from edge.contributions import GROUPS
from edge.errors import EdgeError
from edge.slide_profile import SlideProfile

CONTRAST_ROWS = 12
MAX_ARRAY_BYTES = 4 << 20
_ARRAYS = {
    "typical_positive": ArraySpec("float32", 1),
    "typical_negative": ArraySpec("float32", 1),
    "group_contributions": ArraySpec("float32", 2),
    "positive": ArraySpec("uint8", 1),
    "score": ArraySpec("float32", 1),
}


@dataclass(frozen=True, slots=True, eq=False)
class CohortSlides:
    """The arrays of the head of this file; `positive` bool [S]."""

    typical_positive: NDArray[np.float32]
    typical_negative: NDArray[np.float32]
    group_contributions: NDArray[np.float32]
    positive: NDArray[np.bool_]
    score: NDArray[np.float32]


def cohort_from_bundle(bundle: Bundle, spec: AssessmentSpec) -> CohortSlides | None:
    """Return the cohort of a target, None where the bundle carries none. Raises EdgeError MDSE-BUNDLE-011."""
    where = spec.cohort_file
    if where is None:
        return None
    arrays = arrays_from_npz(bundle.read(where), _ARRAYS, where=where, array_bytes_max=MAX_ARRAY_BYTES)
    slides, parameters = len(arrays["positive"]), len(bundle.manifest.parameters)
    expected = {
        "typical_positive": (parameters,),
        "typical_negative": (parameters,),
        "group_contributions": (slides, len(GROUPS)),
        "score": (slides,),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            reason = f"{name} is {list(arrays[name].shape)}, expected {list(shape)}"
            raise EdgeError("MDSE-BUNDLE-011", where=where, reason=reason)
    if (arrays["positive"] > 1).any() or not ((arrays["score"] >= 0) & (arrays["score"] <= 1)).all():
        raise EdgeError("MDSE-BUNDLE-011", where=where, reason="a class is neither 0 nor 1, or a score outside 0 to 1")
    if not np.isfinite(arrays["group_contributions"]).all():
        raise EdgeError("MDSE-BUNDLE-011", where=where, reason="a contribution is not a number")
    return CohortSlides(**{**arrays, "positive": arrays["positive"] == 1})


def contrast_rows(
    contributions: Sequence[ContributionRow], profile: SlideProfile, cohort: CohortSlides | None
) -> tuple[ContrastRow, ...]:
    """Return the strongest parameters beside what is typical of either class; empty without a cohort."""
    if cohort is None:
        return ()
    column_of = {name: column for column, name in enumerate(profile.names)}
    return tuple(
        ContrastRow(
            name=row.name,
            value=_known(profile.values[column_of[row.name]]),
            positive_median=_known(cohort.typical_positive[column_of[row.name]]),
            negative_median=_known(cohort.typical_negative[column_of[row.name]]),
        )
        for row in contributions[:CONTRAST_ROWS]
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
