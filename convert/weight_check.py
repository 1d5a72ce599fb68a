"""Are the weights in a file those of the network? Compared number by number, so that the layer at fault has a name.

Cells judge what a file decides; one layer whose weights are a tenth too large can pass them by (seen: 5 % of one type,
on 150 cells). The weights themselves have no noise of sampling:

    int8      a row's squared error, dequantized against the source, is at most that of plain rounding to the coarsest
              step that the row can need: the power of two that brings its largest weight to 127 codes (steps that are
              themselves stored in float16 may add what that rounds)
    float16   every weight is within the rounding of half precision, 2^-11 of itself or 2^-25

The source of an int8 file is the equalized graph, whose channels have the file's own scale; that equalizing changed
nothing is proved by running both (`require_equal_network`). Biases: `convert.bias_check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.int8_steps import LARGEST_INT8
from convert.onnx_graph import constants_of
from convert.parity import outputs_of_onnx
from convert.progress import Progress
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError

WITH_WEIGHTS = ("Conv", "Gemm")
HALF_RELATIVE, _HALF_ABSOLUTE = 2.0**-11, 2.0**-25
# Both sides are computed in double precision from the same float32; this is for the last digits of that alone.
_SLACK = 1 + 1e-6
_NAMED_LAYERS = 3
# Equalizing multiplies and divides float32 numbers: their last digits move, a hundred times less than this.
_EQUAL_PROBABILITY = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class UsedWeights:
    """Weights as their layer uses them, float64, and the type of their int8 steps (None without int8)."""

    values: NDArray[np.float64]
    steps: np.dtype[Any] | None


def require_weights(file: str, model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Compare every convolution and dense layer of `model` with the layer of its name in `source` (float32).

    Raises EdgeError MDSE-PARITY-010 naming the layers whose weights are others, the worst first.
    """
    found, expected = weights_by_layer(model), weights_by_layer(source)
    faults = {}
    for name, used in found.items():
        true = expected.get(name)
        if true is None or true.values.shape != used.values.shape:
            faults[name] = np.inf
        elif used.steps is None:
            faults[name] = half_excess(used.values, true.values)
        else:
            faults[name] = _int8_excess(used.values, true.values, half_steps=used.steps == np.float16)
    faults |= dict.fromkeys(expected.keys() - found.keys(), np.inf)
    refuse_worst("MDSE-PARITY-010", file, faults)


def refuse_worst(code: str, file: str, shares: Mapping[str, float]) -> None:
    """Raise EdgeError `code` where layers use more of what they are allowed than all of it (1), the worst first.

    What is no number is more than is allowed.
    """
    used = {name: np.inf if np.isnan(share) else share for name, share in shares.items()}
    worst = sorted((name for name in used if used[name] > _SLACK), key=lambda name: -used[name])
    if worst:
        names = ", ".join(name.removesuffix("/linear") for name in worst[:_NAMED_LAYERS])
        raise EdgeError(code, where=file, layers=names, count=len(worst), all=len(shares))


def require_equal_network(
    original: onnx.ModelProto, equalized: onnx.ModelProto, images: NDArray[np.uint8], *, threads: int
) -> None:
    """Run both on `images` (u8 [N,S,S,3], a few). Raises EdgeError MDSE-PARITY-011 where probabilities differ."""
    first, second = (
        outputs_of_onnx(model, images, Progress("", len(images), None), batch=1, threads=threads)
        for model in (original, equalized)
    )
    difference = max(_largest_difference(first, second))
    if not difference <= _EQUAL_PROBABILITY:
        raise EdgeError(
            "MDSE-PARITY-011", where="equalization", difference=f"{difference:.3g}", limit=f"{_EQUAL_PROBABILITY:g}"
        )


def _largest_difference(first: EngineOutputs, second: EngineOutputs) -> tuple[float, float]:
    return (
        float(np.abs(first.cell_type - second.cell_type).max()),
        float(np.abs(first.findings - second.findings).max()),
    )


def _int8_excess(found: NDArray[np.float64], expected: NDArray[np.float64], *, half_steps: bool) -> float:
    """Return the largest squared error of a row as a multiple of the largest that rounding explains."""
    rows, true = found.reshape(len(found), -1), expected.reshape(len(expected), -1)
    largest = np.abs(true).max(axis=1)
    step = 2.0 ** np.ceil(np.log2(np.where(largest > 0, largest, 1.0) / LARGEST_INT8))[:, np.newaxis]
    allowed = np.square(true - np.rint(true / step) * step).sum(axis=1)
    if half_steps:  # rows so small that their step is a subnormal number of float16, or was raised to the smallest one
        allowed = allowed + true.shape[1] * (LARGEST_INT8 * 2 * _HALF_ABSOLUTE) ** 2
    return _largest_ratio(np.square(rows - true).sum(axis=1), allowed)


def half_excess(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return the largest error as a multiple of what half precision rounds; both float64 of one shape."""
    allowed = np.maximum(np.abs(expected) * HALF_RELATIVE, _HALF_ABSOLUTE)
    return _largest_ratio(np.abs(found - expected), allowed)


def _largest_ratio(error: NDArray[np.float64], allowed: NDArray[np.float64]) -> float:
    """Return the largest error / allowed; an error where none is allowed is infinite."""
    ratios = np.divide(error, allowed, out=np.where(error > 0, np.inf, 0.0), where=allowed > 0)
    return float(ratios.max(initial=0.0))


def weights_by_layer(model: onnx.ModelProto) -> dict[str, UsedWeights]:
    """Return the weights of every convolution and dense layer by its name, dequantized."""
    constants, makers = constants_of(model), {name: node for node in model.graph.node for name in node.output}
    return {
        node.name: _as_used(node.input[1], constants, makers)
        for node in model.graph.node
        if node.op_type in WITH_WEIGHTS
    }


def _as_used(name: str, constants: Mapping[str, NDArray[Any]], makers: Mapping[str, onnx.NodeProto]) -> UsedWeights:
    if name in constants:
        return UsedWeights(constants[name].astype(np.float64), None)
    maker = makers[name]
    used = _as_used(maker.input[0], constants, makers)
    if maker.op_type != "DequantizeLinear":  # a cast: the numbers stay
        return used
    steps = constants[maker.input[1]]
    per_row = steps.astype(np.float64).reshape(-1, *([1] * (used.values.ndim - 1)))
    return UsedWeights(used.values * per_row, steps.dtype)
