"""The fp32 graph, written directly from the Keras layers: our origin, from which every other file is derived.

In: `images` uint8 [N,S,S,3] RGB; the scaling is part of the graph. Out: `cell_type` (softmax of logits divided by the
temperature), `findings`, `embedding`. Direct writing takes a fraction of a second, keeps the layers' names and pads
explicitly (measured against four other routes in the conversion notes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from convert.layer_calls import LayerCall, UnrolledModel, calls_from_model
from convert.model_heads import Heads, activation_of, find_heads
from convert.onnx_feature import Affine, Call, Feature
from convert.onnx_graph import INPUT_NAME, OnnxGraph
from convert.onnx_layers import FOLDING, WRITERS, affine_from_batch_normalization
from convert.onnx_padding import merge_padding
from convert.onnx_session import batch_of
from edge.bundle.manifest import MAX_IMAGE_PX, MIN_IMAGE_PX
from edge.errors import EdgeError

# What training did outside of the model, for models that carry no Rescaling: factor and offset on 0..255.
SCALINGS = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0)}


@dataclass(frozen=True, slots=True, eq=False)
class OriginModel:
    """The Keras model with what conversion found in it. `scaling` is (factor, offset) written before the model.

    `temperature` and `type_offset` (float64 [types]) calibrate the types: softmax(logits / temperature + type_offset).
    """

    keras_model: Any
    unrolled: UnrolledModel
    heads: Heads
    size_px: int
    scaling: tuple[float, float]
    temperature: float
    type_offset: NDArray[np.float64] | None = None


def origin_from_keras(
    model: keras.Model,
    *,
    type_count: int = 17,
    finding_count: int = 97,
    scaling: str | None = None,
    temperature: float = 1.0,
    heads: tuple[str, str] | None = None,
) -> OriginModel:
    """Check the model and find its heads: by `heads` (names of the outputs for types and findings), else by themselves.

    Raises EdgeError: MDSE-CONVERT-005 (not one image), -006, -007, -008 (heads), -009 (a layer we cannot write), -010
    (no fixed square size that a bundle can have), -011 (no scaling inside, and `scaling` does not say what training
    did outside).
    """
    unrolled = calls_from_model(model)
    size_px = _size_of_images(unrolled, model.name)
    for call in unrolled.calls:
        if type(call.layer).__name__ not in WRITERS:
            raise EdgeError("MDSE-CONVERT-009", where=call.name, what=f"the operation {type(call.layer).__name__}")
    scales_inside = any(
        type(call.layer).__name__ in ("Rescaling", "Normalization") for call in unrolled.readers_of(unrolled.input)
    )
    if scales_inside == (scaling is not None):
        raise EdgeError("MDSE-CONVERT-011", where=model.name, found="one" if scales_inside else "none")
    found = find_heads(unrolled, type_count=type_count, finding_count=finding_count, names=heads)
    if found.embedding not in unrolled.tensors:
        raise EdgeError("MDSE-CONVERT-008", where="embedding", found="features inside a nested model")
    return OriginModel(model, unrolled, found, size_px, SCALINGS[scaling or "0..255"], temperature)


def _size_of_images(unrolled: UnrolledModel, model_name: str) -> int:
    height, width = unrolled.input_shape[:2]
    if height is None or height != width or not MIN_IMAGE_PX <= height <= MAX_IMAGE_PX:
        limits = f"{MIN_IMAGE_PX} to {MAX_IMAGE_PX} px"
        raise EdgeError("MDSE-CONVERT-010", where=model_name, found=f"{height} x {width}", limits=limits)
    return height


def onnx_from_keras(origin: OriginModel) -> onnx.ModelProto:
    """Return the fp32 ONNX model of a checked Keras model.

    Raises EdgeError MDSE-CONVERT-009 for a setting of a layer that we cannot write.
    """
    graph = OnnxGraph()
    values: dict[int, Feature] = {origin.unrolled.input: _write_input(graph, origin)}
    folded: set[int] = set()
    for call in origin.unrolled.calls:
        if call.output in folded:
            values[call.output] = values[call.inputs[0]]
            continue
        if call.output == origin.heads.cell_type:
            values[call.output] = _write_type_head(graph, call, values, origin)
            continue
        fold, normalization = _fold_for(origin.unrolled, call, origin.heads)
        if normalization is not None:
            folded.add(normalization.output)
        inputs = [values[value] for value in call.inputs]
        values[call.output] = WRITERS[type(call.layer).__name__](
            graph, Call(call.layer, _inner(call.name), inputs, fold)
        )
    heads = origin.heads
    outputs = {"cell_type": heads.cell_type, "findings": heads.findings, "embedding": heads.embedding}
    for name, value in outputs.items():
        graph.node("Identity", [values[value].name], name)
    _join_identities(graph, set(outputs))
    merge_padding(graph)
    return graph.model(size_px=origin.size_px, widths=heads.widths())


def keras_outputs(origin: OriginModel, images: NDArray[np.uint8], batch: int = 4) -> dict[str, NDArray[np.float32]]:
    """Run the Keras model itself on u8 [N,S,S,3]; the reference of every comparison.

    The calibration acts on the softmax afterwards: softmax(log p / T + b) equals softmax(logits / T + b).
    """
    watched = watched_model(origin)
    size = batch_of(origin.size_px, batch)
    parts: dict[str, list[NDArray[np.float32]]] = {"cell_type": [], "findings": [], "embedding": []}
    for start in range(0, len(images), size):
        pixels = _scaled(images[start : start + size], origin)
        for name, value in watched(pixels, training=False).items():
            parts[name].append(np.asarray(keras.ops.convert_to_numpy(value), np.float32))
    return _calibrated({name: np.concatenate(chunks) for name, chunks in parts.items()}, origin)


def compiled_outputs(watched: Any, origin: OriginModel, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Run `watched_model(origin)` on u8 [N,S,S,3] at once, compiled: several times faster, for many cells.

    Equal to `keras_outputs` but for the rounding of the compiled graph.
    """
    found = watched.predict_on_batch(_scaled(images, origin))
    return _calibrated({name: np.asarray(value, np.float32) for name, value in found.items()}, origin)


def _scaled(images: NDArray[np.uint8], origin: OriginModel) -> NDArray[Any]:
    factor, offset = origin.scaling
    if (factor, offset) == (1.0, 0.0):
        return images
    return images.astype(np.float32) * np.float32(factor) + np.float32(offset)


def watched_model(origin: OriginModel) -> Any:
    """Return the Keras model with the three outputs by our names, whatever its own outputs are called."""
    model, heads = origin.keras_model, origin.heads
    tensors = dict(zip([name for name, _ in origin.unrolled.outputs], model.outputs, strict=True))
    features = tensors.get("embedding")
    if features is None:
        features = origin.unrolled.tensors[heads.embedding]
    outputs = {
        "cell_type": tensors[heads.cell_type_output],
        "findings": tensors[heads.findings_output],
        "embedding": features,
    }
    return keras.Model(model.inputs[0], outputs)


def _calibrated(outputs: dict[str, NDArray[np.float32]], origin: OriginModel) -> dict[str, NDArray[np.float32]]:
    if origin.temperature == 1.0 and origin.type_offset is None:
        return outputs
    logits = np.log(np.maximum(outputs["cell_type"].astype(np.float64), 1e-300)) / origin.temperature
    if origin.type_offset is not None:
        logits = logits + origin.type_offset
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return outputs | {"cell_type": np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)}


def _write_input(graph: OnnxGraph, origin: OriginModel) -> Feature:
    real = graph.node("Cast", [INPUT_NAME], "images/float", to=TensorProto.FLOAT)
    planes = graph.node("Transpose", [real], "images/planes", perm=[0, 3, 1, 2])
    factor, offset = origin.scaling
    if (factor, offset) != (1.0, 0.0):
        scale = graph.constant("images/scale", np.full((1, 1, 1, 1), factor, np.float32))
        shift = graph.constant("images/offset", np.full((1, 1, 1, 1), offset, np.float32))
        planes = graph.node("Mul", [planes, scale], "images/scaled")
        planes = graph.node("Add", [planes, shift], "images/shifted")
    return Feature(planes, (3, origin.size_px, origin.size_px))


def _fold_for(model: UnrolledModel, call: LayerCall, heads: Heads) -> tuple[Affine | None, LayerCall | None]:
    """The batch normalization that may be folded into `call`: its only reader, nothing in between, no output."""
    readers = model.readers_of(call.output)
    if type(call.layer).__name__ not in FOLDING or activation_of(call) != "linear" or len(readers) != 1:
        return None, None
    if type(readers[0].layer).__name__ != "BatchNormalization" or call.output == heads.embedding:
        return None, None
    return affine_from_batch_normalization(readers[0].layer), readers[0]


def has_linear_type_head(origin: OriginModel) -> bool:
    """Tell whether the types come from a Dense layer, whose bias can take offsets of the types."""
    maker = origin.unrolled.maker_of(origin.heads.cell_type)
    return maker is not None and type(maker.layer).__name__ == "Dense"


def _write_type_head(graph: OnnxGraph, call: LayerCall, values: dict[int, Feature], origin: OriginModel) -> Feature:
    """The head of the types: logits with the offsets in their bias, divided by the temperature, softmax.

    Raises ValueError where there are offsets and no bias to take them (`has_linear_type_head`).
    """
    logits = values[call.inputs[0]]
    if type(call.layer).__name__ == "Dense":
        offset = None if origin.type_offset is None else origin.type_offset * origin.temperature
        logits = WRITERS["Dense"](graph, Call(_LinearDense(call.layer, offset), _inner(call.name), [logits]))
    elif origin.type_offset is not None:
        raise ValueError(f"the head {call.name} has no bias that could take the offsets of the types")
    name = logits.name
    if origin.temperature != 1.0:
        factor = graph.constant("cell_type/inverse_temperature", np.array([[1.0 / origin.temperature]], np.float32))
        name = graph.node("Mul", [name, factor], "cell_type/tempered")
    return Feature(graph.node("Softmax", [name], "cell_type/softmax", axis=-1), logits.shape)


class _LinearDense:
    """A Dense layer seen without its activation, with something added to its bias."""

    def __init__(self, layer: Any, offset: NDArray[np.float64] | None) -> None:
        self.kernel, self.use_bias, self.activation = layer.kernel, layer.use_bias or offset is not None, None
        self.bias = layer.bias if layer.use_bias else None
        if offset is not None:
            bias = np.asarray(keras.ops.convert_to_numpy(layer.bias)) if layer.use_bias else 0.0
            self.bias = np.asarray(bias + offset, np.float32)


def _inner(name: str) -> str:
    """Keep a layer's name off the three names that belong to the outputs."""
    return f"{name}/value" if name in ("cell_type", "findings", "embedding", INPUT_NAME) else name


def _join_identities(graph: OnnxGraph, outputs: set[str]) -> None:
    """Give the node that makes an output the output's name itself, where that node serves one output only."""
    sources = {node.input[0]: node.name for node in graph.nodes if node.op_type == "Identity"}
    counts = [node.input[0] for node in graph.nodes if node.op_type == "Identity"]
    renamed = {source: name for source, name in sources.items() if counts.count(source) == 1 and name in outputs}
    kept = [node for node in graph.nodes if not (node.op_type == "Identity" and node.input[0] in renamed)]
    for node in kept:
        node.output[0] = renamed.get(node.output[0], node.output[0])
        node.input[:] = [renamed.get(name, name) for name in node.input]
    graph.nodes[:] = kept
