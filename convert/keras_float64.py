"""The Keras network in double precision: how far float32 itself is from the network, whoever computes it.

Two correct float32 computations of one network differ, because they add in different orders. Most differ by 1e-6; a
deep body whose activations grow from layer to layer by more than 1e-5 (ResNet50 and MobileNetV2 without training,
benchmarks/foreign_networks.json). There the written graph is held to the network in double precision instead, and may
be no farther from it than twice as far as Keras' own float32 is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.layer_calls import calls_from_model
from convert.model_heads import find_heads
from convert.onnx_from_keras import OriginModel, keras_outputs


def outputs_in_float64(origin: OriginModel, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Run the Keras network in double precision on u8 [N,S,S,3]; the outputs are rounded to float32 at the end."""
    model = _in_float64(origin.keras_model)
    unrolled = calls_from_model(model)
    found = origin.heads
    widths = found.widths()
    heads = find_heads(
        unrolled,
        type_count=widths["cell_type"],
        finding_count=widths["findings"],
        names=(found.cell_type_output, found.findings_output),
    )
    return keras_outputs(replace(origin, keras_model=model, unrolled=unrolled, heads=heads), images)


def _in_float64(model: Any) -> Any:
    def doubled(layer: Any) -> Any:
        settings = layer.get_config()
        if not isinstance(layer, keras.layers.InputLayer):  # pixels are whole numbers in any precision
            settings["dtype"] = "float64"
        return layer.__class__.from_config(settings)

    twin = keras.models.clone_model(model, clone_function=doubled, recursive=True)
    twin.set_weights(model.get_weights())
    return twin
