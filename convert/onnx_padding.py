"""Padding that a convolution can do itself: a Pad node of zeros in front of it becomes part of its `pads`.

Networks written for other frameworks pad in a layer of their own. One node less, and int8 keeps its pair directly in
front of the convolution, where the runtimes look for it. A pooling keeps its padding layer: it does not treat a pixel
of zeros as it treats nothing.
"""

from __future__ import annotations

import onnx

from convert.onnx_graph import OUTPUT_NAMES, OnnxGraph


def merge_padding(graph: OnnxGraph) -> None:
    """Move every Pad whose only readers are convolutions into them; the graph computes the same."""
    for pad in [node for node in graph.nodes if node.op_type == "Pad"]:
        readers = [node for node in graph.nodes if pad.output[0] in node.input]
        if pad.output[0] in OUTPUT_NAMES or not readers or any(node.op_type != "Conv" for node in readers):
            continue
        _, _, top, left, _, _, bottom, right = (int(side) for side in graph.constants[pad.input[1]])
        if min(top, left, bottom, right) < 0:
            continue
        for node in readers:
            _widen(node, (top, left, bottom, right))
            node.input[0] = pad.input[0]
        graph.nodes.remove(pad)
        for name in pad.input[1:]:
            del graph.constants[name]


def _widen(node: onnx.NodeProto, more: tuple[int, int, int, int]) -> None:
    pads = next(attribute for attribute in node.attribute if attribute.name == "pads")
    pads.ints[:] = [side + added for side, added in zip(pads.ints, more, strict=True)]
