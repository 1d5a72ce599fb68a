"""Explicit int8: QuantizeLinear/DequantizeLinear pairs written into the graph, one file for every runtime.

Weights int8 per output channel, activations int8 per tensor, symmetric, every zero point 0, bias left in floating
point: the form that OpenVINO, ONNX Runtime and TensorRT all take. The steps are such that all of them compute the same
bits (convert.int8_steps). The heads stay in floating point (0.1 % of the arithmetic, and rare findings suffer first).

Where pairs go: on the input of every convolution and max pooling, and on one input of each addition, the one that is
not made by a convolution (the other is fused with that convolution by the runtimes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.calibration import ChannelRange
from convert.int8_steps import activation_step, bias_on_steps, weight_codes, weight_steps
from convert.onnx_graph import OUTPUT_NAMES, attributes_of, constants_of, ranks_of
from edge.errors import EdgeError

# The pairs on float16 values need QuantizeLinear of opset 19; plain int8 keeps to 18.
OPSET_FLOAT16_PAIRS = 19


def quantized_values(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the activations that get a pair, in graph order: the ones to be calibrated."""
    makers = _makers_of_maps(model)
    places = [(node, _paired_input(node, makers)) for node in model.graph.node]
    return tuple(dict.fromkeys(node.input[place] for node, place in places if place is not None))


def nodes_with_pairs(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the names of the nodes that int8 changes, in graph order."""
    makers = _makers_of_maps(model)
    return tuple(node.name for node in model.graph.node if _paired_input(node, makers) is not None)


def is_float_layer(name: str, float_layers: tuple[str, ...]) -> bool:
    """Return whether a node belongs to one of `float_layers`: bears its name, or `layer/part`."""
    return name in float_layers or name.startswith(tuple(f"{layer}/" for layer in float_layers))


def qdq_from_onnx(
    model: onnx.ModelProto, ranges: Mapping[str, ChannelRange], *, float_layers: tuple[str, ...] = ()
) -> onnx.ModelProto:
    """Return the explicitly quantized model. `ranges` holds every value of `quantized_values(model)`.

    `float_layers` stay as they are. Raises EdgeError MDSE-CONVERT-023 where a range is missing.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    constants = constants_of(model)
    makers = _makers_of_maps(model)
    writer = _PairWriter(ranges)
    nodes: list[onnx.NodeProto] = []
    for node in quantized.graph.node:
        if is_float_layer(node.name, float_layers):
            nodes.append(node)
            continue
        if (place := _paired_input(node, makers)) is not None:
            node.input[place] = writer.pair_on(node.input[place], nodes)
        if node.op_type == "Conv":
            kernel = node.input[1]
            if len(node.input) > 2:
                constants[node.input[2]] = writer.bias(constants[node.input[2]], node.input[0], constants[kernel])
            node.input[1] = writer.weights(kernel, constants.pop(kernel), nodes)
        nodes.append(node)
    del quantized.graph.initializer[:]
    del quantized.graph.node[:]
    quantized.graph.node.extend(nodes)
    doubled = constants.keys() & writer.constants.keys()
    if doubled:
        raise ValueError(f"two constants are called {min(doubled)!r}")
    everything = {**constants, **writer.constants}
    quantized.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in everything.items())
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


class _PairWriter:
    """Writes Q/DQ pairs once per value; later readers of the value share the pair."""

    def __init__(self, ranges: Mapping[str, ChannelRange]) -> None:
        self.constants: dict[str, NDArray[Any]] = {}
        self._ranges = ranges
        self._paired: dict[str, str] = {}

    def pair_on(self, value: str, nodes: list[onnx.NodeProto]) -> str:
        if value not in self._paired:
            if value not in self._ranges:
                raise EdgeError("MDSE-CONVERT-023", where=value)
            largest = float(self._ranges[value].largest_magnitude.max())
            scale, zero = self._scale(value, np.float32(activation_step(largest)), shape=())
            integer = f"{value}/int8"
            real = f"{value}/dequantized"
            nodes.append(helper.make_node("QuantizeLinear", [value, scale, zero], [integer], name=integer))
            nodes.append(helper.make_node("DequantizeLinear", [integer, scale, zero], [real], name=real))
            self._paired[value] = real
        return self._paired[value]

    def bias(self, bias: NDArray[Any], paired: str, kernel: NDArray[Any]) -> NDArray[np.float32]:
        """Return the bias of a convolution whose input `paired` is dequantized, on the steps of its products."""
        step = float(self.constants[f"{paired.removesuffix('/dequantized')}/int8_step"])
        return bias_on_steps(bias, step, weight_steps(kernel))

    def weights(self, name: str, values: NDArray[Any], nodes: list[onnx.NodeProto]) -> str:
        scales = weight_steps(values)
        self.constants[f"{name}/int8"] = weight_codes(values, scales)
        scale, zero = self._scale(name, scales, shape=scales.shape)
        real = f"{name}/dequantized"
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}/int8", scale, zero], [real], name=real, axis=0))
        return real

    def _scale(self, name: str, scale: Any, *, shape: tuple[int, ...]) -> tuple[str, str]:
        step, zero = f"{name}/int8_step", f"{name}/int8_zero"
        self.constants[step] = np.asarray(scale, np.float32).reshape(shape)
        self.constants[zero] = np.zeros(shape, np.int8)
        return step, zero


def _makers_of_maps(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The nodes that make feature maps, by value: sums of vectors stay in floating point."""
    ranks = ranks_of(model)
    return {node.output[0]: node for node in model.graph.node if ranks[node.output[0]] == 4}


def _paired_input(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> int | None:
    """Return which input of a node gets a pair; None where int8 leaves the node alone."""
    if node.op_type in ("Conv", "MaxPool"):
        return 0
    return _skip_input(node, makers) if node.op_type == "Add" else None


def _skip_input(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> int | None:
    """Return which input of an addition of two feature maps is the one that no convolution makes directly."""
    if any(name not in makers for name in node.input) or set(node.output) & set(OUTPUT_NAMES):
        return None  # one side is a constant: a bias or a rescaling, no residual addition
    by_convolution = [makers[name].op_type == "Conv" for name in node.input]
    if all(by_convolution):
        # Two convolutions meet: the strided shortcut (1x1) is the side that is stored, the main path is fused.
        kernels = [attributes_of(makers[name]).get("kernel_shape", [0]) for name in node.input]
        return 1 if max(kernels[1]) <= max(kernels[0]) else 0
    return by_convolution.index(False) if False in by_convolution else None
