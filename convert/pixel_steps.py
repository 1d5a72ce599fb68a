"""Lets int8 carry the pixels exactly: 256 grey levels need 256 codes, and symmetric int8 over -1..1 has 255.

Rounding the scaled pixels costs up to half a grey level, and that was more than a third of all int8 noise in this
network. Scaled to (pixel - 128) / 128 instead, a code is a pixel less 128, and nothing is rounded. The other scale goes
into the weights of the convolutions that read the pixels, the other offset, a constant over the whole image, into their
bias: exact as long as they pad with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.calibration import ChannelRange
from convert.int8_steps import LARGEST_INT8
from convert.onnx_graph import INPUT_NAME, attributes_of, constants_of, consumers_of, replace_constants

_GREY_LEVELS = 128.0


def exact_pixels(
    model: onnx.ModelProto, ranges: Mapping[str, ChannelRange]
) -> tuple[onnx.ModelProto, dict[str, ChannelRange]]:
    """Return an equal model whose scaled pixels fall on int8 codes, and the ranges with that step.

    Where the pixels are not scaled by one positive factor, or a convolution that reads them pads, both come back as
    they were: then the pixels are rounded like every other value.
    """
    constants = constants_of(model)
    shifted = _shifted_pixels(model, constants)
    if shifted is None or shifted.output[0] not in ranges:
        return model, dict(ranges)
    pixels, offset_name = shifted.output[0], shifted.input[1]
    readers = consumers_of(model)[pixels]
    if any(node.op_type != "Conv" or any(attributes_of(node).get("pads", ())) for node in readers):
        return model, dict(ranges)
    factor_name = next(node.input[1] for node in model.graph.node if shifted.input[0] in node.output)
    _move_scale(readers, constants, factor_name, offset_name)
    equal = onnx.ModelProto()
    equal.CopyFrom(model)
    for node in equal.graph.node:
        if node.op_type == "Conv" and node.input[0] == pixels and len(node.input) == 2:
            node.input.append(_bias_name(node))
    replace_constants(equal, constants)
    reach = np.full(3, LARGEST_INT8 / _GREY_LEVELS, np.float32)
    return equal, {**ranges, pixels: ChannelRange(-reach, reach, ranges[pixels].mean_square)}


def _move_scale(
    readers: list[onnx.NodeProto], constants: dict[str, NDArray[Any]], factor_name: str, offset_name: str
) -> None:
    """Scale the pixels by 1 / 128 and shift them by -1; what that leaves out moves into kernels and biases."""
    scale = float(constants[factor_name].reshape(-1)[0])
    offset = np.broadcast_to(constants[offset_name].astype(np.float64).reshape(-1), (3,))
    missing = offset + _GREY_LEVELS * scale
    for node in readers:
        kernel = constants[node.input[1]].astype(np.float64)
        name = node.input[2] if len(node.input) > 2 else _bias_name(node)
        missing_bias = (kernel.sum(axis=(2, 3)) * _read_by_each_output(missing, node, len(kernel))).sum(axis=1)
        constants[name] = (constants.get(name, 0.0) + missing_bias).astype(np.float32)
        constants[node.input[1]] = (kernel * (_GREY_LEVELS * scale)).astype(np.float32)
    constants[factor_name] = np.full_like(constants[factor_name], 1 / _GREY_LEVELS)
    constants[offset_name] = np.full_like(constants[offset_name], -1.0)


def _read_by_each_output(colours: NDArray[np.float64], node: onnx.NodeProto, outputs: int) -> NDArray[np.float64]:
    """The colours, [3], that each output channel of a convolution reads, [outputs, 3 / groups]: all, or its group's."""
    groups = int(attributes_of(node).get("group", 1))
    return np.repeat(colours.reshape(groups, -1), outputs // groups, axis=0)


def _shifted_pixels(model: onnx.ModelProto, constants: Mapping[str, NDArray[Any]]) -> onnx.NodeProto | None:
    """The addition that ends Cast -> Transpose -> Mul by one factor -> Add; None where the graph begins otherwise."""
    value = INPUT_NAME
    node = None
    for operator in ("Cast", "Transpose", "Mul", "Add"):
        node = next((n for n in model.graph.node if n.input[0] == value), None)
        if node is None or node.op_type != operator:
            return None
        if operator in ("Mul", "Add") and node.input[1] not in constants:
            return None
        if operator == "Mul" and not (constants[node.input[1]].size == 1 and constants[node.input[1]].min() > 0):
            return None
        value = node.output[0]
    return node


def _bias_name(node: onnx.NodeProto) -> str:
    return f"{node.name}/bias"
