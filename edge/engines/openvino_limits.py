"""What this processor could do at most, and what a network asks of it: the two numbers that judge an engine.

The limit is the rate of large matrix products in OpenVINO itself, with the threads that the engine has: a network that
reaches 70 % of it leaves little for anybody to gain. It moves with the machine's load and clock as everything does, so
it is measured in the same run as the network that is compared with it. It knows openvino through openvino.py alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edge.engines.base import INPUT_NAME
from edge.engines.openvino import import_openvino
from edge.engines.processors import has_int8_dot_product

SIDE = 2048
_PRODUCTS = 4  # in a row: converting the first input to int8 is then a small part of it
_ROUNDS = 5
_SEED = 20190913


@dataclass(frozen=True, slots=True)
class MatmulLimit:
    """Best rate of products of 2048 x 2048 matrices: 10^9 floating-point and int8 operations per second.

    `int8_gops` is None where the processor ran the product in floating point, or in int8 with sums that overflow.
    """

    fp32_gflops: float
    int8_gops: float | None
    copies: int
    threads: int


def computed_in(precision: str) -> str:
    """Return in which numbers OpenVINO computes a network of this precision here: "int8" or "fp32".

    fp16 files are half as large and computed in single precision; so is int8 where its products would overflow.
    """
    return "int8" if precision == "int8" and has_int8_dot_product() else "fp32"


def measured_limit(copies: int, threads: int, *, clock: Callable[[], float] = time.perf_counter) -> MatmulLimit:
    """Measure the limit with so many programs side by side, each with so many threads; takes a few seconds."""
    openvino = import_openvino()
    rates: dict[str, float | None] = {}
    for precision in ("fp32", "int8"):
        rates[precision] = None
        if computed_in(precision) == precision:
            compiled = [_compiled(openvino, precision, threads) for _ in range(copies)]
            if precision == "fp32" or all(_runs_in_int8(program) for program in compiled):
                rates[precision] = round(_best_rate(compiled, clock), 1)
    return MatmulLimit(rates["fp32"] or 0.0, rates["int8"], copies, threads)


def network_macs(onnx: bytes, size_px: int) -> int:
    """Return the multiply-accumulate operations of one image: convolutions and matrix products, from their shapes."""
    model = import_openvino().Core().read_model(model=onnx)
    model.reshape({INPUT_NAME: [1, size_px, size_px, 3]})
    return sum(_macs_of(operation) for operation in model.get_ops())


def _macs_of(operation: Any) -> int:
    kind = operation.get_type_name()
    if kind not in ("Convolution", "GroupConvolution", "MatMul"):
        return 0
    outputs = prod(operation.output(0).get_shape())
    weights = list(operation.input(1).get_shape())
    if kind == "MatMul":
        return int(outputs * operation.input(0).get_shape()[-1])
    # Convolution: [out, in, h, w]; GroupConvolution: [groups, out, in, h, w], in and out of one group.
    return int(outputs * prod(weights[1:] if kind == "Convolution" else weights[2:]))


def _compiled(openvino: Any, precision: str, threads: int) -> Any:
    opset = openvino.opset13
    random = np.random.default_rng(_SEED)
    images = opset.parameter([SIDE, SIDE], np.float32)
    value: Any = images
    for _ in range(_PRODUCTS):
        weights = random.integers(-127, 128, (SIDE, SIDE)).astype(np.int8)
        scale = np.float32(1 / (127 * SIDE**0.5))
        if precision == "int8":
            value = _quantized(opset, value)
            factor = opset.multiply(opset.convert(opset.constant(weights), "f32"), opset.constant(scale))
        else:
            factor = opset.constant(weights.astype(np.float32) * scale)
        value = opset.matmul(value, factor, False, False)
    model = openvino.Model([opset.result(value)], [images], "limit")
    properties = {
        "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads), "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": "NO",
    }  # fmt: skip
    return openvino.Core().compile_model(model, "CPU", properties)


def _quantized(opset: Any, value: Any) -> Any:
    """Return the value in 256 steps around 0, as the quantized networks have their activations."""
    low, high = (opset.constant(np.full((1, 1), limit, np.float32)) for limit in (-4.0, 4.0 * 127 / 128))
    return opset.fake_quantize(value, low, high, low, high, 256)


def _runs_in_int8(compiled: Any) -> bool:
    kinds = ("FullyConnected", "MatMul")
    found = [
        operation.get_rt_info()["runtimePrecision"].astype(str)
        for operation in compiled.get_runtime_model().get_ops()
        if operation.get_rt_info()["layerType"].astype(str) in kinds
    ]
    return bool(found) and all(precision in ("i8", "u8") for precision in found)


def _best_rate(compiled: list[Any], clock: Callable[[], float]) -> float:
    """Return the best rate of several rounds in 10^9 operations per second, all programs together."""
    images = np.random.default_rng(_SEED).standard_normal((SIDE, SIDE)).astype(np.float32)
    requests = [program.create_infer_request() for program in compiled]
    for request in requests:
        request.infer({0: images})
    best_s = float("inf")
    for _ in range(_ROUNDS):
        start_s = clock()
        for request in requests:
            request.start_async()
        for request in requests:
            request.wait()
        best_s = min(best_s, clock() - start_s)
    return float(2 * SIDE**3 * _PRODUCTS * len(requests) / best_s / 1e9)
