"""Reference of focus and stain: how sharp known cells are, what colour they have, and how far whole films may stray."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.reference_cells import REAL, ReferenceCells
from edge.bundle.manifest import QualityLimits
from edge.image_measures import SHARPNESS, STAIN
from edge.quality import stain_distance

# Of the known cells so many are less sharp than the limit; a film is warned of when a quarter of its cells are.
BLURRED_SHARE = 0.01
_FILMS, _CELLS_PER_FILM = 1000, 50
_MARGIN = 1.5  # films of the same laboratory on another day
_SEED = 20190915


def quality_limits(reference: ReferenceCells) -> dict[str, Any]:
    """Return the manifest's `decision.quality` from the real reference cells, numbers rounded to 6 digits.

    The stain limit is the farthest of 1000 films composed of the reference cells in random mixtures of their types,
    times 1.5: the mean colour of a film depends on which cells it holds, and that must raise no warning.
    """
    real = reference.family == REAL
    measures, types = reference.measures[real].astype(np.float64), reference.cell_type[real]
    stain = measures[:, STAIN]
    # Every type weighs the same: the reference must not follow the mixture that a folder of cells happens to have.
    known = np.unique(types)
    centre = np.stack([stain[types == code].mean(axis=0) for code in known]).mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(stain.T))
    whitening = vectors @ np.diag(1 / np.sqrt(np.maximum(values, 1e-6))) @ vectors.T
    limits = {
        "focus_limit": _short(np.exp(np.quantile(measures[:, SHARPNESS], BLURRED_SHARE))),
        "stain_centre": [_short(value) for value in centre],
        "stain_whitening": [[_short(value) for value in row] for row in whitening],
        "stain_limit": 1.0,
    }
    films = _films(stain, types, known)
    stated = QualityLimits.model_validate(
        {**limits, "stain_centre": tuple(centre), "stain_whitening": tuple(map(tuple, whitening))}
    )
    return {**limits, "stain_limit": _short(_MARGIN * max(stain_distance(film, stated) for film in films))}


def _films(stain: NDArray[np.float64], types: NDArray[np.int64], known: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return the mean stains of composed films: mixtures from one single type to all types alike."""
    random = np.random.default_rng(_SEED)
    places = [np.flatnonzero(types == code) for code in known]
    films = []
    for _ in range(_FILMS):
        counts = random.multinomial(_CELLS_PER_FILM, random.dirichlet(np.full(len(known), random.choice([0.3, 1.0]))))
        chosen = np.concatenate([random.choice(own, count) for own, count in zip(places, counts, strict=True)])
        films.append(stain[chosen].mean(axis=0))
    return films


def _short(value: float | np.floating[Any]) -> float:
    return float(f"{float(value):.6g}")
