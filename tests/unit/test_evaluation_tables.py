"""Tables, shortfalls and groups of a validation, from a handful of predictions that can be counted by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from convert.dataset import LabelledCell, LabelledCells
from convert.evaluation.html_report import report_from_validation
from convert.evaluation.preclass import preclass_of
from convert.evaluation.predictions import Predictions
from convert.evaluation.shap_values import FIGURE_GROUPS, grouped_values
from convert.evaluation.shortfalls import shortfalls_of
from convert.evaluation.tables import cells_section, note_of
from convert.training_batches import targets_from_cells
from edge.catalogue import load_catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.image_measures import MEASURES

CATALOGUE = load_catalogue()
CODES = CATALOGUE.type_codes


@dataclass
class FixedNetwork:
    evidence: dict = field(default_factory=lambda: dict.fromkeys((*CODES, *CATALOGUE.finding_codes), "real"))
    seen: None = None
    thresholds: dict = field(default_factory=lambda: dict.fromkeys(CATALOGUE.finding_codes, 0.5))


def cell(number: int, code: str, *, origin="real", findings=None, patient=None, preclass=None) -> LabelledCell:
    name = f"{code}/{number:03d}.jpg"
    return LabelledCell(Path(name), name, code, findings or {}, patient, "test", origin, Path("labels.csv"), preclass)


def predictions(pairs: list[tuple[LabelledCell, str]], vacuoles: list[float] | None = None) -> Predictions:
    cells = tuple(labelled for labelled, _ in pairs)
    types = np.full((len(pairs), len(CODES)), 0.01, np.float32)
    types[np.arange(len(pairs)), [CODES.index(called) for _, called in pairs]] = 1 - 0.01 * (len(CODES) - 1)
    findings = np.zeros((len(pairs), len(CATALOGUE.finding_codes)), np.float32)
    if vacuoles is not None:
        findings[:, CATALOGUE.finding_codes.index("NE07")] = vacuoles
    outputs = EngineOutputs(types, findings, np.zeros((len(pairs), 8), np.float32))
    measures = np.zeros((len(pairs), len(MEASURES)), np.float32)
    return Predictions(cells, targets_from_cells(cells, CATALOGUE), outputs, measures, CATALOGUE)


def section_of(found: Predictions) -> dict:
    return cells_section(found, FixedNetwork(), LabelledCells(found.cells, ()), "test")


def neutrophils(origin="real", patient=None) -> Predictions:
    """20 segmented (15 right, 5 called band), 10 band (6 right, 2 segmented, 2 blast)."""
    called = ["SNE"] * 15 + ["BNE"] * 5 + ["BNE"] * 6 + ["SNE"] * 2 + ["BL"] * 2
    truth = ["SNE"] * 20 + ["BNE"] * 10
    pairs = [
        (cell(i, code, origin=origin, patient=patient and f"{patient}{i % 5}"), said)
        for i, (code, said) in enumerate(zip(truth, called, strict=True))
    ]
    return predictions(pairs)


def test_a_type_is_counted_by_hand_as_the_table_counts_it():
    row = section_of(neutrophils())["cell_types"]["SNE"]
    assert (row["n"], row["sensitivity"], row["specificity"], row["precision"]) == (20, 0.75, 0.8, 0.8824)
    assert row["ci95"] == pytest.approx([0.5090, 0.9134], abs=1e-4)
    assert row["paper"]["sensitivity"] == 0.98


def test_anything_but_the_label_is_wrong_and_pooled_neutrophils_forgive_each_other():
    found = section_of(neutrophils())
    assert found["accuracy"] == 0.7
    assert found["macro_recall"] == pytest.approx((0.75 + 0.6) / 2)
    assert found["macro_recall_types"] == ["SNE", "BNE"]
    assert found["macro_recall_pooled"]["macro_recall"] == pytest.approx(28 / 30, abs=1e-4)
    # A blast is in none of the eight groups, so it is wrong there as well.
    assert found["groups"]["accuracy"] == pytest.approx(28 / 30, abs=1e-4)


def test_a_type_with_fewer_than_ten_cells_is_shown_but_not_averaged():
    pairs = [(cell(i, "EO"), "EO") for i in range(10)] + [(cell(i, "TAG"), "LP") for i in range(2)]
    found = section_of(predictions(pairs))
    assert found["macro_recall_types"] == ["EO"]
    assert found["macro_recall"] == 1.0
    assert found["cell_types"]["TAG"]["sensitivity"] == 0.0


def test_the_confusion_matrix_has_labels_in_rows_and_calls_in_columns():
    matrix = section_of(neutrophils())["confusion"]
    counts = np.array(matrix["counts"])
    assert counts[CODES.index("SNE"), CODES.index("BNE")] == 5
    assert counts[CODES.index("BNE"), CODES.index("SNE")] == 2
    assert counts.sum() == 30


def test_findings_are_judged_on_annotated_cells_whatever_type_the_network_gave():
    pairs = [
        (cell(0, "SNE", findings={"NE07": 1}), "BL"),
        (cell(1, "BNE", findings={"NE07": 1}), "BNE"),
        (cell(2, "SNE", findings={"NE07": 0}), "SNE"),
        (cell(3, "SNE", findings={"NE07": 0}), "SNE"),
        (cell(4, "SNE"), "SNE"),
    ]
    row = section_of(predictions(pairs, vacuoles=[0.9, 0.4, 0.6, 0.1, 0.99]))["findings"]["NE07"]
    assert (row["n"], row["positives"], row["sensitivity"], row["specificity"], row["auc"]) == (4, 2, 0.5, 0.5, 0.75)
    assert row["paper"]["images"] == 105


def test_drawn_cells_never_carry_a_figure_of_the_paper_nor_a_shortfall():
    found = section_of(neutrophils(origin="drawn"))
    assert found["simulated"]
    assert "SIMULATED" in found["note"]
    assert "paper" not in json.dumps(found["cell_types"])
    assert shortfalls_of(found) == []


def test_every_type_below_the_paper_is_named_with_what_it_was_taken_for():
    lines = shortfalls_of(section_of(neutrophils()))
    assert "SNE: sensitivity 75.0 %, paper 98.0 %; the interval does not reach it; called BNE 5." in lines
    assert any(line.startswith("BNE: sensitivity 60.0 %") and "BL 2" in line for line in lines)
    assert any(line.startswith("MEK: no labelled cell here") for line in lines)
    assert any("NE07" in line and "stay empty" in line for line in lines)


def test_the_note_says_whether_the_split_knows_patients_and_whether_the_cells_prove_anything():
    assert "by image" in note_of(neutrophils(), "test", 0)
    assert "by patient" in note_of(neutrophils(patient="P"), "test", 0)
    assert "no proof" in note_of(neutrophils(), "training", 0)


def test_cells_by_which_thresholds_are_chosen_are_not_reported_like_cells_kept_apart():
    unknown = note_of(neutrophils(patient="P"), "validation", None)
    assert "thresholds and calibration of a network are chosen on such cells" in unknown
    assert "by patient" not in unknown
    assert "no proof" in note_of(neutrophils(patient="P"), "validation", 3)
    assert "none of these files was seen" in note_of(neutrophils(patient="P"), "validation", 0)


def clustered(blank: int) -> Predictions:
    """20 patients with 20 cells each, all right of every second patient and half of the others; some lack the name."""
    pairs = []
    for number in range(400):
        patient = number // 20
        named = None if number < blank else f"P{patient}"
        right = patient % 2 == 0 or number % 2 == 0
        pairs.append((cell(number, "EO", patient=named), "EO" if right else "LP"))
    return predictions(pairs)


def test_a_cell_without_a_patient_stands_for_itself_and_the_patients_of_the_others_are_drawn_whole():
    whole, one_missing, nobody = (section_of(clustered(blank)) for blank in (0, 1, 400))
    width = [high - low for low, high in (found["macro_recall_ci95"] for found in (whole, one_missing, nobody))]
    assert width[1] == pytest.approx(width[0], rel=0.1)
    assert width[2] < width[0] / 2
    assert whole["note"].startswith("real cells, split by patient; not checked against the training")
    assert "1 of 400 cells name no patient" in one_missing["note"]
    assert "optimistic" in one_missing["note"]
    assert "no patient identity" in nobody["note"]


def test_the_network_and_the_analyzer_are_judged_on_the_same_cells():
    classes = ["segmented_neutrophil", "BNE", "Unidentified", None]
    pairs = [(cell(i, "SNE", preclass=said), "SNE" if i != 1 else "EO") for i, said in enumerate(classes)]
    found = preclass_of(predictions(pairs))
    assert found["n"] == 3
    assert found["network"]["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["analyzer"]["accuracy"] == pytest.approx(1 / 3, abs=1e-4)
    assert (found["only_network_right"], found["only_analyzer_right"]) == (1, 0)
    assert found["outside_catalogue"] == {"Unidentified": 1}


def test_a_class_that_stands_for_several_types_is_right_on_each_of_them():
    pairs = [(cell(i, code, preclass="NEUT"), said) for i, (code, said) in enumerate((("SNE", "BNE"), ("BNE", "BNE")))]
    found = preclass_of(predictions(pairs))
    assert (found["analyzer"]["accuracy"], found["network"]["accuracy"], found["agreement"]) == (1.0, 0.5, 1.0)


def test_cells_without_an_analyzers_class_are_an_error_and_not_an_empty_table():
    with pytest.raises(EdgeError, match="MDSE-VALIDATE-004"):
        preclass_of(neutrophils())


def test_shap_values_are_summed_over_the_groups_of_the_figure_and_nothing_is_lost():
    values = np.arange(2 * len(CATALOGUE.parameter_names), dtype=np.float64).reshape(2, -1)
    names, grouped = grouped_values(values, CATALOGUE)
    assert names == (*FIGURE_GROUPS, "OTHER")
    np.testing.assert_allclose(grouped.sum(1), values.sum(1))
    of_blasts = [i for i, n in enumerate(CATALOGUE.parameter_names) if n.startswith("BL")]
    np.testing.assert_allclose(grouped[:, names.index("BL")], values[:, of_blasts].sum(1))


def test_the_page_escapes_what_labels_say_and_puts_no_published_column_beside_drawn_cells():
    drawn, real = section_of(neutrophils(origin="drawn")), section_of(neutrophils())
    model = dict(kind="bundle", name="<b>x", version="1", engine="e", precision="p", size_px=1, intended_use="demo")
    head = dict(model={**model, "sha256": "0" * 64}, made_at="now", software="s", paper_source="p", slides={})
    drawn["shortfalls"], real["shortfalls"] = shortfalls_of(drawn), shortfalls_of(real)
    document = {
        **head,
        "evidence": {"SNE": "real", "BL": "drawn"},
        "notices": ["<script>alert(1)</script>"],
        **real,
        "drawn": drawn,
    }
    page = report_from_validation(document, {}, CATALOGUE).decode()
    assert "<script" not in page
    assert "&lt;b&gt;x" in page
    before, _, after = page.partition("In short: drawn cells")
    assert "paper sens. %" in before
    assert "paper" not in after
