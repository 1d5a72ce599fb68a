"""Are the biases in a file those of the network? Held to what rounding may honestly have made of them.

float16, and layers that int8 leaves in floating point: within the rounding of half precision, like weights.

int8: a bias is corrected by the mean of what rounding adds to its layer (`convert.bias_correction`), so it may differ
from its source, but by no more than such a mean can be. What one input adds on average to a channel is at most

    |w| step / 2          its own rounding, moved to one side for every cell
    |dw| 127 step         the rounding of the weight that reads it, under an activation that is always the largest

w the weight in the file, dw its difference from the source, step that of the activation: all of them stand in the
files. The positions of a window see one neighbourhood, so what they add is summed; channels round independently, so
their squares are. To them come half a unit of the bias itself and what the depthwise half of a separable convolution
hands on. Refused is a layer that uses more than half of this at the root mean square over its channels, or more than
twice of it in any channel. `benchmarks/good_networks.json` has for every network how much of what is allowed its biases
use, and what a layer without its biases would.

The heads of an int8 file compute in floating point and are corrected for all layers before them: no step bounds that,
and cells judge them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.int8_steps import LARGEST_INT8
from convert.onnx_graph import constants_of, replace_constants
from convert.weight_check import (
    HALF_RELATIVE,
    WITH_WEIGHTS,
    UsedWeights,
    half_excess,
    refuse_worst,
    weights_by_layer,
)

LARGEST_MEAN, LARGEST_CHANNEL = 0.5, 2.0
_READ_BY_HEADS = "embedding"


def require_biases(file: str, model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Compare the biases of `model` with those of the layers of the same names in `source` (float32).

    Raises EdgeError MDSE-PARITY-012 naming the layers whose biases are others, the worst first. Weights are taken as
    they are: `convert.weight_check.require_weights` comes before.
    """
    refuse_worst("MDSE-PARITY-012", file, bias_shares(model, source))


def bias_shares(model: onnx.ModelProto, source: onnx.ModelProto) -> dict[str, float]:
    """Return, for every layer with a bias, how far it is from the source's as a share of what is allowed."""
    found, expected = _File.of(model), _File.of(source)
    # Pools and additions alone are int8, too, where every convolution stays in floating point.
    has_int8 = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    shares = {}
    for name in expected.layers.keys() | found.layers.keys():
        node, true = found.bias(name), expected.bias(name)
        if node is None and true is None:
            continue
        if has_int8 and name in found.layers and _is_head(found.layers[name]):
            continue
        if node is None or true is None or node.shape != true.shape:
            shares[name] = np.inf
            continue
        bounds = _bounds(name, found, expected)
        if bounds is None:
            shares[name] = half_excess(node.astype(np.float64), true.astype(np.float64))
            continue
        half = np.abs(true) * HALF_RELATIVE if node.dtype == np.float16 else 0.0
        shares[name] = _share(np.abs(node.astype(np.float64) - true), bounds + half)
    return shares


def without_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose convolutions have biases of zero: what `bias_shares` must see in every layer."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    constants = constants_of(model)
    for node in bare.graph.node:
        if node.op_type == "Conv" and len(node.input) > 2:
            constants[node.input[2]] = np.zeros_like(constants[node.input[2]])
    replace_constants(bare, constants)
    return bare


def _share(difference: NDArray[np.float64], bounds: NDArray[np.float64]) -> float:
    used = np.divide(difference, bounds, out=np.where(difference > 0, np.inf, 0.0), where=bounds > 0)
    mean = float(np.sqrt(np.square(used).mean())) if len(used) else 0.0
    return max(mean / LARGEST_MEAN, float(used.max(initial=0.0)) / LARGEST_CHANNEL)


def _bounds(name: str, found: _File, expected: _File) -> NDArray[np.float64] | None:
    """Return what rounding may add to the mean of each channel [out]; None where the layer is in floating point."""
    node = found.layers[name]
    step = found.step_of(node)
    steps = found.steps_of(node)
    if step is None or steps is None:
        return None
    kernel = found.weights[name].values
    squares = _squared_means(kernel, expected.weights[name].values, step).sum(axis=1)
    squares = squares + np.square(step * steps / 2)
    before = expected.maker_without_bias(name)
    if before is not None and (step_before := found.step_of(found.layers[before])) is not None:
        handed = _squared_means(found.weights[before].values, expected.weights[before].values, step_before)
        handed = handed.sum(axis=1)
        if kernel.shape[1] == len(handed):  # reads every channel: one group
            squares = squares + np.square(kernel.sum(axis=(2, 3))) @ handed
    return np.asarray(np.sqrt(squares))


def _squared_means(kernel: NDArray[np.float64], true: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Return the square of the most that each input channel can add on average, [out, in / groups]."""
    each = np.abs(kernel) * step / 2 + np.abs(kernel - true) * LARGEST_INT8 * step
    return np.asarray(np.square(each.sum(axis=(2, 3))))


def _is_head(node: onnx.NodeProto) -> bool:
    return bool(node.op_type == "Gemm" and node.input[0] == _READ_BY_HEADS)


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """A network file by the names of its convolutions and dense layers."""

    layers: Mapping[str, onnx.NodeProto]
    weights: Mapping[str, UsedWeights]
    constants: Mapping[str, NDArray[Any]]
    makers: Mapping[str, onnx.NodeProto]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> _File:
        layers = {node.name: node for node in model.graph.node if node.op_type in WITH_WEIGHTS}
        makers = {name: node for node in model.graph.node for name in node.output}
        return cls(layers, weights_by_layer(model), constants_of(model), makers)

    def bias(self, name: str) -> NDArray[Any] | None:
        node = self.layers.get(name)
        return None if node is None or len(node.input) < 3 else self.constants.get(node.input[2])

    def step_of(self, node: onnx.NodeProto) -> float | None:
        """The step of what the layer reads; None where that is not int8."""
        maker = self.makers.get(node.input[0])
        if maker is None or maker.op_type != "DequantizeLinear":
            return None
        return float(self.constants[maker.input[1]])

    def steps_of(self, node: onnx.NodeProto) -> NDArray[np.float64] | None:
        """The steps of the weights [out]; None where they are not int8."""
        maker = self.makers.get(node.input[1])
        if maker is None or maker.op_type != "DequantizeLinear":
            return None
        return self.constants[maker.input[1]].astype(np.float64)

    def maker_without_bias(self, name: str) -> str | None:
        """The convolution without a bias of its own whose output this layer reads directly: a depthwise half."""
        maker = self.makers.get(self.layers[name].input[0])
        if maker is None or maker.op_type != "Conv" or len(maker.input) > 2:
            return None
        return str(maker.name)
