"""The written graph is the Keras model: same numbers, same names, same padding, and everything else is refused."""

from __future__ import annotations

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers
from keras_models import cells, headed, tiny_network, with_lively_weights

from convert.keras_equality import require_keras_equality
from convert.keras_model import load_keras_model
from convert.onnx_from_keras import keras_outputs, onnx_from_keras, origin_from_keras
from convert.onnx_layers import same_padding
from convert.parity import outputs_of_onnx
from convert.progress import Progress
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError

QUIET = Progress("", 1, None)


@pytest.fixture(autouse=True)
def same_weights_every_time():
    keras.utils.set_random_seed(1)


def differences(model, *, images=None, lively=True, **options):
    origin = origin_from_keras(model, **options)
    images = cells(6, origin.size_px) if images is None else images
    written = outputs_of_onnx(onnx_from_keras(origin), images, QUIET, threads=1)
    expected = keras_outputs(origin, images)
    assert not lively or expected["cell_type"].std(axis=0).max() > 1e-4, (
        "the test must see outputs that depend on the image"
    )
    return require_keras_equality(expected, written).differences, expected, written


def code_of(error):
    return error.value.code


@pytest.mark.parametrize("size_px", [32, 45, 64])
def test_the_network_of_the_paper_gives_the_same_probabilities_and_features(size_px):
    found, _, _ = differences(tiny_network(size_px))
    assert found["cell_type"] <= 1e-5
    assert found["findings"] <= 1e-5
    assert found["embedding_relative"] <= 1e-4


def test_the_temperature_divides_the_logits_inside_the_graph():
    model = tiny_network()
    _, plain, _ = differences(model)
    _, _, tempered = differences(model, temperature=2.5)
    expected = plain["cell_type"].astype(np.float64) ** (1 / 2.5)
    np.testing.assert_allclose(tempered.cell_type, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("size", [21, 22])
@pytest.mark.parametrize(("kernel", "strides", "dilation"), [(3, 1, 1), (3, 2, 1), (2, 2, 1), (5, 3, 1), (3, 1, 2)])
def test_same_padding_is_that_of_tensorflow(size, kernel, strides, dilation):
    images = keras.Input((size, size, 3), dtype="uint8", name="images")
    scaled = layers.Rescaling(1 / 255)(images)
    made = layers.Conv2D(8, kernel, strides=strides, padding="same", dilation_rate=dilation)(scaled)
    model = with_lively_weights(headed(made, images))
    differences(model, images=cells(4, size))


def test_every_layer_of_the_set_is_written_alone_and_with_its_own_activation():
    images = keras.Input((21, 21, 3), dtype="uint8", name="images")
    x = layers.Rescaling([1 / 255, 1 / 200, 1 / 127.5], offset=[0.0, 0.1, -1.0])(images)
    x = layers.Conv2D(8, 3, padding="valid", activation="relu", groups=1)(x)
    x = layers.BatchNormalization()(x)  # after an activation: cannot be folded
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu")(x)
    x = layers.SeparableConv2D(16, 3, depth_multiplier=2, padding="same", strides=2, activation="relu")(x)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = layers.BatchNormalization(center=False, scale=False)(y)
    y = layers.Conv2D(16, 1, groups=4)(layers.ReLU()(y))
    x = layers.Add()([layers.Activation("relu")(y), x, layers.MaxPooling2D(3, strides=1, padding="same")(x)])
    x = layers.MaxPooling2D(2)(layers.Dropout(0.5)(x))
    differences(with_lively_weights(headed(x, images)), images=cells(5, 21))


def test_a_model_inside_a_model_and_a_layer_used_twice_are_unrolled():
    inner_in = keras.Input((16, 16, 8))
    inner = keras.Model(
        inner_in, layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(inner_in)), name="inner"
    )
    images = keras.Input((16, 16, 3), dtype="uint8", name="images")
    x = layers.Conv2D(8, 1)(layers.Rescaling(1 / 255)(images))
    twice = keras.Sequential([layers.Conv2D(8, 3, padding="same"), layers.ReLU()], name="twice")
    model = with_lively_weights(headed(layers.Add()([twice(inner(x)), twice(x)]), images))
    differences(model, images=cells(5, 16))


def test_outputs_are_found_by_width_and_features_under_the_heads():
    images = keras.Input((16, 16, 3), dtype="uint8", name="images")
    model = headed(layers.Conv2D(12, 3)(layers.Rescaling(1 / 255)(images)), images)
    origin = origin_from_keras(with_lively_weights(model))
    assert origin.heads.cell_type_output == "kinds"
    assert origin.heads.findings_output == "signs"
    assert origin.heads.embedding_dim == 12
    differences(model, images=cells(4, 16))


def test_a_normalization_between_two_readers_is_not_folded_away():
    images = keras.Input((16, 16, 3), dtype="uint8", name="images")
    made = layers.Conv2D(8, 3, padding="same")(layers.Rescaling(1 / 255)(images))
    model = with_lively_weights(headed(layers.Add()([layers.BatchNormalization()(made), made]), images))
    differences(model, images=cells(4, 16))


def test_layer_names_are_kept_and_pads_are_spelled_out():
    graph = onnx_from_keras(origin_from_keras(tiny_network())).graph
    nodes = {node.name: node for node in graph.node}
    assert {"middle8_sepconv3", "middle8_sepconv3/depthwise", "entry1_pool", "exit3_relu"} <= set(nodes)
    assert [v.name for v in graph.output] == ["cell_type", "findings", "embedding"]
    for node in graph.node:
        if node.op_type in ("Conv", "MaxPool"):
            assert {a.name for a in node.attribute} >= {"pads", "kernel_shape", "strides"}
            assert "auto_pad" not in {a.name for a in node.attribute}


def test_tensorflow_pads_the_odd_pixel_at_the_end():
    assert same_padding(10, 3, 2, 1) == (0, 1)
    assert same_padding(9, 3, 2, 1) == (1, 1)
    assert same_padding(9, 3, 1, 2) == (2, 2)
    assert same_padding(8, 1, 2, 1) == (0, 0)


def test_a_difference_from_keras_is_refused():
    origin = origin_from_keras(tiny_network())
    images = cells(3, 32)
    expected = keras_outputs(origin, images)
    shifted = EngineOutputs(expected["cell_type"] + np.float32(3e-5), expected["findings"], expected["embedding"])
    with pytest.raises(EdgeError) as error:
        require_keras_equality(expected, shifted)
    assert code_of(error) == "MDSE-PARITY-004"


def saved(tmp_path, model):
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def small_model():
    images = keras.Input((16, 16, 3), dtype="uint8", name="images")
    x = layers.SeparableConv2D(8, 3)(layers.Rescaling(1 / 255)(images))
    return with_lively_weights(headed(layers.BatchNormalization()(x), images))


def test_a_saved_model_is_loaded_and_written(tmp_path):
    differences(load_keras_model(saved(tmp_path, small_model())))


def test_a_missing_file_a_text_and_a_cut_file_are_refused(tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    whole = saved(tmp_path, small_model()).read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(tmp_path / "bare.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    for name, code in (("none", "001"), ("text", "002"), ("cut", "002"), ("bare", "002")):
        with pytest.raises(EdgeError) as error:
            load_keras_model(tmp_path / f"{name}.keras")
        assert code_of(error) == f"MDSE-CONVERT-{code}", name


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.KERAS", "model.zip", "model"])
def test_a_file_that_keras_would_not_read_as_the_archive_that_was_checked_is_refused(tmp_path, name):
    """One file can be HDF5 in front and an archive behind; Keras chooses by the name which of them it loads."""
    archive = saved(tmp_path, small_model()).read_bytes()
    small_model().save(tmp_path / "front.h5")
    double = tmp_path / name
    double.write_bytes((tmp_path / "front.h5").read_bytes() + archive)
    assert zipfile.is_zipfile(double)
    with pytest.raises(EdgeError, match=r"does not end in \.keras") as error:
        load_keras_model(double)
    assert code_of(error) == "MDSE-CONVERT-002"


def test_a_lambda_is_refused_before_anything_of_it_is_built(tmp_path):
    images = keras.Input((16, 16, 3), name="images")
    x = layers.Lambda(lambda t: t * 2.0, name="doubling")(layers.Rescaling(1 / 255)(images))
    with pytest.raises(EdgeError) as error:
        load_keras_model(saved(tmp_path, headed(x, images)))
    assert code_of(error) == "MDSE-CONVERT-003"
    assert "Lambda 'doubling' (carries code)" in str(error.value)


def test_custom_and_unknown_layers_are_refused_by_name(tmp_path):
    @keras.saving.register_keras_serializable(package="site")
    class Twice(layers.Layer):
        def call(self, x):
            return x * 2

    images = keras.Input((16, 16, 3), name="images")
    x = layers.UpSampling2D(name="larger")(Twice(name="own")(layers.Rescaling(1 / 255)(images)))
    with pytest.raises(EdgeError) as error:
        load_keras_model(saved(tmp_path, headed(x, images)))
    assert code_of(error) == "MDSE-CONVERT-003"
    assert "Twice 'own' (custom class)" in str(error.value)
    assert "UpSampling2D 'larger'" in str(error.value)


def test_an_architecture_that_names_a_module_outside_keras_is_refused(tmp_path):
    path = saved(tmp_path, small_model())
    forged = tmp_path / "forged.keras"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(forged, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "config.json":
                config = json.loads(data)
                config["config"]["layers"][1].update(module="os", class_name="system")
                data = json.dumps(config).encode()
            target.writestr(name, data)
    with pytest.raises(EdgeError) as error:
        load_keras_model(forged)
    assert code_of(error) == "MDSE-CONVERT-003"


def rejected(model, **options):
    with pytest.raises(EdgeError) as error:
        onnx_from_keras(origin_from_keras(model, **options))
    return error.value


def test_wrong_heads_are_refused_with_found_and_expected():
    images = keras.Input((16, 16, 3), dtype="uint8", name="images")
    scaled = layers.Rescaling(1 / 255)(images)
    error = rejected(headed(scaled, images, types=10))
    assert error.code == "MDSE-CONVERT-006"
    assert "signs of width 97, kinds of width 10" in str(error)
    assert "width 17" in str(error)


def test_logits_two_images_open_sizes_and_missing_scaling_are_refused():
    images = keras.Input((16, 16, 3), dtype="uint8", name="images")
    pooled = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(images))
    logits = [
        layers.Dense(17, name="cell_type")(pooled),
        layers.Dense(97, activation="sigmoid", name="findings")(pooled),
    ]
    assert rejected(keras.Model(images, logits)).code == "MDSE-CONVERT-007"
    second = keras.Input((16, 16, 3), name="second")
    both = layers.Add()([layers.Rescaling(1 / 255)(images), second])
    assert rejected(headed(both, [images, second])).code == "MDSE-CONVERT-005"
    open_size = keras.Input((None, None, 3), name="images")
    assert rejected(headed(layers.Rescaling(1 / 255)(open_size), open_size)).code == "MDSE-CONVERT-010"
    for side in (15, 1025):
        images = keras.Input((side, side, 3), name="images")
        assert "16 to 1024 px" in rejected(headed(layers.Rescaling(1 / 255)(images), images)).text
    for side in (16, 1024):
        images = keras.Input((side, side, 3), name="images")
        assert origin_from_keras(headed(layers.Rescaling(1 / 255)(images), images)).size_px == side
    bare = keras.Input((16, 16, 3), name="images")
    assert rejected(headed(layers.Conv2D(4, 3)(bare), bare)).code == "MDSE-CONVERT-011"
    assert rejected(tiny_network(), scaling="0..1").code == "MDSE-CONVERT-011"


def test_a_model_without_rescaling_is_written_with_the_scaling_that_is_named():
    images = keras.Input((16, 16, 3), name="images")
    model = with_lively_weights(headed(layers.Conv2D(8, 3)(images), images))
    for scaling in ("0..1", "-1..1", "0..255"):
        differences(model, images=cells(4, 16), lively=scaling == "0..255", scaling=scaling)


def test_heads_that_read_different_features_are_refused():
    images = keras.Input((16, 16, 3), dtype="uint8", name="images")
    scaled = layers.Rescaling(1 / 255)(images)
    kinds = layers.Dense(17, activation="softmax")(layers.GlobalAveragePooling2D(name="one")(scaled))
    signs = layers.Dense(97, activation="sigmoid")(layers.GlobalAveragePooling2D(name="two")(scaled))
    error = rejected(keras.Model(images, [kinds, signs]))
    assert error.code == "MDSE-CONVERT-008"
    assert "cell_type reads one, findings reads two" in str(error)


def test_settings_that_cannot_be_written_are_refused_by_layer():
    images = keras.Input((16, 16, 3), dtype="uint8", name="images")
    scaled = layers.Rescaling(1 / 255)(images)
    for layer in (
        layers.ReLU(threshold=0.5, name="bad"),
        layers.Activation("mish", name="bad"),
        layers.Concatenate(axis=1, name="bad"),
        layers.Reshape((24, 32, 1), name="bad"),
        layers.LayerNormalization(axis=1, name="bad"),
    ):
        joined = [scaled, scaled] if isinstance(layer, layers.Concatenate) else scaled
        error = rejected(headed(layer(joined), images))
        assert error.code == "MDSE-CONVERT-009"
        assert error.where == "bad"
