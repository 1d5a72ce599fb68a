"""The CPU engine: OpenVINO on one self-contained ONNX file. The only file that imports openvino.

- The network is read from verified bytes and compiled for one fixed batch of images; a shorter batch is filled up
  with zeros and the surplus rows are dropped. Fixed shapes give the same kernels, so the same bits, however cells are
  grouped, and measured fastest.
- ONE stream in each compiled network, always. With two, OpenVINO 2026.4 prepares one graph per stream at the same time,
  and about one int8 network in twenty then computes something else for its whole life (4 of 80 compilations of the demo
  bundle). One stream is also one graph: what the golden cells prove is what runs.
- Several copies of the network instead, compiled one after the other, each with threads of its own (layout.py). Every
  copy must repeat the first one's outputs bit by bit when it is opened, and is proved on the golden cells by itself.
  Copies take batches strictly in turn, so that the proof knows which copy it looks at.
- Two requests a copy, in a ring: results come in order, and the next batch is filled while the others run.
- No pinning: the copies would be pinned to the same cores, and the threads that prepare cells need some, too.
- `INFERENCE_PRECISION_HINT=f32`: on processors with bfloat16 units OpenVINO would otherwise compute another network
  than the one that was proved.
- `LP_TRANSFORMS_MODE=NO` where the processor has no int8 dot product (processors.py). There OpenVINO multiplies int8 in
  pairs and lets their sum of 16 bits overflow: the demo bundle's findings were wrong by 0.04 in the mean and by 0.7 at
  most (2026.4 on an AMD EPYC with AVX2 alone). Without those kernels the same quantized network is computed in float32,
  exactly as the certificate has it, and slower. The golden cells refuse the overflow in any case.
- Importing openvino sends a usage event over the network and writes into the home folder (2026.4, by
  `openvino_telemetry`). Both modules that do so are barred below, before the import.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.digest import sha256_hex
from edge.engines.base import INPUT_NAME, OUTPUT_NAMES, Engine, EngineOutputs, EngineSpec, check_batch, checked_outputs
from edge.engines.layout import Layout, Measured, batch_of_size, candidate_layouts, tuned_layout
from edge.engines.openvino_strides import unstride_quantized_pointwise
from edge.engines.private_folder import private_folder
from edge.engines.process_memory import give_back_freed_memory, give_back_mapped_files
from edge.engines.processors import has_int8_dot_product, processor_name, usable_cores
from edge.errors import EdgeError

REQUESTS_PER_COPY = 2
_TUNING_S = 0.3
_PROBE_SEED = 20190913
_CONVERSION_TOOL = "openvino.tools.ovc"  # imports the sender; openvino itself does without (its import is optional)


def import_openvino() -> Any:
    """Import openvino with its telemetry barred for the life of this process; raises EdgeError MDSE-ENGINE-007."""
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
    return str(import_openvino().__version__)


def open_openvino(
    onnx: bytes, *, precision: str, size_px: int, cache_dir: Path | None, threads: int | None
) -> OpenVinoEngine:
    """Compile the network for the CPU.

    `onnx`: verified bytes of a self-contained model. `precision`: as the manifest names it, for the record.
    `cache_dir`: private folder of this user for compiled networks and the layout that was measured, or None.
    `threads`: processor threads in all, None for as many as this process may use cores.
    Raises EdgeError MDSE-ENGINE-004 for a network that computes otherwise each time it is compiled, -005 for a model
    that is not as the contract says, -006 for a folder that others can write, -007 where OpenVINO is not installed.
    """
    openvino = import_openvino()
    # One folder per network and version: two networks can never be taken for each other.
    digest = sha256_hex(onnx)
    overflows = not has_int8_dot_product()
    key = digest[:32] + "-" + sha256_hex(openvino.__version__.encode())[:8] + ("-float" if overflows else "")
    folder = None if cache_dir is None else private_folder(cache_dir) / key
    network = _Network(openvino, openvino.Core(), onnx, precision, size_px, folder, overflows)
    candidates = candidate_layouts(threads or usable_cores())
    layout = candidates[0]
    if cache_dir is not None and len(candidates) > 1:
        facts = {
            "processor": processor_name(), "cores": threads or usable_cores(), "openvino": openvino.__version__,
            "network": digest,
        }  # fmt: skip
        layout = tuned_layout(cache_dir / f"{key}.layout.json", facts, candidates, network.measure)
    return network.open(layout)


@dataclass(frozen=True, slots=True)
class _Network:
    """A network's bytes with all that is needed to compile it, in any layout."""

    openvino: Any
    core: Any
    onnx: bytes
    precision: str
    size_px: int
    cache: Path | None
    overflows: bool
    """Int8 products overflow on this processor."""

    def open(self, layout: Layout) -> OpenVinoEngine:
        """Compile the copies one after the other and see that all compute the same."""
        copies = []
        try:
            model = self.core.read_model(model=self.onnx)
            spec = _spec_from_model(model, self.precision, self.size_px, layout)
            model.reshape({INPUT_NAME: [spec.max_batch, self.size_px, self.size_px, 3]})
            if not self.overflows:
                unstride_quantized_pointwise(self.openvino, model)
            for _ in range(layout.copies):
                copies.append(self.core.compile_model(model, "CPU", self._properties(layout.threads)))
                give_back_freed_memory()
            del model
        except RuntimeError as error:
            raise EdgeError("MDSE-ENGINE-005", where="openvino", reason=_first_line(error)) from error
        engine = OpenVinoEngine(self.openvino, copies, spec)
        if layout.copies > 1:
            require_equal_copies(engine)
        give_back_freed_memory()
        if self.cache is not None:
            give_back_mapped_files(self.cache)
        return engine

    def measure(self, layout: Layout) -> Measured:
        """Run the layout for a moment, after a warm round."""
        engine = self.open(layout)
        try:
            batch = _probe(engine.spec)
            outputs = next(iter(list(engine.infer([batch] * 2 * layout.copies))))
            done, start_s = 0, time.perf_counter()
            while time.perf_counter() - start_s < _TUNING_S:
                done += sum(len(part.findings) for part in engine.infer([batch] * 4 * layout.copies))
            return Measured(done / (time.perf_counter() - start_s), sha256_hex(_bytes_of(outputs)))
        finally:
            engine.close()

    def _properties(self, threads: int) -> dict[str, str]:
        properties = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": "1",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": str(threads),
            "ENABLE_CPU_PINNING": "NO",
        }
        if self.overflows:
            properties["LP_TRANSFORMS_MODE"] = "NO"
        return properties if self.cache is None else {**properties, "CACHE_DIR": str(self.cache)}


class OpenVinoEngine:
    """An `Engine` (see base.py) over compiled copies of one OpenVINO model, which take batches in turn."""

    def __init__(self, openvino: Any, compiled: Sequence[Any], spec: EngineSpec) -> None:
        self._spec = spec
        self._failure: type[Exception] = RuntimeError  # the type that OpenVINO raises for everything
        self._compiled: Sequence[Any] = compiled
        self._requests = [copy.create_infer_request() for _ in range(REQUESTS_PER_COPY) for copy in compiled]
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
        if not self._compiled:
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
        self._requests, self._inputs, self._compiled = [], [], []

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


def require_equal_copies(engine: Engine) -> None:
    """Raise EdgeError MDSE-ENGINE-004 unless every copy of the network gives the same outputs, bit by bit."""
    batch = _probe(engine.spec)
    first, *others = (_bytes_of(outputs) for outputs in engine.infer([batch] * engine.spec.copies))
    if any(other != first for other in others):
        engine.close()
        raise EdgeError("MDSE-ENGINE-004", where="openvino", reason="two compilations of it compute different things")


def _probe(spec: EngineSpec) -> NDArray[np.uint8]:
    """Return one whole batch of pictures with every grey level and no pattern; the same at every call."""
    shape = (spec.max_batch, spec.size_px, spec.size_px, 3)
    return np.random.default_rng(_PROBE_SEED).integers(0, 256, shape, np.uint8)


def _bytes_of(outputs: EngineOutputs) -> bytes:
    return outputs.cell_type.tobytes() + outputs.findings.tobytes() + outputs.embedding.tobytes()


def _spec_from_model(model: Any, precision: str, size_px: int, layout: Layout) -> EngineSpec:
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
        max_batch=batch_of_size(size_px),
        embedding_dim=widths["embedding"],
        type_count=widths["cell_type"],
        finding_count=widths["findings"],
        copies=layout.copies,
        threads=layout.threads,
    )


def _fixed(dimension: Any) -> int:
    return int(dimension.get_length()) if dimension.is_static else 0


def _unfit(reason: str) -> EdgeError:
    return EdgeError("MDSE-ENGINE-005", where="openvino", reason=reason)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return lines[0][:300] if lines else type(error).__name__
