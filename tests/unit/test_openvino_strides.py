"""Strided pointwise convolutions stay in int8 on the CPU, and compute the same bits as in the file."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest
from keras_models import cells, tiny_network
from onnx import numpy_helper

from convert.onnx_from_keras import onnx_from_keras, origin_from_keras
from convert.onnx_graph import bytes_from_onnx
from convert.onnx_session import reference_session
from convert.quantization import quantized_model
from edge.engines.base import INPUT_NAME, OUTPUT_NAMES
from edge.engines.openvino import import_openvino, open_openvino
from edge.engines.openvino_strides import unstride_quantized_pointwise
from edge.engines.processors import has_int8_dot_product

SIZE_PX = 32
SAME = 0.001
STRIDED = {"entry2_shortcut", "entry3_shortcut", "exit1_shortcut"}


@cache
def network(precision):
    graph = onnx_from_keras(origin_from_keras(tiny_network()))
    return bytes_from_onnx(graph if precision == "fp32" else quantized_model(graph, cells(24, SIZE_PX, 5), threads=1))


def opened(precision="int8"):
    return open_openvino(network(precision), precision=precision, size_px=SIZE_PX, cache_dir=None, threads=1)


def read(precision="int8"):
    model = import_openvino().Core().read_model(model=network(precision))
    model.reshape({"images": [2, SIZE_PX, SIZE_PX, 3]})
    return model


def convolutions(program):
    """Return the precision of each convolution as it runs, by name."""
    return {
        node.get_friendly_name().split("/")[0]: node.get_rt_info()["runtimePrecision"].astype(str)
        for node in program.get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    }


def test_every_convolution_of_the_int8_file_runs_in_int8(monkeypatch):
    monkeypatch.setattr("edge.engines.openvino.has_int8_dot_product", lambda: True)
    engine = opened()
    found = convolutions(engine._compiled[0])
    engine.close()
    assert found.keys() >= STRIDED
    assert set(found.values()) <= {"i8", "u8"}


def test_without_the_change_they_would_run_in_single_precision():
    """When this fails, OpenVINO does without the change: then it can go."""
    found = convolutions(import_openvino().Core().compile_model(read(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    assert {name for name, precision in found.items() if precision == "f32"} == STRIDED


def test_where_int8_products_would_overflow_the_same_network_is_computed_in_single_precision(monkeypatch):
    monkeypatch.setattr("edge.engines.openvino.has_int8_dot_product", lambda: False)
    images = cells(8, SIZE_PX, seed=8)
    engine = opened()
    assert set(convolutions(engine._compiled[0]).values()) == {"f32"}
    found = next(engine.infer([images]))
    engine.close()
    session = reference_session(onnx.load_from_string(network("int8")), as_written=True)
    for name, expected in zip(OUTPUT_NAMES, session.run(list(OUTPUT_NAMES), {INPUT_NAME: images}), strict=True):
        # A value on the edge between two steps may be rounded to either; overflow moves a hundred times as much.
        assert np.abs(getattr(found, name) - expected).mean() < SAME * max(1.0, np.abs(expected).mean())


@pytest.mark.skipif(not has_int8_dot_product(), reason="int8 products overflow on this processor")
def test_the_change_moves_no_bit(monkeypatch):
    images = cells(8, SIZE_PX, seed=8)
    changed = next(opened().infer([images]))
    monkeypatch.setattr("edge.engines.openvino.unstride_quantized_pointwise", lambda *_: 0)
    as_written = next(opened().infer([images]))
    for name in ("cell_type", "findings", "embedding"):
        np.testing.assert_array_equal(getattr(changed, name), getattr(as_written, name))


@pytest.mark.parametrize(("precision", "expected"), [("int8", len(STRIDED)), ("fp32", 0)])
def test_only_quantized_convolutions_with_a_stride_are_changed(precision, expected):
    model = read(precision)
    assert unstride_quantized_pointwise(import_openvino(), model) == expected
    strided = [
        node
        for node in model.get_ops()
        if node.get_type_name() == "Convolution" and max(node.get_attributes()["strides"]) > 1
    ]
    # The stem, and in int8 the shortcut that shares its pair.
    assert len(strided) == (2 if precision == "int8" else 5)


def test_steps_that_would_move_bits_are_left_as_they_are():
    """A bundle that was made before the steps were exact keeps its results."""
    graph = onnx.load_model_from_string(network("int8"))
    shortcut = next(node for node in graph.graph.node if node.name == "exit1_shortcut")
    step = next(node for node in graph.graph.node if node.output[0] == shortcut.input[0]).input[1]
    constant = next(value for value in graph.graph.initializer if value.name == step)
    constant.CopyFrom(numpy_helper.from_array(np.float32(1.01) * numpy_helper.to_array(constant), step))
    model = import_openvino().Core().read_model(model=bytes_from_onnx(graph))
    assert unstride_quantized_pointwise(import_openvino(), model) == len(STRIDED) - 1
