"""Do the probabilities mean what they say? The reliability of the best type's probability on cells kept apart.

Cells are sorted by the probability of their best type and cut into bins of equal size. The calibration error is the
root of the mean squared difference between confidence and accuracy, less what chance alone adds to it in bins of that
size (Kumar, Liang and Ma, NeurIPS 2019, "Verified uncertainty calibration"; their debiased estimator).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15


def calibration_document(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], *, temperature: float, split: str
) -> dict[str, Any]:
    """Return parity.json's `calibration` for probabilities float32 [N, T] and type indices int64 [N], N >= 30.

    `reliability`: the bins from the least to the most certain cells. Raises ValueError for fewer cells.
    """
    bins = reliability_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)
    return {
        "temperature": temperature,
        "reliability": [
            {"n": count, "confidence": round(confidence, 4), "accuracy": round(accuracy, 4)}
            for count, confidence, accuracy in bins
        ],
        "ece_debiased": round(debiased_error(bins), 4),
        "n": len(truth),
        "split": split,
    }


def reliability_bins(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> list[tuple[int, float, float]]:
    """Return BINS bins of equal size (give or take one cell): cells, mean confidence, accuracy.

    `confidence` float32 [N], 0-1; `correct` bool [N]. Raises ValueError where a bin would hold fewer than two cells.
    """
    if len(confidence) < 2 * BINS:
        raise ValueError(f"{len(confidence)} cells are too few for {BINS} bins")
    order = np.argsort(confidence, kind="stable")
    return [
        (len(rows), float(confidence[rows].mean(dtype=np.float64)), float(correct[rows].mean()))
        for rows in np.array_split(order, BINS)
    ]


def debiased_error(bins: list[tuple[int, float, float]]) -> float:
    """Return the debiased calibration error (0 where chance explains all of it)."""
    total = sum(count for count, _, _ in bins)
    squared = sum(
        count / total * ((confidence - accuracy) ** 2 - accuracy * (1 - accuracy) / (count - 1))
        for count, confidence, accuracy in bins
    )
    return float(np.sqrt(max(squared, 0.0)))
