"""The half-precision files: typed float16 in the graph itself, so that a strongly typed build has nothing to decide.

The trunk computes in float16. Scaling of the pixels before it, and pooling, heads, softmax and sigmoid after it, stay
in float32: they are a thousandth of the arithmetic, and a sum over a feature map or an exponential is where half
precision loses its digits. Input and outputs keep their types (uint8, float32).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.onnx_graph import constants_of, consumers_of
from convert.qdq_from_onnx import OPSET_FLOAT16_PAIRS
from edge.errors import EdgeError

_LARGEST_FLOAT16 = 65504.0
_TRUNK = frozenset({"Conv", "Relu", "MaxPool", "Add", "Mul", "QuantizeLinear", "DequantizeLinear"})


def fp16_from_onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the typed float16 form of an fp32 or an explicitly quantized model.

    Raises EdgeError MDSE-CONVERT-024 where a weight does not fit into float16 (larger than 65504).
    """
    trunk = _trunk_nodes(model)
    constants = constants_of(model)
    half = onnx.ModelProto()
    half.CopyFrom(model)
    made_in_trunk = {name for node in half.graph.node if node.name in trunk for name in node.output}
    casts: dict[tuple[str, int], str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in half.graph.node:
        inside = node.name in trunk
        for place, name in enumerate(node.input):
            if name in constants:
                if inside and constants[name].dtype == np.float32:
                    constants[name] = _half(name, constants[name])
            elif inside != (name in made_in_trunk):
                node.input[place] = _cast(name, inside, casts, nodes)
        nodes.append(node)
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    del half.graph.initializer[:]
    half.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in constants.items())
    del half.graph.value_info[:]
    if any(node.op_type == "QuantizeLinear" for node in half.graph.node):
        half.opset_import[0].version = OPSET_FLOAT16_PAIRS
        half.ir_version = max(half.ir_version, 9)
    onnx.checker.check_model(half, full_check=True)
    return half


def _trunk_nodes(model: onnx.ModelProto) -> frozenset[str]:
    """Return the names of the nodes from the first convolution on, up to the pooling."""
    readers = consumers_of(model)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    reached = {first.name}
    border = list(first.output)
    while border:
        for node in readers.get(border.pop(), []):
            if node.op_type in _TRUNK and node.name not in reached:
                reached.add(node.name)
                border.extend(node.output)
    # Pairs on the first input and on weights lead into the trunk: no cast may stand between a pair and its convolution.
    for operator in ("DequantizeLinear", "QuantizeLinear"):
        read = {name for node in model.graph.node if node.name in reached for name in node.input}
        reached |= {node.name for node in model.graph.node if node.op_type == operator and node.output[0] in read}
    return _without_heads(model, reached)


def _without_heads(model: onnx.ModelProto, reached: set[str]) -> frozenset[str]:
    """Leave out what comes after the pooling (a multiplication by the temperature, an activation of the features)."""
    readers = consumers_of(model)
    after: set[str] = set()
    border = [
        name for node in model.graph.node if node.op_type in ("GlobalAveragePool", "Gemm") for name in node.output
    ]
    while border:
        for node in readers.get(border.pop(), []):
            if node.name not in after:
                after.add(node.name)
                border.extend(node.output)
    return frozenset(reached - after)


def _half(name: str, values: NDArray[Any]) -> NDArray[np.float16]:
    if np.abs(values).max(initial=0.0) > _LARGEST_FLOAT16:
        raise EdgeError("MDSE-CONVERT-024", where=name)
    halved = values.astype(np.float16)
    if name.endswith("/int8_step"):
        # A step that underflows to 0 would make every value of its tensor not a number.
        halved = np.maximum(halved, np.float16(np.finfo(np.float16).smallest_subnormal))
    return halved


def _cast(name: str, to_half: bool, casts: dict[tuple[str, int], str], nodes: list[onnx.NodeProto]) -> str:
    kind = TensorProto.FLOAT16 if to_half else TensorProto.FLOAT
    key = (name, kind)
    if key not in casts:
        casts[key] = f"{name}/{'float16' if to_half else 'float32'}"
        nodes.append(helper.make_node("Cast", [name], [casts[key]], name=casts[key], to=kind))
    return casts[key]
