"""A network of somebody else is converted as exactly as our own, or refused with what was found and expected.

Two networks stand for all here; benchmarks/foreign_networks.py goes through the others.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from foreign_networks import BODIES
from keras import layers
from keras_models import cells, headed, with_lively_weights

from convert.derived_files import derive_models
from convert.keras_equality import require_keras_equality
from convert.keras_model import load_keras_model
from convert.onnx_check import check_onnx
from convert.onnx_from_keras import keras_outputs, onnx_from_keras, origin_from_keras
from convert.onnx_graph import bytes_from_onnx
from convert.parity import outputs_of_onnx
from convert.progress import Progress
from convert.quantization import quantize
from edge.engines.openvino import open_openvino
from edge.errors import EdgeError

QUIET = Progress("", 1, None)


@pytest.fixture(scope="module", params=["EfficientNetB0", "every other layer"])
def origin(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign") / "model.keras"
    # Fixed weights: of some draws an untrained body makes more of float32's last digits than the bar allows (5e-5).
    keras.utils.set_random_seed(2)
    BODIES[request.param]().save(path)
    return origin_from_keras(load_keras_model(path))


def test_the_fp32_graph_is_the_keras_network(origin):
    images = cells(6, origin.size_px, seed=3)
    expected = keras_outputs(origin, images)
    assert expected["cell_type"].std(axis=0).max() > 1e-3, "outputs that do not depend on the cell would prove nothing"
    written = outputs_of_onnx(onnx_from_keras(origin), images, QUIET, threads=1)
    differences = require_keras_equality(expected, written).differences
    assert max(differences["cell_type"], differences["findings"]) <= 1e-5
    assert differences["embedding_relative"] <= 1e-4


def test_every_derived_file_keeps_the_promises_and_opens_as_an_engine(origin):
    graph = onnx_from_keras(origin)
    quantized, _ = quantize(graph, cells(12, origin.size_px, seed=5), None, threads=1)
    models = derive_models(graph, quantized, precision="int8", for_gpu=True, with_fp32=True)
    images = cells(8, origin.size_px, seed=6)
    original = outputs_of_onnx(graph, images, QUIET, threads=1)
    for precision, model in models.items():
        check_onnx(model, precision, size_px=origin.size_px, widths=origin.heads.widths())
        engine = open_openvino(
            bytes_from_onnx(model), precision=precision, size_px=origin.size_px, cache_dir=None, threads=1
        )
        found = np.concatenate([part.cell_type for part in engine.infer([images])])
        engine.close()
        limit = {"fp32": 1e-5, "fp16": 5e-3}.get(precision, 0.1)  # an untrained network is noisy in int8
        assert np.abs(found - original.cell_type).mean() < limit, precision


def two_vectors_of_one_width():
    images = keras.Input((16, 16, 3), dtype="uint8")
    vector = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(layers.Rescaling(1 / 255)(images)))
    outputs = {
        "old": layers.Dense(17, activation="softmax")(vector),
        "new": layers.Dense(17, activation="softmax")(vector),
        "signs": layers.Dense(97, activation="sigmoid")(vector),
    }
    return with_lively_weights(keras.Model(images, outputs))


def test_heads_of_one_width_are_told_apart_by_the_names_that_are_given():
    model = two_vectors_of_one_width()
    with pytest.raises(EdgeError) as error:
        origin_from_keras(model)
    assert error.value.code == "MDSE-CONVERT-006"
    for name in ("old", "new"):
        origin = origin_from_keras(model, heads=(name, "signs"))
        images = cells(3, 16)
        found = keras_outputs(origin, images)["cell_type"]
        np.testing.assert_allclose(found, np.asarray(model(images)[name]), atol=1e-6)
        written = outputs_of_onnx(onnx_from_keras(origin), images, QUIET, threads=1).cell_type
        np.testing.assert_allclose(written, found, atol=1e-5)


def test_a_name_that_no_output_has_is_refused_with_those_that_there_are():
    with pytest.raises(EdgeError) as error:
        origin_from_keras(two_vectors_of_one_width(), heads=("kinds", "signs"))
    assert error.value.code == "MDSE-CONVERT-006"
    assert "old of width 17" in str(error.value)


def test_a_padding_layer_becomes_part_of_its_convolution_and_stays_before_a_pooling():
    images = keras.Input((16, 16, 3), dtype="uint8")
    padded = layers.ZeroPadding2D(((0, 1), (2, 3)))(layers.Rescaling(1 / 255)(images))
    pooled = layers.MaxPooling2D(3)(layers.ZeroPadding2D(1, name="before_pool")(layers.Conv2D(8, 3)(padded)))
    graph = onnx_from_keras(origin_from_keras(with_lively_weights(headed(pooled, images))))
    assert [node.name for node in graph.graph.node if node.op_type == "Pad"] == ["before_pool"]
    conv = next(node for node in graph.graph.node if node.op_type == "Conv")
    assert next(list(a.ints) for a in conv.attribute if a.name == "pads") == [0, 2, 1, 3]
