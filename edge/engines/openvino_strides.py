"""Keeps strided pointwise convolutions of an int8 network in int8; nothing of their results changes.

OpenVINO's common optimizations turn a 1x1 convolution of stride 2 into a pooling of stride 2 and a convolution of
stride 1, and move the pooling up (`StridesOptimization`, seen in 2026.4). It then comes to lie in the middle of a
DequantizeLinear, the int8 passes that follow no longer know that, and the convolution runs in single precision. The
paper's network has three such convolutions, its shortcuts: a twentieth of its time, a tenth where int8 is fastest.

Here the same pooling is written behind the whole dequantization, where the int8 passes expect it. Only where the steps
are such that both forms compute the same bits (convert/int8_steps.py): a bundle made before that keeps its results.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def unstride_quantized_pointwise(openvino: Any, model: Any) -> int:
    """Change `model` in place, and return how many convolutions were changed.

    Changed is every 1x1 convolution with a stride and without padding that alone reads a dequantized value with exact
    steps; where the value has another reader, OpenVINO moves nothing. `openvino` is the library, `model` one of its
    models.
    """
    opset = openvino.opset13
    changed = 0
    for node in model.get_ops():
        if node.get_type_name() != "Convolution" or list(node.input(1).get_shape())[2:] != [1, 1]:
            continue
        attributes, value = node.get_attributes(), node.input(0).get_source_output()
        strides, pads = list(attributes["strides"]), [*attributes["pads_begin"], *attributes["pads_end"]]
        weights = node.input(1).get_source_output()
        if max(strides) == 1 or any(pads) or len(value.get_target_inputs()) != 1:
            continue
        if not (_has_steps(value, parts=1) and _has_steps(weights, parts=4)):
            continue
        kept = opset.max_pool(value, strides, [1, 1], [0, 0], [0, 0], [1, 1])
        dense = opset.convolution(kept.output(0), weights, [1, 1], [0, 0], [0, 0], [1, 1])
        dense.set_friendly_name(node.get_friendly_name())
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(dense.output(0))
        changed += 1
    return changed


def _has_steps(value: Any, *, parts: int) -> bool:
    """Return whether a value is int8 codes times steps of 1, or 1 + 1/parts up to 2 - 1/parts, times a power of two.

    That is what the importer makes of DequantizeLinear: codes, perhaps less a zero point, times a constant.
    """
    node = value.get_node()
    if node.get_type_name() != "Multiply":
        return False
    codes, steps = (node.input_value(place).get_node() for place in (0, 1))
    if codes.get_type_name() == "Subtract":
        codes = codes.input_value(0).get_node()
    if steps.get_type_name() == "Reshape":  # of one step for each output channel
        steps = steps.input_value(0).get_node()
    if codes.get_type_name() != "Convert" or steps.get_type_name() != "Constant":
        return False
    if codes.get_input_element_type(0).get_type_name() != "i8":
        return False
    mantissas = 2 * parts * np.frexp(steps.data.astype(np.float64))[0]
    return bool((mantissas == np.rint(mantissas)).all())
