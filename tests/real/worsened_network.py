"""The same network in real numbers, made as hard for int8 as depthwise channels of unlike ranges make it.

Every channel between a depthwise convolution and the pointwise one behind it is multiplied by a random power of two,
2^-5 to 2^5, and divided by it again: float32 loses nothing by a power of two, int8 with one step per tensor loses the
small channels.
"""

from __future__ import annotations

import numpy as np
import onnx

from convert.onnx_graph import attributes_of, constants_of, consumers_of, replace_constants

LARGEST_EXPONENT = 5


def worsened_network(model: onnx.ModelProto, seed: int = 0) -> onnx.ModelProto:
    """Return the worsened model. Raises ValueError where it has no such pair: then nothing would be tested."""
    worsened = onnx.ModelProto()
    worsened.CopyFrom(model)
    constants, readers = constants_of(model), consumers_of(model)
    random = np.random.default_rng(seed)
    pairs = 0
    for node in model.graph.node:
        if node.op_type != "Conv" or attributes_of(node).get("group", 1) == 1 or len(node.input) > 2:
            continue
        kernel, behind = node.input[1], readers[node.output[0]]
        if constants[kernel].shape[1] != 1 or len(behind) != 1 or behind[0].op_type != "Conv":
            continue
        exponents = random.integers(-LARGEST_EXPONENT, LARGEST_EXPONENT + 1, len(constants[kernel]))
        factors = np.exp2(exponents).astype(np.float32)
        constants[kernel] = constants[kernel] * factors.reshape(-1, 1, 1, 1)
        constants[behind[0].input[1]] = constants[behind[0].input[1]] / factors.reshape(1, -1, 1, 1)
        pairs += 1
    if not pairs:
        raise ValueError("the model has no depthwise convolution with a pointwise one behind it")
    replace_constants(worsened, constants)
    return worsened
