"""Stores what an int8 file keeps in floating point (heads, layers left out of int8) as float16 with a cast to float32.

It computes in float32 as before; only the digits of these weights are those of half precision (a relative error of at
most 2^-11), and the file loses what int8 could not take from it.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from convert.onnx_graph import constants_of, replace_constants

_WITH_WEIGHTS = ("Conv", "Gemm")
_LARGEST_FLOAT16 = 65504.0
# Below this many weights the extra node takes more room than it saves.
_FEWEST_WEIGHTS = 1024


def stored_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the float32 kernels of convolutions and dense layers stored as float16.

    Kernels that float16 cannot hold (a weight above 65504) stay as they are.
    """
    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    constants = constants_of(model)
    nodes: list[onnx.NodeProto] = []
    cast: set[str] = set()
    for node in stored.graph.node:
        name = node.input[1] if node.op_type in _WITH_WEIGHTS else ""
        values = constants.get(name)
        if name in cast or (values is not None and _fits(values)):
            if name not in cast and values is not None:
                constants[f"{name}/float16"] = values.astype(np.float16)
                real = f"{name}/float32"
                nodes.append(helper.make_node("Cast", [f"{name}/float16"], [real], name=real, to=TensorProto.FLOAT))
                cast.add(name)
            node.input[1] = f"{name}/float32"
        nodes.append(node)
    del stored.graph.node[:]
    stored.graph.node.extend(nodes)
    replace_constants(stored, {name: values for name, values in constants.items() if name not in cast})
    onnx.checker.check_model(stored, full_check=True)
    return stored


def _fits(values: np.ndarray) -> bool:
    return bool(
        values.dtype == np.float32
        and values.size >= _FEWEST_WEIGHTS
        and np.abs(values).max(initial=0.0) <= _LARGEST_FLOAT16
    )
