"""ONNX Runtime on the fp32 file, on our int8 file (signed), and on the int8 file that suits it best (unsigned)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.side_by_side.contestants.base import Batch, Contestant


class OnnxRuntimeFp32(Contestant):
    """A session on the CPU with all graph optimizations."""

    def file(self) -> Path:
        """Return the network's file."""
        return self.material.fp32

    def open(self) -> None:
        """Load and optimize the network."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(self.file()), options, providers=["CPUExecutionProvider"])

    def run(self, batch: int, batches: Iterable[Batch]) -> int:  # noqa: ARG002 - it takes any batch
        """Run each batch."""
        done = 0
        for images in batches:
            self._session.run(None, {"images": images})
            done += len(images)
        return done


class OnnxRuntimeSigned(OnnxRuntimeFp32):
    """The int8 file of the bundle: signed activations, zero point 0."""

    def file(self) -> Path:
        """Return the network's file."""
        return self.material.int8


class OnnxRuntimeUnsigned(OnnxRuntimeFp32):
    """Unsigned activations: what ONNX Runtime's own quantizer makes for its fastest kernels on x86."""

    def file(self) -> Path:
        """Return the network's file."""
        return self.material.unsigned
