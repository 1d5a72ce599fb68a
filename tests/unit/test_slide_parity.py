"""Cells are chosen so that nothing is judged on what set it, and a slide may turn only where both sides are unsure."""

from __future__ import annotations

import numpy as np
import pytest

from convert import slide_parity
from convert.calibration_cells import choose_cells
from convert.dataset import split_from_key
from convert.slide_parity import require_slides
from edge.assessment import INDETERMINATE
from edge.catalogue import load_catalogue
from edge.errors import EdgeError

CATALOGUE = load_catalogue()


def write_labels(folder, counts):
    rows = ["file,cell_type"]
    for code, count in counts.items():
        for number in range(count):
            (folder / f"{code}{number}.jpg").write_bytes(f"not decoded here: {code} {number}".encode())
            rows.append(f"{code}{number}.jpg,{code}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def test_calibration_and_parity_never_share_a_cell_and_follow_the_split(tmp_path):
    write_labels(tmp_path, {"SNE": 300, "LY": 60, "BL": 12})
    chosen = choose_cells(tmp_path, CATALOGUE, calibration_count=100)
    assert {split_from_key(cell.path.name) for cell in chosen.parity} == {"test"}
    assert "test" not in {split_from_key(cell.path.name) for cell in chosen.calibration}
    counts = {code: sum(c.cell_type == code for c in chosen.calibration) for code in ("SNE", "LY", "BL")}
    assert sum(counts.values()) == 100
    assert counts["SNE"] - counts["LY"] <= 10, "the types in equal numbers as far as they reach"
    text = "\n".join(chosen.notices)
    assert f"fewer than 20 cells of BL {counts['BL']}" in text
    assert "calibration: no cell of BNE" in text
    assert chosen.calibration == choose_cells(tmp_path, CATALOGUE, calibration_count=100).calibration


def test_too_few_cells_never_calibrate(tmp_path):
    write_labels(tmp_path, {"SNE": 40})
    with pytest.raises(EdgeError) as error:
        choose_cells(tmp_path, CATALOGUE)
    assert error.value.code == "MDSE-CONVERT-026"


class Scorer:
    """Scores and calls that a test lays down: per slide one pair for the original, one for the engine."""

    class spec:  # noqa: N801  # stands for the field of that name
        threshold = 0.5

    def __init__(self, pairs):
        self.pairs = pairs

    def scores(self, cells, slides):
        return np.array([self.pairs[int(slide[0])][cells][0] for slide in slides])

    def call(self, cells, slide):
        return self.pairs[int(slide[0])][cells][1]


def compared(*pairs):
    slides = [np.array([number]) for number in range(len(pairs))]
    return slide_parity._compare([(Scorer(pairs), slides)], 0, 1)


def test_a_slide_may_turn_only_where_both_say_indeterminate():
    steady = ((0.9, "MDS-SUSPECT"), (0.8, "MDS-SUSPECT"))
    foreseen = ((0.51, INDETERMINATE), (0.49, INDETERMINATE))
    one_sure = ((0.49, INDETERMINATE), (0.6, "MDS-SUSPECT"))
    opposite = ((0.2, "AA-LIKE"), (0.9, "MDS-SUSPECT"))
    found = compared(steady, foreseen, one_sure, opposite)
    assert (found["n"], found["flipped"], found["flipped_unforeseen"], found["near_threshold"]) == (4, 3, 2, 2)
    assert found["score_diff"]["mean"] == pytest.approx((0.1 + 0.02 + 0.11 + 0.7) / 4)
    require_slides({"engine": compared(steady, foreseen)})
    with pytest.raises(EdgeError) as error:
        require_slides({"engine": found})
    assert error.value.code == "MDSE-PARITY-006"
    assert error.value.exit_status == 3
