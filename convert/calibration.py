"""Ranges of the activations on real cells, found in one streaming pass with bounded memory.

Minimum, maximum and mean square are taken inside the graph (behind each watched value), so that ONNX Runtime hands back
a few numbers per batch and frees every activation at once; its own calibrators keep them all (3.6 GB for half width at
96 px). Per channel, because cross-layer equalization needs the channels; a tensor's range follows.
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

from convert.onnx_graph import INPUT_NAME
from convert.onnx_session import reference_session
from edge.errors import EdgeError

_AXES = "calibration/axes"
_STATISTICS = ("lowest", "highest", "mean_square")


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRange:
    """Smallest and largest value seen of one activation, and the mean of its square, float32 [channels] each."""

    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    mean_square: NDArray[np.float32]

    @property
    def largest_magnitude(self) -> NDArray[np.float32]:
        """Largest absolute value of each channel."""
        return np.maximum(np.abs(self.lowest), np.abs(self.highest))

    def scaled(self, factors: NDArray[np.float32]) -> ChannelRange:
        """Return the range after each channel was multiplied by its (positive) factor."""
        return ChannelRange(self.lowest * factors, self.highest * factors, self.mean_square * np.square(factors))


def activation_ranges(
    model: onnx.ModelProto, watched: Sequence[str], batches: Iterable[NDArray[np.uint8]], *, threads: int = 0
) -> dict[str, ChannelRange]:
    """Run the batches (u8 [n,S,S,3], small n) and return the range of every watched 4-D value.

    Memory is that of one inference. Raises EdgeError MDSE-CONVERT-021 where there was no batch, -022 where a value is
    not finite.
    """
    session = _watching_session(model, watched, threads)
    outputs = [f"{name}/{end}" for name in watched for end in _STATISTICS]
    lowest: dict[str, NDArray[np.float32]] = {}
    highest: dict[str, NDArray[np.float32]] = {}
    squares: dict[str, NDArray[np.float64]] = {}
    images = 0
    for batch in batches:
        images += len(batch)
        found = iter(session.run(outputs, {INPUT_NAME: batch}))
        for name in watched:
            low, high, square = (next(found).reshape(-1) for _ in _STATISTICS)
            lowest[name] = np.minimum(lowest[name], low) if name in lowest else low
            highest[name] = np.maximum(highest[name], high) if name in highest else high
            squares[name] = squares.get(name, 0.0) + square.astype(np.float64) * len(batch)
    if set(lowest) != set(watched):
        raise EdgeError("MDSE-CONVERT-021", where="calibration")
    ranges = {
        name: ChannelRange(lowest[name], highest[name], (squares[name] / images).astype(np.float32)) for name in watched
    }
    for name, seen in ranges.items():
        if not all(np.isfinite(values).all() for values in (seen.lowest, seen.highest, seen.mean_square)):
            raise EdgeError("MDSE-CONVERT-022", where=name)
    return ranges


def _watching_session(model: onnx.ModelProto, watched: Sequence[str], threads: int) -> onnxruntime.InferenceSession:
    watching = onnx.ModelProto()
    watching.CopyFrom(model)
    graph = watching.graph
    graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3], np.int64), _AXES))
    for name in watched:
        square = f"{name}/square"
        graph.node.append(helper.make_node("Mul", [name, name], [square], name=square))
        for end, (operator, read) in zip(
            _STATISTICS, (("ReduceMin", name), ("ReduceMax", name), ("ReduceMean", square)), strict=True
        ):
            made = f"{name}/{end}"
            graph.node.append(helper.make_node(operator, [read, _AXES], [made], name=made, keepdims=0))
            graph.output.append(helper.make_tensor_value_info(made, TensorProto.FLOAT, None))
    return reference_session(watching, threads=threads)
