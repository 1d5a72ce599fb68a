"""Is this film one that the question is about? How near a profile lies to the training cohort, and to other films.

A two-class model says something about every film. Ranges of single parameters do not stop it: a film of a healthy
person lies inside all of them. So a bundle may carry `trees/<target>/scope.npz`:

    columns     int32 [Q]      the parameters compared: those that nearly every film has, counted on enough cells
    fill        float32 [Q]    their mean in the cohort; stands in for a missing value
    whitening   float32 [Q, R] from the spread within the classes (Mahalanobis, shrunk)
    centres     float32 [K, R] the classes of the cohort, whitened
    others      float32 [J, R] films known to be of neither class, whitened; J may be 0

Shares and rates enter as arcsin(sqrt(x)), whose counting noise does not depend on x (Bartlett, Supplement to JRSS
1936;3:68). Two measures: the distance to the nearest class, near 1 for ordinary films; and, where other films were
shown, how much nearer the profile lies to them than to the classes (a linear discriminant, > 0 nearer to the others).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.arrays import ArraySpec, arrays_from_npz
from edge.bundle.manifest import AssessmentSpec
from edge.bundle.reader import Bundle
from edge.errors import EdgeError
from edge.figures_apart import texts_apart
from edge.gates import PROFILE_OOD, Reason
from edge.slide_profile import PER_100_SUFFIX, SlideProfile

MAX_ARRAY_BYTES = 4 << 20
# Many profiles against many films: 32 MB of differences at a time.
_NUMBERS_AT_ONCE = 4 << 20
_ARRAYS = {
    "columns": ArraySpec("int32", 1),
    "fill": ArraySpec("float32", 1),
    "whitening": ArraySpec("float32", 2),
    "centres": ArraySpec("float32", 2),
    "others": ArraySpec("float32", 2),
}


@dataclass(frozen=True, slots=True, eq=False)
class ProfileScope:
    """The arrays of the head of this file, and the limits from the manifest (`others_limit` None: not asked)."""

    columns: NDArray[np.int32]
    fill: NDArray[np.float32]
    whitening: NDArray[np.float32]
    centres: NDArray[np.float32]
    others: NDArray[np.float32]
    distance_limit: float
    others_limit: float | None

    def __post_init__(self) -> None:
        """Raise ValueError when the arrays do not fit each other or hold a value that is no number."""
        compared, rank = self.whitening.shape
        if self.columns.shape != (compared,) or self.fill.shape != (compared,) or not compared or not rank:
            raise ValueError("columns, fill and whitening do not fit each other")
        if not len(self.centres) or self.centres.shape[1] != rank or self.others.shape[1:] != (rank,):
            raise ValueError("the centres do not fit the whitening")
        if (self.others_limit is None) != (not len(self.others)):
            raise ValueError("other films and their limit must both be there or both be absent")
        if not all(np.isfinite(a).all() for a in (self.fill, self.whitening, self.centres, self.others)):
            raise ValueError("it holds a value that is not a number")


def scope_from_bundle(bundle: Bundle, spec: AssessmentSpec) -> ProfileScope | None:
    """Return the scope of a target, None where the bundle has none. Raises EdgeError MDSE-BUNDLE-011."""
    if spec.scope is None:
        return None
    where = spec.scope.file
    arrays = arrays_from_npz(bundle.read(where), _ARRAYS, where=where, array_bytes_max=MAX_ARRAY_BYTES)
    columns = arrays["columns"]
    if len(columns) and not 0 <= columns.min() <= columns.max() < len(bundle.manifest.parameters):
        raise EdgeError("MDSE-BUNDLE-011", where=where, reason="it names a parameter that the bundle does not have")
    try:
        return ProfileScope(**arrays, distance_limit=spec.scope.distance_limit, others_limit=spec.scope.others_limit)
    except ValueError as error:
        raise EdgeError("MDSE-BUNDLE-011", where=where, reason=str(error)) from error


def measures_from_profiles(
    profiles: NDArray[np.float64], names: tuple[str, ...], scope: ProfileScope
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for profiles float64 [N, P] the distance to the cohort and the nearness to other films, float64 [N] each.

    The nearness is -inf for every profile where the scope knows no other films.
    """
    stable = stabilized(profiles, names)[:, scope.columns]
    fill = scope.fill.astype(np.float64)
    points = (np.where(np.isnan(stable), fill, stable) - fill) @ scope.whitening.astype(np.float64)
    to_classes = _nearest(points, scope.centres.astype(np.float64))
    if not len(scope.others):
        return np.sqrt(to_classes), np.full(len(points), -np.inf)
    return np.sqrt(to_classes), to_classes - _nearest(points, scope.others.astype(np.float64))


def reasons_out_of_scope(profile: SlideProfile, scope: ProfileScope | None) -> tuple[Reason, ...]:
    """Return why the question is not about this film; empty where it may be, or where the bundle cannot tell."""
    if scope is None:
        return ()
    distances, nearness = measures_from_profiles(profile.values[None], profile.names, scope)
    distance, near = float(distances[0]), float(nearness[0])
    if scope.others_limit is not None and near > scope.others_limit:
        text = "the film resembles films that are known to be of neither class more than it resembles either class"
        allowed, found = texts_apart(scope.others_limit, near, decimals=2)
        return (Reason(PROFILE_OOD, f"{text} ({found}, at most {allowed} may be)"),)
    if distance > scope.distance_limit:
        allowed, found = texts_apart(scope.distance_limit, distance, decimals=2)
        text = f"the film lies {found} from the nearest class of the training cohort"
        return (Reason(PROFILE_OOD, f"{text}, at most {allowed} may be"),)
    return ()


def within_scope(
    profiles: NDArray[np.float64], names: tuple[str, ...], scope: ProfileScope | None
) -> NDArray[np.bool_]:
    """Return which of many profiles float64 [N, P] `reasons_out_of_scope` finds no fault with, bool [N]."""
    within = np.ones(len(profiles), np.bool_)
    if scope is None:
        return within
    rows = max(1, _NUMBERS_AT_ONCE // max(scope.centres.size, scope.others.size))
    for start in range(0, len(profiles), rows):
        distances, nearness = measures_from_profiles(profiles[start : start + rows], names, scope)
        far = distances > scope.distance_limit
        within[start : start + rows] = ~(far if scope.others_limit is None else far | (nearness > scope.others_limit))
    return within


def stabilized(profiles: NDArray[np.float64], names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return arcsin(sqrt(x)) of profiles float64 [N, P]; counts per 100 leucocytes as shares, cut at 1; NaN stays."""
    factors = np.array([0.01 if name.endswith(PER_100_SUFFIX) else 1.0 for name in names])
    return np.asarray(np.arcsin(np.sqrt(np.clip(profiles * factors, 0, 1))), np.float64)


def _nearest(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean squared distance per axis of each point to its nearest centre."""
    return np.asarray(((points[:, None, :] - centres[None]) ** 2).mean(axis=2).min(axis=1), np.float64)
