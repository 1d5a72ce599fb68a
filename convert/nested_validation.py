"""Nested cross-validation by patient: an inner loop chooses, an outer loop judges what was chosen.

    choose       on some slides: candidate, calibration and threshold from out-of-fold margins of those slides alone
    nested       every outer fold: choose on the other folds, fit, and score the slides held out

Whatever is learned from data (settings, directions of constraints, calibration, threshold) is learned inside `choose`,
so the outer figure is that of the whole procedure on patients it never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convert.readable_number import rounded_between
from convert.score_fit import calibration_from_margins, scores_from_calibration, threshold_from_scores
from convert.slide_cohort import Cohort
from convert.tree_fit import Candidate, contributions_from_trees, fit_trees, margins_from_trees


@dataclass(frozen=True, slots=True)
class NestedSettings:
    """What may be chosen (simplest first), the numbers of folds, and the wanted specificity (None: Youden's)."""

    candidates: tuple[Candidate, ...]
    folds: int
    repeats: int
    inner_folds: int
    seed: int
    specificity: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What the inner loop chose. `losses` is the calibrated log loss of every candidate, in the grid's order.

    `margins` float64 [N] are out of fold, of the chosen candidate; `folds` int64 [N] says which fold held a slide out.
    """

    candidate: Candidate
    losses: tuple[float, ...]
    calibration: tuple[float, float]
    threshold: float
    margins: NDArray[np.float64]
    folds: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Nested:
    """The outer loop: float64 [repeats, N] each. `logits` are calibrated margins; `chosen[repeat, fold]` what was used.

    `thresholds` is the score at or above which the slide would have been called positive, from the other folds.
    """

    margins: NDArray[np.float64]
    logits: NDArray[np.float64]
    scores: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    folds: NDArray[np.int64]
    chosen: tuple[tuple[Candidate, ...], ...]

    @property
    def called(self) -> NDArray[np.bool_]:
        """Which slides were called positive, bool [repeats, N]."""
        return np.asarray(self.scores >= self.thresholds)


def patient_folds(cohort: Cohort, folds: int, seeds: Sequence[int]) -> NDArray[np.int64]:
    """Return the fold of every slide, int64 [N]: patients of each label are shuffled and dealt out like cards."""
    random = np.random.default_rng(list(seeds))
    fold_of: dict[str, int] = {}
    next_fold = 0  # go on where the last label stopped, so that folds stay of equal size
    for label in sorted(set(cohort.labels)):
        patients = sorted({p for p, own in zip(cohort.patients, cohort.labels, strict=True) if own == label})
        for index in random.permutation(len(patients)):
            fold_of[patients[index]] = next_fold % folds
            next_fold += 1
    return np.array([fold_of[patient] for patient in cohort.patients], np.int64)


def choose(cohort: Cohort, settings: NestedSettings, seeds: Sequence[int]) -> Chosen:
    """Choose on the slides of `cohort`: the simplest candidate whose loss is within one standard error of the best.

    The error is that of the difference, with the patients as units. So a deeper or freer model has to earn its place.
    """
    folds = patient_folds(cohort, settings.inner_folds, seeds)
    margins = _candidate_margins(cohort, settings, folds)
    calibrations = [calibration_from_margins(row, cohort.positive) for row in margins]
    losses = np.stack(
        [_log_losses(row, cohort.positive, fitted) for row, fitted in zip(margins, calibrations, strict=True)]
    )
    place = _simplest_good_one(_by_patient(losses, cohort.patients))
    scores = scores_from_calibration(margins[place], calibrations[place])
    return Chosen(
        candidate=settings.candidates[place],
        losses=tuple(float(loss) for loss in losses.mean(axis=1)),
        calibration=calibrations[place],
        threshold=_readable(threshold_from_scores(scores, cohort.positive, specificity=settings.specificity), scores),
        margins=margins[place],
        folds=folds,
    )


def nested(cohort: Cohort, settings: NestedSettings, done: Callable[[], None]) -> Nested:
    """Judge the procedure on patients held out; `done` is called after every outer fold."""
    shape = (settings.repeats, len(cohort.slides))
    empty = np.full(shape, np.nan)
    margins, logits, thresholds, folds = empty.copy(), empty.copy(), empty.copy(), np.zeros(shape, np.int64)
    chosen: list[tuple[Candidate, ...]] = []
    for repeat in range(settings.repeats):
        folds[repeat] = patient_folds(cohort, settings.folds, [settings.seed, 1, repeat])
        used = []
        for fold in range(settings.folds):
            held_out = folds[repeat] == fold
            training = cohort.taken(~held_out)
            best = choose(training, settings, [settings.seed, 2, repeat, fold])
            booster = fit_trees(training.profiles, training.positive, best.candidate, cohort.names, settings.seed)
            rows = margins_from_trees(booster, cohort.profiles[held_out], cohort.names, best.candidate.rounds)
            margins[repeat, held_out] = rows
            logits[repeat, held_out] = best.calibration[0] * rows + best.calibration[1]
            thresholds[repeat, held_out] = best.threshold
            used.append(best.candidate)
            done()
        chosen.append(tuple(used))
    return Nested(margins, logits, scores_from_calibration(logits, (1.0, 0.0)), thresholds, folds, tuple(chosen))


def out_of_fold_contributions(cohort: Cohort, chosen: Chosen, seed: int) -> NDArray[np.float64]:
    """Return contributions float64 [N, P] of every slide, by trees that did not see its patient."""
    values = np.empty((len(cohort.slides), len(cohort.names)))
    for fold in np.unique(chosen.folds):
        out = chosen.folds == fold
        booster = fit_trees(cohort.profiles[~out], cohort.positive[~out], chosen.candidate, cohort.names, seed)
        values[out] = contributions_from_trees(booster, cohort.profiles[out], cohort.names)
    return values


def _candidate_margins(cohort: Cohort, settings: NestedSettings, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return out-of-fold margins float64 [candidates, N]; candidates that differ in rounds only share one training."""
    margins = np.empty((len(settings.candidates), len(cohort.slides)))
    for longest, members in _families(settings.candidates):
        for fold in range(settings.inner_folds):
            out = folds == fold
            booster = fit_trees(cohort.profiles[~out], cohort.positive[~out], longest, cohort.names, settings.seed)
            for place, candidate in members:
                rows = cohort.profiles[out]
                margins[place, out] = margins_from_trees(booster, rows, cohort.names, candidate.rounds)
    return margins


def _families(candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, list[tuple[int, Candidate]]]]:
    members: dict[Candidate, list[tuple[int, Candidate]]] = {}
    for place, candidate in enumerate(candidates):
        members.setdefault(replace(candidate, rounds=0), []).append((place, candidate))
    for family, found in members.items():
        yield replace(family, rounds=max(candidate.rounds for _, candidate in found)), found


def _readable(threshold: float, scores: NDArray[np.float64]) -> float:
    """Round to three decimals, for people read it beside the score; to more where three would change a slide's call."""
    below = float(scores[scores < threshold].max(initial=-np.inf))
    return rounded_between(threshold, below, float(scores[scores >= threshold].min(initial=np.inf)), 3)


def _log_losses(
    margins: NDArray[np.float64], positive: NDArray[np.bool_], calibration: tuple[float, float]
) -> NDArray[np.float64]:
    logits = calibration[0] * margins + calibration[1]
    return np.asarray(np.logaddexp(0.0, logits) - positive * logits, np.float64)


def _by_patient(losses: NDArray[np.float64], patients: Sequence[str]) -> NDArray[np.float64]:
    _, index = np.unique(np.array(patients), return_inverse=True)
    sums = np.stack([np.bincount(index, weights=row) for row in losses])
    return np.asarray(sums / np.bincount(index), np.float64)


def _simplest_good_one(losses: NDArray[np.float64]) -> int:
    best = int(np.argmin(losses.mean(axis=1)))
    for place, row in enumerate(losses):
        worse = row - losses[best]
        if worse.mean() <= worse.std(ddof=1) / np.sqrt(len(worse)):
            return place
    return best
