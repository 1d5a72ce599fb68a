"""Trees hold for the decision that made their profiles: the same card, catalogue and cells, on whatever machine."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cohorts import cohort_of
from keras_models import CATALOGUE, tiny_network, tree_spec, write_trees

from convert.calibration_cells import choose_cells
from convert.conversion_request import ConversionRequest
from convert.decision_digest import decision_digests, require_same_decision
from convert.model_card import read_model_card
from convert.onnx_from_keras import origin_from_keras
from convert.opened_model import open_model
from convert.slide_training import decision_of_bundle
from convert.train_assessment import ATTRIBUTE, AssessmentTraining, train_assessment
from convert.tree_model import read_trained_trees
from edge.errors import EdgeError


@pytest.fixture(scope="module")
def origin():
    return origin_from_keras(tiny_network())


def card_of(folder, **entries):
    (folder / "model.card.json").write_text(json.dumps(entries))
    return read_model_card(folder / "model.keras", CATALOGUE)


def labelled(folder, count=900, other=None):
    """A folder of cells that nobody decodes; `other` gives one of them other bytes."""
    folder.mkdir()
    rows = ["file,cell_type"]
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(b"other" if number == other else f"cell {number}".encode())
        rows.append(f"{number}.jpg,{('SNE', 'LY')[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return choose_cells(folder, CATALOGUE, for_int8=False)


def differing(first, second):
    return {part for part in first if first[part] != second[part]}


@pytest.fixture
def same(origin, tmp_path):
    (tmp_path / "first").mkdir()
    chosen = labelled(tmp_path / "cells", count=3000)
    assert len(chosen.validation) >= 200, "enough to fit a decision"
    return chosen, decision_digests(origin, CATALOGUE, card_of(tmp_path / "first"), chosen)


def test_the_same_inputs_in_another_folder_under_another_name_are_the_same_decision(origin, tmp_path, same):
    _, digests = same
    (tmp_path / "second").mkdir()
    card = card_of(tmp_path / "second", name="other", version="9", intended_use="research", limits=["none"])
    assert decision_digests(origin, CATALOGUE, card, labelled(tmp_path / "copied", count=3000)) == digests


def test_other_cells_none_or_other_evidence_are_another_decision(origin, tmp_path, same):
    chosen, digests = same
    card = card_of(tmp_path / "first")
    known = card_of(tmp_path / "first", evidence={"SNE": "real"})
    place = next(number for number in range(3000) if f"{number}.jpg" == chosen.validation[0].cell_id)
    exchanged = labelled(tmp_path / "exchanged", count=3000, other=place)
    assert differing(decision_digests(origin, CATALOGUE, card, exchanged), digests) == {"cells"}
    assert differing(decision_digests(origin, CATALOGUE, card, None), digests) == {"cells"}
    assert differing(decision_digests(origin, CATALOGUE, known, chosen), digests) == {"cells"}


def test_cells_too_few_to_fit_a_decision_on_decide_nothing(origin, tmp_path):
    card = card_of(tmp_path)
    few = labelled(tmp_path / "few", count=100)
    assert decision_digests(origin, CATALOGUE, card, few) == decision_digests(origin, CATALOGUE, card, None)


def test_an_edited_card_another_catalogue_and_another_range_of_pixels_are_named(origin, tmp_path, same):
    chosen, digests = same
    card = card_of(tmp_path / "first")
    for decision in ({"temperature": 2}, {"finding_threshold": {"NE07": 0.4}}, {"unidentified_below": {"SNE": 0.4}}):
        edited = card_of(tmp_path / "first", decision=decision)
        assert differing(decision_digests(origin, CATALOGUE, edited, chosen), digests) == {"card"}
    findings = (replace(CATALOGUE.findings[0], applies_to=("MO",)), *CATALOGUE.findings[1:])
    other = replace(CATALOGUE, findings=findings)
    assert differing(decision_digests(origin, other, card, chosen), digests) == {"catalogue"}
    scaled = replace(origin, scaling=(1 / 255, 0.0))
    assert differing(decision_digests(scaled, CATALOGUE, card, chosen), digests) == {"input"}


def test_the_same_weights_at_another_size_of_images_are_another_decision(origin, tmp_path, same):
    chosen, digests = same
    resized = replace(origin, size_px=2 * origin.size_px)
    assert differing(decision_digests(resized, CATALOGUE, card_of(tmp_path / "first"), chosen), digests) == {"input"}


def test_a_cell_that_cannot_be_read_is_named(origin, tmp_path, same):
    chosen, _ = same
    chosen.validation[0].path.unlink()
    with pytest.raises(EdgeError) as error:
        decision_digests(origin, CATALOGUE, card_of(tmp_path / "first"), chosen)
    assert error.value.code == "MDSE-TRAIN-004"
    assert chosen.validation[0].cell_id in str(error.value)


def trees_of(tmp_path, **entries):
    path = write_trees(tmp_path / "trees.json", spec=tree_spec(**entries), rounds=1)
    return read_trained_trees(path, "mds_aa", CATALOGUE)


def test_trees_of_another_decision_are_refused_and_those_that_do_not_say_are_told_of(tmp_path):
    digests = {"input": "a", "catalogue": "b", "card": "c", "cells": "d"}
    assert require_same_decision([trees_of(tmp_path, decision=digests)], digests) == ()
    (notice,) = require_same_decision([trees_of(tmp_path)], digests)
    assert "trees mds_aa" in notice
    for theirs, parts in (({**digests, "card": "x", "cells": "y"}, "card, cells"), ({"input": "a"}, "catalogue, card")):
        with pytest.raises(EdgeError, match=parts) as error:
            require_same_decision([trees_of(tmp_path, decision=theirs)], digests)
        assert (error.value.code, error.value.where) == ("MDSE-CONVERT-037", "mds_aa")
    with pytest.raises(EdgeError) as error:
        trees_of(tmp_path, decision="a digest")
    assert error.value.code == "MDSE-CONVERT-031"


def test_a_bundle_says_how_it_decides_cells_and_older_ones_do_not():
    class Opened(dict):
        read = dict.get

    assert decision_of_bundle(Opened({"parity.json": b'{"reference": {"decision_sha256": {"card": "c"}}}'})) == {
        "card": "c"
    }
    assert decision_of_bundle(Opened({"parity.json": b'{"reference": {}}'})) is None
    assert decision_of_bundle(Opened()) is None


def test_a_model_is_opened_only_with_trees_of_its_own_decision(tmp_path):
    tiny_network().save(tmp_path / "model.keras")
    trees_of(tmp_path)
    request = ConversionRequest(
        model=tmp_path / "model.keras", out=tmp_path / "bundle", trees={"mds_aa": tmp_path / "trees.json"},
        with_library=False,
    )  # fmt: skip
    opened = open_model(request, None)
    assert "they do not say" in opened.notices[-1]
    trees_of(tmp_path, decision=dict(opened.decision))
    assert open_model(request, None).notices == ()
    (tmp_path / "model.card.json").write_text(json.dumps({"decision": {"temperature": 2.0}}))
    with pytest.raises(EdgeError, match="other: card") as error:
        open_model(request, None)
    assert error.value.code == "MDSE-CONVERT-037"


def test_trained_trees_carry_the_decision_that_made_their_profiles():
    settings = {"depths": (1,), "monotone": (True,), "penalties": (5.0,), "rounds": (20,), "repeats": 1, "folds": 3}
    training = AssessmentTraining("mds_aa", "MDS", "AA", **settings, inner_folds=3, decision={"card": "c"})
    trained = train_assessment(cohort_of(), training, lambda _: None)
    assert json.loads(trained.booster.attr(ATTRIBUTE))["decision"] == {"card": "c"}
