"""The GPU engine: a TensorRT plan fed through two lanes, so that copies run beside the computing. `trt` is passed in.

A lane is a stream with its own input and output buffers: copy in, compute, copy out, in this order. While one lane
computes, the other copies, and the caller decodes the next batch. The lanes share one execution context per batch
size, so computing itself is kept in order by events. The first batch of a size in a lane runs plainly and is recorded;
from then on its CUDA graph is replayed.

Outputs are copied straight into page-locked arrays that belong to the receiver.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.base import INPUT_NAME, OUTPUT_NAMES, EngineOutputs, EngineSpec, check_batch, checked_outputs
from edge.engines.cuda_device import Device
from edge.engines.plan_layers import layers_from_engine, require_types
from edge.engines.plan_spec import profile_of_size, spec_from_engine, unusable_plan
from edge.engines.tensorrt_plan import make_logger
from edge.errors import EdgeError

_LANES = 2


def open_tensorrt(
    trt: Any,
    device: Device,
    plan: bytes,
    *,
    name: str,
    precision: str,
    size_px: int,
    quantized_layers: dict[str, str] | None = None,
    max_batch: int | None = None,
) -> TensorRtEngine:
    """Open a plan on a device; the engine takes the device over and closes it.

    `plan`: bytes made here or signed by a trusted key, never others: a plan is code. `name`: "tensorrt" or "rtx".
    `quantized_layers`: what must not run in float (from the build), checked with the inspector. `max_batch`: largest
    batch a caller may give, split over the plan's own sizes; None for the plan's largest. Raises EdgeError
    MDSE-PLAN-004 to -006 and MDSE-GPU-*. The device is closed then, and by whatever else interrupts the opening.
    """
    try:
        messages = make_logger(trt)
        runtime, engine = _deserialized(trt, messages, plan, name)
        if quantized_layers:
            require_types(layers_from_engine(trt, engine, where=name), quantized_layers, where=name)
        sizes = profile_of_size(engine, name, size_px)
        spec = spec_from_engine(trt, engine, name, precision, size_px, tuple(sorted(sizes)), _LANES)
        spec = replace(spec, max_batch=max_batch) if max_batch else spec
        return TensorRtEngine(_Plan(messages, runtime, engine, sizes), device, spec)
    except BaseException:
        device.close()
        raise


def _deserialized(trt: Any, messages: Any, plan: bytes, name: str) -> tuple[Any, Any]:
    """Return the runtime and the engine. Either call may answer None, or raise in its place as pybind11 does."""
    try:
        runtime = trt.Runtime(messages)
    except (TypeError, RuntimeError) as error:
        reason = messages.last_error(str(error))
        raise EdgeError("MDSE-GPU-003", where=name, call="Runtime", reason=reason) from error
    if runtime is None:
        raise EdgeError("MDSE-GPU-003", where=name, call="Runtime", reason=messages.last_error("no reason given"))
    try:
        engine = runtime.deserialize_cuda_engine(plan)
    except (TypeError, RuntimeError) as error:
        raise unusable_plan(name, messages.last_error(str(error))) from error
    if engine is None:
        raise unusable_plan(name, messages.last_error("TensorRT does not take it"))
    return runtime, engine


@dataclass(slots=True)
class _Plan:
    """The deserialized plan with what must outlive it, and its profile for each batch size."""

    messages: Any
    runtime: Any
    engine: Any
    profile_of_size: dict[int, int]


@dataclass(slots=True)
class _Lane:
    """One way through the device. Buffers hold the largest batch of the plan."""

    stream: int
    computed: int
    fetched: int
    images: NDArray[np.uint8]
    input: int
    outputs: dict[str, int]
    graphs: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Pending:
    """A piece of a batch that is under way, and the arrays that its outputs will lie in."""

    lane: _Lane
    images: int
    outputs: dict[str, NDArray[np.float32]]


class TensorRtEngine:
    """An `Engine` (see base.py) over a TensorRT plan."""

    def __init__(self, plan: _Plan, device: Device, spec: EngineSpec) -> None:
        self._plan: _Plan | None = plan
        self._device = device
        self._spec = spec
        self._sizes = spec.batch_sizes
        self._contexts: dict[int, Any] = {}
        self._busy = False
        self._last_computed: int | None = None
        device.make_current()
        self._lanes = [self._make_lane() for _ in range(_LANES)]

    @property
    def spec(self) -> EngineSpec:
        """What was opened."""
        return self._spec

    def infer(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[EngineOutputs]:
        """Yield the outputs of each batch, in order; see `Engine.infer`.

        Raises EdgeError MDSE-GPU-* too; after one, this engine and its process are of no more use.
        """
        if self._plan is None:
            raise ValueError("this engine was closed")
        if self._busy:
            raise ValueError("one infer at a time: the earlier one has not been finished or closed")
        self._busy = True
        self._device.make_current()
        pending: deque[_Pending] = deque()  # oldest first; at most one per lane
        unfinished: deque[tuple[int, list[EngineOutputs]]] = deque()  # (pieces still to come, those there), per batch
        free = deque(self._lanes)  # in turn, from the first: the golden proof counts on it
        try:
            for batch in batches:
                check_batch(batch, self._spec)
                pieces = [batch[start : start + self._sizes[-1]] for start in range(0, len(batch), self._sizes[-1])]
                unfinished.append((len(pieces), []))
                for piece in pieces:
                    if not free:
                        yield from self._collect(pending, unfinished, free)
                    pending.append(self._start(free.popleft(), piece))
            while pending:
                yield from self._collect(pending, unfinished, free)
        finally:
            self._busy = False
            # Whoever stopped early must not leave work that still reads or writes our buffers.
            for piece_under_way in pending:
                self._device.synchronize(piece_under_way.lane.stream)

    def close(self) -> None:
        """Give back the plan, then the device's memory. Outputs that somebody holds stay readable."""
        if self._plan is None:
            return
        for lane in self._lanes:
            self._device.synchronize(lane.stream)
        # Contexts before the engine, the engine before its runtime, all of them before their memory and streams.
        self._contexts.clear()
        self._plan = None
        self._lanes = []
        self._device.close()

    def _make_lane(self) -> _Lane:
        device, spec, most = self._device, self._spec, self._sizes[-1]
        widths = _widths(spec)
        images = device.pinned((most, spec.size_px, spec.size_px, 3), np.uint8)
        outputs = {name: device.allocate(most * width * 4) for name, width in widths.items()}
        stream, computed, fetched = device.stream(), device.event(), device.event()
        return _Lane(stream, computed, fetched, images, device.allocate(images.nbytes), outputs)

    def _start(self, lane: _Lane, piece: NDArray[np.uint8]) -> _Pending:
        """Queue one piece on a lane whose earlier outputs were collected."""
        device, count = self._device, len(piece)
        size = next(size for size in self._sizes if size >= count)
        lane.images[:count] = piece
        lane.images[count:size] = 0
        device.copy_in(lane.input, lane.images[:size], lane.stream)
        if self._last_computed is not None:
            device.wait(lane.stream, self._last_computed)
        self._compute(lane, size)
        device.record(lane.computed, lane.stream)
        self._last_computed = lane.computed
        outputs = {name: device.pinned((size, width), np.float32) for name, width in _widths(self._spec).items()}
        for name, array in outputs.items():
            device.copy_out(array, lane.outputs[name], lane.stream)
        device.record(lane.fetched, lane.stream)
        return _Pending(lane, count, outputs)

    def _compute(self, lane: _Lane, size: int) -> None:
        graph = lane.graphs.get(size)
        if graph is not None:
            self._device.launch(graph, lane.stream)
            return
        context = self._context(size, lane.stream)
        # The plain run first: TensorRT may allocate in the first call after a change, which no recording may hold.
        self._enqueue(context, lane, size)
        self._device.begin_capture(lane.stream)
        try:
            self._enqueue(context, lane, size)
        finally:
            graph = self._device.end_capture(lane.stream)
        lane.graphs[size] = graph

    def _enqueue(self, context: Any, lane: _Lane, size: int) -> None:
        side = self._spec.size_px
        self._require(context.set_input_shape(INPUT_NAME, (size, side, side, 3)), f"set_input_shape to {size} images")
        for name, address in ((INPUT_NAME, lane.input), *lane.outputs.items()):
            self._require(context.set_tensor_address(name, address), f"set_tensor_address of {name}")
        self._require(context.execute_async_v3(lane.stream), "execute_async_v3")

    def _context(self, size: int, stream: int) -> Any:
        if size in self._contexts:
            return self._contexts[size]
        plan = self._plan
        if plan is None:
            raise ValueError("this engine was closed")
        context = plan.engine.create_execution_context()
        if context is None:
            needed, now = int(plan.engine.device_memory_size_v2), self._device.memory()
            raise EdgeError(
                "MDSE-GPU-002",
                where=self._device.info.name,
                place="the GPU, for the plan's working memory,",
                asked_bytes=needed,
                free_bytes=now.free_bytes,
                total_bytes=now.total_bytes,
                ours_bytes=now.device_bytes,
                pinned_bytes=now.pinned_bytes,
            )
        chosen = context.set_optimization_profile_async(plan.profile_of_size[size], stream)
        self._require(chosen, f"set_optimization_profile_async for {size} images")
        self._device.synchronize(stream)
        self._contexts[size] = context
        return context

    def _collect(
        self, pending: deque[_Pending], unfinished: deque[tuple[int, list[EngineOutputs]]], free: deque[_Lane]
    ) -> Iterator[EngineOutputs]:
        """Wait for the oldest piece; yield its batch when that was the last one."""
        piece = pending[0]
        self._device.synchronize_event(piece.lane.fetched)
        pending.popleft()
        free.append(piece.lane)
        outputs = EngineOutputs(**{name: array[: piece.images] for name, array in piece.outputs.items()})
        remaining, parts = unfinished[0]
        parts.append(checked_outputs(outputs, piece.images, self._spec))
        if remaining > 1:
            unfinished[0] = (remaining - 1, parts)
            return
        unfinished.popleft()
        yield parts[0] if len(parts) == 1 else _joined(parts)

    def _require(self, answer: Any, call: str) -> None:
        if not answer:
            reason = self._plan.messages.last_error("no reason given") if self._plan else "the engine was closed"
            raise EdgeError("MDSE-GPU-003", where=self._spec.name, call=call, reason=reason)


def _widths(spec: EngineSpec) -> dict[str, int]:
    return dict(zip(OUTPUT_NAMES, (spec.type_count, spec.finding_count, spec.embedding_dim), strict=True))


def _joined(parts: list[EngineOutputs]) -> EngineOutputs:
    return EngineOutputs(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in OUTPUT_NAMES})
