"""The choice of an engine is what was asked for, or the manifest's first; never something else in silence."""

from __future__ import annotations

import pytest

from edge.bundle.manifest import EngineEntry
from edge.engines.choose import choose_engine
from edge.errors import EdgeError


def entry(device, precision):
    return EngineEntry(file=f"cells.{device}.{precision}.onnx", device=device, precision=precision, proof="PROVEN")


ENGINES = [entry("cpu", "int8"), entry("gpu", "fp16"), entry("cpu", "fp32"), entry("gpu", "int8-fp16")]


@pytest.mark.parametrize(
    ("requested", "available", "device", "precision"),
    [
        ("cpu", {"cpu", "gpu"}, "cpu", "int8"),
        ("cpu", {"cpu"}, "cpu", "int8"),
        ("cpu-fp32", {"cpu"}, "cpu", "fp32"),
        ("gpu", {"cpu", "gpu"}, "gpu", "fp16"),
        ("gpu-int8-fp16", {"gpu"}, "gpu", "int8-fp16"),
        ("auto", {"cpu", "gpu"}, "gpu", "fp16"),
        ("auto", {"cpu"}, "cpu", "int8"),
    ],
)
def test_the_first_engine_that_meets_the_request_is_chosen(requested, available, device, precision):
    choice = choose_engine(ENGINES, available, requested)
    assert (choice.device, choice.precision, choice.file) == (device, precision, f"cells.{device}.{precision}.onnx")


def test_the_order_of_the_manifest_decides_within_a_device():
    assert choose_engine(list(reversed(ENGINES)), {"cpu"}, "cpu").precision == "fp32"


def test_the_choice_says_whether_it_was_made_or_requested():
    assert "requested" in choose_engine(ENGINES, {"cpu"}, "cpu").reason
    assert "automatically" in choose_engine(ENGINES, {"cpu"}, "auto").reason


@pytest.mark.parametrize(
    ("requested", "available"), [("gpu", {"cpu"}), ("cpu", {"gpu"}), ("cpu-fp16", {"cpu"}), ("auto", set())]
)
def test_a_device_or_precision_that_is_not_there_is_never_replaced(requested, available):
    with pytest.raises(EdgeError, match="MDSE-ENGINE-001") as caught:
        choose_engine(ENGINES, available, requested)
    assert "cpu-int8, gpu-fp16" in str(caught.value)


@pytest.mark.parametrize("requested", ["", "tpu", "auto-fp32", "cpu-", "CPU"])
def test_a_request_that_means_nothing_is_refused(requested):
    with pytest.raises(EdgeError, match="MDSE-ENGINE-002"):
        choose_engine(ENGINES, {"cpu"}, requested)
