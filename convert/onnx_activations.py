"""How Keras' activation functions and activation layers are written in ONNX, each to the formula of Keras.

write_activation    an activation function by its Keras name, after a layer or as an Activation layer
write_relu ...      activation layers with settings of their own
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from convert.onnx_feature import Call, Feature, unsupported, weights_of
from convert.onnx_graph import OnnxGraph

# One ONNX operator computes the same: (operator, attributes).
_OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
    "hard_swish": ("HardSwish", {}),
}


def activation_name(function: Any) -> str:
    """Return what Keras calls an activation function; linear for none."""
    return str(getattr(function, "__name__", function)) if function is not None else "linear"


def write_activation(graph: OnnxGraph, function: Any, name: str, feature: Feature) -> Feature:
    """Write a Keras activation function after `feature`. Raises EdgeError MDSE-CONVERT-009 for one we do not know."""
    kind = activation_name(function)
    if kind == "linear":
        return feature
    if kind in _OPERATORS:
        operator, attributes = _OPERATORS[kind]
        return Feature(graph.node(operator, [feature.name], name, **attributes), feature.shape)
    if kind == "softmax" and len(feature.shape) == 1:
        return Feature(graph.node("Softmax", [feature.name], name, axis=-1), feature.shape)
    if kind in ("silu", "swish"):
        gate = graph.node("Sigmoid", [feature.name], f"{name}/gate")
        return Feature(graph.node("Mul", [feature.name, gate], name), feature.shape)
    if kind == "relu6":
        return _clipped(graph, name, feature, 6.0)
    if kind == "gelu":
        return _gelu(graph, name, feature)
    raise unsupported(name, f"the activation {kind!r} here")


def write_activation_layer(graph: OnnxGraph, call: Call) -> Feature:
    """Activation: a function by its name."""
    return write_activation(graph, call.layer.activation, call.name, call.inputs[0])


def write_relu(graph: OnnxGraph, call: Call) -> Feature:
    """ReLU: plain, with a maximum (ReLU6), or with a slope below zero; no threshold."""
    layer, feature = call.layer, call.inputs[0]
    if layer.threshold or (layer.negative_slope and layer.max_value is not None):
        raise unsupported(call.name, "a ReLU with a threshold, or with a slope and a maximum")
    if layer.negative_slope:
        slope = float(layer.negative_slope)
        return Feature(graph.node("LeakyRelu", [feature.name], call.name, alpha=slope), feature.shape)
    if layer.max_value is not None:
        return _clipped(graph, call.name, feature, float(layer.max_value))
    return Feature(graph.node("Relu", [feature.name], call.name), feature.shape)


def write_leaky_relu(graph: OnnxGraph, call: Call) -> Feature:
    """LeakyReLU."""
    slope = float(call.layer.negative_slope)
    return Feature(graph.node("LeakyRelu", [call.inputs[0].name], call.name, alpha=slope), call.inputs[0].shape)


def write_elu(graph: OnnxGraph, call: Call) -> Feature:
    """ELU."""
    alpha = float(call.layer.alpha)
    return Feature(graph.node("Elu", [call.inputs[0].name], call.name, alpha=alpha), call.inputs[0].shape)


def write_prelu(graph: OnnxGraph, call: Call) -> Feature:
    """PReLU: slopes [H,W,C], 1 where shared, become [C,H,W]; on a vector [C]."""
    slopes = weights_of(call.layer.alpha)
    slopes = slopes.transpose(2, 0, 1) if slopes.ndim == 3 else slopes
    name = graph.constant(f"{call.name}/slopes", slopes)
    return Feature(graph.node("PRelu", [call.inputs[0].name, name], call.name), call.inputs[0].shape)


def write_softmax(graph: OnnxGraph, call: Call) -> Feature:
    """Softmax over the last axis of a vector."""
    if call.layer.axis != -1 or len(call.inputs[0].shape) != 1:
        raise unsupported(call.name, "a Softmax over another axis than that of a vector")
    return Feature(graph.node("Softmax", [call.inputs[0].name], call.name, axis=-1), call.inputs[0].shape)


def _clipped(graph: OnnxGraph, name: str, feature: Feature, largest: float) -> Feature:
    low = graph.constant(f"{name}/clip_lowest", np.array(0.0, np.float32))
    high = graph.constant(f"{name}/clip_largest", np.array(largest, np.float32))
    return Feature(graph.node("Clip", [feature.name, low, high], name), feature.shape)


def _gelu(graph: OnnxGraph, name: str, feature: Feature) -> Feature:
    """X / 2 * (1 + erf(x / sqrt(2))), Keras' default; the approximation by tanh is another function."""
    parts = {"root": 1 / math.sqrt(2), "one": 1.0, "half": 0.5}
    root, one, half = (graph.constant(f"{name}/{k}", np.array(v, np.float32)) for k, v in parts.items())
    error = graph.node("Erf", [graph.node("Mul", [feature.name, root], f"{name}/scaled")], f"{name}/erf")
    gate = graph.node("Mul", [graph.node("Add", [error, one], f"{name}/raised"), half], f"{name}/gate")
    return Feature(graph.node("Mul", [feature.name, gate], name), feature.shape)
