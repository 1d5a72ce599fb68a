"""From the trees' raw margin to the calibrated score that people see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Calibration


def score_from_margin(margin: float, calibration: Calibration) -> float:
    """Return the calibrated score of a raw margin: sigmoid(slope * margin + intercept)."""
    return float(scores_from_margins(np.array([margin]), calibration)[0])


def scores_from_margins(margins: NDArray[np.float64], calibration: Calibration) -> NDArray[np.float64]:
    """Return the calibrated scores of raw margins, float64 [N]."""
    # tanh does not overflow where exp would: a margin of 1,000 is a score of 1, without a warning.
    logits = calibration.slope * margins + calibration.intercept
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float64)
