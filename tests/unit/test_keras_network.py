"""A Keras model is validated as the conversion reads it, and beside a bundle with the bundle's calibration."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from keras_models import CATALOGUE, cells, headed, with_lively_weights

from convert.evaluation.networks import KerasNetwork
from convert.model_options import SCALING_NAMES, ModelOptions
from convert.onnx_from_keras import SCALINGS
from edge.errors import EdgeError

OUTSIDE = ModelOptions(scaling="-1..1")


@pytest.fixture(scope="module")
def unscaled(tmp_path_factory):
    """A model with heads of its own names, features that are no output, and scaling outside of it."""
    images = keras.Input((16, 16, 3))
    model = with_lively_weights(headed(layers.Conv2D(8, 3, activation="relu")(images), images))
    path = tmp_path_factory.mktemp("models") / "foreign.keras"
    model.save(path)
    return path, model


def found_by(network: KerasNetwork, pixels: np.ndarray):
    (outputs,) = network.infer([pixels])
    return outputs


def test_the_scalings_of_the_command_are_those_of_the_conversion():
    assert tuple(SCALINGS) == SCALING_NAMES


def test_a_model_without_scaling_is_refused_until_the_command_says_what_training_did(unscaled):
    path, model = unscaled
    with pytest.raises(EdgeError, match="MDSE-CONVERT-011"):
        KerasNetwork(path, ModelOptions())
    pixels = cells(3, 16)
    findings, types = (np.asarray(part) for part in model(pixels.astype(np.float32) / 127.5 - 1))
    found = found_by(KerasNetwork(path, OUTSIDE), pixels)
    np.testing.assert_allclose(found.cell_type, types, atol=1e-5)
    np.testing.assert_allclose(found.findings, findings, atol=1e-5)
    assert found.embedding.shape == (3, 8)


def test_a_validation_gives_keras_whole_batches_of_one_compiled_model(unscaled, monkeypatch):
    path, _ = unscaled
    sizes, models = [], set()
    compiled = keras.Model.predict_on_batch

    def recorded(model, pixels):
        sizes.append(len(pixels))
        models.add(id(model))
        return compiled(model, pixels)

    monkeypatch.setattr(keras.Model, "predict_on_batch", recorded)
    network = KerasNetwork(path, OUTSIDE)
    assert len(list(network.infer([cells(64, 16), cells(64, 16)]))) == 2
    assert (sizes, len(models)) == ([64, 64], 1)


def test_beside_a_bundle_the_original_has_its_temperature_and_its_offsets(unscaled):
    path, _ = unscaled
    pixels = cells(3, 16)
    plain = KerasNetwork(path, OUTSIDE)
    logits = np.log(found_by(plain, pixels).cell_type.astype(np.float64))
    offsets = {code: 0.1 * place for place, code in enumerate(CATALOGUE.type_codes)}
    plain.calibrate_as(SimpleNamespace(temperature=2.0, type_offset=offsets))
    expected = np.exp(logits / 2 + np.array(list(offsets.values())))
    np.testing.assert_allclose(
        found_by(plain, pixels).cell_type, expected / expected.sum(axis=1, keepdims=True), atol=1e-6
    )
