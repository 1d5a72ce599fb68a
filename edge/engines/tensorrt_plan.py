"""From a typed ONNX file to a TensorRT plan: one code path for `tensorrt` and `tensorrt_rtx`, passed in as `trt`.

The network is strongly typed: float16, int8 and fp8 are what the file says, never what a builder prefers. A plan has
one optimization profile per batch size, each with that one shape, so that every size has its own best kernels and its
own CUDA graph. Every call of the library that may answer None, False or -1 is checked, and its own last error goes into
ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge.engines.base import INPUT_NAME, OUTPUT_NAMES
from edge.errors import EdgeError

BATCH_SIZES = (1, 16, 64)
"""One image; the rest of a slide; the most at once. 200 cells run as 64 + 64 + 64 + 16, so decoding stays ahead."""
_WORKSPACE_BYTES = 1 << 30
_REPORT_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What to build: image side in pixels, batch sizes in ascending order, builder level 0-5.

    `compute_capabilities`: names such as "SM89" for GPUs that are not here (TensorRT for RTX alone), empty for this
    one. `timing_cache`: what an earlier build learnt, or nothing.
    """

    size_px: int
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    optimization_level: int = 3
    compute_capabilities: tuple[str, ...] = ()
    timing_cache: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class BuiltPlan:
    """A serialized plan and how it came about. `quantized_layers` maps layers that must not run in float to a type."""

    plan: bytes
    timing_cache: bytes
    timing_cache_was_used: bool
    quantized_layers: dict[str, str]
    build_s: float


ProgressReport = Callable[[float, float | None], None]
"""Called about once a second with the seconds so far and those that the last such build took (None: none yet)."""


def build_plan(
    trt: Any,
    onnx: bytes,
    request: PlanRequest,
    *,
    where: str,
    report: ProgressReport = lambda *_: None,
    last_build_s: float | None = None,
) -> BuiltPlan:
    """Build a plan of the network in `onnx` (verified bytes).

    Raises EdgeError MDSE-PLAN-002 for a network the library refuses, -003 where the build fails.
    """
    messages = make_logger(trt)
    builder = _made(lambda: trt.Builder(messages), messages, where, "a builder")
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = _made(lambda: builder.create_network(flags), messages, where, "a network")
    parser = _made(lambda: trt.OnnxParser(network, messages), messages, where, "an ONNX parser")
    if not parser.parse(onnx):
        raise EdgeError("MDSE-PLAN-002", where=where, reason=_parser_reason(parser, messages))
    _check_network(trt, network, request, where)
    config = _made(builder.create_builder_config, messages, where, "a builder configuration")
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.builder_optimization_level = request.optimization_level
    _set_targets(trt, config, request, where)
    for size in request.batch_sizes:
        _add_profile(builder, config, size, request.size_px, messages, where)
    cache_was_used = _set_timing_cache(config, request.timing_cache, messages, where)
    start_s = time.monotonic()
    with _told_regularly(report, last_build_s):
        serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise EdgeError("MDSE-PLAN-003", where=where, reason=messages.last_error("the builder gave no reason"))
    timing_cache = bytes(memoryview(config.get_timing_cache().serialize()))
    build_s = time.monotonic() - start_s
    return BuiltPlan(
        bytes(memoryview(serialized)), timing_cache, cache_was_used, quantized_layers(trt, network), build_s
    )


def make_logger(trt: Any) -> Any:
    """Return a logger for the library that keeps warnings and errors; `last_error(otherwise)` gives the last error."""

    class Messages(trt.ILogger):  # type: ignore[misc]  # the base class comes from the injected library
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if int(severity) <= int(trt.ILogger.ERROR):
                self.errors.append(text)
            elif int(severity) == int(trt.ILogger.WARNING):
                self.warnings.append(text)

        def last_error(self, otherwise: str) -> str:
            return self.errors[-1][:500] if self.errors else otherwise

    return Messages()


def quantized_layers(trt: Any, network: Any) -> dict[str, str]:
    """Return the convolutions and matrix products that the network feeds with int8 or fp8, by name, with that type."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    maker = {layer.get_output(place).name: layer for layer in layers for place in range(layer.num_outputs)}
    names = {int(trt.DataType.INT8): "int8", int(trt.DataType.FP8): "fp8"}
    found = {}
    for layer in layers:
        if layer.type not in (trt.LayerType.CONVOLUTION, trt.LayerType.MATRIX_MULTIPLY):
            continue
        before = maker.get(layer.get_input(0).name)
        if before is not None and before.type == trt.LayerType.DEQUANTIZE:
            found[layer.name] = names[int(before.get_input(0).dtype)]
    return found


def _made(make: Callable[[], Any], messages: Any, where: str, what: str) -> Any:
    """Call what may answer None, or raise TypeError in its place (pybind11 does, where there is no driver)."""
    try:
        made = make()
    except (TypeError, RuntimeError) as error:
        raise EdgeError("MDSE-PLAN-003", where=where, reason=f"no {what}: {messages.last_error(str(error))}") from error
    if made is None:
        raise EdgeError("MDSE-PLAN-003", where=where, reason=f"no {what}: {messages.last_error('no reason given')}")
    return made


def _parser_reason(parser: Any, messages: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    said = [f"{error.node_name() or 'the file'}: {error.desc()}" for error in errors]
    return "; ".join(said)[:500] or messages.last_error("it is not an ONNX file that TensorRT can read")


def _check_network(trt: Any, network: Any, request: PlanRequest, where: str) -> None:
    """Refuse a network that is not the bundle contract's: the builder would accept any."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    side = request.size_px
    found = [(tensor.name, tensor.dtype, tuple(tensor.shape)[1:]) for tensor in inputs]
    if found != [(INPUT_NAME, trt.DataType.UINT8, (side, side, 3))]:
        reason = f"its input must be {INPUT_NAME}, uint8 [N, {side}, {side}, 3], and is {found}"
        raise EdgeError("MDSE-PLAN-002", where=where, reason=reason)
    if {t.name for t in outputs} != set(OUTPUT_NAMES) or any(t.dtype != trt.DataType.FLOAT for t in outputs):
        reason = f"its outputs must be {', '.join(OUTPUT_NAMES)} in float32, and are {[t.name for t in outputs]}"
        raise EdgeError("MDSE-PLAN-002", where=where, reason=reason)


def _set_targets(trt: Any, config: Any, request: PlanRequest, where: str) -> None:
    if not request.compute_capabilities:
        return
    if not hasattr(trt, "ComputeCapability"):
        reason = "only TensorRT for RTX builds for a GPU that is not here"
        raise EdgeError("MDSE-PLAN-003", where=where, reason=reason)
    config.num_compute_capabilities = len(request.compute_capabilities)
    for place, name in enumerate(request.compute_capabilities):
        capability = getattr(trt.ComputeCapability, name, None)
        if capability is None or not config.set_compute_capability(capability, place):
            raise EdgeError("MDSE-PLAN-003", where=where, reason=f"this version does not know the target {name}")


def _add_profile(builder: Any, config: Any, size: int, side: int, messages: Any, where: str) -> None:
    profile = _made(builder.create_optimization_profile, messages, where, "an optimization profile")
    shape = (size, side, side, 3)
    profile.set_shape(INPUT_NAME, shape, shape, shape)
    if config.add_optimization_profile(profile) < 0:
        reason = f"the profile for a batch of {size} was refused: {messages.last_error('no reason given')}"
        raise EdgeError("MDSE-PLAN-003", where=where, reason=reason)


def _set_timing_cache(config: Any, known: bytes, messages: Any, where: str) -> bool:
    """Give the builder what earlier builds learnt; a foreign or damaged cache is left out, never fatal."""
    if known:
        cache = config.create_timing_cache(known)
        if cache is not None and config.set_timing_cache(cache, False):
            return True
    empty = _made(lambda: config.create_timing_cache(b""), messages, where, "a timing cache")
    if not config.set_timing_cache(empty, False):
        raise EdgeError("MDSE-PLAN-003", where=where, reason="an empty timing cache was refused")
    return False


@contextmanager
def _told_regularly(report: ProgressReport, last_build_s: float | None) -> Iterator[None]:
    """Report the elapsed time from a thread: the builder's own progress callback stays silent for minutes."""
    ended = threading.Event()
    start_s = time.monotonic()

    def tell() -> None:
        while not ended.wait(_REPORT_EVERY_S):
            report(time.monotonic() - start_s, last_build_s)

    teller = threading.Thread(target=tell, name="plan-progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
