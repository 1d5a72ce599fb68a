"""The statistics of parity: losses with exact intervals, clustered by cell, and Holm's verdict over all tests.

REFUSED      the loss is above the tolerance, shown at 2.5 % one-sided with Holm's correction over all tests
PROVEN       the upper end of the 95 % interval is within the tolerance
NOT PROVEN   the cells do not suffice to say either; printed as such, never passed off
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]  # scipy ships no type information

Verdict = Literal["PROVEN", "NOT PROVEN", "REFUSED"]
LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True, slots=True)
class Loss:
    """Share of views on which the engine decided otherwise than the original.

    `views` were compared, from `cells` different cells; `lowest`..`highest` is the 95 % interval; `p_value` is the
    chance of such a loss or a worse one if the true loss were the tolerance.
    """

    views: int
    cells: int
    value: float
    lowest: float
    highest: float
    p_value: float


def loss_from_disagreements(disagrees: NDArray[np.bool_], cells: NDArray[np.int64], *, tolerance: float) -> Loss | None:
    """Return the loss of `disagrees` [views], or None without views; `cells` [views] says which cell each view shows.

    Clopper-Pearson on an effective number of views: views of one cell are alike, so the number is divided by the
    design effect (variance between cells over binomial variance), and never taken below the number of cells. Where
    nothing or everything disagrees the effect cannot be estimated; then each cell counts once.
    """
    views = len(disagrees)
    if views == 0:
        return None
    value = float(disagrees.mean())
    _, cluster = np.unique(cells, return_inverse=True)
    count = int(cluster.max()) + 1
    effective = _effective_views(disagrees, cluster, count, value)
    hits = value * effective
    lowest = float(special.betaincinv(hits, effective - hits + 1, _TAIL)) if hits > 0 else 0.0
    highest = float(special.betaincinv(hits + 1, effective - hits, 1 - _TAIL)) if hits < effective else 1.0
    p_value = float(special.betainc(hits, effective - hits + 1, tolerance)) if hits > 0 else 1.0
    return Loss(views, count, value, lowest, highest, p_value)


def holm_refusals(p_values: Sequence[float], level: float = _TAIL) -> list[bool]:
    """Return which hypotheses "the loss is within the tolerance" fall, by Holm's step-down procedure (1979)."""
    refused = [False] * len(p_values)
    for step, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[place] > level / (len(p_values) - step):
            break
        refused[place] = True
    return refused


def verdicts_from_losses(losses: Sequence[tuple[Loss | None, float]]) -> list[Verdict]:
    """Return one verdict per (loss, tolerance), refusals by Holm over all of them. A loss of None proves nothing."""
    tested = [place for place, (loss, _) in enumerate(losses) if loss is not None]
    refused = holm_refusals([loss.p_value for loss, _ in losses if loss is not None])
    fallen = {place for place, falls in zip(tested, refused, strict=True) if falls}
    verdicts: list[Verdict] = []
    for place, (loss, tolerance) in enumerate(losses):
        if place in fallen:
            verdicts.append("REFUSED")
        else:
            verdicts.append("PROVEN" if loss is not None and loss.highest <= tolerance else "NOT PROVEN")
    return verdicts


def overall_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """One refusal refuses all; all must be proven for PROVEN."""
    if "REFUSED" in verdicts:
        return "REFUSED"
    return "PROVEN" if verdicts and all(verdict == "PROVEN" for verdict in verdicts) else "NOT PROVEN"


def _effective_views(disagrees: NDArray[np.bool_], cluster: NDArray[np.intp], count: int, value: float) -> float:
    views = len(disagrees)
    if views == count:
        return float(views)
    if value in (0.0, 1.0) or count < 2:
        return float(count)
    sizes = np.bincount(cluster, minlength=count)
    hits = np.bincount(cluster, weights=disagrees.astype(np.float64), minlength=count)
    between = float(((hits - value * sizes) ** 2).sum()) * count / (count - 1) / views**2
    effect = max(1.0, between / (value * (1 - value) / views))
    return float(min(max(views / effect, count), views))
