"""The network is the paper's, and any size and width of it works."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from convert.network import EMBEDDING_CHANNELS, build_network, channels_from_width  # noqa: E402


@pytest.fixture(scope="module")
def tiny():
    return build_network(size_px=32, width=0.1)


def test_at_full_width_it_has_the_weights_of_xception_and_two_heads():
    # 20,861,480 weights of keras.applications.Xception without its top, 233,586 of the two heads.
    assert build_network(size_px=71, width=1.0).count_params() == 20_861_480 + 233_586
    assert EMBEDDING_CHANNELS == 2048


def test_full_width_keeps_every_channel_count_of_the_paper():
    for channels in (32, 64, 128, 256, 728, 1024, 1536, 2048):
        assert channels_from_width(channels, 1.0) == channels


def test_every_channel_count_is_a_multiple_of_eight():
    assert {channels_from_width(channels, 0.37) % 8 for channels in range(8, 2049)} == {0}
    assert channels_from_width(32, 0.01) == 8


def test_the_outputs_are_probabilities_and_the_last_hidden_layer(tiny):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    outputs = {name: np.asarray(value) for name, value in tiny.predict_on_batch(images).items()}
    assert {name: value.shape for name, value in outputs.items()} == {
        "cell_type": (2, 17),
        "findings": (2, 97),
        "embedding": (2, channels_from_width(2048, 0.1)),
    }
    assert np.allclose(outputs["cell_type"].sum(axis=1), 1, atol=1e-5)
    assert outputs["findings"].min() >= 0
    assert outputs["findings"].max() <= 1
    assert outputs["embedding"].min() >= 0  # it follows a ReLU


def test_it_takes_bytes_and_scales_them_itself(tiny):
    assert tiny.inputs[0].dtype == "uint8"
    scaling = tiny.get_layer("scaling")
    assert np.allclose(np.asarray(scaling(np.array([0.0, 127.5, 255.0], np.float32))), [-1, 0, 1])


def test_only_layers_that_the_conversion_knows_are_used(tiny):
    allowed = {
        "InputLayer", "Rescaling", "Conv2D", "SeparableConv2D", "BatchNormalization", "ReLU", "MaxPooling2D", "Add",
        "GlobalAveragePooling2D", "Dropout", "Dense",
    }  # fmt: skip
    assert {type(layer).__name__ for layer in tiny.layers} <= allowed


def test_both_heads_read_the_same_features(tiny):
    features = {tiny.get_layer(head).input._keras_history.operation.name for head in ("cell_type", "findings")}
    assert features == {"dropout"}
    assert tiny.get_layer("dropout").input._keras_history.operation.name == "embedding"


def test_under_mixed_precision_probabilities_stay_float32():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build_network(size_px=32, width=0.1)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {output.dtype for output in model.outputs} == {"float32"}
    assert model.get_layer("stem1_conv").compute_dtype == "bfloat16"


def test_a_saved_model_says_the_same_after_loading(tiny, tmp_path):
    tiny.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    before, after = tiny.predict_on_batch(images), loaded.predict_on_batch(images)
    assert all(np.array_equal(np.asarray(before[name]), np.asarray(after[name])) for name in before)


@pytest.mark.parametrize(("size_px", "width"), [(31, 1.0), (299, 0.0), (299, 2.5), (299, -1.0)])
def test_sizes_and_widths_that_make_no_network_are_refused(size_px, width):
    with pytest.raises(ValueError, match="network"):
        build_network(size_px=size_px, width=width)
