"""Which network is this? The digest of its weights, by which trees know the network that made their profiles."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import keras
import numpy as np

from convert.tree_model import TrainedTrees
from edge.errors import EdgeError


def network_sha256(model: keras.Model) -> str:
    """Return the SHA-256 of all weights in the order of Keras, shapes included: the same for the same network."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(f"{weights.shape}".encode())
        digest.update(np.ascontiguousarray(weights, np.float32).tobytes())
    return digest.hexdigest()


def require_same_network(trees: Sequence[TrainedTrees], sha256: str) -> None:
    """Raise EdgeError MDSE-CONVERT-036 for trees that were trained on the profiles of another network.

    Trees from before this was recorded do not say, and are taken.
    """
    for model in trees:
        if model.network not in (None, sha256):
            raise EdgeError("MDSE-CONVERT-036", where=model.target, theirs=str(model.network)[:12], ours=sha256[:12])
