"""The weights of a file are those of the network, and a layer where they are not is named."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest
from keras import Input, layers
from keras.utils import set_random_seed
from keras_models import cells, headed, int8_files, with_constant, with_lively_weights

from convert.derived_files import sources_of
from convert.layer_noise import noisiest_layers
from convert.onnx_from_keras import onnx_from_keras, origin_from_keras
from convert.onnx_session import batch_of, reference_session
from convert.weight_check import require_equal_network, require_weights
from edge.errors import EdgeError

SIZE_PX = 32


@cache
def graph() -> onnx.ModelProto:
    set_random_seed(7)  # other weights may have the search keep another layer in floating point
    images = Input((SIZE_PX, SIZE_PX, 3), dtype="uint8")
    first = layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(layers.Rescaling(1 / 255)(images))
    second = layers.SeparableConv2D(16, 3, padding="same", activation="relu", name="second")(first)
    third = layers.Conv2D(96, 1, activation="relu", name="third")(second)
    return onnx_from_keras(origin_from_keras(with_lively_weights(headed(third, images))))


@cache
def derived():
    models, made = int8_files(graph(), float_layers=("third",))
    return models, sources_of(graph(), models, made)


def refusal(precision, name, change):
    models, sources = derived()
    with pytest.raises(EdgeError) as error:
        require_weights("cells.onnx", with_constant(models[precision], name, change), sources[precision])
    assert error.value.code == "MDSE-PARITY-010"
    assert error.value.exit_status == 3
    return error.value.text


def test_files_of_every_precision_hold_the_weights_of_the_network():
    models, sources = derived()
    assert set(models) == {"int8", "fp32", "fp16", "int8-fp16"}
    for precision, model in models.items():
        require_weights(precision, model, sources[precision])


@pytest.mark.parametrize("precision", ["int8", "int8-fp16"])
@pytest.mark.parametrize("factor", [1.1, 1.02, 0.98])
def test_weights_of_one_layer_a_little_too_large_are_refused_and_the_layer_named(precision, factor):
    text = refusal(precision, "second/kernel/int8_step", lambda step: step * factor)
    assert "second" in text
    assert "first" not in text
    assert "1 of" in text


def test_one_changed_code_of_a_depthwise_kernel_is_refused():
    def one(codes):
        codes.flat[4] += 3 if codes.flat[4] < 100 else -3
        return codes

    assert "second/depthwise" in refusal("int8", "second/depthwise/kernel/int8", one)


def test_coarser_codes_are_refused():
    assert "first" in refusal("int8", "first/kernel/int8", lambda codes: np.clip(np.rint(codes / 4.0) * 4, -127, 127))


@pytest.mark.parametrize(
    ("precision", "name", "layer"),
    [
        ("fp16", "first/kernel", "first"),
        ("fp32", "second/kernel", "second"),
        ("int8", "third/kernel/float16", "third"),
        ("int8", "signs/kernel/float16", "signs"),
    ],
)
def test_weights_in_floating_point_may_differ_by_their_rounding_alone(precision, name, layer):
    assert layer in refusal(precision, name, lambda weights: weights * 1.002)


def test_a_layer_that_the_network_does_not_have_is_refused():
    models, sources = derived()
    other = onnx.ModelProto()
    other.CopyFrom(models["fp32"])
    next(node for node in other.graph.node if node.op_type == "Conv").name = "first2"
    with pytest.raises(EdgeError, match="first2"):
        require_weights("cells.onnx", other, sources["fp32"])


@pytest.mark.parametrize(("precision", "name"), [("int8", "second/kernel/int8_step"), ("fp16", "second/kernel")])
def test_weights_that_are_no_numbers_are_refused(precision, name):
    assert "second" in refusal(precision, name, lambda values: values * np.nan)


def test_channels_that_were_rescaled_on_one_side_only_are_refused():
    _, sources = derived()
    images = cells(4, SIZE_PX, seed=9)
    require_equal_network(graph(), sources["int8"], images, threads=1)
    wrong = with_constant(sources["int8"], "second/kernel", lambda weights: weights * 1.1)
    with pytest.raises(EdgeError) as error:
        require_equal_network(graph(), wrong, images, threads=1)
    assert error.value.code == "MDSE-PARITY-011"


def test_rescaled_channels_are_not_taken_for_noise():
    models, sources = derived()
    layers_in_int8 = noisiest_layers(sources["int8"], models["int8"], cells(2, SIZE_PX))
    assert min(float(text.split("(")[1].split()[0]) for text in layers_in_int8) > 15


def test_memory_of_the_reference_is_bounded():
    assert [batch_of(size, 8) for size in (32, 128, 181, 299)] == [8, 8, 4, 1]
    assert batch_of(4000, 8) == 1
    options = reference_session(graph(), threads=1).get_session_options()
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern
