"""The int8 steps: chosen so that every runtime computes the same bits from one file.

Runtimes multiply and add in different orders, and where a sum is rounded to the next code, the last digit of a float
decides. One such code moves hundreds of others behind it: with free steps OpenVINO and ONNX Runtime agreed on 99.5 % of
the cells, although both were right. So the steps leave nothing to be rounded before a code is:

- an activation's step is a power of two. Equalization moves the range of its tensor to just below 127 steps, so little
  is lost by that;
- a weight's step is 4, 5, 6, 7 or 8 eighths of a power of two (a power of two itself for depthwise kernels, whose
  products are rounded to codes at once);
- a bias is a whole number of products of the two steps, in floating point.

Every product and every sum up to 2^24 units is then exact in float32, in any order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Symmetric int8 uses -127..127: -128 has no positive partner.
LARGEST_INT8 = 127
# A range that ends this little above 127 steps is not worth a step twice as large.
_SLACK = 1e-5
_EIGHTHS = (4, 5, 6, 7, 8)


def activation_step(largest: float) -> float:
    """Return the power of two that brings the largest magnitude to at most 127 steps.

    A value that is always zero gets the step 1: a step of 0 would divide by zero.
    """
    if not largest > 0:
        return 1.0
    return float(2.0 ** np.ceil(np.log2(largest / LARGEST_INT8) - _SLACK))


def weight_steps(kernel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return one step per output channel of a kernel [out, in / groups, h, w], that of least squared error."""
    rows = kernel.reshape(len(kernel), -1).astype(np.float64)
    largest = np.abs(rows).max(axis=1)
    safe = np.where(largest > 0, largest, 1.0)
    # A row is clipped where a smaller step serves its other weights better.
    whole = np.where(largest > 0, 2.0 ** np.ceil(np.log2(safe / LARGEST_INT8)), 1.0)
    depthwise = kernel.ndim == 4 and kernel.shape[1] == 1
    tried = np.array([whole * eighths / 8 for eighths in ((4, 8) if depthwise else _EIGHTHS)])
    errors = np.array([np.square(rows - _rounded(rows, steps)).sum(axis=1) for steps in tried])
    return np.asarray(tried[errors.argmin(axis=0), np.arange(len(rows))])


def weight_codes(kernel: NDArray[np.float32], steps: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return the int8 codes of a kernel, -127..127."""
    codes = np.rint(kernel.astype(np.float64) / steps.reshape(-1, *([1] * (kernel.ndim - 1))))
    return np.clip(codes, -LARGEST_INT8, LARGEST_INT8).astype(np.int8)


def bias_on_steps(bias: NDArray[np.float32], step: float, steps: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the bias [out] rounded to whole units of activation step times weight steps, still float32."""
    unit = step * steps
    return np.asarray(np.rint(bias.astype(np.float64) / unit) * unit, np.float32)


def factor_to_steps(largest: list[float]) -> float:
    """Return the factor, 1 to 2, that lets ranges end just below 127 steps: exact for one, a compromise for more."""
    reaches = np.log2([reach / LARGEST_INT8 for reach in largest if reach > 0])
    if not len(reaches):
        return 1.0
    if len(reaches) == 1:
        return float(2.0 ** (np.ceil(reaches[0]) - reaches[0]))
    tried = np.ceil(reaches) - reaches
    # Noise grows with the square of how much larger a step is than its range needs.
    lost = [np.mean(4.0 ** (np.ceil(reaches + move - _SLACK) - reaches - move)) for move in tried]
    return float(2.0 ** tried[int(np.argmin(lost))])


def _rounded(rows: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    codes = np.clip(np.rint(rows / steps[:, np.newaxis]), -LARGEST_INT8, LARGEST_INT8)
    return np.asarray(codes * steps[:, np.newaxis])
