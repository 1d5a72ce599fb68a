"""The embedding atlas: where the cells of a slide lie among the reference cells, as a picture of two dimensions.

The bundle carries reference cells as they lie in a reduced embedding, and where t-SNE (van der Maaten and Hinton, JMLR
2008;9:2579) put each of them on a plane: Fig. 2 of Kimura et al., Sci Rep 2019;9:13385. t-SNE itself cannot place a new
cell, so a new cell goes to the distance-weighted mean of the points of its nearest references. The picture is for
orientation only; nothing is decided by it.

    atlas_from_bundle   reads and checks `decision/atlas.npz`
    Atlas.placed_cells  embedding -> points
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.arrays import ArraySpec, arrays_from_npz
from edge.bundle.reader import Bundle
from edge.errors import EdgeError

RANK_MAX = 64
REFERENCES_MAX = 1500
NEIGHBOURS = 5
_ARRAY_BYTES_MAX = 16 << 20
_SPECS = {
    "mean": ArraySpec("float32", 1),
    "components": ArraySpec("float32", 2),
    "reference": ArraySpec("float16", 2),
    "points": ArraySpec("float32", 2),
    "types": ArraySpec("uint8", 1),
}


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """Reference cells on a plane.

    `mean` float32 [D] and `components` float32 [D, R] reduce an embedding; `reference` float16 [N, R] are the reduced
    reference cells, `points` float32 [N, 2] their places, `types` uint8 [N] their types as indices into the manifest's.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    reference: NDArray[np.float16]
    points: NDArray[np.float32]
    types: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Raise ValueError when the arrays do not fit each other, are too large, or hold what is not a number."""
        count, rank = self.reference.shape
        shapes = (self.mean.shape, self.components.shape, self.points.shape, self.types.shape)
        if shapes != (self.mean.shape, (len(self.mean), rank), (count, 2), (count,)):
            raise ValueError(f"its arrays have the shapes {shapes} for {count} cells of {rank} numbers")
        if not 1 <= rank <= RANK_MAX or not 1 <= count <= REFERENCES_MAX:
            raise ValueError(f"it has {count} cells of {rank} numbers")
        if not all(np.isfinite(array).all() for array in (self.mean, self.components, self.reference, self.points)):
            raise ValueError("it holds a value that is not a number")

    def placed_cells(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the place of each row of `embedding` (float32 [N, D]), float32 [N, 2]; N may be 0.

        Raises ValueError when D is not the atlas's.
        """
        if embedding.ndim != 2 or embedding.shape[1] != len(self.mean):
            raise ValueError(f"embedding {embedding.shape} does not fit an atlas of {len(self.mean)} columns")
        reduced = (embedding - self.mean) @ self.components
        reference = self.reference.astype(np.float32)
        squared = (reduced**2).sum(axis=1)[:, None] + (reference**2).sum(axis=1)[None, :] - 2 * reduced @ reference.T
        count = min(NEIGHBOURS, len(reference))
        nearest = np.argpartition(squared, count - 1, axis=1)[:, :count]
        distances = np.sqrt(np.maximum(np.take_along_axis(squared, nearest, axis=1), 0.0))
        # A cell that is a reference itself lies where that reference lies, and nothing is divided by zero.
        weights = 1.0 / np.maximum(distances, 1e-6)
        weights /= weights.sum(axis=1, keepdims=True)
        return np.asarray((weights[:, :, None] * self.points[nearest]).sum(axis=1), np.float32)


def atlas_from_bundle(bundle: Bundle) -> Atlas | None:
    """Return the bundle's atlas, None where its manifest names none. Raises EdgeError MDSE-BUNDLE-011."""
    file = bundle.manifest.decision.atlas
    if file is None:
        return None
    arrays = arrays_from_npz(bundle.read(file), _SPECS, where=file, array_bytes_max=_ARRAY_BYTES_MAX)
    try:
        atlas = Atlas(**arrays)
    except ValueError as error:
        raise EdgeError("MDSE-BUNDLE-011", where=file, reason=str(error)) from error
    if len(atlas.mean) != bundle.manifest.embedding_dim:
        raise EdgeError("MDSE-BUNDLE-011", where=file, reason="its cells do not have the embedding's width")
    if int(atlas.types.max()) >= len(bundle.manifest.types):
        raise EdgeError("MDSE-BUNDLE-011", where=file, reason="it names a type that the manifest does not have")
    return atlas
