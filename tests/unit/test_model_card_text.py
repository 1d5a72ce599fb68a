"""MODEL_CARD.md tells what the trainer measured, and what was not measured as such; no card stops it at the end."""

from __future__ import annotations

import json

import pytest

from convert.conversion_request import ConversionRequest, preflight
from convert.model_card import read_model_card
from convert.report import model_card_text
from edge.catalogue import load_catalogue
from edge.errors import EdgeError

CATALOGUE = load_catalogue()
REAL = {
    "n": 40, "split": "test", "note": "real cells: split by patient", "accuracy": 0.925, "macro_recall": 0.9,
    "macro_recall_types": 3, "groups": {"n": 38, "accuracy": 0.95},
}  # fmt: skip


def text_of(tmp_path, **entries):
    (tmp_path / "model.card.json").write_text(json.dumps(entries))
    card = read_model_card(tmp_path / "model.keras", CATALOGUE)
    return model_card_text(card, CATALOGUE, [], {"reference": {"compared_with": "Keras"}}, [], {})


def test_the_figures_of_an_origin_stand_on_one_line(tmp_path):
    assert (
        "- real cells: split by patient, test split: 40 cells, accuracy 0.925, mean recall of 3 types 0.900, "
        "accuracy over 8 groups 0.950 (38 cells)\n"
    ) in text_of(tmp_path, validation={"real": REAL})


def test_a_figure_that_too_few_cells_gave_is_a_dash(tmp_path):
    few = {**REAL, "macro_recall": None, "macro_recall_types": 0, "groups": {"n": 0, "accuracy": None}}
    text = text_of(tmp_path, validation={"real": few})
    assert "accuracy 0.925, mean recall of 0 types -, accuracy over 8 groups - (0 cells)\n" in text


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"auc": 0.9}, "- foreign, ? split: - cells\n"),
        ({"n": 9, "accuracy": "97 %", "groups": 8}, "- foreign, ? split: 9 cells, accuracy 97 %\n"),
        ({"groups": {"accuracy": 0.5}}, "- foreign, ? split: - cells, accuracy over 8 groups 0.500 (- cells)\n"),
    ],
)
def test_figures_of_another_trainer_stand_as_far_as_they_are_known(tmp_path, figures, words):
    assert words in text_of(tmp_path, validation={"foreign": figures})


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"trained_on": ["blood cells"]}, "trained_on"),
        ({"trained_on": {"name": "blood cells"}}, "trained_on"),
        ({"limits": ["a lone \ud800"]}, "surrogates"),
    ],
)
def test_a_card_of_which_no_text_can_be_made_is_refused_before_the_model_is_opened(tmp_path, entries, words):
    (tmp_path / "model.keras").write_bytes(b"not opened")
    (tmp_path / "model.card.json").write_text(json.dumps(entries))
    with pytest.raises(EdgeError, match=words) as error:
        preflight(ConversionRequest(model=tmp_path / "model.keras", out=tmp_path / "bundle"))
    assert (error.value.code, error.value.where) == ("MDSE-CONVERT-012", str(tmp_path / "model.card.json"))


def test_a_card_without_an_averaged_type_passes_the_checks(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"not opened")
    validation = {"real": {**REAL, "accuracy": None, "macro_recall": None}, "foreign": {"auc": 0.9}}
    (tmp_path / "model.card.json").write_text(json.dumps({"validation": validation}))
    assert preflight(ConversionRequest(model=tmp_path / "model.keras", out=tmp_path / "bundle")).card.validation
