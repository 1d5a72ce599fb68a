"""Takes out of the heads' biases what int8 still adds to the features on average, after every layer was corrected.

Layers are corrected one by one, each on the original's own activations (`convert.bias_correction`). What rounding does
behind rounding stays, and a part of it is a constant of each feature. The heads compute in floating point, so they can
take it back exactly. The features themselves stay as they are.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.onnx_graph import attributes_of, constants_of, replace_constants
from convert.parity import outputs_of_onnx
from convert.progress import Progress

_FEATURES = "embedding"


def features_of(model: onnx.ModelProto, images: NDArray[np.uint8], *, threads: int) -> NDArray[np.float64]:
    """Return the features of u8 [N,S,S,3], float64 [N, features]."""
    outputs = outputs_of_onnx(model, images, Progress("", len(images), None), threads=threads)
    return outputs.embedding.astype(np.float64)


def heads_corrected(
    quantized: onnx.ModelProto, images: NDArray[np.uint8], features: NDArray[np.float64], *, threads: int
) -> onnx.ModelProto:
    """Return `quantized` with corrected heads; `features` are the original's for the same calibration cells.

    Heads without a bias, and heads that read the features through something else, stay as they are.
    """
    shift = (features_of(quantized, images, threads=threads) - features).mean(axis=0)
    corrected = onnx.ModelProto()
    corrected.CopyFrom(quantized)
    constants = constants_of(quantized)
    for node in corrected.graph.node:
        if node.op_type != "Gemm" or node.input[0] != _FEATURES or len(node.input) < 3:
            continue
        kernel, bias = (constants[name].astype(np.float64) for name in node.input[1:])
        if attributes_of(node).get("transB", 0) != 1:
            raise ValueError(f"{node.name} does not keep its weights as [out, in]")
        constants[node.input[2]] = (bias - kernel @ shift).astype(np.float32)
    replace_constants(corrected, constants)
    return corrected
