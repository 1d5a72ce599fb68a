"""Where the time of the shipped engine's network goes: OpenVINO's own counters, by kind of layer.

    python -m benchmarks.side_by_side.layers MATERIAL_AS_JSON THREADS        prints one JSON line

The same file, change and properties as the engine's, one copy on all threads, with counters switched on. Beside the
time stand the operations of each kind, counted from the graph: what a kind reaches of the machine's matrix rate tells
why the whole does not reach it.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import Any

import numpy as np

from benchmarks.side_by_side.material import Material, material_from_words
from edge.engines.openvino_strides import unstride_quantized_pointwise

BATCH = 8
RUNS = 6
POINTWISE, DEPTHWISE, DENSE, OTHER = "pointwise convolution", "depthwise convolution", "3x3 convolution", "other"
_FUSED = "/WithoutBiases"  # what OpenVINO appends to a convolution's name before it fuses the rest into it


def operations(network: bytes) -> tuple[dict[str, float], dict[str, str]]:
    """Return the giga-operations of one image and the kind of each convolution, by its name.

    A multiplication and an addition are two operations. `network`: ONNX with a dynamic batch.
    """
    import onnx

    model = onnx.load_model_from_string(network)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model = onnx.shape_inference.infer_shapes(model)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    found: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        kernel = node.input[1]
        while kernel not in weights:  # behind its quantization
            kernel = makers[kernel].input[0]
        shape = weights[kernel]
        kinds[node.name] = DEPTHWISE if shape[1] == 1 else POINTWISE if shape[2:] == [1, 1] else DENSE
        found[node.name] = 2 * float(np.prod(shape[1:])) * float(np.prod(shapes[node.output[0]][1:])) / 1e9
    return found, kinds


def profile(material: Material, threads: int) -> list[dict[str, Any]]:
    """Return the milliseconds and giga-operations of one image by kind of layer, the longest first."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # a benchmark sends nothing either
    import openvino

    network = material.int8.read_bytes()
    layers, kinds = operations(network)
    core = openvino.Core()
    model = core.read_model(model=network)
    model.reshape({"images": [BATCH, material.size_px, material.size_px, 3]})
    unstride_quantized_pointwise(openvino, model)
    properties = {"NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": "YES"}
    compiled = core.compile_model(model, "CPU", {**properties, "INFERENCE_NUM_THREADS": str(threads)})
    request = compiled.create_infer_request()
    images = np.load(material.images)[:BATCH]
    spent: dict[str, list[float]] = defaultdict(list)
    done: dict[str, float] = defaultdict(float)
    for run in range(RUNS):
        request.infer({"images": images})
        once: dict[str, float] = defaultdict(float)
        for layer in request.get_profiling_info():
            once[_kind(layer, kinds)] += layer.real_time.total_seconds() * 1000 / BATCH
            if not run:
                done[_kind(layer, kinds)] += layers.get(layer.node_name.removesuffix(_FUSED), 0.0)
        for kind, milliseconds in once.items():
            if run:  # the first run pays for first touches
                spent[kind].append(milliseconds)
    rows = [
        {"kind": kind, "ms": round(float(np.median(values)), 4), "giga_operations": round(done.get(kind, 0.0), 4)}
        for kind, values in spent.items()
    ]
    return sorted(rows, key=lambda row: -row["ms"])


def _kind(layer: Any, kinds: dict[str, str]) -> str:
    """Return the kind of a layer as it ran; a convolution says when it did not run in 8 bits."""
    if layer.node_type in ("Convolution", "GroupConvolution"):
        kind = kinds.get(layer.node_name.removesuffix(_FUSED), OTHER)
        return kind if layer.exec_type.lower().endswith("i8") else f"{kind}, not in 8 bits"
    if layer.node_type in ("Reorder", "Transpose", "Convert"):
        return "reordering of data"
    if layer.node_type == "MaxPool":
        return "pooling"
    if layer.node_type in ("Add", "Eltwise", "FakeQuantize", "Subgraph", "Relu"):
        return "additions, activations and quantization"
    return OTHER


if __name__ == "__main__":
    print(json.dumps(profile(material_from_words(json.loads(sys.argv[1])), int(sys.argv[2]))))
