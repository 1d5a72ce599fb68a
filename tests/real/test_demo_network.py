"""The rebuilt demo network computes what the demo bundle's half-precision file computes, on drawn and on real cells."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import onnx
import pytest

from convert.cell_pixels import pixels_from_cells
from convert.dataset import read_labelled_cells
from convert.keras_model import load_keras_model
from convert.onnx_from_keras import keras_outputs, onnx_from_keras, origin_from_keras
from convert.onnx_graph import constants_of
from convert.parity import outputs_of_onnx
from convert.progress import Progress
from edge.catalogue import load_catalogue
from edge.demo import DEMO_BUNDLE
from tests.real.demo_network import demo_card, write_demo_network

QUIET = Progress("", 1, None)


@cache
def half_precision_file() -> onnx.ModelProto:
    return onnx.load(DEMO_BUNDLE / "cells.fp16.onnx")


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    path = tmp_path_factory.mktemp("rebuilt") / "model.keras"
    write_demo_network(path)
    assert json.loads(path.with_suffix(".card.json").read_bytes()) == demo_card()
    return origin_from_keras(load_keras_model(path))


def assert_equal_within_half_precision(rebuilt, images):
    expected = outputs_of_onnx(half_precision_file(), images, QUIET)
    found = keras_outputs(rebuilt, images)
    assert np.abs(found["cell_type"] - expected.cell_type).max() <= 1e-3
    assert np.abs(found["findings"] - expected.findings).max() <= 1e-3
    assert expected.cell_type.std(axis=0).max() > 0.1  # the cells differ; equal constants would prove nothing


def test_it_computes_what_the_half_precision_file_computes_on_drawn_cells(rebuilt):
    with np.load(DEMO_BUNDLE / "golden" / "images.npz") as golden:
        assert_equal_within_half_precision(rebuilt, golden[golden.files[0]][:32])


def test_it_computes_what_the_half_precision_file_computes_on_real_cells(rebuilt, real_cells_dir):
    cells = read_labelled_cells([(real_cells_dir, "real")], load_catalogue()).of("test")[::50]
    assert_equal_within_half_precision(rebuilt, pixels_from_cells(cells, rebuilt.size_px))


def test_its_fp32_graph_holds_the_very_weights_of_the_file(rebuilt):
    kept, written = constants_of(half_precision_file()), constants_of(onnx_from_keras(rebuilt))
    trunk = [name for name in kept if kept[name].dtype == np.float16]
    assert len(trunk) > 100
    for name in trunk:
        np.testing.assert_array_equal(written[name], kept[name].astype(np.float32), err_msg=name)
