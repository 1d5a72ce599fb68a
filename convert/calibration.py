"""Ranges of the activations on real cells, found in one streaming pass with bounded memory.

Minimum and maximum are taken inside the graph (ReduceMin, ReduceMax after each watched value), so that ONNX Runtime
hands back a few numbers per batch and frees every activation at once; its own calibrators keep them all (3.6 GB for
half width at 96 px). Per channel, because cross-layer equalization needs the channels; a tensor's range follows.
Percentiles are not offered: 99.9 ruins this network (99 % to 94 % agreement), and ONNX Runtime's `Entropy` does nothing
for symmetric int8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.onnx_graph import INPUT_NAME, bytes_from_onnx
from edge.errors import EdgeError

_AXES = "calibration/axes"


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRange:
    """Smallest and largest value seen of one activation, float32 [channels] each."""

    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]

    @property
    def largest_magnitude(self) -> NDArray[np.float32]:
        """Largest absolute value of each channel."""
        return np.maximum(np.abs(self.lowest), np.abs(self.highest))

    def scaled(self, factors: NDArray[np.float32]) -> ChannelRange:
        """Return the range after each channel was multiplied by its (positive) factor."""
        return ChannelRange(self.lowest * factors, self.highest * factors)


def activation_ranges(
    model: onnx.ModelProto, watched: Sequence[str], batches: Iterable[NDArray[np.uint8]], *, threads: int = 0
) -> dict[str, ChannelRange]:
    """Run the batches (u8 [n,S,S,3], small n) and return the range of every watched 4-D value.

    Memory is that of one inference. Raises EdgeError MDSE-CONVERT-021 where there was no batch, -022 where a value is
    not finite.
    """
    session = _watching_session(model, watched, threads)
    outputs = [f"{name}/{end}" for name in watched for end in ("lowest", "highest")]
    lowest: dict[str, NDArray[np.float32]] = {}
    highest: dict[str, NDArray[np.float32]] = {}
    for batch in batches:
        found = session.run(outputs, {INPUT_NAME: batch})
        for name, low, high in zip(watched, found[0::2], found[1::2], strict=True):
            low, high = low.reshape(-1), high.reshape(-1)
            lowest[name] = np.minimum(lowest[name], low) if name in lowest else low
            highest[name] = np.maximum(highest[name], high) if name in highest else high
    if set(lowest) != set(watched):
        raise EdgeError("MDSE-CONVERT-021", where="calibration")
    ranges = {name: ChannelRange(lowest[name], highest[name]) for name in watched}
    for name, seen in ranges.items():
        if not (np.isfinite(seen.lowest).all() and np.isfinite(seen.highest).all()):
            raise EdgeError("MDSE-CONVERT-022", where=name)
    return ranges


def _watching_session(model: onnx.ModelProto, watched: Sequence[str], threads: int) -> onnxruntime.InferenceSession:
    watching = onnx.ModelProto()
    watching.CopyFrom(model)
    graph = watching.graph
    graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3], np.int64), _AXES))
    for name in watched:
        for operator, end in (("ReduceMin", "lowest"), ("ReduceMax", "highest")):
            made = f"{name}/{end}"
            graph.node.append(helper.make_node(operator, [name, _AXES], [made], name=made, keepdims=0))
            graph.output.append(helper.make_tensor_value_info(made, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(bytes_from_onnx(watching), options, providers=["CPUExecutionProvider"])
