"""The CPU engine: OpenVINO on one self-contained ONNX file. The only file that imports openvino.

- The network is read from verified bytes and compiled for one fixed batch of eight images; a shorter batch is filled up
  with zeros and the surplus rows are dropped. Fixed shapes give the same kernels, so the same bits, however cells are
  grouped, and measured fastest.
- ONE stream, always. With two, OpenVINO 2026.4 prepares one graph per stream at the same time, and about one int8
  network in twenty then computes something else for its whole life (4 of 80 compilations of the demo bundle; with one
  stream 0 of 280). One stream is also one graph: what the golden cells prove is what runs. It costs about an eighth
  (668 images per CPU second against 759; half width, 96 px, int8, two cores that had other work beside it).
- Two requests in a ring: results come in order, and the next batch is filled while the other runs.
- `INFERENCE_PRECISION_HINT=f32`: on processors with bfloat16 units OpenVINO would otherwise compute another network
  than the one that was proved.
- Importing openvino sends a usage event over the network and writes into the home folder (2026.4, by
  `openvino_telemetry`). Both modules that do so are barred below, before the import.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.digest import sha256_hex
from edge.engines.base import INPUT_NAME, OUTPUT_NAMES, EngineOutputs, EngineSpec, check_batch, checked_outputs
from edge.engines.private_folder import private_folder
from edge.errors import EdgeError

MAX_BATCH = 8
_CONVERSION_TOOL = "openvino.tools.ovc"  # imports the sender; openvino itself does without (its import is optional)


def _import_openvino() -> Any:
    """Import openvino with its telemetry barred for the whole life of this process."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None makes any import of it fail
    barred = _CONVERSION_TOOL not in sys.modules
    if barred:
        sys.modules[_CONVERSION_TOOL] = None  # type: ignore[assignment]  # as above
    try:
        import openvino
    except ImportError as error:
        raise EdgeError("MDSE-ENGINE-007", where="openvino", reason=str(error)) from error
    finally:
        if barred:
            del sys.modules[_CONVERSION_TOOL]
    return openvino


def openvino_version() -> str:
    """Return the version of OpenVINO, as it goes into benchmarks and provenance."""
    return str(_import_openvino().__version__)


def open_openvino(
    onnx: bytes, *, precision: str, size_px: int, cache_dir: Path | None, threads: int | None
) -> OpenVinoEngine:
    """Compile the network for the CPU.

    `onnx`: verified bytes of a self-contained model. `precision`: as the manifest names it, for the record.
    `cache_dir`: private folder of this user for compiled networks, or None. `threads`: processor threads, None for all.
    Raises EdgeError MDSE-ENGINE-005 for a model that is not as the contract says, -006 for a folder that others can
    write, -007 where OpenVINO is not installed.
    """
    openvino = _import_openvino()
    core = openvino.Core()
    properties = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        properties["INFERENCE_NUM_THREADS"] = str(threads)
    if cache_dir is not None:
        # One folder per network and version: two networks can never be taken for each other.
        key = sha256_hex(onnx)[:32] + "-" + sha256_hex(openvino.__version__.encode())[:8]
        properties["CACHE_DIR"] = str(private_folder(cache_dir) / key)
    try:
        model = core.read_model(model=onnx)
        spec = _spec_from_model(model, precision, size_px)
        model.reshape({INPUT_NAME: [MAX_BATCH, size_px, size_px, 3]})
        compiled = core.compile_model(model, "CPU", properties)
    except RuntimeError as error:
        raise EdgeError("MDSE-ENGINE-005", where="openvino", reason=_first_line(error)) from error
    return OpenVinoEngine(openvino, compiled, spec)


class OpenVinoEngine:
    """An `Engine` (see base.py) over a compiled OpenVINO model."""

    def __init__(self, openvino: Any, compiled: Any, spec: EngineSpec) -> None:
        self._spec = spec
        self._failure: type[Exception] = RuntimeError  # the type that OpenVINO raises for everything
        count = max(2, int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))
        self._compiled: Any = compiled
        self._requests = [compiled.create_infer_request() for _ in range(count)]
        self._inputs: list[NDArray[np.uint8]] = []
        shape = [spec.max_batch, spec.size_px, spec.size_px, 3]
        for request in self._requests:
            # Our own memory: what a caller does to a batch after handing it over cannot reach a running request.
            images = np.zeros(shape, np.uint8)
            request.set_tensor(INPUT_NAME, openvino.Tensor(images, shared_memory=True))
            self._inputs.append(images)
        self._busy = False

    @property
    def spec(self) -> EngineSpec:
        """What was opened."""
        return self._spec

    def infer(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[EngineOutputs]:
        """Yield the outputs of each batch, in order; see `Engine.infer`."""
        if self._compiled is None:
            raise ValueError("this engine was closed")
        if self._busy:
            raise ValueError("one infer at a time: the earlier one has not been finished or closed")
        self._busy = True
        running: deque[tuple[int, int]] = deque()  # (index of the request, images in its batch), oldest first
        free = deque(range(len(self._requests)))
        try:
            for batch in batches:
                if not free:
                    free.append(running[0][0])
                    yield self._collect(*running.popleft())
                running.append((self._start(free.popleft(), batch), len(batch)))
            while running:
                yield self._collect(*running.popleft())
        finally:
            # Whoever stopped early must not leave requests that still write into our buffers.
            for index, _ in running:
                self._requests[index].wait()
            self._busy = False

    def close(self) -> None:
        """Give back the memory of the compiled network."""
        self._requests, self._inputs, self._compiled = [], [], None

    def _start(self, index: int, batch: NDArray[np.uint8]) -> int:
        check_batch(batch, self._spec)
        images = self._inputs[index]
        images[: len(batch)] = batch
        images[len(batch) :] = 0
        self._requests[index].start_async()
        return index

    def _collect(self, index: int, images: int) -> EngineOutputs:
        request = self._requests[index]
        try:
            request.wait()
        except self._failure as error:
            raise EdgeError("MDSE-ENGINE-004", where=self._spec.name, reason=_first_line(error)) from error
        cell_type, findings, embedding = (np.array(request.get_tensor(n).data[:images]) for n in OUTPUT_NAMES)
        return checked_outputs(EngineOutputs(cell_type, findings, embedding), images, self._spec)


def _spec_from_model(model: Any, precision: str, size_px: int) -> EngineSpec:
    """Check names, types and shapes against the contract and return what the network is."""
    if len(model.inputs) != 1 or model.inputs[0].any_name != INPUT_NAME:
        raise _unfit(f"it must have one input named {INPUT_NAME}")
    found = f"{model.inputs[0].element_type.get_type_name()} {model.inputs[0].partial_shape}"
    sides = [_fixed(side) for side in model.inputs[0].partial_shape][1:]
    if model.inputs[0].element_type.get_type_name() != "u8" or sides != [size_px, size_px, 3]:
        raise _unfit(f"its input is {found}, not u8 [N, {size_px}, {size_px}, 3]")
    widths: dict[str, int] = {}
    for output in model.outputs:
        for name in set(OUTPUT_NAMES) & set(output.names):
            if output.element_type.get_type_name() != "f32" or len(output.partial_shape) != 2:
                raise _unfit(f"its output {name} is not f32 [N, width]")
            widths[name] = _fixed(output.partial_shape[1])
    if len(model.outputs) != len(OUTPUT_NAMES) or set(widths) != set(OUTPUT_NAMES) or 0 in widths.values():
        raise _unfit(f"its outputs must be {', '.join(OUTPUT_NAMES)}, with fixed widths")
    return EngineSpec(
        name="openvino",
        device="cpu",
        precision=precision,
        size_px=size_px,
        max_batch=MAX_BATCH,
        embedding_dim=widths["embedding"],
        type_count=widths["cell_type"],
        finding_count=widths["findings"],
    )


def _fixed(dimension: Any) -> int:
    return int(dimension.get_length()) if dimension.is_static else 0


def _unfit(reason: str) -> EdgeError:
    return EdgeError("MDSE-ENGINE-005", where="openvino", reason=reason)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return lines[0][:300] if lines else type(error).__name__
