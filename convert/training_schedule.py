"""Learning rate and image size as functions of progress (0 at the start, 1 at the end of the training).

Progress is the larger of the share of epochs done and the share of the time budget used: on a busy machine a training
with a budget still ends with its low learning rate, only after fewer steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_LAST_RATE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Schedule:
    """Warm-up, then half a cosine. `start_size_px` is used until `start_share` of the progress, then `size_px`."""

    size_px: int
    start_size_px: int
    start_share: float
    epochs: int | None
    budget_s: float | None
    peak_rate: float
    warm_up_share: float = 0.04

    def progress(self, epochs_done: float, elapsed_s: float) -> float:
        """Return the progress, 0 to 1."""
        by_epochs = epochs_done / self.epochs if self.epochs else 0.0
        by_time = elapsed_s / self.budget_s if self.budget_s else 0.0
        return min(1.0, max(by_epochs, by_time))

    def rate(self, progress: float) -> float:
        """Return the learning rate."""
        if progress < self.warm_up_share:
            return self.peak_rate * max(0.02, progress / self.warm_up_share)
        along = (progress - self.warm_up_share) / (1 - self.warm_up_share)
        share = 0.5 * (1 + math.cos(math.pi * along))
        return self.peak_rate * max(_LAST_RATE_SHARE, share)

    def size(self, progress: float) -> int:
        """Return the side of the training images in px. Early epochs on smaller images cost less than half."""
        return self.start_size_px if progress < self.start_share else self.size_px
