"""Exact confidence intervals for counts (Clopper and Pearson, Biometrika 1934;26:404)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def clopper_pearson(successes: ArrayLike, trials: ArrayLike, *, level: float = 0.95) -> NDArray[np.float64]:
    """Return the exact two-sided interval of a share, float64 [..., 2], NaN where there were no trials.

    `successes` and `trials` are whole numbers of the same shape, 0 <= successes <= trials. Raises ValueError otherwise.
    The interval covers the true share in at least `level` of all samples, whatever the share.
    """
    # Imported here: what only reads or renders a profile needs no special functions.
    from scipy.special import betaincinv  # type: ignore[import-untyped] # scipy ships no type information

    k, n = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    if not 0 < level < 1 or (k < 0).any() or (k > n).any() or (k != np.floor(k)).any() or (n != np.floor(n)).any():
        raise ValueError("counts must be whole, 0 <= successes <= trials, and the level between 0 and 1")
    tail = (1 - level) / 2
    # Where a bound is 0 or 1 by definition, the beta quantile is asked for harmless parameters and not used.
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail), 1.0)
    bounds = np.stack([low, high], axis=-1)
    bounds[n == 0] = np.nan
    return bounds


def ratio_interval(counts: ArrayLike, references: ArrayLike, *, level: float = 0.95) -> NDArray[np.float64]:
    """Return the exact interval of the ratio counts / references, float64 [..., 2], NaN where references is 0.

    For objects that are no part of the reference (smudge cells per leucocyte) the ratio may exceed 1, so it is no
    share. Given the sum of both counts, `counts` is binomial with p = ratio / (1 + ratio); the Clopper-Pearson bounds
    of p are turned back into ratios, which keeps them exact. Raises ValueError as `clopper_pearson`.
    """
    count, reference = np.broadcast_arrays(
        np.asarray(counts, dtype=np.float64), np.asarray(references, dtype=np.float64)
    )
    share = clopper_pearson(count, count + reference, level=level)
    bounds = np.full_like(share, np.nan)
    known = reference > 0
    bounds[known] = share[known] / (1 - share[known])
    return bounds
