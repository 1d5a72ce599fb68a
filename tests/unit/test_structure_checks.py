"""Mistakes that sit on both sides of a comparison, or between files, are found by what surrounds the network."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from keras_models import CATALOGUE, cells, tiny_network, write_trees

from convert import conversion, pixel_proof
from convert.calibration_cells import ChosenCells
from convert.first_difference import codes_that_differ, describe_difference, first_different_layer
from convert.model_card import read_model_card
from convert.name_check import require_own_names
from convert.network_digest import network_sha256, require_same_network
from convert.onnx_from_keras import keras_outputs, onnx_from_keras, origin_from_keras
from convert.onnx_graph import constants_of, replace_constants
from convert.parity import outputs_of_onnx
from convert.progress import Progress
from convert.slide_training import network_of_bundle
from convert.tree_model import read_trained_trees
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError

SNE, BNE, LY = (CATALOGUE.type_codes.index(code) for code in ("SNE", "BNE", "LY"))


# ---- the first layer that differs


@pytest.fixture(scope="module")
def origin():
    return origin_from_keras(tiny_network())


def changed_graph(origin, name, change):
    graph = onnx_from_keras(origin)
    constants = constants_of(graph)
    constants[name] = change(constants[name]).astype(np.float32)
    replace_constants(graph, constants)
    return graph


@pytest.mark.parametrize(
    ("weights", "change", "layer"),
    [
        ("stem1_conv/kernel", lambda w: w[:, ::-1].copy(), "stem1_conv"),
        ("scaling/offset", lambda w: w + 0.3, "scaling"),
        ("middle4_sepconv2/kernel", lambda w: w * 1.2, "middle4_sepconv2"),
        ("entry2_shortcut/bias", lambda w: w * 0, "entry2_shortcut"),
    ],
)
def test_the_first_layer_that_differs_is_named(origin, weights, change, layer):
    images = cells(2, origin.size_px)
    assert first_different_layer(origin, changed_graph(origin, weights, change), images) == layer


@pytest.mark.parametrize(
    ("weights", "layer"),
    [("middle4_sepconv2/kernel", "middle4_sepconv2"), ("entry2_shortcut/bias", "entry2_shortcut")],
)
def test_a_layer_that_comes_out_as_not_a_number_is_the_first_that_differs(origin, weights, layer):
    broken = changed_graph(origin, weights, lambda w: np.where(np.arange(w.size).reshape(w.shape) == 0, np.nan, w))
    assert first_different_layer(origin, broken, cells(2, origin.size_px)) == layer


def test_a_probability_that_is_not_a_number_is_named_before_those_that_differ():
    expected, found = np.array([[0.1, 0.2, 0.3]]), np.array([[0.1, 0.6, np.nan]])
    assert codes_that_differ(("A", "B", "C"), expected, found) == ["C not a number", "B 0.400"]


def test_equal_layers_point_at_the_heads_and_the_codes_that_differ_are_named(origin):
    images = cells(4, origin.size_px)
    swapped = changed_graph(origin, "cell_type/value/kernel", lambda w: np.roll(w, 1, axis=0))
    with Progress("", 1, None) as progress:
        written = outputs_of_onnx(swapped, images, progress)
    codes = (CATALOGUE.type_codes, CATALOGUE.finding_codes)
    words = describe_difference(origin, swapped, images, keras_outputs(origin, images), written, codes)
    assert words.startswith("first at the heads; most for ")
    assert sum(code in words for code in CATALOGUE.type_codes) >= 3


# ---- pixels


def jpeg(number=0):
    from edge.simulator.cells import draw_cell

    drawn = draw_cell("SNE", (), np.random.default_rng(number))
    return cv2.imencode(".jpg", drawn[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


FILES = [(f"cell{number}.jpg", jpeg(number)) for number in range(3)]


def test_our_decoder_and_resizing_agree_with_an_independent_decoder_and_plain_arithmetic():
    assert 0 < pixel_proof.require_pixels(FILES, 64) < 0.4
    assert pixel_proof.require_pixels([("drawn", pixel_proof.jpeg_of_drawn_cell())], 112) < 0.4


def test_the_average_over_an_area_counts_every_pixel_by_the_part_it_covers():
    pixels = np.zeros((3, 3, 3), np.uint8)
    pixels[1, 1] = 90
    assert np.allclose(pixel_proof.area_average(pixels, 2)[:, :, 0], 10)
    assert np.allclose(pixel_proof.area_average(pixels, 1)[:, :, 0], 10)


def test_a_linear_enlargement_reads_between_the_centres_of_pixels_and_keeps_the_border():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[1] = 80
    assert np.allclose(pixel_proof.linear_between(pixels, 4)[:, 0, 0], [0, 20, 60, 80])


LARGER_PX, SMALLER_PX = 420, 64


def test_cells_smaller_than_the_input_are_compared_too():
    assert 0 < pixel_proof.require_pixels(FILES, LARGER_PX) < 0.4
    wide = [("wide.png", cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))[1])]
    assert 0 < pixel_proof.require_pixels([(name, data.tobytes()) for name, data in wide], 100) < 0.4


def test_a_proof_without_a_file_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="nothing to compare"):
        pixel_proof.require_pixels([], SMALLER_PX)


def test_a_folder_without_calibration_and_test_cells_leaves_the_drawn_cell_for_the_proof():
    none = ChosenCells((), (), (), (), ())
    ((name, data),) = conversion._files_of_cells(SimpleNamespace(chosen=none))
    assert name == "a drawn cell"
    assert data == pixel_proof.jpeg_of_drawn_cell()


@pytest.mark.parametrize(
    ("fault", "size_px"),
    [
        ("channels", SMALLER_PX),
        ("nearest", SMALLER_PX),
        ("linear", SMALLER_PX),
        ("channels", LARGER_PX),
        ("nearest", LARGER_PX),
    ],
)
def test_another_decoder_or_resizing_is_refused_and_names_the_file(monkeypatch, fault, size_px):
    right = pixel_proof.decode_image
    if fault == "channels":
        monkeypatch.setattr(pixel_proof, "decode_image", lambda data, where: right(data, where=where)[:, :, ::-1])
    else:
        kernel = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR}[fault]
        monkeypatch.setattr(
            pixel_proof,
            "tensors_from_cells",
            lambda cells, size: np.stack(
                [cv2.resize(cell.pixels, (size, size), interpolation=kernel) for cell in cells]
            ),
        )
    with pytest.raises(EdgeError, match=r"cell0\.jpg") as error:
        pixel_proof.require_pixels(FILES, size_px)
    assert error.value.code == "MDSE-PARITY-008"


# ---- names


def called(pairs):
    """Outputs and labels of cells: (label, called as, how many)."""
    labels = [label for label, _, count in pairs for _ in range(count)]
    names = [name for _, name, count in pairs for _ in range(count)]
    cell_type = np.eye(len(CATALOGUE.type_codes), dtype=np.float32)[[CATALOGUE.type_codes.index(n) for n in names]]
    return EngineOutputs(
        cell_type, np.zeros((len(names), 97), np.float32), np.zeros((len(names), 2), np.float32)
    ), labels


def check(pairs):
    outputs, labels = called(pairs)
    require_own_names(outputs, np.arange(len(labels)), labels, CATALOGUE)


@pytest.mark.parametrize(
    "pairs",
    [
        [("SNE", "BNE", 30), ("BNE", "SNE", 25), ("LY", "LY", 30)],
        [("SNE", "BNE", 30), ("BNE", "LY", 30), ("LY", "SNE", 16), ("LY", "LY", 10)],
    ],
)
def test_types_that_exchange_their_names_are_refused_and_named(pairs):
    with pytest.raises(EdgeError) as error:
        check(pairs)
    assert error.value.code == "MDSE-PARITY-009"
    assert "SNE" in str(error.value)
    assert "BNE" in str(error.value)


@pytest.mark.parametrize(
    "pairs",
    [
        [("SNE", "BNE", 30), ("BNE", "BNE", 30)],
        [("SNE", "BNE", 10), ("BNE", "SNE", 10)],
        [("SNE", "BNE", 14), ("SNE", "SNE", 16), ("BNE", "SNE", 20), ("BNE", "BNE", 10)],
    ],
)
def test_a_network_that_confuses_types_or_few_cells_are_no_exchange(pairs):
    check(pairs)


def test_a_card_that_was_written_for_another_order_of_outputs_is_refused(tmp_path):
    types, findings = list(CATALOGUE.type_codes), list(CATALOGUE.finding_codes)
    card = tmp_path / "model.card.json"
    card.write_text(json.dumps({"outputs": {"types": types, "findings": findings}}))
    assert read_model_card(tmp_path / "model.keras", CATALOGUE).given
    findings[3], findings[4] = findings[4], findings[3]
    for outputs, words in (
        ({"types": types[::-1]}, "number 1 of the types was trained as ART"),
        ({"findings": findings}, "number 4 of the findings"),
        ({"types": types[:-1]}, "16 types instead of 17"),
    ):
        card.write_text(json.dumps({"outputs": outputs}))
        with pytest.raises(EdgeError, match=words) as error:
            read_model_card(tmp_path / "model.keras", CATALOGUE)
        assert error.value.code == "MDSE-CONVERT-012"


# ---- trees and their network


def test_trees_of_another_network_are_refused_and_those_that_do_not_say_are_taken(tmp_path):
    import xgboost

    path = write_trees(tmp_path / "trees.json", rounds=2)
    model = tiny_network()
    ours = network_sha256(model)
    require_same_network([read_trained_trees(path, "mds_aa", CATALOGUE)], ours)
    booster = xgboost.Booster(model_file=path)
    spec = json.loads(booster.attr("mds_edge"))
    for network, refused in ((ours, False), (network_sha256(tiny_network(seed=1)), True)):
        booster.set_attr(mds_edge=json.dumps({**spec, "network": network}))
        booster.save_model(path)
        trees = [read_trained_trees(path, "mds_aa", CATALOGUE)]
        if not refused:
            require_same_network(trees, ours)
            continue
        with pytest.raises(EdgeError) as error:
            require_same_network(trees, ours)
        assert error.value.code == "MDSE-CONVERT-036"


def test_a_bundle_says_which_network_it_was_made_of_and_older_ones_do_not():
    class Opened(dict):
        read = dict.get

    assert network_of_bundle(Opened({"parity.json": b'{"reference": {"network_sha256": "ab"}}'})) == "ab"
    assert network_of_bundle(Opened({"parity.json": b'{"reference": {}}'})) is None
    assert network_of_bundle(Opened()) is None


def test_trees_saved_in_the_binary_form_of_xgboost_are_kept_as_json_with_the_same_margins(tmp_path):
    import xgboost

    path = write_trees(tmp_path / "trees.json", rounds=3)
    xgboost.Booster(model_file=path).save_model(tmp_path / "trees.ubj")
    given, binary = (read_trained_trees(tmp_path / name, "mds_aa", CATALOGUE) for name in ("trees.json", "trees.ubj"))
    rows = np.random.default_rng(1).random((50, 114), np.float32)
    assert (given.margins(rows) == binary.margins(rows)).all()
    assert json.loads(binary.model_json)["learner"]
    assert (given.split_values == binary.split_values).all()
