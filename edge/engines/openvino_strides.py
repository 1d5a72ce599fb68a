"""Keeps strided pointwise convolutions of an int8 network in int8; nothing of their results changes.

OpenVINO's common optimizations turn a 1x1 convolution of stride 2 into a pooling of stride 2 and a convolution of
stride 1, and move the pooling up (`StridesOptimization`, seen in 2026.4). It then comes to lie in the middle of a
DequantizeLinear, the int8 passes that follow no longer know that, and the convolution runs in single precision. The
paper's network has three such convolutions, its shortcuts: a twentieth of its time, a tenth where int8 is fastest.

Here the same pooling is written behind the whole dequantization, where the int8 passes expect it. Both forms add up
the same products of the same codes, exactly.
"""

from __future__ import annotations

from typing import Any


def unstride_quantized_pointwise(openvino: Any, model: Any) -> int:
    """Change `model` in place, and return how many convolutions were changed.

    Changed is every 1x1 convolution with a stride and without padding that alone reads a dequantized value; where the
    value has another reader, OpenVINO moves nothing. `openvino` is the library, `model` one of its models.
    """
    opset = openvino.opset13
    changed = 0
    for node in model.get_ops():
        if node.get_type_name() != "Convolution" or list(node.input(1).get_shape())[2:] != [1, 1]:
            continue
        attributes, value = node.get_attributes(), node.input(0).get_source_output()
        strides, pads = list(attributes["strides"]), [*attributes["pads_begin"], *attributes["pads_end"]]
        if max(strides) == 1 or any(pads) or len(value.get_target_inputs()) != 1 or not _is_dequantized(value):
            continue
        kept = opset.max_pool(value, strides, [1, 1], [0, 0], [0, 0], [1, 1])
        weights = node.input(1).get_source_output()
        dense = opset.convolution(kept.output(0), weights, [1, 1], [0, 0], [0, 0], [1, 1])
        dense.set_friendly_name(node.get_friendly_name())
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(dense.output(0))
        changed += 1
    return changed


def _is_dequantized(value: Any) -> bool:
    """Return whether a value is int8 codes times a factor: what the importer makes of DequantizeLinear."""
    node = value.get_node()
    if node.get_type_name() != "Multiply":
        return False
    node = node.input_value(0).get_node()
    if node.get_type_name() == "Subtract":  # of the zero point
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Convert" and node.get_input_element_type(0).get_type_name() in ("i8", "u8"))
