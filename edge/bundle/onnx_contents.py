"""Refuse a network file that points at other files.

An ONNX tensor may name an external file, relative or absolute, and runtimes follow it even when the model is handed
over as bytes (tried with OpenVINO 2026.4: it read an absolute path outside of the model's folder; see also
CVE-2024-27318 and its kin). Then the bytes that were verified would not be the bytes that are loaded. So the protobuf
is walked here, with nothing but the wire format, and any external tensor is refused before a runtime sees the model.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.errors import EdgeError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 32
# A tag has 32 bits. Protobuf of C++ drops what lies above: field 13 could be spelled as one that is skipped here and
# that a runtime reads all the same (tried with OpenVINO 2026.4).
_MAX_TAG = (1 << 32) - 1
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

# Fields of onnx.proto3 through which a tensor can be reached: message -> {field number: message inside}.
_INSIDE = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}


def check_self_contained(onnx: bytes, *, where: str) -> None:
    """Raise EdgeError MDSE-BUNDLE-015 when any tensor of the model lies outside of these bytes, or they are no ONNX."""
    try:
        _check_message(memoryview(onnx), "Model", where, depth=0)
    except (IndexError, ValueError) as error:
        raise EdgeError("MDSE-BUNDLE-015", where=where, reason="it is not an ONNX model") from error


def _check_message(data: memoryview, message: str, where: str, *, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise EdgeError("MDSE-BUNDLE-015", where=where, reason="its graphs are nested too deeply")
    inside = _INSIDE[message]
    for field, value in _fields(data):
        if message == "Tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)):
            raise EdgeError("MDSE-BUNDLE-015", where=where, reason="it keeps a tensor in another file")
        if field in inside:
            if not isinstance(value, memoryview):
                raise ValueError("a message field with another wire type")
            _check_message(value, inside[field], where, depth=depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of one protobuf message. Raises ValueError or IndexError for malformed bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        field, wire = tag >> 3, tag & 7
        if field == 0 or tag > _MAX_TAG:
            raise ValueError(f"tag {tag}")
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield field, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if position + length > len(data):
            raise ValueError("a field is longer than its message")
        yield field, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise ValueError("a number of more than 64 bits")
