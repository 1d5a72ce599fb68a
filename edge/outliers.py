"""Is a cell unlike everything the network was trained on? Its distance to the nearest known group of cells.

A cell is described by its embedding, reduced to a few principal components, and by the plain measures of its picture
(edge/image_measures.py): the network's features tell other objects and other sizes, the measures tell blur and stain,
which the network was trained to shrug off. The distance is Mahalanobis' to the nearest group (a type of one family,
real or drawn) with one covariance per family (Lee et al., NeurIPS 2018, "A simple unified framework for detecting
out-of-distribution samples"). It is scaled so that 1 is the limit that one in a hundred held-out known cells exceeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.arrays import ArraySpec, arrays_from_npz
from edge.bundle.reader import Bundle
from edge.errors import EdgeError
from edge.image_measures import MEASURES

GROUPS_MAX = 256
FEATURES_MAX = 512
_ARRAY_BYTES_MAX = 16 << 20
_SPECS = {
    "mean": ArraySpec("float32", 1),
    "components": ArraySpec("float32", 2),
    "centres": ArraySpec("float32", 2),
    "whitening": ArraySpec("float32", 3),
    "family": ArraySpec("uint8", 1),
}


@dataclass(frozen=True, slots=True, eq=False)
class OutlierRule:
    """What the known cells look like, and the distance above which a cell is out of distribution.

    `mean` float32 [D] and `components` float32 [D, R] reduce the embedding; K = R + the number of measures. `centres`
    float32 [C, K] are the groups, `whitening` float32 [F, K, K] one matrix per family, `family` uint8 [C] the family of
    each group.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    centres: NDArray[np.float32]
    whitening: NDArray[np.float32]
    family: NDArray[np.uint8]
    threshold: float

    def __post_init__(self) -> None:
        """Raise ValueError when the arrays do not fit each other or hold a value that is no number."""
        width, groups = self.components.shape[-1] + len(MEASURES), len(self.centres)
        fits = (
            self.mean.ndim == 1
            and self.components.shape == (len(self.mean), width - len(MEASURES))
            and self.centres.shape == (groups, width)
            and self.whitening.shape == (len(self.whitening), width, width)
            and self.family.shape == (groups,)
        )
        if not fits or not 1 <= groups <= GROUPS_MAX or not len(MEASURES) < width <= FEATURES_MAX:
            shapes = [list(a.shape) for a in (self.mean, self.components, self.centres, self.whitening, self.family)]
            raise ValueError(f"its arrays have the shapes {shapes}, which do not fit")
        if int(self.family.max()) >= len(self.whitening):
            raise ValueError("it names a family that it does not have")
        numbers = (self.mean, self.components, self.centres, self.whitening)
        if not all(np.isfinite(array).all() for array in numbers):
            raise ValueError("it holds a value that is not a number")


def distances_from_cells(
    embedding: NDArray[np.float32], measures: NDArray[np.float32], rule: OutlierRule
) -> NDArray[np.float64]:
    """Return the distance of each cell to its nearest group, float64 [N].

    `embedding` float32 [N, D], `measures` float32 [N, len(MEASURES)]. Raises ValueError when they do not fit the rule
    or each other.
    """
    if embedding.ndim != 2 or embedding.shape[1] != len(rule.mean):
        raise ValueError(f"embedding {list(embedding.shape)} does not fit a rule of {len(rule.mean)} columns")
    if measures.shape != (len(embedding), len(MEASURES)):
        raise ValueError(f"measures {list(measures.shape)} do not fit {len(embedding)} cells")
    features = np.concatenate([(embedding - rule.mean) @ rule.components, measures], axis=1).astype(np.float64)
    nearest = np.full(len(features), np.inf)
    for number, whitening in enumerate(rule.whitening.astype(np.float64)):
        centres = rule.centres[rule.family == number].astype(np.float64)
        if not len(centres):
            continue
        # Differences first: far from the origin, |a|2 + |b|2 - 2ab would lose what is left of a small distance.
        origin = centres.mean(axis=0)
        points, groups = (features - origin) @ whitening, (centres - origin) @ whitening
        squared = (points**2).sum(axis=1)[:, None] + (groups**2).sum(axis=1)[None, :] - 2 * points @ groups.T
        nearest = np.minimum(nearest, squared.min(axis=1))
    return np.asarray(np.sqrt(np.maximum(nearest, 0.0)))


def outlier_rule_from_bundle(bundle: Bundle) -> OutlierRule | None:
    """Return the bundle's rule, None where its manifest names none. Raises EdgeError MDSE-BUNDLE-011."""
    stated = bundle.manifest.decision.ood
    if stated is None:
        return None
    arrays = arrays_from_npz(bundle.read(stated.file), _SPECS, where=stated.file, array_bytes_max=_ARRAY_BYTES_MAX)
    if len(arrays["mean"]) != bundle.manifest.embedding_dim:
        reason = "its cells do not have the embedding's width"
        raise EdgeError("MDSE-BUNDLE-011", where=stated.file, reason=reason)
    try:
        return OutlierRule(**arrays, threshold=stated.threshold)
    except ValueError as error:
        raise EdgeError("MDSE-BUNDLE-011", where=stated.file, reason=str(error)) from error
