"""Layers that move, join, pool or rescale values, as ONNX writes them: padding, pooling, joining, reshaping, norms.

Keras keeps channels last, the graph keeps them first; whatever depends on the order of the axes is spelled out here.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from convert.onnx_feature import Call, Feature, require_channels_last, unsupported, weights_of
from convert.onnx_graph import OnnxGraph


def write_zero_padding(graph: OnnxGraph, call: Call) -> Feature:
    """ZeroPadding2D."""
    require_channels_last(call)
    (top, bottom), (left, right) = call.layer.padding
    channels, height, width = call.inputs[0].shape
    pads = graph.constant(f"{call.name}/pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    zero = graph.constant(f"{call.name}/zero", np.array(0.0, np.float32))
    made = graph.node("Pad", [call.inputs[0].name, pads, zero], call.name, mode="constant")
    return Feature(made, (channels, height + top + bottom, width + left + right))


def write_global_pooling(graph: OnnxGraph, call: Call) -> Feature:
    """GlobalAveragePooling2D and GlobalMaxPooling2D; a vector, or with keepdims a map of one pixel."""
    require_channels_last(call)
    averages = type(call.layer).__name__ == "GlobalAveragePooling2D"
    channels = call.inputs[0].shape[0]
    operator, suffix = ("GlobalAveragePool", "average") if averages else ("GlobalMaxPool", "largest")
    if call.layer.keepdims:
        return Feature(graph.node(operator, [call.inputs[0].name], call.name), (channels, 1, 1))
    pooled = graph.node(operator, [call.inputs[0].name], f"{call.name}/{suffix}")
    return Feature(graph.node("Flatten", [pooled], call.name, axis=1), (channels,))


def write_concatenate(graph: OnnxGraph, call: Call) -> Feature:
    """Concatenate over the channels."""
    rank = len(call.inputs[0].shape)
    if call.layer.axis not in (-1, rank) or any(f.shape[1:] != call.inputs[0].shape[1:] for f in call.inputs):
        raise unsupported(call.name, "a Concatenate over another axis than the channels")
    made = graph.node("Concat", [feature.name for feature in call.inputs], call.name, axis=1)
    return Feature(made, (sum(feature.shape[0] for feature in call.inputs), *call.inputs[0].shape[1:]))


def write_elementwise(graph: OnnxGraph, call: Call) -> Feature:
    """Add, Multiply ...: shapes are equal; one side of a Multiply may be one pixel per channel."""
    operator = {"Multiply": "Mul", "Subtract": "Sub", "Maximum": "Max", "Minimum": "Min"}.get(
        type(call.layer).__name__, "Add"
    )
    shape = max((feature.shape for feature in call.inputs), key=prod)
    allowed = {shape, (shape[0], *([1] * (len(shape) - 1)))} if operator == "Mul" else {shape}
    if any(feature.shape not in allowed for feature in call.inputs):
        raise unsupported(call.name, f"{type(call.layer).__name__} of values of different shapes")
    total = call.inputs[0].name
    for number, feature in enumerate(call.inputs[1:], start=2):
        made = call.name if number == len(call.inputs) else f"{call.name}/part{number}"
        total = graph.node(operator, [total, feature.name], made)
    return Feature(total, shape)


def write_flatten(graph: OnnxGraph, call: Call) -> Feature:
    """Flatten in the order of Keras: rows, columns, channels."""
    return _as_vector(graph, call)


def write_reshape(graph: OnnxGraph, call: Call) -> Feature:
    """Reshape between a vector and a map of one pixel, or of a map into a vector; nothing else keeps its meaning."""
    shape = call.inputs[0].shape
    target = tuple(int(side) for side in call.layer.target_shape)
    if -1 in target:
        target = tuple(prod(shape) // -prod(target) if side == -1 else side for side in target)
    if len(target) == 1:
        return _as_vector(graph, call)
    if len(target) == 3 and target[:2] == (1, 1) and prod(shape) == shape[0] == target[2]:
        form = graph.constant(f"{call.name}/shape", np.array([-1, target[2], 1, 1], np.int64))
        return Feature(graph.node("Reshape", [call.inputs[0].name, form], call.name), (target[2], 1, 1))
    raise unsupported(call.name, f"a Reshape of {shape} to {target}")


def write_normalization(graph: OnnxGraph, call: Call) -> Feature:
    """Normalization of the channels: (x - mean) / max(sqrt(variance), 1e-7)."""
    layer = call.layer
    if layer.invert or tuple(layer.axis if isinstance(layer.axis, (list, tuple)) else (layer.axis,)) not in (
        (-1,),
        (len(call.inputs[0].shape),),
    ):
        raise unsupported(call.name, "a Normalization over other axes than the channels, or an inverted one")
    mean = weights_of(layer.mean).astype(np.float64).reshape(-1)
    deviation = np.maximum(np.sqrt(weights_of(layer.variance).astype(np.float64)), 1e-7).reshape(-1)
    return write_affine(graph, call, 1 / deviation, -mean / deviation)


def write_layer_normalization(graph: OnnxGraph, call: Call) -> Feature:
    """LayerNormalization over the channels of each pixel, or over a vector."""
    layer, feature = call.layer, call.inputs[0]
    rank = len(feature.shape)
    axes = tuple(layer.axis) if isinstance(layer.axis, (list, tuple)) else (layer.axis,)
    if axes not in ((-1,), (rank,)) or getattr(layer, "rms_scaling", False):
        raise unsupported(call.name, "a LayerNormalization over other axes than the channels")
    channels = feature.shape[0]
    scale = weights_of(layer.gamma) if layer.scale else np.ones(channels, np.float32)
    shift = weights_of(layer.beta) if layer.center else np.zeros(channels, np.float32)
    operands = [graph.constant(f"{call.name}/scale", scale), graph.constant(f"{call.name}/shift", shift)]
    epsilon = float(layer.epsilon)
    if rank == 1:
        made = graph.node("LayerNormalization", [feature.name, *operands], call.name, axis=-1, epsilon=epsilon)
        return Feature(made, feature.shape)
    last = graph.node("Transpose", [feature.name], f"{call.name}/last", perm=[0, 2, 3, 1])
    normal = graph.node("LayerNormalization", [last, *operands], f"{call.name}/normal", axis=-1, epsilon=epsilon)
    return Feature(graph.node("Transpose", [normal], call.name, perm=[0, 3, 1, 2]), feature.shape)


def write_affine(graph: OnnxGraph, call: Call, scale: Any, shift: Any) -> Feature:
    """One multiplication and one addition per channel."""
    form = (1, -1, *([1] * (len(call.inputs[0].shape) - 1)))
    factor = graph.constant(f"{call.name}/scale", np.asarray(scale, np.float32).reshape(form))
    offset = graph.constant(f"{call.name}/shift", np.asarray(shift, np.float32).reshape(form))
    scaled = graph.node("Mul", [call.inputs[0].name, factor], f"{call.name}/scaled")
    return Feature(graph.node("Add", [scaled, offset], call.name), call.inputs[0].shape)


def write_nothing(_graph: OnnxGraph, call: Call) -> Feature:
    """Dropout, noise and augmentation: nothing at inference."""
    return call.inputs[0]


def _as_vector(graph: OnnxGraph, call: Call) -> Feature:
    feature = call.inputs[0]
    if len(feature.shape) == 1:
        return feature
    value = feature.name
    if prod(feature.shape[1:]) > 1:
        value = graph.node("Transpose", [value], f"{call.name}/last", perm=[0, 2, 3, 1])
    return Feature(graph.node("Flatten", [value], call.name, axis=1), (prod(feature.shape),))
