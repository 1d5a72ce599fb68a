"""Is a cell unlike everything the network was trained on? Distance of its embedding to the nearest known group.

The bundle carries the centres of the training cells' groups and one whitening matrix (`decision/<name>.npz`, arrays
`centres` float32 [C, D] and `whitening` float32 [D, R]). The distance is Mahalanobis' with a shared covariance of rank
R, divided by the square root of R so that it is near 1 for ordinary cells whatever the rank (Lee et al., NeurIPS 2018,
"A simple unified framework for detecting out-of-distribution samples").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class OutlierRule:
    """Centres float32 [C, D], whitening float32 [D, R], and the distance above which a cell is out of distribution."""

    centres: NDArray[np.float32]
    whitening: NDArray[np.float32]
    threshold: float

    def __post_init__(self) -> None:
        """Raise ValueError when the arrays do not fit each other or hold a value that is no number."""
        fits = self.centres.ndim == 2 and self.whitening.ndim == 2 and self.centres.shape[1] == self.whitening.shape[0]
        if not fits or 0 in self.centres.shape or 0 in self.whitening.shape:
            raise ValueError(f"centres {self.centres.shape} and whitening {self.whitening.shape} do not fit")
        if not (np.isfinite(self.centres).all() and np.isfinite(self.whitening).all()):
            raise ValueError("centres or whitening hold a value that is not a number")


def distances_from_embedding(embedding: NDArray[np.float32], rule: OutlierRule) -> NDArray[np.float64]:
    """Return the distance of each row of `embedding` (float32 [N, D]) to its nearest centre, float64 [N].

    Raises ValueError when D is not the rule's.
    """
    if embedding.ndim != 2 or embedding.shape[1] != rule.centres.shape[1]:
        raise ValueError(f"embedding {embedding.shape} does not fit centres {rule.centres.shape}")
    whitening = rule.whitening.astype(np.float64)
    points = embedding.astype(np.float64) @ whitening
    centres = rule.centres.astype(np.float64) @ whitening
    squared = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None, :] - 2 * points @ centres.T
    nearest = np.maximum(squared.min(axis=1), 0.0)  # rounding may leave a tiny negative number at a centre itself
    return np.asarray(np.sqrt(nearest / whitening.shape[1]))
