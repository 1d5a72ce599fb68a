"""The learner on the Keras backend in use (TensorFlow by default).

With mixed precision the network that learns computes in bfloat16. Predictions are always float32, from a twin with the
same weights: an epoch is judged, and the saved network is proved, in the arithmetic in which it will run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.cell_training import CellTraining, network_for
from convert.training_batches import Batch
from convert.training_loss import masked_findings_loss
from convert.training_state import Weights
from edge.catalogue import Catalogue

_PREDICT_BATCH = 128
GLOBAL_CLIP_NORM = 5.0
# Normalization and biases are not decayed: their size carries no complexity.
UNDECAYED = ("gamma", "beta", "bias")


class KerasLearner:
    """Trains with `train_on_batch`; see `Learner` for the methods."""

    def __init__(
        self, training: CellTraining, catalogue: Catalogue, positive_weight: NDArray[np.float32], size_px: int
    ) -> None:
        self._training = training
        self._catalogue = catalogue
        self._findings_loss = masked_findings_loss(positive_weight)
        self._model: Any = None
        self._twin: Any = None  # None without mixed precision: then the network itself predicts
        self._compiled: Any = None
        self.size_px = 0
        self.resize(size_px)

    def resize(self, size_px: int) -> None:  # noqa: D102 - Learner
        before = (self.get_weights(), self.optimizer_state()) if self._model is not None else None
        self.size_px = size_px
        if self._training.mixed_precision:
            with _built_for("mixed_bfloat16"):
                self._model = network_for(self._training, self._catalogue, size_px)
            self._twin = network_for(self._training, self._catalogue, size_px)
        else:
            self._model = network_for(self._training, self._catalogue, size_px)
        self._compile()
        if before is not None:
            self.set_weights(before[0])
            self.set_optimizer_state(before[1])

    def _compile(self) -> None:
        optimizer = keras.optimizers.AdamW(
            self._training.peak_rate, weight_decay=self._training.weight_decay, global_clipnorm=GLOBAL_CLIP_NORM
        )
        optimizer.exclude_from_weight_decay(var_names=list(UNDECAYED))
        outputs = {name: self._model.output[name] for name in ("cell_type", "findings")}
        self._compiled = keras.Model(self._model.inputs[0], outputs)
        type_loss = keras.losses.CategoricalCrossentropy(label_smoothing=self._training.label_smoothing)
        self._compiled.compile(
            optimizer=optimizer,
            loss={"cell_type": type_loss, "findings": self._findings_loss},
            loss_weights={"cell_type": 1.0, "findings": self._training.findings_weight},
            jit_compile=False,  # measured: XLA on the CPU is ten times slower for this network
        )
        optimizer.build(self._compiled.trainable_variables)

    def step(self, batch: Batch, rate: float) -> float:  # noqa: D102 - Learner
        self._compiled.optimizer.learning_rate = rate
        target = {"cell_type": batch.cell_type, "findings": batch.findings}
        loss = self._compiled.train_on_batch(batch.images, target)
        return float(loss[0] if isinstance(loss, (list, tuple)) else loss)

    def predict(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:  # noqa: D102 - Learner
        if self._twin is None:
            return predict_cells(self._model, pixels)
        self._twin.set_weights(self._model.get_weights())
        return predict_cells(self._twin, pixels)

    def get_weights(self) -> Weights:  # noqa: D102 - Learner
        return list(self._model.get_weights())

    def set_weights(self, weights: Weights) -> None:  # noqa: D102 - Learner
        self._model.set_weights(weights)

    def optimizer_state(self) -> Weights:  # noqa: D102 - Learner
        return [np.asarray(keras.ops.convert_to_numpy(v)) for v in self._compiled.optimizer.variables]

    def set_optimizer_state(self, values: Weights) -> None:  # noqa: D102 - Learner
        for variable, value in zip(self._compiled.optimizer.variables, values, strict=True):
            variable.assign(value)


@contextmanager
def _built_for(policy: str) -> Iterator[None]:
    """Let layers that are made inside compute by `policy`; it is Keras' own global setting, and goes back after."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def predict_cells(model: keras.Model, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Return `cell_type` [N, T], `findings` [N, F] and `embedding` [N, D], float32, for uint8 [N, S, S, 3]."""
    parts = [
        model.predict_on_batch(np.ascontiguousarray(pixels[start : start + _PREDICT_BATCH]))
        for start in range(0, len(pixels), _PREDICT_BATCH)
    ]
    return {name: np.concatenate([np.asarray(part[name], np.float32) for part in parts]) for name in parts[0]}
