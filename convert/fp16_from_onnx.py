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

from convert.onnx_graph import constants_of, consumers_of, ranks_of
from convert.qdq_from_onnx import OPSET_FLOAT16_PAIRS
from edge.errors import EdgeError

_LARGEST_FLOAT16 = 65504.0
_TRUNK = frozenset(
    "Conv Relu LeakyRelu PRelu Elu Clip Sigmoid HardSigmoid HardSwish MaxPool AveragePool Pad Concat "
    "Add Sub Mul Max Min QuantizeLinear DequantizeLinear".split()
)


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
    """Return the names of the nodes that make feature maps from the first convolution on.

    What makes vectors (pooling, heads, the temperature) is no trunk, nor is a pooling inside: the sum over a map.
    """
    readers, ranks = consumers_of(model), ranks_of(model)
    first = next((node for node in model.graph.node if node.op_type == "Conv"), None)
    if first is None:
        return frozenset()
    reached = {first.name: first}
    border = list(first.output)
    while border:
        for node in readers.get(border.pop(), []):
            if node.name not in reached:
                reached[node.name] = node
                border.extend(node.output)
    trunk = {name for name, node in reached.items() if node.op_type in _TRUNK and ranks[node.output[0]] == 4}
    # Pairs on the first input and on weights lead into the trunk: no cast may stand between a pair and its convolution.
    for operator in ("DequantizeLinear", "QuantizeLinear"):
        read = {name for node in model.graph.node if node.name in trunk for name in node.input}
        trunk |= {node.name for node in model.graph.node if node.op_type == operator and node.output[0] in read}
    return frozenset(trunk)


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
