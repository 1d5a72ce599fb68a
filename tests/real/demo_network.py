"""The demo network as a Keras model again, rebuilt from the half-precision file of the demo bundle.

    python -m tests.real.demo_network OUT.keras      # writes OUT.keras and OUT.card.json

The Keras model that the demo bundle was made from is not kept. Its file `cells.fp16.onnx` holds the trained weights
after folding, rounded to half precision; here they go back into the architecture of `convert.network`. What comes out
computes what that file computes (<= 1e-3 on probabilities, the rounding of half-precision arithmetic); it is not the
original, and nothing that the rounding or the folding took is restored:

- folded convolutions stand in the kernels, their bias in the following normalization (gamma 1, beta the bias, mean 0,
  variance 1 - epsilon, so that the normalization scales by exactly 1);
- temperature and type offsets of the bundle stay in the type head (kernel and bias are divided by the temperature), so
  the card's temperature is 1.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from convert.network import EMBEDDING_CHANNELS, build_network
from edge.demo import DEMO_BUNDLE

NOTE = "rebuilt from cells.fp16.onnx of the demo bundle: folded weights in half precision, not the trained original"


def demo_network(bundle: Path = DEMO_BUNDLE) -> keras.Model:
    """Return the network of `bundle` rebuilt from its half-precision file, computing in float32.

    Raises ValueError where the file is not of the architecture of `convert.network`.
    """
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    weights = _weights(bundle / "cells.fp16.onnx")
    model = build_network(
        size_px=int(manifest["image"]["size"]),
        width=int(manifest["embedding_dim"]) / EMBEDDING_CHANNELS,
        type_count=len(manifest["types"]),
        finding_count=len(manifest["findings"]),
    )
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_layer_weights(layer, weights))
    if weights:
        raise ValueError(f"the network has no place for {sorted(weights)[0]}")
    return model


def demo_card(bundle: Path = DEMO_BUNDLE) -> dict[str, Any]:
    """Return the card of the rebuilt network: evidence and decision of the bundle's manifest, temperature 1."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    decision = {key: manifest["decision"][key] for key in ("finding_threshold", "unidentified_below", "gates")}
    return {
        "name": f"{manifest['name']}-rebuilt",
        "version": manifest["version"],
        "intended_use": "demo",
        "image": manifest["image"],
        "evidence": manifest["evidence"],
        "decision": {"temperature": 1.0, **decision},
        "limits": [NOTE],
    }


def write_demo_network(out: Path, bundle: Path = DEMO_BUNDLE) -> None:
    """Write `out` (.keras) and the card beside it."""
    demo_network(bundle).save(out)
    card = json.dumps(demo_card(bundle), indent=1, sort_keys=True) + "\n"
    out.with_suffix(".card.json").write_text(card, encoding="utf-8")


def _weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The file's weights by the names of Keras layers, the type head with temperature and offsets in it."""
    model = onnx.load(path)
    found = {t.name: numpy_helper.to_array(t).astype(np.float32) for t in model.graph.initializer}
    inverse = found.pop("cell_type/inverse_temperature", np.ones((1, 1), np.float32)).reshape(())
    for part in ("kernel", "bias"):
        found[f"cell_type/value/{part}"] = found[f"cell_type/value/{part}"] * inverse
    return {name.replace("/value/", "/"): values for name, values in found.items() if not name.startswith("scaling/")}


def _layer_weights(layer: Any, weights: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Take the weights of one Keras layer out of `weights`."""
    name = layer.name
    if isinstance(layer, keras.layers.BatchNormalization):
        # The names of normalizations: stem1_bn follows stem1_conv, x_bn follows x.
        before = name.removesuffix("_bn")
        bias = weights.pop(f"{before}/bias", None)
        bias = weights.pop(f"{before}_conv/bias") if bias is None else bias
        return [np.ones_like(bias), bias, np.zeros_like(bias), np.full_like(bias, 1.0 - layer.epsilon)]
    if isinstance(layer, keras.layers.Dense):
        return [weights.pop(f"{name}/kernel").T, weights.pop(f"{name}/bias")]
    if isinstance(layer, keras.layers.SeparableConv2D):
        depthwise, pointwise = weights.pop(f"{name}/depthwise/kernel"), weights.pop(f"{name}/kernel")
        return [depthwise.transpose(2, 3, 0, 1), pointwise.transpose(2, 3, 1, 0)]
    return [weights.pop(f"{name}/kernel").transpose(2, 3, 1, 0)]


def main() -> None:
    """Write the network named on the command line."""
    reader = argparse.ArgumentParser(description="The demo network, rebuilt from the half-precision file.")
    reader.add_argument("out", type=Path, metavar="OUT.keras")
    write_demo_network(reader.parse_args().out)


if __name__ == "__main__":
    main()
