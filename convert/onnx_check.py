"""Our own check of a network file before it may enter a bundle.

The parsers of the runtimes accept asymmetric quantization, unsigned zero points and mixed types without a word (tried
with TensorRT-RTX 1.7), and then compute something else or slower. So every promise of the file is asserted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from convert.onnx_graph import INPUT_NAME, OUTPUT_NAMES, constants_of
from convert.qdq_from_onnx import is_float_layer
from edge.errors import EdgeError

Precision = Literal["fp32", "fp16", "int8", "int8-fp16"]

_ALLOWED = frozenset(
    "Cast Transpose Mul Add Sub Max Min Conv Gemm Relu LeakyRelu PRelu Elu Selu Clip Tanh Softplus Softsign Erf "
    "Sigmoid HardSigmoid HardSwish Softmax LayerNormalization MaxPool AveragePool GlobalAveragePool GlobalMaxPool "
    "Pad Concat Flatten Reshape Identity QuantizeLinear DequantizeLinear".split()
)
_NEWEST_OPSET = 19


def check_onnx(
    model: onnx.ModelProto,
    precision: Precision,
    *,
    size_px: int,
    widths: dict[str, int],
    float_layers: tuple[str, ...] = (),
) -> None:
    """Raise EdgeError MDSE-CONVERT-025 naming the first promise that the file breaks.

    `widths` are those of the outputs. Promised: input and outputs of the contract, a dynamic batch, plain operators
    only, no data outside of the file, and per precision the types of weights, activations, scales and zero points.
    The convolutions of `float_layers` were asked to stay in floating point.
    """
    for fault in _faults(model, precision, size_px, widths, float_layers):
        raise EdgeError("MDSE-CONVERT-025", where=f"cells {precision}", fault=fault)


def _faults(
    model: onnx.ModelProto,
    precision: Precision,
    size_px: int,
    widths: dict[str, int],
    float_layers: tuple[str, ...],
) -> Iterator[str]:
    yield from _border_faults(model, size_px, widths)
    yield from _operator_faults(model)
    constants = constants_of(model)
    yield from _number_faults(constants)
    if precision in ("int8", "int8-fp16"):
        yield from _pair_faults(model, constants)
        yield from _convolution_faults(model, constants, float_layers)
    elif any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        yield "a file that is not int8 holds quantization"
    yield from _type_faults(model, constants, half=precision in ("fp16", "int8-fp16"))


def _border_faults(model: onnx.ModelProto, size_px: int, widths: dict[str, int]) -> Iterator[str]:
    if [value.name for value in model.graph.input] != [INPUT_NAME]:
        yield f"the only input must be {INPUT_NAME}"
    yield from _value_faults(model.graph.input[0], TensorProto.UINT8, [size_px, size_px, 3])
    if sorted(value.name for value in model.graph.output) != sorted(OUTPUT_NAMES):
        yield f"the outputs must be {', '.join(OUTPUT_NAMES)}"
    for value in model.graph.output:
        yield from _value_faults(value, TensorProto.FLOAT, [widths[value.name]])


def _value_faults(value: onnx.ValueInfoProto, kind: int, shape: list[int]) -> Iterator[str]:
    found = value.type.tensor_type
    if found.elem_type != kind:
        yield f"{value.name} has the type {TensorProto.DataType.Name(found.elem_type)}"
    dimensions = found.shape.dim
    if not dimensions or not dimensions[0].dim_param:
        yield f"{value.name} has no dynamic batch"
    if [dimension.dim_value for dimension in dimensions[1:]] != shape:
        yield f"{value.name} has not the shape N x {' x '.join(map(str, shape))}"


def _operator_faults(model: onnx.ModelProto) -> Iterator[str]:
    for entry in model.opset_import:
        if entry.domain or entry.version > _NEWEST_OPSET:
            yield f"opset {entry.domain or 'ai.onnx'} {entry.version} is not taken by every runtime"
    if model.functions:
        yield "the file carries functions"
    for node in model.graph.node:
        if node.op_type not in _ALLOWED or node.domain:
            yield f"{node.name} is a {node.op_type}"
        if node.op_type in ("Conv", "MaxPool") and any(a.name == "auto_pad" for a in node.attribute):
            yield f"{node.name} leaves its padding to the runtime"
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            yield f"{tensor.name} lies outside of the file"


def _number_faults(constants: dict[str, NDArray[Any]]) -> Iterator[str]:
    for name, values in constants.items():
        if values.dtype.kind == "f" and not np.isfinite(values.astype(np.float64)).all():
            yield f"{name} holds a value that is not finite"


def _pair_faults(model: onnx.ModelProto, constants: dict[str, NDArray[Any]]) -> Iterator[str]:
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if len(node.input) != 3 or node.input[1] not in constants or node.input[2] not in constants:
            yield f"{node.name} has no constant scale and zero point"
            continue
        scale, zero = constants[node.input[1]], constants[node.input[2]]
        if zero.dtype != np.int8 or zero.any():
            yield f"{node.name} has a zero point that is not the int8 zero"
        if scale.dtype not in (np.float32, np.float16) or not (scale > 0).all():
            yield f"{node.name} has a scale that is not a positive float"
        weights = constants.get(node.input[0])
        if weights is None and scale.ndim != 0:
            yield f"{node.name} quantizes an activation per channel"
        if weights is not None and (weights.dtype != np.int8 or weights.min(initial=0) < -127):
            yield f"{node.name} has weights outside of symmetric int8"
        if weights is not None and scale.shape != (weights.shape[0],):
            yield f"{node.name} has not one scale per output channel"


def _convolution_faults(
    model: onnx.ModelProto, constants: dict[str, NDArray[Any]], float_layers: tuple[str, ...]
) -> Iterator[str]:
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type != "Conv" or is_float_layer(node.name, float_layers):
            continue
        for place, what in ((0, "input"), (1, "weights")):
            maker = makers.get(node.input[place])
            if maker is None or maker.op_type != "DequantizeLinear":
                yield f"{node.name} has {what} that are not quantized"
        if len(node.input) > 2 and constants[node.input[2]].dtype.kind != "f":
            yield f"{node.name} has a quantized bias"


def _type_faults(model: onnx.ModelProto, constants: dict[str, NDArray[Any]], *, half: bool) -> Iterator[str]:
    expected = np.dtype(np.float16 if half else np.float32)
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        for name in node.input[1:]:
            found = _operand_type(name, constants, makers)
            if found != expected:
                yield f"{node.name} computes in {found} where {expected} is promised"


def _operand_type(name: str, constants: dict[str, NDArray[Any]], makers: dict[str, onnx.NodeProto]) -> np.dtype[Any]:
    """The type in which a weight or bias enters its layer: its own, that of its scale, or what it is cast to."""
    if name not in constants and makers[name].op_type == "Cast":
        kind = next(attribute.i for attribute in makers[name].attribute if attribute.name == "to")
        cast: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(kind)
        return cast
    return np.dtype(constants[name if name in constants else makers[name].input[1]].dtype)
