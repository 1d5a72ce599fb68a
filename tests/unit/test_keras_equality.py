"""Float32's own noise is no difference between networks, and no difference between networks passes for noise."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import Input, layers
from keras_models import cells, headed, with_lively_weights

from convert.keras_equality import require_keras_equality
from convert.keras_float64 import outputs_in_float64
from convert.onnx_from_keras import keras_outputs, origin_from_keras
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError


def outputs(noise=0.0, seed=1):
    random = np.random.default_rng(0)
    values = {"cell_type": (4, 17), "findings": (4, 97), "embedding": (4, 32)}
    exact = {name: random.uniform(0.1, 0.9, shape).astype(np.float32) for name, shape in values.items()}
    moved = np.random.default_rng(seed)
    return {name: part + np.float32(noise) * moved.choice([-1, 1], part.shape) for name, part in exact.items()}


def judged(graph, own, **options):
    return require_keras_equality(outputs(own, 1), EngineOutputs(**outputs(graph, 2)), exact=outputs, **options)


def test_what_agrees_is_not_asked_in_double_precision():
    found = require_keras_equality(
        outputs(), EngineOutputs(**outputs(4e-6)), exact=lambda: pytest.fail("nothing was in doubt")
    )
    assert found.in_float64 is None
    assert "float64_max_difference" not in found.document()


def test_noise_of_the_size_that_keras_itself_has_is_allowed_and_said():
    found = judged(graph=2e-5, own=2e-5)
    assert max(found.differences.values()) > 3e-5
    assert found.document()["float64_max_difference"]["keras"]["findings"] == pytest.approx(2e-5, rel=0.05)
    assert found.document()["float64_max_difference"]["graph"]["findings"] == pytest.approx(2e-5, rel=0.05)


@pytest.mark.parametrize(("graph", "own"), [(3e-5, 1e-6), (5e-5, 2e-5), (2e-4, 2e-4), (float("nan"), 2e-5)])
def test_more_than_twice_the_noise_of_keras_or_ten_times_the_bar_is_another_network(graph, own):
    with pytest.raises(EdgeError) as error:
        judged(graph, own, describe=lambda: "first at stem2_conv")
    assert error.value.code == "MDSE-PARITY-004"
    assert "stem2_conv" in error.value.text


def test_the_network_in_double_precision_is_the_same_network_and_more_exact():
    keras.utils.set_random_seed(4)
    images = Input((16, 16, 3), dtype="uint8")
    inner_input = Input((8, 8, 8))
    inner = keras.Model(inner_input, layers.DepthwiseConv2D(3, activation="relu")(inner_input), name="inner")
    body = inner(layers.Conv2D(8, 1, strides=2, name="first")(layers.Rescaling(1 / 255)(images)))
    model = with_lively_weights(headed(layers.BatchNormalization()(body), images))
    origin = origin_from_keras(model)
    pixels = cells(3, 16)
    exact, single = outputs_in_float64(origin, pixels), keras_outputs(origin, pixels)
    for name, values in exact.items():
        assert 0 <= np.abs(values - single[name]).max() < 1e-5 * max(1.0, np.abs(values).max())
    assert any((values != single[name]).any() for name, values in exact.items()), "it was float32 again"
    assert model.layers[-1].dtype == "float32", "the network itself stays as it is"
