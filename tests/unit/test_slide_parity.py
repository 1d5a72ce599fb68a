"""Cells are chosen so that nothing is judged on what set it, and a slide may turn only where both sides are unsure."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from convert import slide_parity
from convert.calibration_cells import choose_cells
from convert.dataset import split_from_key
from convert.engine_proof import ProofMaterial, ProvedEngine
from convert.slide_mixtures import CellCounts, _exchanged, _mixtures, compose_slides, with_one_other_cell
from convert.slide_parity import require_slides
from edge.assessment import INDETERMINATE
from edge.catalogue import load_catalogue
from edge.engines.base import EngineOutputs
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


def test_a_folder_with_another_label_file_and_types_to_leave_out_is_chosen_from_as_it_was_trained(tmp_path):
    write_labels(tmp_path, {"SNE": 100, "LY": 60, "UNCLEAR": 8})
    (tmp_path / "labels.csv").rename(tmp_path / "second.csv")
    chosen = choose_cells(tmp_path, CATALOGUE, labels_name="second.csv", leave_out=("UNCLEAR",))
    assert {cell.cell_type for cell in (*chosen.calibration, *chosen.parity)} == {"SNE", "LY"}
    assert "8 rows left out: type UNCLEAR, as asked for" in "\n".join(chosen.notices)
    with pytest.raises(EdgeError) as error:
        choose_cells(tmp_path, CATALOGUE)
    assert (error.value.code, error.value.where) == ("MDSE-CONVERT-001", str(tmp_path / "labels.csv"))


def test_too_few_cells_never_calibrate(tmp_path):
    write_labels(tmp_path, {"SNE": 40})
    with pytest.raises(EdgeError) as error:
        choose_cells(tmp_path, CATALOGUE)
    assert error.value.code == "MDSE-CONVERT-026"
    assert choose_cells(tmp_path, CATALOGUE, for_int8=False).calibration


def test_drawn_cells_in_the_folder_neither_calibrate_nor_prove(tmp_path):
    write_labels(tmp_path, {"SNE": 100, "LY": 100})
    rows = (tmp_path / "labels.csv").read_text()
    for number in range(60):
        name = f"drawn-1-{number:06d}.jpg"
        (tmp_path / name).write_bytes(name.encode())
        rows += f"{name},BL\n"
    (tmp_path / "labels.csv").write_text(rows)
    chosen = choose_cells(tmp_path, CATALOGUE)
    every = (*chosen.calibration, *chosen.parity, *chosen.training, *chosen.validation)
    assert {cell.cell_type for cell in every} == {"SNE", "LY"}
    assert any("60 drawn cells left out" in notice for notice in chosen.notices)


def test_a_folder_of_drawn_cells_alone_is_refused_and_the_refusal_says_that_drawn_cells_do_not_count(tmp_path):
    names = [f"drawn-1-{number:06d}.jpg" for number in range(100)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "labels.csv").write_text("file,cell_type\n" + "".join(f"{name},LY\n" for name in names))
    with pytest.raises(EdgeError, match=r"only 0 real cells are left .*drawn ones, named drawn-\.\.\., do not count"):
        choose_cells(tmp_path, CATALOGUE)


class Scorer:
    """Scores and calls that a test lays down: per slide one pair for the original, one for the engine."""

    def __init__(self, pairs, target="mds_aa"):
        self.pairs = pairs
        self.spec = SimpleNamespace(threshold=0.5, target=target)

    def scores(self, side, slides):
        return np.array([self.pairs[int(slide[0])][side][0] for slide in slides])

    def call(self, side, slide):
        return self.pairs[int(slide[0])][side[0]][1]


def compared_targets(**pairs_of):
    """Compare the slides of several assessments; `pairs_of` names them and lays down the pairs of each."""
    chosen = [
        (Scorer(pairs, target), [np.array([number]) for number in range(len(pairs))])
        for target, pairs in pairs_of.items()
    ]
    sides = [slide_parity._Side([side], side) for side in (0, 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slide_parity, "with_one_other_cell", lambda slides, _: slides)
        return slide_parity._compare(chosen, *sides)


def compared(*pairs):
    return compared_targets(mds_aa=pairs)


def test_a_slide_may_turn_only_where_both_say_indeterminate():
    steady = ((0.9, "MDS-SUSPECT"), (0.89, "MDS-SUSPECT"))
    foreseen = ((0.51, INDETERMINATE), (0.49, INDETERMINATE))
    one_sure = ((0.49, INDETERMINATE), (0.6, "MDS-SUSPECT"))
    opposite = ((0.2, "AA-LIKE"), (0.9, "MDS-SUSPECT"))
    found = compared(steady, foreseen, one_sure, opposite)
    assert (found["n"], found["flipped"], found["flipped_unforeseen"], found["near_threshold"]) == (4, 3, 2, 2)
    assert found["score_diff"]["mean"] == pytest.approx((0.01 + 0.02 + 0.11 + 0.7) / 4)
    assert found["verdict"] == "REFUSED"
    require_slides({"engine": compared(steady, foreseen)})
    with pytest.raises(EdgeError) as error:
        require_slides({"engine": found})
    assert error.value.code == "MDSE-PARITY-006"
    assert error.value.exit_status == 3


def test_scores_that_drift_are_refused_though_no_slide_changes_sides():
    drifting = [((0.8, "MDS-SUSPECT"), (0.9, "MDS-SUSPECT"))] * 3
    with pytest.raises(EdgeError) as error:
        require_slides({"engine": compared(*drifting)})
    assert error.value.code == "MDSE-PARITY-007"


def test_slides_are_proven_only_within_the_bars_and_on_enough_slides_near_the_threshold():
    near, apart = ((0.55, INDETERMINATE), (0.551, INDETERMINATE)), ((0.55, INDETERMINATE), (0.58, INDETERMINATE))
    assert compared(*[near] * 60)["verdict"] == "PROVEN"
    assert compared(*[near] * 59)["verdict"] == "NOT PROVEN"
    assert compared(*[apart] * 60)["verdict"] == "NOT PROVEN"


STEADY = ((0.55, INDETERMINATE), (0.551, INDETERMINATE))
APART = ((0.55, INDETERMINATE), (0.67, INDETERMINATE))


def test_scores_of_one_assessment_that_drift_are_refused_however_well_the_others_hold():
    found = compared_targets(mds_aa=[APART] * 60, mpn_PV=[STEADY] * 60, mpn_ET=[STEADY] * 60)
    assert {target: row["verdict"] for target, row in found["targets"].items()} == {
        "mds_aa": "REFUSED",
        "mpn_PV": "PROVEN",
        "mpn_ET": "PROVEN",
    }
    assert found["verdict"] == "REFUSED"
    assert found["score_diff"]["mean"] == found["targets"]["mds_aa"]["score_diff"]["mean"] == pytest.approx(0.12)
    with pytest.raises(EdgeError, match="mds_aa") as error:
        require_slides({"openvino cpu int8": found})
    assert error.value.code == "MDSE-PARITY-007"


def test_slides_near_the_threshold_of_one_assessment_prove_nothing_of_another():
    far = ((0.9, "MDS-SUSPECT"), (0.901, "MDS-SUSPECT"))
    found = compared_targets(mds_aa=[STEADY] * 120, mpn_PV=[far] * 60)
    assert found["targets"]["mds_aa"]["verdict"] == "PROVEN"
    assert found["targets"]["mpn_PV"]["verdict"] == found["verdict"] == "NOT PROVEN"
    assert found["near_threshold"] == 0
    require_slides({"openvino cpu int8": found})


def test_a_slide_that_changes_sides_names_the_assessment_in_which_it_does():
    opposite = ((0.2, "AA-LIKE"), (0.9, "MDS-SUSPECT"))
    found = compared_targets(mds_aa=[STEADY] * 60, mpn_PV=[STEADY] * 59 + [opposite])
    with pytest.raises(EdgeError, match="mpn_PV: 1 of 60") as error:
        require_slides({"openvino cpu int8": found})
    assert error.value.code == "MDSE-PARITY-006"


def test_the_comparison_of_one_assessment_is_also_that_of_all():
    found = compared(STEADY, APART)
    assert found["targets"] == {"mds_aa": {name: value for name, value in found.items() if name != "targets"}}


def composed(steepness):
    """Compose slides of two types whose score rises with the share of the first one, for a network of 400 cells."""
    types = np.zeros((400, len(CATALOGUE.type_codes)), np.int64)
    types[:200, 0] = types[200:, 1] = 1
    counts = CellCounts(types, np.zeros((400, len(CATALOGUE.finding_codes)), np.int64))

    def distances(slides):
        share = counts.profiles(slides, CATALOGUE)[:, 0].astype(np.float64)
        return np.floor(steepness * (share - 0.43)) / 10

    slides = compose_slides(counts, distances, lambda distance: abs(distance) <= 0.1, lambda _: None)
    return slides, np.abs(distances(slides)) <= 0.1


def test_a_cell_in_several_orientations_stands_on_a_slide_once(monkeypatch):
    compared_cells = {}

    class Composer:
        def compose(self, counts, _):
            compared_cells["original"] = len(counts.types)
            return []

    def compare(_, original, found):
        compared_cells["engine"] = len(found.counts.types)
        return {}

    monkeypatch.setattr(slide_parity, "_scorer", lambda *_: Composer())
    monkeypatch.setattr(slide_parity, "_compare", compare)
    views, cells = 8, 5
    types = np.full((views * cells, len(CATALOGUE.type_codes)), 1 / len(CATALOGUE.type_codes), np.float32)
    outputs = EngineOutputs(types, np.zeros((len(types), 97), np.float32), np.zeros((len(types), 8), np.float32))
    card = SimpleNamespace(
        decision={
            "finding_threshold": dict.fromkeys(CATALOGUE.finding_codes, 0.5),
            "unidentified_below": dict.fromkeys(CATALOGUE.type_codes, 0.0),
        }
    )
    material = ProofMaterial(None, None, None, outputs, np.repeat(np.arange(cells), views), {})
    engine = ProvedEngine({}, SimpleNamespace(engine="int8"), outputs, (0.0, 0.0))
    slide_parity.prove_slides(SimpleNamespace(card=card, catalogue=CATALOGUE), material, [engine], [(None, None)])
    assert compared_cells == {"original": cells, "engine": cells}


@pytest.mark.parametrize("steepness", [1, 30, 90])
def test_half_of_the_composed_slides_lie_near_the_threshold_however_the_score_jumps(steepness):
    slides, near = composed(steepness)
    assert len(slides) == 200
    assert near.sum() >= 100
    assert all(len(set(slide)) == len(slide) == 200 for slide in slides)
    assert all((a == b).all() for a, b in zip(slides, composed(steepness)[0], strict=True))


def test_a_mixture_on_the_way_from_one_slide_to_another_holds_no_cell_twice():
    random = np.random.default_rng(3)
    first, second = random.permutation(300)[:200], random.permutation(300)[:200]
    for count in range(201):
        mixture = _exchanged(first, second, count)
        assert len(set(mixture)) == len(mixture) == 200
        assert set(second[:count]) <= set(mixture) <= set(second[:count]) | set(first)
    assert (_exchanged(first, second, 0) == first).all()
    assert (_exchanged(first, second, 200) == second).all()


def test_types_stand_on_a_slide_in_the_proportions_that_were_drawn():
    """200 of 6,000 cells in two types of unequal size: each slide is one-sided or even, whatever the sizes."""
    types = np.zeros((6_000, len(CATALOGUE.type_codes)), np.int64)
    types[:5_400, 0] = types[5_400:, 1] = 1
    counts = CellCounts(types, np.zeros((6_000, len(CATALOGUE.finding_codes)), np.int64))
    shares = np.array([(slide < 5_400).mean() for slide in _mixtures(counts, np.random.default_rng(1))[:600]])
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.min() < 0.02
    assert shares.max() > 0.98


def test_of_few_cells_a_slide_takes_half():
    types = np.zeros((51, len(CATALOGUE.type_codes)), np.int64)
    types[:, 0] = 1
    counts = CellCounts(types, np.zeros((51, len(CATALOGUE.finding_codes)), np.int64))
    slides = compose_slides(counts, lambda slides: np.ones(len(slides)), lambda d: abs(d) <= 0.1, lambda _: None)
    assert {len(set(slide)) for slide in slides} == {len(slide) for slide in slides} == {26}


def test_a_score_that_never_comes_near_leaves_slides_as_they_fall_and_proves_nothing():
    types = np.zeros((10, len(CATALOGUE.type_codes)), np.int64)
    types[:, 0] = 1
    counts = CellCounts(types, np.zeros((10, len(CATALOGUE.finding_codes)), np.int64))
    slides = compose_slides(counts, lambda slides: np.ones(len(slides)), lambda d: abs(d) <= 0.1, lambda _: None)
    assert len(slides) == 200


def test_one_other_cell_changes_a_copy_of_a_slide_at_one_place_for_a_cell_that_was_not_on_it():
    slide = np.arange(200, dtype=np.intp)
    for changed in with_one_other_cell([slide] * 50, 210):
        assert (changed != slide).sum() == 1
        assert len(set(changed)) == 200
    assert (slide == np.arange(200)).all()


def test_a_slide_of_the_only_cell_there_is_stays_as_it_is():
    (same,) = with_one_other_cell([np.zeros(1, np.intp)], 1)
    assert same.tolist() == [0]
