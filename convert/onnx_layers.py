"""One function per Keras layer: how it is written in ONNX, NCHW inside, with the padding of Keras spelled out.

Keras' `same` padding is TensorFlow's: as much as the stride needs, the odd pixel at the bottom and right. ONNX'
`SAME_UPPER` means the same but is resolved by each runtime; explicit pads are not open to reading.
Batch normalization that follows a convolution is folded into it (inference: gamma, beta, moving mean and variance).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.onnx_graph import OnnxGraph
from edge.errors import EdgeError


@dataclass(frozen=True, slots=True)
class Feature:
    """A value of the graph: its ONNX name and its shape, (channels, height, width) or (width,)."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A folded batch normalization: y = scale * x + shift, per channel, float64 until written."""

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


def affine_from_batch_normalization(layer: Any) -> Affine:
    """Return scale and shift of a batch normalization in inference."""
    mean = _weights(layer.moving_mean).astype(np.float64)
    variance = _weights(layer.moving_variance).astype(np.float64)
    scale = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * _weights(layer.gamma)
    shift = -mean * scale
    if layer.center:
        shift = shift + _weights(layer.beta)
    return Affine(scale, shift)


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the zeros before and after one axis under TensorFlow's `same` padding."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def write_conv(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """Conv2D: kernel [h,w,in/groups,out] becomes [out,in/groups,h,w]."""
    kernel = _weights(layer.kernel).transpose(3, 2, 0, 1)
    return _conv(graph, layer, name, inputs[0], kernel, _bias(layer), fold, groups=layer.groups)


def write_depthwise(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """DepthwiseConv2D: kernel [h,w,in,multiplier] becomes [in*multiplier,1,h,w], one group per input channel."""
    kernel = _depthwise_kernel(_weights(layer.kernel))
    return _conv(graph, layer, name, inputs[0], kernel, _bias(layer), fold, groups=inputs[0].shape[0])


def write_separable(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """SeparableConv2D: a depthwise convolution without bias, then a pointwise one that takes bias and folding."""
    depthwise = _depthwise_kernel(_weights(layer.depthwise_kernel))
    features = _conv(
        graph, layer, f"{name}/depthwise", inputs[0], depthwise, None, None, groups=inputs[0].shape[0], activate=False
    )
    pointwise = _weights(layer.pointwise_kernel).transpose(3, 2, 0, 1)
    return _conv(graph, layer, name, features, pointwise, _bias(layer), fold, groups=1, pointwise=True)


def write_dense(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """Dense on one vector per cell, as Gemm with the weights [out,in]."""
    if len(inputs[0].shape) != 1:
        raise _unsupported(name, f"a Dense layer on a {len(inputs[0].shape)}-dimensional value")
    weights, bias = _folded(_weights(layer.kernel).T, _bias(layer), fold)
    operands = [inputs[0].name, graph.constant(f"{name}/kernel", weights)]
    if bias is not None:
        operands.append(graph.constant(f"{name}/bias", bias))
    made = graph.node("Gemm", operands, f"{name}/gemm", transB=1)
    return write_activation(graph, layer.activation, name, Feature(made, (weights.shape[0],)))


def write_batch_normalization(
    graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None
) -> Feature:
    """A batch normalization that follows no convolution: one multiplication and one addition per channel."""
    affine = affine_from_batch_normalization(layer)
    if layer.axis not in (-1, 3, len(inputs[0].shape)):
        raise _unsupported(name, "normalization over an axis other than the channels")
    form = (1, -1, 1, 1) if len(inputs[0].shape) == 3 else (1, -1)
    scale = graph.constant(f"{name}/scale", affine.scale.astype(np.float32).reshape(form))
    shift = graph.constant(f"{name}/shift", affine.shift.astype(np.float32).reshape(form))
    scaled = graph.node("Mul", [inputs[0].name, scale], f"{name}/scaled")
    return Feature(graph.node("Add", [scaled, shift], name), inputs[0].shape)


def write_rescaling(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """Rescaling: x * scale + offset."""
    scale = graph.constant(f"{name}/scale", np.asarray(layer.scale, np.float32).reshape(_channel_form(layer.scale)))
    offset = graph.constant(f"{name}/offset", np.asarray(layer.offset, np.float32).reshape(_channel_form(layer.offset)))
    scaled = graph.node("Mul", [inputs[0].name, scale], f"{name}/scaled")
    return Feature(graph.node("Add", [scaled, offset], name), inputs[0].shape)


def write_relu(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """ReLU without slope or threshold."""
    if layer.negative_slope or layer.threshold or layer.max_value is not None:
        raise _unsupported(name, "a ReLU with a slope, a threshold or a maximum")
    return Feature(graph.node("Relu", [inputs[0].name], name), inputs[0].shape)


def write_activation_layer(
    graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None
) -> Feature:
    """Activation: relu, softmax, sigmoid or linear."""
    return write_activation(graph, layer.activation, name, inputs[0])


def write_softmax(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """Softmax over the last axis."""
    if layer.axis != -1:
        raise _unsupported(name, "a Softmax over another axis than the last")
    return Feature(graph.node("Softmax", [inputs[0].name], name, axis=-1), inputs[0].shape)


def write_max_pooling(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """MaxPooling2D; padding never wins against a pixel, in Keras as in ONNX."""
    _require_channels_last(layer, name)
    pads, size = _pads_and_size(layer, name, inputs[0].shape[1:], layer.pool_size, layer.strides, (1, 1))
    made = graph.node(
        "MaxPool",
        [inputs[0].name],
        name,
        kernel_shape=list(layer.pool_size),
        strides=list(layer.strides),
        pads=pads,
    )
    return Feature(made, (inputs[0].shape[0], *size))


def write_add(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """Add of two or more values of one shape."""
    if any(feature.shape != inputs[0].shape for feature in inputs):
        raise _unsupported(name, "an Add of values of different shapes")
    total = inputs[0].name
    for number, feature in enumerate(inputs[1:], start=2):
        total = graph.node("Add", [total, feature.name], name if number == len(inputs) else f"{name}/sum{number}")
    return Feature(total, inputs[0].shape)


def write_global_average(
    graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None
) -> Feature:
    """GlobalAveragePooling2D, then one vector per cell."""
    _require_channels_last(layer, name)
    if layer.keepdims:
        raise _unsupported(name, "a GlobalAveragePooling2D with keepdims")
    averaged = graph.node("GlobalAveragePool", [inputs[0].name], f"{name}/average")
    return Feature(graph.node("Flatten", [averaged], name, axis=1), (inputs[0].shape[0],))


def write_nothing(graph: OnnxGraph, layer: Any, name: str, inputs: list[Feature], fold: Affine | None) -> Feature:
    """Dropout: nothing at inference."""
    return inputs[0]


Writer = Callable[[OnnxGraph, Any, str, list[Feature], Affine | None], Feature]

WRITERS: dict[str, Writer] = {
    "Conv2D": write_conv,
    "DepthwiseConv2D": write_depthwise,
    "SeparableConv2D": write_separable,
    "Dense": write_dense,
    "BatchNormalization": write_batch_normalization,
    "Rescaling": write_rescaling,
    "ReLU": write_relu,
    "Activation": write_activation_layer,
    "Softmax": write_softmax,
    "MaxPooling2D": write_max_pooling,
    "Add": write_add,
    "GlobalAveragePooling2D": write_global_average,
    "Dropout": write_nothing,
}
FOLDING = frozenset({"Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"})


def write_activation(graph: OnnxGraph, function: Any, name: str, feature: Feature) -> Feature:
    """Write a Keras activation function after `feature`. Raises EdgeError MDSE-CONVERT-009 for one we do not know."""
    kind = getattr(function, "__name__", str(function)) if function is not None else "linear"
    if kind == "linear":
        return feature
    operators = {"relu": "Relu", "softmax": "Softmax", "sigmoid": "Sigmoid"}
    if kind not in operators or (kind == "softmax" and len(feature.shape) != 1):
        raise _unsupported(name, f"the activation {kind!r} here")
    attributes = {"axis": -1} if kind == "softmax" else {}
    return Feature(graph.node(operators[kind], [feature.name], name, **attributes), feature.shape)


def _conv(
    graph: OnnxGraph,
    layer: Any,
    name: str,
    feature: Feature,
    kernel: NDArray[Any],
    bias: NDArray[Any] | None,
    fold: Affine | None,
    *,
    groups: int,
    pointwise: bool = False,
    activate: bool = True,
) -> Feature:
    _require_channels_last(layer, name)
    strides, dilation = ((1, 1), (1, 1)) if pointwise else (layer.strides, layer.dilation_rate)
    pads, size = _pads_and_size(layer, name, feature.shape[1:], kernel.shape[2:], strides, dilation)
    weights, bias = _folded(kernel, bias, fold)
    operands = [feature.name, graph.constant(f"{name}/kernel", weights)]
    if bias is not None:
        operands.append(graph.constant(f"{name}/bias", bias))
    linear = not activate or layer.activation is None or layer.activation.__name__ == "linear"
    made = graph.node(
        "Conv",
        operands,
        name if linear else f"{name}/linear",
        kernel_shape=list(kernel.shape[2:]),
        strides=list(strides),
        dilations=list(dilation),
        group=groups,
        pads=pads,
    )
    convolved = Feature(made, (kernel.shape[0], *size))
    return convolved if linear else write_activation(graph, layer.activation, name, convolved)


def _folded(
    weights: NDArray[Any], bias: NDArray[Any] | None, fold: Affine | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Fold in float64: the product is rounded to float32 once, at the end."""
    if fold is not None:
        weights = weights * fold.scale.reshape(-1, *([1] * (weights.ndim - 1)))
        bias = fold.shift if bias is None else bias * fold.scale + fold.shift
    return weights.astype(np.float32), None if bias is None else bias.astype(np.float32)


def _pads_and_size(
    layer: Any, name: str, size: tuple[int, ...], kernel: Any, strides: Any, dilation: Any
) -> tuple[list[int], tuple[int, ...]]:
    """Return ONNX pads (top, left, bottom, right) and the height and width of the result."""
    if layer.padding == "same":
        pairs = [same_padding(*axis) for axis in zip(size, kernel, strides, dilation, strict=True)]
    elif layer.padding == "valid":
        pairs = [(0, 0), (0, 0)]
    else:
        raise _unsupported(name, f"padding {layer.padding!r}")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    made = tuple((n + sum(p) - r) // s + 1 for n, p, r, s in zip(size, pairs, reach, strides, strict=True))
    return [pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]], made


def _depthwise_kernel(kernel: NDArray[Any]) -> NDArray[Any]:
    height, width, channels, multiplier = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


def _weights(variable: Any) -> NDArray[Any]:
    return np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable, dtype=np.float32)


def _bias(layer: Any) -> NDArray[Any] | None:
    return _weights(layer.bias) if layer.use_bias else None


def _channel_form(values: Any) -> tuple[int, ...]:
    return (1, -1, 1, 1) if np.ndim(values) else (1, 1, 1, 1)


def _require_channels_last(layer: Any, name: str) -> None:
    if layer.data_format != "channels_last":
        raise _unsupported(name, "channels_first data")


def _unsupported(name: str, what: str) -> EdgeError:
    return EdgeError("MDSE-CONVERT-009", where=name, what=what)
