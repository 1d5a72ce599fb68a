"""The two losses of the network, on any Keras 3 backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from convert.training_batches import NOT_ANNOTATED

_SMALLEST_PROBABILITY = 1e-6
_LARGEST_POSITIVE_WEIGHT = 10.0


def positive_weights(findings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return negatives / positives per finding, float32 [F] within 1..10, from training targets [N, F].

    Without it a finding that one cell in twenty shows is learned as "never".
    """
    positives = (findings == 1).sum(axis=0)
    negatives = (findings == 0).sum(axis=0)
    return np.asarray(np.clip(negatives / np.maximum(positives, 1), 1.0, _LARGEST_POSITIVE_WEIGHT), np.float32)


def masked_findings_loss(weights: NDArray[np.float32]) -> Callable[[Any, Any], Any]:
    """Return a Keras loss: binary cross-entropy over annotated findings only.

    Targets float32 [N, F] with 1, 0 or NOT_ANNOTATED. The result is [N]; its mean is the mean over all annotated
    entries of the batch, so that batches with few annotations do not shout.
    """

    def findings_loss(target: Any, probability: Any) -> Any:
        annotated = ops.cast(ops.not_equal(target, NOT_ANNOTATED), "float32")
        probability = ops.clip(ops.cast(probability, "float32"), _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
        # As a tensor: PyTorch's tensors do not multiply with NumPy's arrays while gradients are recorded.
        shown = ops.log(probability) * ops.convert_to_tensor(weights, dtype="float32") * target
        not_shown = ops.log(1 - probability) * (1 - target)
        entries = -(shown + not_shown) * annotated
        mean_annotations = ops.maximum(ops.mean(ops.sum(annotated, axis=-1)), 1.0)
        return ops.sum(entries, axis=-1) / mean_annotations

    return findings_loss
