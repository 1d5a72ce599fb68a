"""Which channels of a graph may be rescaled together without changing what the network computes.

Multiplying a channel by s > 0 where a convolution makes it, and dividing it by s where the next convolution reads it,
changes nothing in real numbers, as long as everything in between commutes with a positive factor: ReLU (leaky or not),
max and average pooling, padding with zeros, and additions of maps that carry the same factor. A residual stream is
therefore one group: every convolution that adds to it and every one that reads it take part.

A value that reaches anything else (an output, a sigmoid, a concatenation ...) is left alone, and so is its whole group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from convert.onnx_graph import constants_of

_COMMUTES = frozenset({"Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "Pad"})


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Values that share one factor per channel, the convolutions that make them and those that read them."""

    values: tuple[str, ...]
    makers: tuple[str, ...]
    readers: tuple[str, ...]


def channel_groups(model: onnx.ModelProto) -> tuple[ChannelGroup, ...]:
    """Return the groups whose channels may be rescaled exactly, in graph order."""
    constants = constants_of(model).keys()
    leader_of: dict[str, str] = {}

    def leader(value: str) -> str:
        while leader_of.setdefault(value, value) != value:
            value = leader_of[value]
        return value

    fixed = [value.name for value in (*model.graph.input, *model.graph.output)]
    for node in model.graph.node:
        reads = [name for name in node.input if name]
        if node.op_type == "Conv" and constants >= set(reads[1:]):
            continue
        if node.op_type in _COMMUTES or (node.op_type == "Add" and not constants & set(reads)):
            for name in [name for name in reads if name not in constants]:
                leader_of[leader(name)] = leader(node.output[0])
        else:
            fixed += [*(name for name in reads if name not in constants), *node.output]
    return _groups(model, leader, {leader(name) for name in fixed})


def _groups(model: onnx.ModelProto, leader: Callable[[str], str], fixed: set[str]) -> tuple[ChannelGroup, ...]:
    values: dict[str, list[str]] = {}
    makers: dict[str, list[str]] = {}
    readers: dict[str, list[str]] = {}
    for node in model.graph.node:
        key = leader(node.output[0])
        if key not in fixed:
            values.setdefault(key, []).append(node.output[0])
        if node.op_type == "Conv":
            makers.setdefault(key, []).append(node.name)
            readers.setdefault(leader(node.input[0]), []).append(node.name)
    return tuple(
        ChannelGroup(tuple(found), tuple(makers[key]), tuple(readers[key]))
        for key, found in values.items()
        if key in makers and key in readers
    )
