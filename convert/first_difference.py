"""Where a written graph parts from its Keras model: the first layer that computes something else, by name.

Layers keep their Keras names in the graph, so the two can be compared value by value. A convolution that took up the
batch normalization behind it is compared with what Keras has after the normalization.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from convert.layer_calls import LayerCall
from convert.onnx_from_keras import OriginModel
from convert.onnx_graph import INPUT_NAME, OUTPUT_NAMES
from convert.onnx_session import reference_session
from edge.engines.base import EngineOutputs

# Far above the last bits of a sum, far below what any mistake leaves of a layer.
_RELATIVE = 1e-3


def first_different_layer(origin: OriginModel, graph: onnx.ModelProto, images: NDArray[np.uint8]) -> str:
    """Return the name of the first layer whose values differ by a thousandth of its largest value.

    `images` u8 [N,S,S,3], a few. Where all hidden layers agree the heads or their calibration differ; it says so.
    """
    made = {name for node in graph.graph.node for name in node.output} - set(OUTPUT_NAMES)
    calls = [call for call in origin.unrolled.calls if call.name in made and _has_one_output(call)]
    if not calls:
        return "a layer that cannot be named"
    written = dict(zip([c.name for c in calls], _values(graph, [c.name for c in calls], images), strict=True))
    factor, offset = origin.scaling
    pixels: NDArray[Any] = images
    if (factor, offset) != (1.0, 0.0):
        pixels = images.astype(np.float32) * np.float32(factor) + np.float32(offset)
    for call in calls:
        possible = [call, *_normalization_behind(origin, call)]
        watched = keras.Model(origin.keras_model.inputs[0], {one.name: one.layer.output for one in possible})
        found = watched(pixels, training=False)
        expected = [_channels_first(np.asarray(keras.ops.convert_to_numpy(value))) for value in found.values()]
        if min(_difference(value, written[call.name]) for value in expected) > _RELATIVE:
            return call.name
    return "the heads"


def codes_that_differ(names: tuple[str, ...], expected: NDArray[Any], found: NDArray[Any], count: int = 3) -> list[str]:
    """Return the codes whose probabilities, [N, codes], differ most in the mean; none where all are equal."""
    differences = np.abs(expected - found).mean(axis=0)
    differences[np.isnan(differences)] = np.inf
    worst = [place for place in np.argsort(-differences, kind="stable")[:count] if differences[place] > 0]
    said = {place: f"{differences[place]:.3f}" if differences[place] < np.inf else "not a number" for place in worst}
    return [f"{names[place]} {words}" for place, words in said.items()]


def describe_difference(
    origin: OriginModel,
    graph: onnx.ModelProto,
    images: NDArray[np.uint8],
    keras_found: dict[str, NDArray[np.float32]],
    written: EngineOutputs,
    codes: tuple[tuple[str, ...], tuple[str, ...]],
) -> str:
    """Say in words where the two part: the first layer, and the types and findings that differ most in the mean."""
    types = codes_that_differ(codes[0], keras_found["cell_type"], written.cell_type)
    findings = codes_that_differ(codes[1], keras_found["findings"], written.findings)
    return f"first at {first_different_layer(origin, graph, images[:2])}; most for {', '.join([*types, *findings])}"


def _has_one_output(call: LayerCall) -> bool:
    return "/" not in call.name and "#" not in call.name and not isinstance(call.layer.output, list | tuple)


def _normalization_behind(origin: OriginModel, call: LayerCall) -> list[LayerCall]:
    readers = origin.unrolled.readers_of(call.output)
    return [r for r in readers if type(r.layer).__name__ == "BatchNormalization" and _has_one_output(r)]


def _values(graph: onnx.ModelProto, names: list[str], images: NDArray[np.uint8]) -> list[NDArray[Any]]:
    watching = onnx.ModelProto()
    watching.CopyFrom(graph)
    watching.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    return list(reference_session(watching).run(names, {INPUT_NAME: images}))


def _channels_first(values: NDArray[Any]) -> NDArray[Any]:
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


def _difference(expected: NDArray[Any], found: NDArray[Any]) -> float:
    if expected.shape != found.shape:
        return float("inf")
    difference = float(np.abs(expected - found).max() / max(float(np.abs(expected).max()), 1e-12))
    # What is not a number is larger than nothing and would pass every comparison.
    return float("inf") if np.isnan(difference) else difference
