"""The choice of an engine is what was asked for, or the manifest's first; never something else in silence."""

from __future__ import annotations

import pytest

from edge.bundle.manifest import EngineEntry
from edge.engines.choose import choose_engine, usable_libraries
from edge.errors import EdgeError


def entry(device, precision):
    return EngineEntry(file=f"cells.{device}.{precision}.onnx", device=device, precision=precision, proof="PROVEN")


ENGINES = [entry("cpu", "int8"), entry("gpu", "fp16"), entry("cpu", "fp32"), entry("gpu", "int8-fp16")]
ALL = {"openvino", "tensorrt", "rtx"}


@pytest.mark.parametrize(
    ("requested", "usable", "device", "precision", "library"),
    [
        ("cpu", ALL, "cpu", "int8", "openvino"),
        ("cpu", {"openvino"}, "cpu", "int8", "openvino"),
        ("cpu-fp32", {"openvino"}, "cpu", "fp32", "openvino"),
        ("gpu", ALL, "gpu", "fp16", "tensorrt"),
        ("gpu", {"rtx"}, "gpu", "fp16", "rtx"),
        ("gpu-int8-fp16", {"tensorrt"}, "gpu", "int8-fp16", "tensorrt"),
        ("tensorrt", ALL, "gpu", "fp16", "tensorrt"),
        ("rtx", ALL, "gpu", "fp16", "rtx"),
        ("rtx-int8-fp16", ALL, "gpu", "int8-fp16", "rtx"),
        ("auto", ALL, "gpu", "fp16", "tensorrt"),
        ("auto", {"openvino", "rtx"}, "gpu", "fp16", "rtx"),
        ("auto", {"openvino"}, "cpu", "int8", "openvino"),
    ],
)
def test_the_first_engine_that_meets_the_request_is_chosen(requested, usable, device, precision, library):
    choice = choose_engine(ENGINES, usable, requested)
    assert (choice.device, choice.precision, choice.library) == (device, precision, library)
    assert choice.file == f"cells.{device}.{precision}.onnx"


@pytest.mark.parametrize(
    ("installed", "compute_capability", "usable"),
    [
        (ALL, None, {"openvino"}),
        ({"tensorrt", "rtx"}, None, set()),
        (ALL, "8.6", ALL),
        (ALL, "8.9", ALL),
        (ALL, "12.0", ALL),
        (ALL, "7.5", {"openvino", "tensorrt"}),
        (ALL, "9.0", {"openvino", "tensorrt"}),
        (ALL, "10.0", {"openvino", "tensorrt"}),
        ({"openvino"}, "8.6", {"openvino"}),
        ({"rtx"}, "8.9", {"rtx"}),
    ],
)
def test_a_library_is_usable_where_it_is_installed_and_knows_the_gpu(installed, compute_capability, usable):
    assert usable_libraries(installed, compute_capability=compute_capability) == usable


def test_the_order_of_the_manifest_decides_within_a_device():
    assert choose_engine(list(reversed(ENGINES)), ALL, "cpu").precision == "fp32"
    assert choose_engine(list(reversed(ENGINES)), ALL, "gpu").precision == "int8-fp16"


def test_the_choice_says_whether_it_was_made_or_requested():
    assert "requested" in choose_engine(ENGINES, ALL, "cpu").reason
    assert "automatically" in choose_engine(ENGINES, {"openvino"}, "auto").reason


@pytest.mark.parametrize(
    ("requested", "usable"),
    [
        ("gpu", {"openvino"}),
        ("cpu", {"tensorrt", "rtx"}),
        ("cpu-fp16", ALL),
        ("tensorrt", {"openvino", "rtx"}),
        ("rtx", {"openvino", "tensorrt"}),
        ("auto", set()),
    ],
)
def test_a_device_or_precision_that_is_not_there_is_never_replaced(requested, usable):
    with pytest.raises(EdgeError, match="MDSE-ENGINE-001") as caught:
        choose_engine(ENGINES, usable, requested)
    assert "cpu-int8, gpu-fp16" in str(caught.value)


@pytest.mark.parametrize("requested", ["", "tpu", "auto-fp32", "cpu-", "CPU", "openvino"])
def test_a_request_that_means_nothing_is_refused(requested):
    with pytest.raises(EdgeError, match="MDSE-ENGINE-002"):
        choose_engine(ENGINES, ALL, requested)
