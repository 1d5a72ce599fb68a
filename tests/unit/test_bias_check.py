"""The biases of a file are those of the network, but for what rounding accounts for, and other layers are named."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest
from keras import Input, layers
from keras.utils import set_random_seed
from keras_models import cells, headed, int8_files, with_constant, with_lively_weights

from convert import conversion, network_files
from convert.bias_check import bias_shares, require_biases, without_biases
from convert.conversion_request import ConversionRequest
from convert.derived_files import sources_of
from convert.int8_trial import Int8Trial
from convert.onnx_from_keras import onnx_from_keras, origin_from_keras
from edge.errors import EdgeError

SIZE_PX = 32
IN_INT8 = ("int8", "int8-fp16")
BIAS = {"first": "first/bias", "second": "second/bias", "third": "third/bias"}


@cache
def network():
    """A full, a separable and a dense (1x1) convolution whose biases are of the size of what they are added to."""
    set_random_seed(7)
    images = Input((SIZE_PX, SIZE_PX, 3), dtype="uint8")
    first = layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(layers.Rescaling(1 / 255)(images))
    second = layers.SeparableConv2D(16, 3, padding="same", activation="relu", name="second")(first)
    third = layers.Conv2D(96, 1, activation="relu", name="third")(second)
    model = with_lively_weights(headed(third, images))
    for name in ("first", "second", "third"):
        *kernels, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([*kernels, np.linspace(-0.3, 0.5, len(bias))])
    return model


@cache
def derived():
    graph = onnx_from_keras(origin_from_keras(network()))
    models, made = int8_files(graph, float_layers=("third",))
    assert made.corrected
    return models, sources_of(graph, models, made)


def refusal(precision, name, change):
    models, sources = derived()
    with pytest.raises(EdgeError) as error:
        require_biases("cells.onnx", with_constant(models[precision], BIAS[name], change), sources[precision])
    assert (error.value.code, error.value.exit_status) == ("MDSE-PARITY-012", 3)
    return error.value.text


def test_files_of_every_precision_hold_the_biases_of_the_network_with_corrected_ones_far_from_the_bound():
    models, sources = derived()
    assert set(models) == {"int8", "fp32", "fp16", "int8-fp16"}
    for precision, model in models.items():
        require_biases(precision, model, sources[precision])
    for precision in IN_INT8:
        shares = bias_shares(models[precision], sources[precision])
        assert 0 < max(shares["first/linear"], shares["second/linear"]) < 0.5


@pytest.mark.parametrize("precision", IN_INT8)
@pytest.mark.parametrize("name", ["first", "second"])
def test_biases_of_one_int8_layer_dropped_are_refused_and_the_layer_named(precision, name):
    text = refusal(precision, name, np.zeros_like)
    assert text.count(name) == 1
    assert "1 of 3 layers" in text


@pytest.mark.parametrize("precision", IN_INT8)
def test_one_bias_of_a_layer_far_from_its_own_is_refused(precision):
    def one(bias):
        bias[-1] = -bias[-1]
        return bias

    assert "second" in refusal(precision, "second", one)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int8-fp16"])
def test_biases_in_floating_point_may_differ_by_their_rounding_alone(precision):
    assert "third" in refusal(precision, "third", lambda bias: bias * 1.002)


def test_heads_that_are_corrected_for_int8_pools_alone_are_not_taken_for_others():
    set_random_seed(8)
    images = Input((SIZE_PX, SIZE_PX, 3), dtype="uint8")
    first = layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(layers.Rescaling(1 / 255)(images))
    pooled = layers.MaxPooling2D(name="pool")(first)
    second = layers.Conv2D(16, 3, activation="relu", name="second")(pooled)
    graph = onnx_from_keras(origin_from_keras(with_lively_weights(headed(second, images))))
    trial = Int8Trial(graph, cells(24, SIZE_PX, seed=5), threads=1, stream=None)
    model = trial.model(("first", "second"), corrected=True)
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    require_biases("cells.int8.onnx", model, trial.source)


def test_a_layer_that_lost_its_bias_is_refused():
    models, sources = derived()
    bare = onnx.ModelProto()
    bare.CopyFrom(models["int8"])
    del next(node for node in bare.graph.node if node.name == "first/linear").input[2]
    with pytest.raises(EdgeError, match="first"):
        require_biases("cells.int8.onnx", bare, sources["int8"])


def test_every_layer_without_its_biases_is_seen():
    models, sources = derived()
    shares = bias_shares(without_biases(models["int8"]), sources["int8"])
    assert min(shares.values()) > 1


def test_a_conversion_that_moves_the_biases_of_a_layer_is_refused_though_no_answer_changes(tmp_path, monkeypatch):
    network().save(tmp_path / "model.keras")
    request = ConversionRequest(model=tmp_path / "model.keras", out=tmp_path / "bundle", precision="fp16", threads=1)
    right = network_files.derive_models

    def wrong(*given, **options):
        models = right(*given, **options)
        return {**models, "fp16": with_constant(models["fp16"], BIAS["second"], lambda bias: bias * 1.003)}

    monkeypatch.setattr(network_files, "derive_models", wrong)
    with pytest.raises(EdgeError, match="second") as error:
        conversion.convert(request, None)
    assert error.value.code == "MDSE-PARITY-012"
    assert not (tmp_path / "bundle").exists()
