"""ONNX Runtime as the conversion uses it: one place for its settings, and a batch that bounds its memory.

No memory arena: it keeps the largest of everything it ever held, and rounds up (a 299 px conversion peaked at 5 GB with
it). Without it an activation goes back when its last reader is done.

Where the processor's int8 products overflow (`edge.engines.processors`), those of this library do as well: there the
quantized network is computed as it is written, between its Q and DQ in floating point.
"""

from __future__ import annotations

import onnx
import onnxruntime

from convert.onnx_graph import bytes_from_onnx
from edge.engines.processors import has_int8_dot_product

# Pixels of a batch: eight images of 128 px, one of 299 px. Larger batches are no faster, and memory grows with them.
MOST_PIXELS = 8 * 128 * 128


def reference_session(
    model: onnx.ModelProto, *, threads: int = 0, as_written: bool = False
) -> onnxruntime.InferenceSession:
    """Open a model on the CPU; `threads` 0 is all, `as_written` leaves the graph optimizations off."""
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not has_int8_dot_product():
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(bytes_from_onnx(model), options, providers=["CPUExecutionProvider"])


def batch_of(size_px: int, most: int) -> int:
    """Return how many images of `size_px` to compute at once: at most `most`, at least one."""
    return min(most, max(1, MOST_PIXELS // size_px**2))
