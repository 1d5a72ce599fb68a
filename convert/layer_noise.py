"""Names the layers that lose most in a coarser precision: signal to noise of every convolution against the original."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from convert.onnx_graph import INPUT_NAME, consumers_of
from convert.onnx_session import reference_session


def noisiest_layers(
    original: onnx.ModelProto, derived: onnx.ModelProto, images: NDArray[np.uint8], count: int = 3
) -> list[str]:
    """Return the `count` worst convolutions as `name (x dB)`; both graphs keep the Keras names.

    `original` must have the channels of `derived`: for int8 that is the equalized network, in whose scale a layer's
    noise is noise; beside the network before it, the rescaling itself would be taken for noise (-5 dB, seen).
    A depthwise convolution is left out: it is one layer with the pointwise one behind it.
    """
    shared = {n.name for n in derived.graph.node if n.op_type == "Conv"}
    readers = consumers_of(original)
    layers = [
        node.name
        for node in original.graph.node
        if node.op_type == "Conv" and node.name in shared and not _is_depthwise(node) and node.output[0] in readers
    ]
    sums = np.zeros((len(layers), 2))
    sessions = [_session(model, layers) for model in (original, derived)]
    for image in images:
        expected, found = (session.run(layers, {INPUT_NAME: image[np.newaxis]}) for session in sessions)
        for place, (a, b) in enumerate(zip(expected, found, strict=True)):
            difference = a.astype(np.float64) - b.astype(np.float64)
            sums[place] += (np.square(a, dtype=np.float64).sum(), np.square(difference).sum())
    decibels = [10 * math.log10(max(signal, 1e-30) / max(noise, 1e-30)) for signal, noise in sums]
    worst = sorted(range(len(layers)), key=lambda place: decibels[place])[:count]
    return [f"{layers[place]} ({decibels[place]:.0f} dB)" for place in worst]


def _session(model: onnx.ModelProto, layers: list[str]) -> onnxruntime.InferenceSession:
    watching = onnx.ModelProto()
    watching.CopyFrom(model)
    half = any(node.op_type == "Cast" and node.name.endswith("/float16") for node in model.graph.node)
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    watching.graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name in layers)
    # The optimizer of ONNX Runtime rewrites float16 pairs inexactly (1.32, seen); the plain graph is what we ask about.
    return reference_session(watching, as_written=True)


def _is_depthwise(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
