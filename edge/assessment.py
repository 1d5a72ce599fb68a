"""One question about a slide (such as MDS or aplastic anemia), answered with a score, its interval and a call.

    calls   MDS-SUSPECT, AA-LIKE   the score and its whole counting interval lie on one side of the threshold
            INDETERMINATE          the interval includes the threshold: another count of the film could turn the call
            NOT-EVALUABLE          no score may be given; the reasons say why
            NOT-REQUESTED          nobody asked

A call supports review; it is never a diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import AssessmentSpec, Cohort, Gates
from edge.catalogue import Catalogue
from edge.counting_interval import counting_interval
from edge.figures_apart import texts_apart
from edge.gates import (
    BLAST_REVIEW,
    Counted,
    Reason,
    Sufficiency,
    count_film,
    film_warnings,
    reasons_against_score,
    sufficiency_of,
)
from edge.profile_scope import ProfileScope, reasons_out_of_scope
from edge.score import score_from_margin
from edge.slide_profile import SlideProfile
from edge.trees import TreeModel

INDETERMINATE = "INDETERMINATE"
NOT_EVALUABLE = "NOT-EVALUABLE"
NOT_REQUESTED = "NOT-REQUESTED"


@dataclass(frozen=True, slots=True)
class ContributionRow:
    """What one parameter added to the margin, and the ids of the cells behind it, most certain first."""

    name: str
    value: float
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """What the parameters of one cell group of Fig. 3 of the paper (or OTHER) together added to the margin."""

    group: str
    value: float


@dataclass(frozen=True, slots=True)
class ContrastRow:
    """A parameter of this slide beside its medians in the training cohort; None where nothing could be counted."""

    name: str
    value: float | None
    positive_median: float | None
    negative_median: float | None


@dataclass(frozen=True, slots=True)
class CountChange:
    """A single count that would move the score over the threshold: `counted` of `of` cells were, `needed` give `score`.

    `code` is the cell type or finding whose cells are counted, `name` the parameter that the count makes.
    """

    name: str
    code: str
    counted: int
    of: int
    needed: int
    score: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """The answer for one target.

    score: calibrated probability-like value 0-1 of the positive class, None where none may be given. margin: raw tree
    margin in log-odds before calibration. interval: 95 % counting interval of the score. sufficient: enough cells were
    counted, `sufficiency` says how many and how many more would help. reasons: what stands behind the call, in words.
    The four last ones explain a score and are empty where there is none.
    """

    target: str
    positive: str
    negative: str
    score: float | None
    margin: float | None
    interval: tuple[float, float] | None
    threshold: float
    call: str
    sufficiency: Sufficiency
    reasons: tuple[Reason, ...]
    contributions: tuple[ContributionRow, ...] = ()
    groups: tuple[GroupRow, ...] = ()
    contrast: tuple[ContrastRow, ...] = ()
    what_would_change: tuple[CountChange, ...] = ()

    @property
    def sufficient(self) -> bool:
        """Whether enough cells were counted."""
        return self.sufficiency.enough


def assess_profile(
    profile: SlideProfile,
    *,
    spec: AssessmentSpec,
    cohort: Cohort,
    gates: Gates,
    trees: TreeModel,
    catalogue: Catalogue,
    requested: bool,
    scope: ProfileScope | None = None,
) -> Assessment:
    """Assess one target on one slide; contributions are added later, where there is a score to explain.

    `scope` says which films the question is about, where the bundle carries it. Deterministic: the same profile and
    bundle give the same assessment. Raises EdgeError MDSE-TREES-004 or -005 when the trees do not fit the profile.
    """
    counted = count_film(profile, catalogue)
    against = (*reasons_against_score(profile, counted, spec, cohort, gates), *reasons_out_of_scope(profile, scope))
    sufficiency = sufficiency_of(counted, spec)
    silent = Assessment(
        spec.target, spec.positive, spec.negative, None, None, None, spec.threshold, NOT_REQUESTED, sufficiency, ()
    )
    if not requested:
        return replace(silent, reasons=(Reason(NOT_REQUESTED, "neither the order nor the site asked for it"),))
    if against:
        return replace(silent, call=NOT_EVALUABLE, reasons=against)
    margin = float(trees.predict_margin(_row_from_profile(profile))[0])
    score = score_from_margin(margin, spec.calibration)
    interval = counting_interval(profile, score, trees=trees, calibration=spec.calibration, catalogue=catalogue)
    call, reason = _call_from_interval(spec, interval)
    review = _review_reasons(profile, counted, catalogue, gates)
    return replace(silent, score=score, margin=margin, interval=interval, call=call, reasons=(*reason, *review))


def _row_from_profile(profile: SlideProfile) -> NDArray[np.float32]:
    return profile.values.astype(np.float32).reshape(1, -1)


def _call_from_interval(spec: AssessmentSpec, interval: tuple[float, float]) -> tuple[str, tuple[Reason, ...]]:
    low, high = interval
    if low >= spec.threshold:
        return f"{spec.positive}-SUSPECT", ()
    if high < spec.threshold:
        return f"{spec.negative}-LIKE", ()
    threshold, lowest, highest = texts_apart(spec.threshold, low, high, decimals=3)
    text = f"counting alone leaves the score between {lowest} and {highest}, on both sides of {threshold}"
    return INDETERMINATE, (Reason(INDETERMINATE, text),)


def _review_reasons(profile: SlideProfile, counted: Counted, catalogue: Catalogue, gates: Gates) -> tuple[Reason, ...]:
    warnings = film_warnings(profile, counted, catalogue, gates)
    return tuple(Reason(warning.code, warning.text) for warning in warnings if warning.code == BLAST_REVIEW)
