"""The atlas of a bundle: reference cells of every type, reduced, and put on a plane by t-SNE (Fig. 2 of the paper)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from convert.outlier_fit import principal_components
from convert.reference_cells import ReferenceCells

MOST_CELLS = 1200
COMPONENTS = 32
_PERPLEXITY = 30.0
_SEED = 20190916


def atlas_arrays(reference: ReferenceCells) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of `decision/atlas.npz` (see edge/atlas.py), the same for the same cells.

    Real types come in equal numbers as the reference has them; drawn cells stand for the types without a real one.
    """
    chosen = _chosen(reference)
    embedding = reference.embedding[chosen]
    mean = embedding.mean(axis=0, dtype=np.float64)
    rank = min(COMPONENTS, embedding.shape[1], len(chosen) - 1)
    components = principal_components(embedding, mean, rank)
    reduced = ((embedding - mean) @ components).astype(np.float16)
    perplexity = min(_PERPLEXITY, (len(chosen) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=_SEED, n_jobs=1)
    # One thread: sums of many threads end in other last digits, and t-SNE makes another picture of them.
    with threadpool_limits(1):
        points = tsne.fit_transform(reduced.astype(np.float32))
    return {
        "mean": mean.astype(np.float32),
        "components": components.astype(np.float32),
        "reference": reduced,
        "points": np.asarray(points, np.float32),
        "types": reference.cell_type[chosen].astype(np.uint8),
    }


def _chosen(reference: ReferenceCells) -> NDArray[np.intp]:
    """Take the types in turn, the first family that has a type, until MOST_CELLS are taken."""
    by_type = []
    for code in np.unique(reference.cell_type):
        own = reference.cell_type == code
        by_type.append(np.flatnonzero(own & (reference.family == reference.family[own].min())))
    turns = max(len(places) for places in by_type)
    in_turn = [places[turn] for turn in range(turns) for places in by_type if turn < len(places)]
    return np.sort(np.array(in_turn[:MOST_CELLS], np.intp))
