"""The contestants by name: each a class with one protocol (base.py), each run in a process of its own.

Modules are imported only in the process that runs them: nobody waits for, or computes with, another's libraries.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from benchmarks.side_by_side.contestants.base import Contestant

Kind = Literal["rate", "latency", "slide"]
PIPELINE, PLAIN = "pipeline", "plain"
ONE_IMAGE = "openvino_int8"
INT8_LIMIT, FP32_LIMIT = "int8_limit", "fp32_limit"


@dataclass(frozen=True, slots=True)
class Entry:
    """One contestant: what tables call it, its module and class in this package, what is measured, and how it is set.

    `own_python`: its libraries do not go together with the others', so it may be given an interpreter of its own.
    `limit`: the matrix rate that bounds it, that of its precision. `serves`: it starts a server beside its process.
    """

    label: str
    place: str
    kinds: tuple[Kind, ...]
    limit: str | None
    setting: str
    own_python: bool = False
    serves: bool = False


_RATE: tuple[Kind, ...] = ("rate",)
_ONE: tuple[Kind, ...] = ("latency",)
_ALONE: tuple[Kind, ...] = ("rate", "latency")
_WHOLE: tuple[Kind, ...] = ("rate", "latency", "slide")
_PRODUCT = "OpenVINO, 2048 x 2048 x 2048, on all threads together or one on each"
ENTRIES: dict[str, Entry] = {
    INT8_LIMIT: Entry("int8 matrix product", "matmul:Int8MatrixProduct", _RATE, None, _PRODUCT),
    FP32_LIMIT: Entry("fp32 matrix product", "matmul:Fp32MatrixProduct", _RATE, None, _PRODUCT),
    PIPELINE: Entry(
        "**mds-edge**, int8",
        "pipeline:Pipeline",
        _WHOLE,
        INT8_LIMIT,
        "the shipped engine and pipeline, opened as the worker opens them",
    ),
    PLAIN: Entry(
        "Keras `predict`",
        "keras_plain:KerasPredict",
        _WHOLE,
        FP32_LIMIT,
        "the plain way: load_img, predict by 32, Booster.predict, shap.TreeExplainer",
    ),
    "tf_function": Entry(
        "tf.function", "tf_function:TensorFlowFunction", _ALONE, FP32_LIMIT, "traced for a fixed shape, not XLA"
    ),
    "litert_int8": Entry(
        "LiteRT int8",
        "litert:LiteRtInt8",
        _ALONE,
        INT8_LIMIT,
        "quantized by its converter, which leaves in floating point what it has no int8 form for; XNNPACK",
    ),
    "ort_fp32": Entry(
        "ONNX Runtime fp32", "onnx_runtime:OnnxRuntimeFp32", _ALONE, FP32_LIMIT, "all graph optimizations"
    ),
    "ort_s8": Entry(
        "ONNX Runtime int8, our file",
        "onnx_runtime:OnnxRuntimeSigned",
        _ALONE,
        INT8_LIMIT,
        "the bundle's file: signed activations",
    ),
    "ort_u8": Entry(
        "ONNX Runtime int8, its best",
        "onnx_runtime:OnnxRuntimeUnsigned",
        _ALONE,
        INT8_LIMIT,
        "made by quantize_static: unsigned activations, MinMax, per channel",
    ),
    "openvino_fp32": Entry(
        "OpenVINO fp32", "openvino_plain:OneRequestFp32", _ALONE, FP32_LIMIT, "LATENCY hint, one request at a time"
    ),
    "openvino_fp32_async": Entry(
        "OpenVINO fp32, its async sample",
        "openvino_plain:QueueFp32",
        _RATE,
        FP32_LIMIT,
        "THROUGHPUT hint, AsyncInferQueue",
    ),
    "openvino_default_async": Entry(
        "OpenVINO, its default precision, async sample",
        "openvino_plain:QueueDefault",
        _RATE,
        None,
        "the fp32 file, THROUGHPUT hint, AsyncInferQueue; bfloat16 where the processor has it",
    ),
    "openvino_int8_async": Entry(
        "OpenVINO int8, our file, its async sample",
        "openvino_plain:QueueInt8",
        _RATE,
        INT8_LIMIT,
        "THROUGHPUT hint, AsyncInferQueue",
    ),
    ONE_IMAGE: Entry(
        "OpenVINO int8, our file, one image",
        "openvino_plain:OneRequestInt8",
        _ONE,
        INT8_LIMIT,
        "LATENCY hint, one request at a time on all threads, the engine's changes to the graph",
    ),
    "triton": Entry(
        "Triton through pytriton, our int8 file",
        "triton:TritonServer",
        _ALONE,
        INT8_LIMIT,
        "OpenVINO behind Triton's batcher, two clients over gRPC on the loopback",
        own_python=True,
        serves=True,
    ),
}


def contestant_class(name: str) -> type[Contestant]:
    """Return the class of a contestant; imports its module, and with it what it needs."""
    module, _, attribute = ENTRIES[name].place.partition(":")
    found: type[Contestant] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return found
