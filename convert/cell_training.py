"""Settings of a training of the cell network, and what a learner must be able to do.

CellTraining    all settings, one frozen value; a checkpoint belongs to exactly one
Learner         the network with its optimizer: `keras_learner.py` (the default) and `torch_learner.py`
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from convert.augmentation import Augmentation
from convert.network import build_network
from convert.training_batches import Batch
from convert.training_schedule import Schedule
from convert.training_state import Weights
from edge.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class CellTraining:
    """All settings of a training. At least one of `epochs` and `budget_s` must be given."""

    size_px: int = 299
    width: float = 1.0
    epochs: int | None = None
    budget_s: float | None = None
    batch: int = 64
    seed: int = 1
    peak_rate: float = 2e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    findings_weight: float = 2.0
    real_share: float = 0.75
    start_size_px: int | None = None
    start_share: float = 0.6
    patience: int = 12
    mixed_precision: bool = False
    learner: Literal["keras", "torch"] = "keras"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def schedule(self) -> Schedule:
        """Return the schedule of rate and size."""
        start = self.start_size_px or self.size_px
        return Schedule(self.size_px, start, self.start_share, self.epochs, self.budget_s, self.peak_rate)


class Learner(Protocol):
    """A network that learns. Weights are always in the order and shapes of the Keras model's `get_weights()`."""

    size_px: int

    def resize(self, size_px: int) -> None:
        """Take images of another size from now on; weights and optimizer state stay."""

    def step(self, batch: Batch, rate: float) -> float:
        """Learn from one batch at a learning rate; return the loss."""

    def predict(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Return `cell_type`, `findings` and `embedding`, float32, for uint8 [N, S, S, 3]."""

    def get_weights(self) -> Weights:
        """Return copies of all weights, batch statistics included."""

    def set_weights(self, weights: Weights) -> None:
        """Replace all weights."""

    def optimizer_state(self) -> Weights:
        """Return copies of the optimizer's variables."""

    def set_optimizer_state(self, values: Weights) -> None:
        """Replace the optimizer's variables."""


def network_for(training: CellTraining, catalogue: Catalogue, size_px: int) -> keras.Model:
    """Return the untrained Keras network of a training at an image size."""
    return build_network(
        size_px=size_px,
        width=training.width,
        type_count=len(catalogue.cell_types),
        finding_count=len(catalogue.findings),
    )
