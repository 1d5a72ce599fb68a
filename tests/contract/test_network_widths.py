"""What the good networks are made by: other widths of a trained network, its folded normalizations restored."""

import keras
import numpy as np
import pytest

from benchmarks import network_widths
from benchmarks.network_widths import at_width, restore_normalization
from convert.network import build_network


def network(width: float = 0.06):
    made = build_network(size_px=32, width=width, type_count=3, finding_count=2)
    random = np.random.default_rng(3)
    for layer in made.layers:
        if layer.name.endswith("_bn"):
            # As the demo network's: all that is left of a folded normalization is its shift.
            shift = random.normal(0, 0.3, layer.beta.shape)
            layer.set_weights(
                [np.ones_like(shift), shift, np.zeros_like(shift), np.full_like(shift, 1 - layer.epsilon)]
            )
    return made


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).integers(0, 256, (4, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def narrow():
    return network()


@pytest.fixture(scope="module")
def wide():
    return network(0.12)


def said(model, images):
    outputs = model.predict_on_batch(images)
    return np.concatenate([outputs["cell_type"], outputs["findings"]], axis=1)


def test_a_restored_normalization_changes_no_answer_and_has_the_statistics_of_its_input(images):
    model = network()
    before = said(model, images)
    restore_normalization(model, images)
    assert np.abs(said(model, images) - before).max() < 1e-5
    first = model.get_layer("stem1_bn")
    read = np.asarray(keras.Model(model.inputs, first.input).predict_on_batch(images))
    np.testing.assert_allclose(first.get_weights()[2], read.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)


def test_a_network_widened_without_noise_answers_as_before(narrow, images, monkeypatch):
    monkeypatch.setattr(network_widths, "DOUBLING_NOISE", 0.0)
    wider = at_width(narrow, network(0.1), np.random.default_rng(7))
    assert wider.get_layer("embedding").output.shape[-1] > narrow.get_layer("embedding").output.shape[-1]
    assert np.abs(said(wider, images) - said(narrow, images)).max() < 1e-5


def test_a_narrowed_network_keeps_the_channels_of_the_largest_scale(wide):
    layer = wide.get_layer("exit3_sepconv_bn")
    scale = np.random.default_rng(9).permutation(np.arange(1.0, 1 + layer.gamma.shape[0]))
    layer.set_weights([scale, *layer.get_weights()[1:]])
    narrower = at_width(wide, network(), np.random.default_rng(7))
    kept = narrower.get_layer("exit3_sepconv_bn").get_weights()[0]
    np.testing.assert_array_equal(np.sort(kept), np.sort(scale)[-len(kept) :])


def test_more_than_twice_the_channels_are_refused(narrow, wide):
    with pytest.raises(ValueError, match="more than twice"):
        at_width(narrow, wide, np.random.default_rng(7))
