"""The pixels fall on int8 codes exactly, whatever kind of convolution reads them."""

from __future__ import annotations

import numpy as np
import pytest
from keras import Input, layers
from keras_models import cells, headed, with_lively_weights

from convert.calibration import activation_ranges
from convert.onnx_from_keras import onnx_from_keras, origin_from_keras
from convert.onnx_graph import constants_of
from convert.parity import outputs_of_onnx
from convert.pixel_steps import exact_pixels
from convert.progress import Progress
from convert.qdq_from_onnx import quantized_values
from convert.quantization import quantized_model

QUIET = Progress("", 1, None)
SIZE_PX = 32


def network_that_begins_with(first: layers.Layer, scaling: tuple[float, float | list[float]]):
    images = Input((SIZE_PX, SIZE_PX, 3))
    x = layers.Rescaling(scaling[0], scaling[1], name="scaling")(images)
    x = layers.ReLU()(first(x))
    x = layers.ReLU()(layers.SeparableConv2D(16, 3, padding="same")(x))
    return with_lively_weights(headed(x, images))


@pytest.mark.parametrize("scaling", [(1 / 127.5, -1.0), (1 / 100, [-1.5, -0.3, 0.4])], ids=["even", "by_channel"])
@pytest.mark.parametrize(
    "first",
    [
        lambda: layers.Conv2D(8, 3),
        lambda: layers.DepthwiseConv2D(3),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        lambda: layers.SeparableConv2D(8, 3, strides=2),
        lambda: layers.Conv2D(9, 3, groups=3),
    ],
    ids=["plain", "depthwise", "depthwise_twice", "separable", "grouped"],
)
def test_pixels_are_exact_before_every_kind_of_convolution_that_does_not_pad(first, scaling):
    graph = onnx_from_keras(origin_from_keras(network_that_begins_with(first(), scaling)))
    images = cells(12, SIZE_PX, seed=5)
    exact, _ = exact_pixels(graph, activation_ranges(graph, quantized_values(graph), [images]))
    assert exact is not graph
    expected, found = (outputs_of_onnx(model, images, QUIET, threads=1) for model in (graph, exact))
    np.testing.assert_allclose(found.cell_type, expected.cell_type, atol=1e-5)
    np.testing.assert_allclose(found.findings, expected.findings, atol=1e-5)

    constants = constants_of(quantized_model(graph, images, threads=1))
    pixels = np.arange(256, dtype=np.float32)
    scaled = pixels[:, None] * constants["scaling/scale"].reshape(-1) + constants["scaling/offset"].reshape(-1)
    codes = scaled / constants["scaling/int8_step"]
    np.testing.assert_array_equal(codes, np.broadcast_to(pixels[:, None] - 128, codes.shape))
