"""Small Keras models for the tests of conversion: every layer that is written, with weights that are not all alike."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import layers

from convert.derived_files import derive_models
from convert.network import build_network
from convert.onnx_graph import constants_of, replace_constants
from convert.quantization import quantize
from edge.catalogue import load_catalogue

CATALOGUE = load_catalogue()
PARAMETERS = list(CATALOGUE.parameter_names)


def with_lively_weights(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give every weight a value that a wrong folding or order would show, and let outputs differ from cell to cell.

    Batch statistics are those of a batch, as in training: with random ones the deep layers would go silent.
    """
    random = np.random.default_rng(seed)
    normalizations = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.Model):
            continue
        shapes = [w.shape for w in layer.get_weights()]
        if layer in normalizations:
            layer.momentum = 0.0
            layer.set_weights(
                [w + random.normal(0, 0.2, w.shape) for w in layer.get_weights()[:-1]] + [np.ones(shapes[-1])]
            )
        elif shapes:
            layer.set_weights([w + random.normal(0, 0.05, w.shape) for w in layer.get_weights()])
    images = cells(24, model.inputs[0].shape[1], seed=99)
    if normalizations:
        model(images, training=True)
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            features = np.asarray(keras.Model(model.inputs[0], layer.input)(images, training=False))
            kernel = random.normal(0, 2 / np.sqrt(features.var(axis=0).sum()), layer.kernel.shape)
            layer.set_weights([kernel, -features.mean(axis=0) @ kernel])
    return model


@cache
def tiny_network(size_px: int = 32, width: float = 0.125, seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return with_lively_weights(build_network(size_px=size_px, width=width), seed)


def headed(features, images, *, types=17, findings=97, name="other"):
    vector = layers.GlobalAveragePooling2D(name="pooled")(features)
    return keras.Model(
        images,
        [
            layers.Dense(findings, activation="sigmoid", name="signs")(vector),
            layers.Dense(types, activation="softmax", name="kinds")(vector),
        ],
        name=name,
    )


def cells(count: int, size_px: int, seed: int = 0) -> np.ndarray:
    """Smooth random images: random pixels would average out to the same features."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 4, 4, 3)).astype(np.float32)
    fine = coarse.repeat(-(-size_px // 4), axis=1).repeat(-(-size_px // 4), axis=2)[:, :size_px, :size_px]
    return np.clip(fine + random.normal(0, 20, fine.shape), 0, 255).astype(np.uint8)


def tree_spec(**changes):
    spec = {
        "target": "mds_aa", "positive": "MDS", "negative": "AA", "threshold": 0.5,
        "calibration": {"slope": 1.0, "intercept": 0.0}, "minimum": {"wbc": 100, "neutrophil": 30},
        "parameters": PARAMETERS,
        "cohort": {
            "simulated": True, "cases": {"MDS": 75, "AA": 36}, "range": {"BL_share": [0.0, 0.2]}, "outside_allowed": 5,
        },
    }  # fmt: skip
    return {**spec, **changes}


def write_trees(path, *, spec=None, objective="binary:logistic", columns=None, rounds=12):
    import xgboost

    random = np.random.default_rng(3)
    width = columns or len(PARAMETERS)
    rows = random.gamma(0.7, 0.3, (200, width)).astype(np.float32)
    rows[random.random(rows.shape) < 0.2] = np.nan
    answers = (np.nan_to_num(rows[:, 1]) + np.nan_to_num(rows[:, 5]) > 0.4).astype(int)
    names = PARAMETERS[:width]
    booster = xgboost.train(
        {"objective": objective, "max_depth": 3, "nthread": 1},
        xgboost.DMatrix(rows, answers, feature_names=names),
        rounds,
    )
    if spec is not False:
        booster.set_attr(mds_edge=json.dumps(spec or tree_spec()))
    booster.save_model(path)
    return path


def int8_files(graph: onnx.ModelProto, *, float_layers: tuple[str, ...]) -> tuple[dict[str, onnx.ModelProto], Any]:
    """Return the files of every precision for `graph` (32 px), and what quantizing decided."""
    calibration, judged = cells(24, 32, seed=5), cells(16, 32, seed=6)
    quantized, _ = quantize(graph, calibration, judged, float_layers=float_layers, threads=1)
    return derive_models(graph, quantized, precision="int8", for_gpu=True, with_fp32=True), quantized


def with_constant(model: onnx.ModelProto, name: str, change: Callable[[Any], Any]) -> onnx.ModelProto:
    """Return a copy of `model` with one of its constants changed; its type stays."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    constants = constants_of(other)
    constants[name] = np.asarray(change(constants[name]), constants[name].dtype)
    replace_constants(other, constants)
    return other
