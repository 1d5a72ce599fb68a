"""OpenVINO as its own samples use it: one request with the LATENCY hint, or its async queue with THROUGHPUT."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.side_by_side.contestants.base import Batch, Contestant


class OneRequestFp32(Contestant):
    """Synchronous inference of the fp32 file in fp32."""

    hint: ClassVar[str] = "LATENCY"
    precision: ClassVar[str | None] = "f32"

    def file(self) -> Path:
        """Return the network's file."""
        return self.material.fp32

    def open(self) -> None:
        """Import the library and read the file."""
        import sys

        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # a benchmark sends nothing either
        import openvino

        self._openvino = openvino
        self._core = openvino.Core()
        self._compiled: dict[int, Any] = {}
        self._requests: dict[int, Any] = {}

    def prepare(self, batch: int) -> None:
        """Compile for this batch."""
        side = self.material.size_px
        model = self._core.read_model(str(self.file()))
        model.reshape({"images": [batch, side, side, 3]})
        self.change(model)
        properties = {"PERFORMANCE_HINT": self.hint, "INFERENCE_NUM_THREADS": str(self.threads)}
        if self.precision:
            properties["INFERENCE_PRECISION_HINT"] = self.precision
        self._compiled[batch] = self._core.compile_model(model, "CPU", properties)
        self._requests[batch] = self._compiled[batch].create_infer_request()

    def change(self, model: Any) -> None:
        """Change the model, in place, before it is compiled."""

    def run(self, batch: int, batches: Iterable[Batch]) -> int:
        """Infer batch after batch."""
        request, done = self._requests[batch], 0
        for images in batches:
            request.infer({"images": images})
            for output in request.model_outputs:
                _ = request.get_tensor(output).data.copy()
            done += len(images)
        return done

    def facts(self) -> dict[str, Any]:
        """Return what the runtime made of it."""
        compiled = list(self._compiled.values())[-1]
        return {
            "streams": int(compiled.get_property("NUM_STREAMS")),
            "precision": compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
        }


class OneRequestInt8(OneRequestFp32):
    """One image at a time on our int8 file, changed as the engine changes it, on all threads together."""

    batches = (1,)

    def file(self) -> Path:
        """Return the network's file."""
        return self.material.int8

    def change(self, model: Any) -> None:
        """Keep strided convolutions in int8, as the engine does."""
        from edge.engines.openvino_strides import unstride_quantized_pointwise

        unstride_quantized_pointwise(self._openvino, model)


class QueueFp32(OneRequestFp32):
    """AsyncInferQueue on the fp32 file, with as many streams and requests as the runtime likes."""

    hint = "THROUGHPUT"

    def open(self) -> None:
        """Import the library and read the file."""
        super().open()
        self._queues: dict[int, Any] = {}

    def prepare(self, batch: int) -> None:
        """Compile, and make the queue."""
        super().prepare(batch)
        self._queues[batch] = self._openvino.AsyncInferQueue(self._compiled[batch])
        self._queues[batch].set_callback(_fetch)

    def run(self, batch: int, batches: Iterable[Batch]) -> int:
        """Start every batch as soon as a request is free; wait for all."""
        queue, done = self._queues[batch], 0
        for images in batches:
            queue.start_async({"images": images})
            done += len(images)
        queue.wait_all()
        return done


class QueueDefault(QueueFp32):
    """The same with the runtime's own choice of precision."""

    precision = None


class QueueInt8(QueueFp32):
    """The same on our int8 file."""

    def file(self) -> Path:
        """Return the network's file."""
        return self.material.int8


def _fetch(request: Any, _: object) -> None:
    for output in request.model_outputs:
        _ = request.get_tensor(output).data.copy()
