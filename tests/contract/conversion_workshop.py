"""A place to convert in: a small network with lively weights, its card, trees, drawn cells and keys."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import keras
from keras import layers
from keras_models import CATALOGUE, headed, with_lively_weights, write_trees

from convert.commands import convert
from edge.commands import bundle as bundle_command
from edge.simulator.cells import draw_cell

SIZE_PX = 32


def make_workshop(root):
    """Fill a folder with a small model, its card, trees, labelled (drawn) cells and a key pair; return it."""
    keras.utils.set_random_seed(3)
    images = keras.Input((SIZE_PX, SIZE_PX, 3), dtype="uint8", name="images")
    # Named: Keras numbers the layers of a process, and tests name these.
    x = layers.Conv2D(16, 3, strides=2, use_bias=False, name="stem")(layers.Rescaling(1 / 127.5, offset=-1.0)(images))
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization()(x))
    y = layers.SeparableConv2D(16, 3, padding="same", use_bias=False, name="separable")(x)
    y = layers.MaxPooling2D(3, strides=1, padding="same")(layers.BatchNormalization()(y))
    x = layers.ReLU()(layers.Add()([y, x]))
    model = with_lively_weights(headed(x, images))
    model.save(root / "model.keras")
    card = {"name": "small", "version": "3", "intended_use": "research", "image": {"size": SIZE_PX}}
    (root / "model.card.json").write_text(json.dumps({**card, "evidence": {"SNE": "drawn"}, "limits": ["a test"]}))
    write_trees(root / "trees.json")
    write_cells(root / "cells")
    (root / "keys").mkdir()
    assert bundle_command.main(["keygen", "--out", str(root / "keys")]) == 0
    return root


def write_cells(folder, per_type=14):
    rows = ["file,cell_type"]
    for place, code in enumerate(CATALOGUE.type_codes[:10]):
        (folder / code).mkdir(parents=True)
        for number in range(per_type):
            name = f"{code}/{code}-{number}.png"
            drawn = draw_cell(code, (), np.random.default_rng([place, number]), size_px=64)
            assert cv2.imwrite(str(folder / name), drawn[:, :, ::-1])
            rows.append(f"{name},{code}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def run(workshop, *options):
    return convert.main([str(workshop / "model.keras"), "--threads", "1", *map(str, options)])
