"""Fits which films a question is about: where the cohort lies, and where films of neither class lie.

Distance alone cannot tell a healthy film from the cohort: films of the healthy lie between the classes, nearer to the
middle than many a patient's film (measured: docs/slide-training.md). So the trainer takes films known to be of neither
class (`--others`); without them only what lies far out is caught. How the measures are made: edge/profile_scope.py.

Both limits are set by profiles that were held out by patient when they were measured: 1 % of them may lie beyond the
distance, 4 % nearer to the others. So one in twenty of these very slides gets no score, by construction; what the scope
costs other slides is counted on patients who had no part in the limits either, by doing all of it again without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.deterministic_npz import npz_from_arrays
from convert.nested_validation import patient_folds
from convert.slide_cohort import Cohort
from edge.profile_scope import ProfileScope, measures_from_profiles, stabilized

OBSERVED_SHARE = 0.95
FEWEST_CELLS = 20
SHRINKAGE = 0.8
ALLOWED_FAR_SHARE = 0.01
ALLOWED_NEAR_SHARE = 0.04
FEWEST_OTHERS = 10
_FOLDS = 10
_PLACES = 6


def fit_scope(cohort: Cohort, others: Sequence[Cohort], seed: int) -> tuple[ProfileScope, dict[str, Any]]:
    """Return the scope with its limits, and the shares flagged among slides held out, as JSON values."""
    scope = _limited(cohort, others, [seed])
    shares = _held_out_shares(cohort, others, seed)
    return scope, {"parameters": len(scope.columns), "cohort_slides": len(cohort.slides), **shares}


def document_from_scope(scope: ProfileScope, names: Sequence[str]) -> dict[str, Any]:
    """Return a scope as JSON values; parameters by name."""
    arrays = {name: np.round(getattr(scope, name).astype(np.float64), _PLACES).tolist() for name in _FLOATS}
    limits = {"distance_limit": scope.distance_limit, "others_limit": scope.others_limit}
    return {"parameters": [names[column] for column in scope.columns], **arrays, **limits}


def file_from_document(document: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """Return scope.npz. Raises ValueError (with the reason) where the arrays do not fit each other."""
    try:
        columns = np.array([list(names).index(name) for name in document["parameters"]], np.int32)
        arrays = {name: np.array(document[name], np.float32) for name in _FLOATS}
        rank = arrays["whitening"].shape[-1]
        arrays["others"] = arrays["others"].reshape(-1, rank)
        ProfileScope(
            columns, **arrays, distance_limit=document["distance_limit"], others_limit=document["others_limit"]
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"the scope lacks {error}") from error
    return npz_from_arrays({"columns": columns, **arrays})


_FLOATS = ("fill", "whitening", "centres", "others")


def _fitted(cohort: Cohort, others: Sequence[Cohort], limits: tuple[float, float | None]) -> ProfileScope:
    columns = _compared(cohort)
    fill = np.nanmean(stabilized(cohort.profiles, cohort.names)[:, columns], axis=0)
    groups = [cohort.taken(np.array([own == label for own in cohort.labels])) for label in sorted(set(cohort.labels))]
    filled = [_filled(group, columns, fill) for group in [*groups, *others]]
    centres = [rows.mean(axis=0) for rows in filled]
    within = np.concatenate([rows - centre for rows, centre in zip(filled, centres, strict=True)])
    whitening = _whitening(within)
    points = np.stack([(centre - fill) @ whitening for centre in centres])
    return ProfileScope(
        columns=columns.astype(np.int32),
        fill=fill.astype(np.float32),
        whitening=whitening.astype(np.float32),
        centres=points[: len(groups)].astype(np.float32),
        others=points[len(groups) :].astype(np.float32),
        distance_limit=limits[0],
        others_limit=limits[1],
    )


def _compared(cohort: Cohort) -> NDArray[np.intp]:
    """Return the parameters that nearly every film has, on enough cells for a rate to mean something."""
    observed = (~np.isnan(cohort.profiles)).mean(axis=0) >= OBSERVED_SHARE
    return np.flatnonzero(observed & (np.median(cohort.denominators, axis=0) >= FEWEST_CELLS))


def _filled(cohort: Cohort, columns: NDArray[np.intp], fill: NDArray[np.float64]) -> NDArray[np.float64]:
    values = stabilized(cohort.profiles, cohort.names)[:, columns]
    return np.where(np.isnan(values), fill, values)


def _whitening(within: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return W [Q, Q] with W W' the inverse of the shrunk covariance: fewer slides than numbers leave no other choice.

    Each parameter is scaled by its own spread; the correlations are drawn most of the way to none. A parameter that
    never varies keeps a small spread, so that its first appearance counts, but does not decide alone.
    """
    floor = 1 / (2 * np.sqrt(200.0))  # the counting noise of one film of 200 cells after arcsin(sqrt)
    spread = np.maximum(within.std(axis=0), floor)
    scaled = within / spread
    correlation = (1 - SHRINKAGE) * (scaled.T @ scaled / len(scaled)) + SHRINKAGE * np.eye(len(spread))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(correlation)).T / spread[:, None], np.float64)


def _limited(cohort: Cohort, others: Sequence[Cohort], seeds: Sequence[int]) -> ProfileScope:
    """Return the scope of these slides with limits from measures that each fold got from all other folds."""
    own = np.empty((2, len(cohort.slides)))
    for scope, held_out, _ in _without_each_fold(cohort, others, seeds, _unlimited):
        own[:, held_out] = measures_from_profiles(cohort.profiles[held_out], cohort.names, scope)
    distance_limit = _quantile(own[0], 1 - ALLOWED_FAR_SHARE)
    others_limit = _quantile(own[1], 1 - ALLOWED_NEAR_SHARE) if others else None
    return _fitted(cohort, others, (distance_limit, others_limit))


def _unlimited(cohort: Cohort, others: Sequence[Cohort], _: int) -> ProfileScope:
    return _fitted(cohort, others, (np.inf, np.inf if others else None))


def _held_out_shares(cohort: Cohort, others: Sequence[Cohort], seed: int) -> dict[str, Any]:
    """Return what scopes flag whose statistics and limits were both set without the patients of the slide."""

    def limited(kept: Cohort, kept_others: Sequence[Cohort], fold: int) -> ProfileScope:
        return _limited(kept, kept_others, [seed, 5, fold])

    own = np.empty(len(cohort.slides), np.bool_)
    theirs = [np.empty(len(group.slides), np.bool_) for group in others]
    for scope, held_out, others_out in _without_each_fold(cohort, others, [seed], limited):
        own[held_out] = _flagged(cohort.profiles[held_out], cohort.names, scope)
        for group, out, flagged in zip(others, others_out, theirs, strict=True):
            flagged[out] = _flagged(group.profiles[out], cohort.names, scope)
    return {
        "cohort_flagged": round(float(own.mean()), 4),
        "other_slides": sum(len(group.slides) for group in others),
        "others_flagged": round(float(np.concatenate(theirs).mean()), 4) if others else None,
    }


def _without_each_fold(
    cohort: Cohort,
    others: Sequence[Cohort],
    seeds: Sequence[int],
    fit: Callable[[Cohort, Sequence[Cohort], int], ProfileScope],
) -> Iterator[tuple[ProfileScope, NDArray[np.bool_], list[NDArray[np.bool_]]]]:
    """Yield per fold the scope of all other patients, and which slides of cohort and others it held out, bool [N]."""
    folds = patient_folds(cohort, _FOLDS, [*seeds, 3])
    other_folds = _folds_of_others(others, [*seeds, 4])
    for fold in range(_FOLDS):
        kept = [group.taken(own != fold) for group, own in zip(others, other_folds, strict=True)]
        scope = fit(cohort.taken(folds != fold), kept, fold)
        yield scope, folds == fold, [own == fold for own in other_folds]


def _folds_of_others(others: Sequence[Cohort], seeds: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the fold of every slide of each folder; a patient of several has in all of them that of the first."""
    fold_of: dict[str, int] = {}
    for group in others:
        for patient, fold in zip(group.patients, patient_folds(group, _FOLDS, seeds), strict=True):
            fold_of.setdefault(patient, int(fold))
    return [np.array([fold_of[patient] for patient in group.patients], np.int64) for group in others]


def _flagged(profiles: NDArray[np.float64], names: tuple[str, ...], scope: ProfileScope) -> NDArray[np.bool_]:
    distance, nearness = measures_from_profiles(profiles, names, scope)
    limit = np.inf if scope.others_limit is None else scope.others_limit
    return np.asarray((distance > scope.distance_limit) | (nearness > limit), np.bool_)


def _quantile(measures: NDArray[np.float64], level: float) -> float:
    # Rounded up: a limit rounded down would flag the very slide that set it.
    return float(np.ceil(1e4 * np.quantile(measures, level, method="higher")) / 1e4)
