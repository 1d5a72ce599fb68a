"""The gates over all cells: bars that one number of an engine must pass, beside the verdict on every type and finding.

    top1_agreement        share of views whose most probable type is the original's           at least 99.0 %
    sure_agreement        the same where the original leads the second type by more than 0.1  at least 99.7 %
    reference_agreement   ONNX Runtime says the same type of the same file, where it leads so at least 99.9 %
    mean_abs_dp_types, mean_abs_dp_findings   mean difference of probabilities                by precision

ONNX Runtime runs the file as it is written (graph optimizations off). The features of an int8 file are the same bits in
both (ADR 0007); only the heads, which compute in float32, may part in the last digit (1.6e-6 on 1,624 cells). Where
layers were left in floating point, what follows them is equal no longer, and a code may tip. Near ties are therefore
left out: there such a digit decides, and nothing is wrong with either runtime.

A share is judged like the loss of a type: REFUSED where the cells show (2.5 % one-sided, Holm over the shares) that it
misses its bar, PROVEN where its whole interval passes, NOT PROVEN between. A mean difference needs no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.parity_statistics import Verdict, loss_from_disagreements, verdicts_from_losses
from edge.engines.base import EngineOutputs

TOP1_BAR, SURE_BAR, REFERENCE_BAR = 0.99, 0.997, 0.999
SURE_LEAD = 0.1
# int8: the bar of the product. float16 and fp32 lose so little that the same bar would let a mistake pass.
MEAN_DIFFERENCE_BARS = {"int8": (0.002, 0.01), "fp16": (0.0005, 0.002), "fp32": (0.0001, 0.0001)}


@dataclass(frozen=True, slots=True)
class Gate:
    """One bar: the value found, its 95 % interval (a mean has none), the bar, on how many views, and the verdict."""

    name: str
    value: float
    bar: float
    views: int
    lowest: float | None
    highest: float | None
    verdict: Verdict


def gates_from_outputs(
    precision: str,
    original: EngineOutputs,
    found: EngineOutputs,
    reference: EngineOutputs | None,
    cells: NDArray[np.int64],
) -> tuple[Gate, ...]:
    """Judge one engine's outputs; `reference` are ONNX Runtime's for the same file, None where it was not run."""
    otherwise = original.cell_type.argmax(axis=1) != found.cell_type.argmax(axis=1)
    sure = leads(original)
    shares = [
        ("top1_agreement", TOP1_BAR, otherwise, cells),
        ("sure_agreement", SURE_BAR, otherwise[sure], cells[sure]),
    ]
    if reference is not None:
        clear = leads(reference)
        apart = reference.cell_type.argmax(axis=1) != found.cell_type.argmax(axis=1)
        shares.append(("reference_agreement", REFERENCE_BAR, apart[clear], cells[clear]))
    return (*_judged_shares(shares), *_judged_means(precision, original, found))


def leads(outputs: EngineOutputs) -> NDArray[np.bool_]:
    """Return for every view, bool [N], whether its most probable type leads the second by more than SURE_LEAD."""
    second, first = np.sort(outputs.cell_type, axis=1)[:, -2:].T
    return np.asarray(first - second > SURE_LEAD, np.bool_)


def _judged_shares(shares: Sequence[tuple[str, float, NDArray[np.bool_], NDArray[np.int64]]]) -> list[Gate]:
    losses = [(loss_from_disagreements(apart, cells, tolerance=1 - bar), 1 - bar) for _, bar, apart, cells in shares]
    verdicts = verdicts_from_losses(losses)
    return [
        Gate(name, 1 - loss.value, bar, loss.views, 1 - loss.highest, 1 - loss.lowest, verdict)
        for (name, bar, _, _), (loss, _), verdict in zip(shares, losses, verdicts, strict=True)
        if loss is not None
    ]


def _judged_means(precision: str, original: EngineOutputs, found: EngineOutputs) -> list[Gate]:
    differences = {
        "mean_abs_dp_types": float(np.abs(original.cell_type - found.cell_type).mean()),
        "mean_abs_dp_findings": float(np.abs(original.findings - found.findings).mean()),
    }
    return [
        Gate(name, value, bar, len(found.cell_type), None, None, "PROVEN" if value <= bar else "REFUSED")
        for (name, value), bar in zip(differences.items(), MEAN_DIFFERENCE_BARS[precision], strict=True)
    ]
