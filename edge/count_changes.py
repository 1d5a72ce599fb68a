"""What would change the answer: the smallest changes of one single count that move the score over the threshold.

Every type is counted a few times more and less, every finding is seen on a few cells more and fewer, all else as it
was, and the trees judge each of these profiles. Nothing is extrapolated: each answer is the score of a possible film.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.assessment import CountChange
from edge.bundle.manifest import AssessmentSpec, Cohort, Gates
from edge.catalogue import Catalogue
from edge.findings import applicability_from_catalogue
from edge.gates import outside_cohort
from edge.profile_scope import ProfileScope, within_scope
from edge.score import scores_from_margins
from edge.slide_profile import SlideProfile, parameters_from_counts
from edge.trees import TreeModel

LARGEST_STEP = 40
"""No count is changed by more cells than this: it bounds the time, and a larger change is another film."""
ROWS_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """Changed films: counts int64 [N, types], shown int64 [N, findings], the changed column and its new count."""

    counts: NDArray[np.int64]
    shown: NDArray[np.int64]
    columns: NDArray[np.intp]
    needed: NDArray[np.int64]


def count_changes(
    profile: SlideProfile,
    score: float,
    *,
    spec: AssessmentSpec,
    gates: Gates,
    cohort: Cohort,
    trees: TreeModel,
    catalogue: Catalogue,
    scope: ProfileScope | None,
) -> tuple[CountChange, ...]:
    """Return up to five single-count changes that put the score on the other side, the smallest first.

    A film that could not be scored (too few cells, too many blasts, unlike the cohort, out of scope) is no answer.
    Empty where no count changed by at most 40 cells does. The call may change by less: it rests on the
    interval. Raises EdgeError MDSE-TREES-005.
    """
    counts, shown, order = _counts_in_catalogue_order(profile, catalogue)
    trials = _trials(counts, shown, order, profile, trees, catalogue)
    values = parameters_from_counts(trials.counts, trials.shown, catalogue)[2]
    scores = scores_from_margins(trees.predict_margin(values.astype(np.float32)), spec.calibration)
    like_cohort = outside_cohort(values, profile.names, cohort).sum(axis=1) <= cohort.outside_allowed
    scorable = _scorable(trials.counts, spec, gates, catalogue) & like_cohort
    turned = ((scores >= spec.threshold) != (score >= spec.threshold)) & scorable
    turned[turned] = within_scope(values[turned], profile.names, scope)
    best: dict[int, CountChange] = {}
    steps = np.abs(trials.needed - profile.numerators[trials.columns])
    # The smallest step first; among equals what was met on the film before what was not, and the clearer score.
    unmet = profile.numerators[trials.columns] == 0
    for place in np.lexsort((-np.abs(scores - spec.threshold), unmet, steps)):
        column = int(trials.columns[place])
        if turned[place] and column not in best:
            best[column] = CountChange(
                name=profile.names[column],
                code=profile.names[column].partition("_")[0],
                counted=int(profile.numerators[column]),
                of=int(profile.denominators[column]),
                needed=int(trials.needed[place]),
                score=float(scores[place]),
            )
    return tuple(best.values())[:ROWS_SHOWN]


def _counts_in_catalogue_order(
    profile: SlideProfile, catalogue: Catalogue
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp]]:
    """Return counts per type, cells per finding, and for each type parameter the type's place in the catalogue."""
    leucocyte = np.array([cell_type.leucocyte for cell_type in catalogue.cell_types], np.bool_)
    order = np.concatenate([np.flatnonzero(leucocyte), np.flatnonzero(~leucocyte)])
    counts = np.empty(len(order), np.int64)
    counts[order] = profile.numerators[: len(order)]
    return counts, profile.numerators[len(order) :].copy(), order


def _trials(
    counts: NDArray[np.int64],
    shown: NDArray[np.int64],
    order: NDArray[np.intp],
    profile: SlideProfile,
    trees: TreeModel,
    catalogue: Catalogue,
) -> _Trials:
    """Return every possible film in which one count that the trees may notice differs by at most LARGEST_STEP."""
    steps = np.array([step for size in range(1, LARGEST_STEP + 1) for step in (-size, size)], np.int64)
    types = len(order)
    noticed = np.ones(len(profile.names), np.bool_) if trees.used is None else trees.used.copy()
    noticed[:types] = True  # another cell of any type changes every share and some denominators
    noticed[types:] &= profile.denominators[types:] > 0
    columns = np.repeat(np.flatnonzero(noticed), len(steps))
    needed = profile.numerators[columns] + np.tile(steps, int(noticed.sum()))
    made_counts = np.repeat(counts[None, :], len(columns), axis=0)
    made_shown = np.repeat(shown[None, :], len(columns), axis=0)
    rows, of_type = np.arange(len(columns)), columns < types
    made_counts[rows[of_type], order[columns[of_type]]] = needed[of_type]
    made_shown[rows[~of_type], columns[~of_type] - types] = needed[~of_type]
    bearers = made_counts @ applicability_from_catalogue(catalogue).astype(np.int64)
    possible = (needed >= 0) & (made_shown <= bearers).all(axis=1)
    return _Trials(made_counts[possible], made_shown[possible], columns[possible], needed[possible])


def _scorable(counts: NDArray[np.int64], spec: AssessmentSpec, gates: Gates, catalogue: Catalogue) -> NDArray[np.bool_]:
    """Return which of the films have enough cells and not too many blasts."""

    def summed(group: str | None) -> NDArray[np.int64]:
        chosen = [t.leucocyte and group in (None, t.group) for t in catalogue.cell_types]
        return np.asarray(counts[:, np.array(chosen)].sum(axis=1), np.int64)

    leucocytes = summed(None)
    enough = (leucocytes >= max(spec.minimum.wbc, 1)) & (summed("GN") >= spec.minimum.neutrophil)
    return np.asarray(enough & (summed("BL") < gates.blast_not_evaluable_share * leucocytes - 1e-9), np.bool_)
