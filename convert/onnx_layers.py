"""Convolutions, dense layers and pooling as they are written in ONNX, and the table of all layers that are written.

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

from convert.onnx_activations import (
    activation_name,
    write_activation,
    write_activation_layer,
    write_elu,
    write_leaky_relu,
    write_prelu,
    write_relu,
    write_softmax,
)
from convert.onnx_feature import Affine, Call, Feature, require_channels_last, unsupported, weights_of
from convert.onnx_graph import OnnxGraph
from convert.onnx_shapes import (
    write_affine,
    write_concatenate,
    write_elementwise,
    write_flatten,
    write_global_pooling,
    write_layer_normalization,
    write_normalization,
    write_nothing,
    write_reshape,
    write_zero_padding,
)


def affine_from_batch_normalization(layer: Any) -> Affine:
    """Return scale and shift of a batch normalization in inference."""
    mean = weights_of(layer.moving_mean).astype(np.float64)
    variance = weights_of(layer.moving_variance).astype(np.float64)
    scale = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * weights_of(layer.gamma)
    shift = -mean * scale
    if layer.center:
        shift = shift + weights_of(layer.beta)
    return Affine(scale, shift)


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the zeros before and after one axis under TensorFlow's `same` padding."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def write_conv(graph: OnnxGraph, call: Call) -> Feature:
    """Conv2D: kernel [h,w,in/groups,out] becomes [out,in/groups,h,w]."""
    kernel = weights_of(call.layer.kernel).transpose(3, 2, 0, 1)
    return _activated(graph, call, _conv(graph, call, _sizes(call, kernel, groups=call.layer.groups)))


def write_depthwise(graph: OnnxGraph, call: Call) -> Feature:
    """DepthwiseConv2D: kernel [h,w,in,multiplier] becomes [in*multiplier,1,h,w], one group per input channel."""
    kernel = _depthwise_kernel(weights_of(call.layer.kernel))
    return _activated(graph, call, _conv(graph, call, _sizes(call, kernel, groups=call.inputs[0].shape[0])))


def write_separable(graph: OnnxGraph, call: Call) -> Feature:
    """SeparableConv2D: a depthwise convolution without bias, then a pointwise one that takes bias and folding."""
    kernel = _depthwise_kernel(weights_of(call.layer.depthwise_kernel))
    first = Call(call.layer, f"{call.name}/depthwise", call.inputs)
    features = _conv(graph, first, _sizes(first, kernel, groups=call.inputs[0].shape[0]), with_bias=False)
    second = Call(call.layer, call.name, [features], call.fold)
    pointwise = _Sizes(weights_of(call.layer.pointwise_kernel).transpose(3, 2, 0, 1), (1, 1), (1, 1), 1)
    return _activated(graph, call, _conv(graph, second, pointwise))


def write_dense(graph: OnnxGraph, call: Call) -> Feature:
    """Dense on one vector per cell, as Gemm with the weights [out,in]."""
    if len(call.inputs[0].shape) != 1:
        raise unsupported(call.name, f"a Dense layer on a {len(call.inputs[0].shape)}-dimensional value")
    weights, bias = _folded(weights_of(call.layer.kernel).T, _bias(call.layer), call.fold)
    operands = [call.inputs[0].name, graph.constant(f"{call.name}/kernel", weights)]
    if bias is not None:
        operands.append(graph.constant(f"{call.name}/bias", bias))
    made = graph.node("Gemm", operands, f"{call.name}/gemm", transB=1)
    return write_activation(graph, call.layer.activation, call.name, Feature(made, (weights.shape[0],)))


def write_batch_normalization(graph: OnnxGraph, call: Call) -> Feature:
    """A batch normalization that follows no convolution: one multiplication and one addition per channel."""
    affine = affine_from_batch_normalization(call.layer)
    if call.layer.axis not in (-1, 3, len(call.inputs[0].shape)):
        raise unsupported(call.name, "normalization over an axis other than the channels")
    return write_affine(graph, call, affine.scale, affine.shift)


def write_rescaling(graph: OnnxGraph, call: Call) -> Feature:
    """Rescaling: x * scale + offset."""
    scale = graph.constant(f"{call.name}/scale", _per_channel(call.layer.scale))
    offset = graph.constant(f"{call.name}/offset", _per_channel(call.layer.offset))
    scaled = graph.node("Mul", [call.inputs[0].name, scale], f"{call.name}/scaled")
    return Feature(graph.node("Add", [scaled, offset], call.name), call.inputs[0].shape)


def write_pooling(graph: OnnxGraph, call: Call) -> Feature:
    """MaxPooling2D and AveragePooling2D; padding never wins against a pixel and is never averaged, as in Keras."""
    require_channels_last(call)
    pads, size = _pads_and_size(call, tuple(call.layer.pool_size), tuple(call.layer.strides), (1, 1))
    made = graph.node(
        "MaxPool" if type(call.layer).__name__ == "MaxPooling2D" else "AveragePool",
        [call.inputs[0].name],
        call.name,
        kernel_shape=list(call.layer.pool_size),
        strides=list(call.layer.strides),
        pads=pads,
    )
    return Feature(made, (call.inputs[0].shape[0], *size))


Writer = Callable[[OnnxGraph, Call], Feature]

WRITERS: dict[str, Writer] = {
    "Conv2D": write_conv,
    "DepthwiseConv2D": write_depthwise,
    "SeparableConv2D": write_separable,
    "Dense": write_dense,
    "BatchNormalization": write_batch_normalization,
    "LayerNormalization": write_layer_normalization,
    "Normalization": write_normalization,
    "Rescaling": write_rescaling,
    "ReLU": write_relu,
    "LeakyReLU": write_leaky_relu,
    "PReLU": write_prelu,
    "ELU": write_elu,
    "Activation": write_activation_layer,
    "Softmax": write_softmax,
    "MaxPooling2D": write_pooling,
    "AveragePooling2D": write_pooling,
    "GlobalAveragePooling2D": write_global_pooling,
    "GlobalMaxPooling2D": write_global_pooling,
    "ZeroPadding2D": write_zero_padding,
    "Concatenate": write_concatenate,
    "Flatten": write_flatten,
    "Reshape": write_reshape,
    **dict.fromkeys(("Add", "Multiply", "Subtract", "Maximum", "Minimum"), write_elementwise),
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"), write_nothing),
}
FOLDING = frozenset({"Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"})


@dataclass(frozen=True, slots=True, eq=False)
class _Sizes:
    """What a convolution is made of: kernel [out,in/groups,h,w], strides, dilation and groups."""

    kernel: NDArray[Any]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def _sizes(call: Call, kernel: NDArray[Any], *, groups: int) -> _Sizes:
    return _Sizes(kernel, tuple(call.layer.strides), tuple(call.layer.dilation_rate), groups)


def _conv(graph: OnnxGraph, call: Call, sizes: _Sizes, *, with_bias: bool = True) -> Feature:
    """Write one convolution with its padding; where the layer ends in an activation, it is called name/linear."""
    require_channels_last(call)
    window = sizes.kernel.shape[2:]
    pads, made_size = _pads_and_size(call, window, sizes.strides, sizes.dilation)
    weights, bias = _folded(sizes.kernel, _bias(call.layer) if with_bias else None, call.fold)
    operands = [call.inputs[0].name, graph.constant(f"{call.name}/kernel", weights)]
    if bias is not None:
        operands.append(graph.constant(f"{call.name}/bias", bias))
    made = graph.node(
        "Conv",
        operands,
        call.name if _is_linear(call.layer.activation) or not with_bias else f"{call.name}/linear",
        kernel_shape=list(window),
        strides=list(sizes.strides),
        dilations=list(sizes.dilation),
        group=sizes.groups,
        pads=pads,
    )
    return Feature(made, (sizes.kernel.shape[0], *made_size))


def _activated(graph: OnnxGraph, call: Call, feature: Feature) -> Feature:
    return write_activation(graph, call.layer.activation, call.name, feature)


def _is_linear(function: Any) -> bool:
    return activation_name(function) == "linear"


def _folded(
    weights: NDArray[Any], bias: NDArray[Any] | None, fold: Affine | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Fold in float64: the product is rounded to float32 once, at the end."""
    if fold is not None:
        weights = weights * fold.scale.reshape(-1, *([1] * (weights.ndim - 1)))
        bias = fold.shift if bias is None else bias * fold.scale + fold.shift
    return weights.astype(np.float32), None if bias is None else bias.astype(np.float32)


def _pads_and_size(
    call: Call, window: tuple[int, ...], strides: tuple[int, int], dilation: tuple[int, int]
) -> tuple[list[int], tuple[int, ...]]:
    """Return ONNX pads (top, left, bottom, right) and the height and width of the result."""
    size = call.inputs[0].shape[1:]
    if call.layer.padding == "same":
        pairs = [same_padding(*axis) for axis in zip(size, window, strides, dilation, strict=True)]
    elif call.layer.padding == "valid":
        pairs = [(0, 0), (0, 0)]
    else:
        raise unsupported(call.name, f"padding {call.layer.padding!r}")
    reach = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
    made = tuple((n + sum(p) - r) // s + 1 for n, p, r, s in zip(size, pairs, reach, strides, strict=True))
    return [pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]], made


def _depthwise_kernel(kernel: NDArray[Any]) -> NDArray[Any]:
    height, width, channels, multiplier = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


def _bias(layer: Any) -> NDArray[Any] | None:
    return weights_of(layer.bias) if layer.use_bias else None


def _per_channel(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, np.float32).reshape((1, -1, 1, 1) if np.ndim(values) else (1, 1, 1, 1))
