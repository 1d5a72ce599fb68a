"""Takes out of each bias what int8 adds to a layer on average.

Rounding weights and activations shifts the mean of a channel: a weight that is rounded up is rounded up for every cell.
Each convolution is computed twice on the original's own activations, as it is and in int8; the mean difference per
channel over calibration cells is subtracted from its bias (Nagel et al., arXiv 1906.04721, section 4.2, with measured
means). A depthwise convolution has no bias: its shift goes through the pointwise weights behind it.

All means are taken inside one graph in one pass, so memory is that of two inferences whatever the number of cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.int8_steps import bias_on_steps
from convert.onnx_graph import INPUT_NAME, constants_of, consumers_of, replace_constants
from convert.onnx_session import reference_session

_AXES = "bias_correction/axes"


def bias_corrected(
    model: onnx.ModelProto, quantized: onnx.ModelProto, batches: Iterable[NDArray[np.uint8]], *, threads: int = 0
) -> onnx.ModelProto:
    """Return `quantized`, derived from `model` (both keep their node names), with corrected biases.

    `batches`: u8 [n,S,S,3] of calibration cells. Raises ValueError without any.
    """
    shifts = _mean_shifts(model, quantized, batches, threads)
    corrected = onnx.ModelProto()
    corrected.CopyFrom(quantized)
    constants = constants_of(quantized)
    original = constants_of(model)
    nodes = {node.name: node for node in model.graph.node}
    readers, makers = consumers_of(model), {name: node for node in quantized.graph.node for name in node.output}
    for name, shift in list(shifts.items()):
        node = nodes[name]
        behind = readers.get(node.output[0], [])
        if len(node.input) > 2 or len(behind) != 1 or behind[0].name not in shifts or len(behind[0].input) < 3:
            continue
        kernel = original[behind[0].input[1]].astype(np.float64)
        if kernel.shape[1] == len(shift):  # reads every channel: one group
            shifts[behind[0].name] = shifts[behind[0].name] + kernel.sum(axis=(2, 3)) @ shift
    for node in corrected.graph.node:
        if node.name in shifts and len(node.input) > 2:
            step, steps = (constants[makers[value].input[1]] for value in node.input[:2])
            bias = (constants[node.input[2]] - shifts[node.name]).astype(np.float32)
            constants[node.input[2]] = bias_on_steps(bias, float(step), steps.astype(np.float64))
    replace_constants(corrected, constants)
    return corrected


def _mean_shifts(
    model: onnx.ModelProto, quantized: onnx.ModelProto, batches: Iterable[NDArray[np.uint8]], threads: int
) -> dict[str, NDArray[np.float64]]:
    """Return, for every quantized convolution, how far int8 moves the mean of each channel, float64 [channels]."""
    both, names = _both(model, quantized)
    if not names:  # everything stays in floating point
        return {}
    session = reference_session(both, threads=threads)
    sums: dict[str, NDArray[np.float64]] = {}
    images = 0
    for batch in batches:
        images += len(batch)
        for name, mean in zip(names, session.run([f"{n}/shift" for n in names], {INPUT_NAME: batch}), strict=True):
            sums[name] = sums.get(name, 0.0) + mean.astype(np.float64) * len(batch)
    if not images:
        raise ValueError("a bias is corrected from calibration cells, and there is none")
    return {name: total / images for name, total in sums.items()}


def _both(model: onnx.ModelProto, quantized: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """The original graph with every quantized convolution beside it, and behind each the mean of their difference."""
    both = onnx.ModelProto()
    both.CopyFrom(model)
    graph = both.graph
    known = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(tensor for tensor in quantized.graph.initializer if tensor.name not in known)
    graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3], np.int64), _AXES))
    pairs = [node for node in quantized.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    graph.node.extend(pairs)
    dequantized = {node.output[0] for node in pairs}
    biases: Mapping[str, Any] = {node.name: list(node.input[2:]) for node in model.graph.node}
    names = []
    for node in quantized.graph.node:
        if node.op_type != "Conv" or not dequantized >= set(node.input[:2]):
            continue
        names.append(node.name)
        beside = onnx.NodeProto()
        beside.CopyFrom(node)
        beside.name = beside.output[0] = f"{node.name}/in_int8"
        # The bias of the original on both sides: rounding it is no part of the shift.
        beside.input[:] = [*node.input[:2], *biases[node.name]]
        difference, shift = f"{node.name}/difference", f"{node.name}/shift"
        graph.node.append(beside)
        graph.node.append(helper.make_node("Sub", [beside.output[0], node.output[0]], [difference], name=difference))
        graph.node.append(helper.make_node("ReduceMean", [difference, _AXES], [shift], name=shift, keepdims=0))
        graph.output.append(helper.make_tensor_value_info(shift, TensorProto.FLOAT, None))
    return both, names
