"""A small builder of ONNX graphs: nodes in order, constants by name, one file out.

Opset 18 is what OpenVINO, ONNX Runtime and TensorRT 10.x all take. Names come from the caller, so that a layer keeps
the name it had in Keras from the certificate to the profiler.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
# The oldest IR version that carries opset 18; newer ones only shut out older runtimes.
IR_VERSION = 8

INPUT_NAME = "images"
OUTPUT_NAMES = ("cell_type", "findings", "embedding")


@dataclass(slots=True)
class OnnxGraph:
    """A graph under construction. `constants` keeps the weights by name; `nodes` are in topological order."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant and return its name. Raises ValueError where the name is taken."""
        if name in self.constants:
            raise ValueError(f"two constants are called {name!r}")
        self.constants[name] = np.ascontiguousarray(values)
        return name

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output that carries the node's own name, and return that name."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def model(self, *, size_px: int, widths: dict[str, int]) -> onnx.ModelProto:
        """Return the checked model: u8[N,size_px,size_px,3] in, one f32[N,width] out per entry of `widths`.

        The batch dimension is dynamic. Raises onnx.checker.ValidationError where the graph is not valid.
        """
        graph = helper.make_graph(
            self.nodes,
            "mds_edge_cells",
            [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["N", size_px, size_px, 3])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name, width in widths.items()],
            [numpy_helper.from_array(values, name) for name, values in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="mds-edge")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model


def bytes_from_onnx(model: onnx.ModelProto) -> bytes:
    """Return the file's bytes; equal models give equal bytes."""
    return bytes(model.SerializeToString(deterministic=True))


def onnx_from_bytes(data: bytes) -> onnx.ModelProto:
    """Return the model of a file's bytes."""
    return onnx.load_model_from_string(data)


def constants_of(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the weights of a model by name. The arrays are copies."""
    return {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}


def replace_constants(model: onnx.ModelProto, constants: dict[str, NDArray[Any]]) -> None:
    """Write `constants` in place of the model's weights; the order of the file is kept, new ones follow at the end."""
    order = [tensor.name for tensor in model.graph.initializer]
    order += [name for name in constants if name not in set(order)]
    del model.graph.initializer[:]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(constants[name], order="C"), name) for name in order if name in constants
    )


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name, as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def ranks_of(model: onnx.ModelProto) -> dict[str, int]:
    """Return the number of axes of every value of the graph."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values}


def consumers_of(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return, for every value, the nodes that read it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers
