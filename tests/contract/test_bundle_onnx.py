"""A network that points at another file never reaches a runtime, wherever in the model the pointer hides."""

from __future__ import annotations

import numpy as np
import onnx
import openvino
import pytest
from bundles import bundle_contents, painted_network, write_bundle
from onnx import TensorProto, helper, numpy_helper

from benchmarks.external_networks import external_onnx_over_long
from edge.bundle.onnx_contents import check_self_contained
from edge.bundle.reader import open_bundle
from edge.errors import EdgeError


def tensor(*, external):
    made = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    if external:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        entry = made.external_data.add()
        entry.key, entry.value = "location", "/etc/hostname"
    return made


def graph_with(nodes=(), initializers=(), sparse=()):
    return helper.make_graph(list(nodes), "g", [], [], list(initializers), sparse_initializer=list(sparse))


def branch(held):
    inner = graph_with(initializers=[held])
    return helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)


def sparse_of(held):
    made = onnx.SparseTensorProto()
    made.values.CopyFrom(held)
    return made


def function_of(held):
    made = onnx.FunctionProto(name="f", domain="d")
    made.node.append(helper.make_node("Constant", [], ["y"], value=held))
    return made


PLACES = {
    "initializer": lambda held: helper.make_model(graph_with(initializers=[held])),
    "attribute": lambda held: helper.make_model(graph_with([helper.make_node("Constant", [], ["y"], value=held)])),
    "list attribute": lambda held: helper.make_model(graph_with([helper.make_node("Op", [], ["y"], values=[held])])),
    "branch": lambda held: helper.make_model(graph_with([branch(held)])),
    "branch of a branch": lambda held: helper.make_model(
        graph_with([helper.make_node("If", ["c"], ["y"], then_branch=graph_with([branch(held)]))])
    ),
    "sparse": lambda held: helper.make_model(graph_with(sparse=[sparse_of(held)])),
    "function": lambda held: helper.make_model(graph_with(), functions=[function_of(held)]),
}


@pytest.mark.case("H4")
@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_in_another_file_is_refused_wherever_it_hides(place):
    check_self_contained(PLACES[place](tensor(external=False)).SerializeToString(), where="cells.onnx")
    with pytest.raises(EdgeError, match=r"MDSE-BUNDLE-015 cells\.onnx.*in another file"):
        check_self_contained(PLACES[place](tensor(external=True)).SerializeToString(), where="cells.onnx")


def test_either_mark_of_an_external_tensor_is_enough():
    for field in ("data_location", "external_data"):
        held = tensor(external=True)
        held.ClearField(field)
        with pytest.raises(EdgeError, match="MDSE-BUNDLE-015"):
            check_self_contained(PLACES["initializer"](held).SerializeToString(), where="x")


@pytest.mark.case("H4")
def test_a_tensor_in_another_file_that_only_some_readers_understand_is_refused(tmp_path, monkeypatch):
    data = external_onnx_over_long()
    np.array([42], np.float32).tofile(tmp_path / "weights.bin")
    monkeypatch.chdir(tmp_path)
    compiled = openvino.Core().compile_model(openvino.Core().read_model(data), "CPU")
    assert compiled([])[0].tolist() == [42]  # the runtime reads the other file: nothing but the refusal is in between
    with pytest.raises(EdgeError, match=r"MDSE-BUNDLE-015 cells\.onnx"):
        check_self_contained(data, where="cells.onnx")


@pytest.mark.case("H14")
@pytest.mark.parametrize("tag", [b"\x82\x80\x80\x80\x10", b"\x02"], ids=["beyond 32 bits", "field 0"])
def test_a_field_whose_number_no_message_can_have_is_refused(tag):
    whole = painted_network()
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-015"):
        check_self_contained(whole + tag + b"\x00", where="x")


@pytest.mark.case("H14")
def test_bytes_that_are_no_protobuf_are_refused():
    whole = painted_network()
    check_self_contained(whole, where="x")
    for data in (whole[:-1], whole[:100], b"\xff" * 20, b"\x0b\x0c", b"\x3a\x80"):
        with pytest.raises(EdgeError, match="MDSE-BUNDLE-015"):
            check_self_contained(data, where="x")


@pytest.mark.case("H14")
def test_endless_nesting_is_refused():
    def wrapped(field, data):
        size = bytes([len(data) & 0x7F | 0x80, len(data) >> 7 & 0x7F | 0x80, len(data) >> 14])
        return bytes([field << 3 | 2]) + size + data

    graph = b""
    for _ in range(5000):  # graph > node > attribute > graph; the onnx library itself would not write so many
        graph = wrapped(1, wrapped(5, wrapped(6, graph)))
    with pytest.raises(EdgeError, match="nested too deeply"):
        check_self_contained(wrapped(7, graph), where="x")


@pytest.mark.case("H4")
def test_a_bundle_with_such_a_network_does_not_open(tmp_path):
    model = onnx.load_from_string(painted_network())
    model.graph.initializer.append(tensor(external=True))
    contents = bundle_contents(**{"cells.onnx": model.SerializeToString()})
    with pytest.raises(EdgeError, match=r"MDSE-BUNDLE-015 cells\.onnx"):
        open_bundle(write_bundle(tmp_path / "b", contents), public_key=None)
