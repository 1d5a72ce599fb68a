"""Networks that keep a tensor in another file: the bytes that were verified are not those that would be loaded."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper


def external_onnx() -> bytes:
    """Return a network whose tensor lies in another file, as the library writes it."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    node = helper.make_node("Identity", ["w"], ["y"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([node], "g", [], [output], [tensor])
    return bytes(onnx.ModelProto(graph=graph, ir_version=8).SerializeToString())


def _spelled_over_long(field: int, wire: int, value: bytes) -> bytes:
    """Return a protobuf field whose tag has bit 32 set: readers of C++ drop the bit, and others know no such field."""
    tag, spelled = field << 3 | wire | 1 << 32, bytearray()
    while tag > 0x7F:
        spelled.append(tag & 0x7F | 0x80)
        tag >>= 7
    return bytes([*spelled, tag]) + value


def external_onnx_over_long() -> bytes:
    """Return a network whose tensor lies in another file, said in tags that only some readers understand."""
    entry = onnx.StringStringEntryProto(key="location", value="weights.bin").SerializeToString()
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1]).SerializeToString()
    tensor += _spelled_over_long(13, 2, bytes([len(entry)]) + entry)  # external_data
    tensor += _spelled_over_long(14, 0, b"\x01")  # data_location: EXTERNAL
    # The library itself would not write such tags: graph and model are put around the tensor by hand.
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [])
    graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))
    held = graph.SerializeToString() + bytes([5 << 3 | 2, len(tensor)]) + tensor  # initializer
    model = onnx.ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString() + bytes([7 << 3 | 2, len(held)]) + held)
