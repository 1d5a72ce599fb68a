"""Trees are compiled for what they say they answer, equal XGBoost row by row, and are refused otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from keras_models import CATALOGUE, PARAMETERS, tree_spec, write_trees

from convert import library_from_xgboost
from convert.library_from_xgboost import compile_trees, proof_rows
from convert.tree_model import read_trained_trees
from edge.errors import EdgeError
from edge.trees import trees_from_checkpoint, trees_from_library


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    path = write_trees(tmp_path_factory.mktemp("trees") / "trees.json")
    return read_trained_trees(path, "mds_aa", CATALOGUE)


def test_library_and_checkpoint_give_the_margins_of_xgboost(trees):
    made = compile_trees(trees)
    assert made.rows == 10_000
    assert made.library_difference <= 1e-5
    assert made.checkpoint_difference <= 1e-5
    rows = proof_rows(trees, 50)
    expected = trees.margins(rows)
    assert expected.std() > 0.1
    for model in (
        trees_from_library(made.library, "mds_aa", len(PARAMETERS), where="so"),
        trees_from_checkpoint(made.checkpoint, "mds_aa", len(PARAMETERS), where="treelite"),
    ):
        np.testing.assert_allclose(model.predict_margin(rows), expected, atol=1e-5)


def test_equal_trees_give_equal_bytes(trees):
    first, second = compile_trees(trees), compile_trees(trees)
    assert first.library == second.library
    assert first.checkpoint == second.checkpoint
    assert b"/tmp" not in first.library


def test_proof_rows_miss_values_and_lie_on_splits(trees):
    rows = proof_rows(trees)
    assert 0.15 < np.isnan(rows).mean() < 0.25
    assert np.isnan(rows[0]).all()
    assert np.isin(rows, trees.split_values).mean() > 0.1


def test_other_margins_are_refused(trees, monkeypatch):
    monkeypatch.setattr(library_from_xgboost, "TOLERANCE", -1.0)
    with pytest.raises(EdgeError) as error:
        compile_trees(trees, with_library=False)
    assert error.value.code == "MDSE-PARITY-002"
    assert error.value.exit_status == 3


def test_without_a_compiler_the_remedy_is_named(trees, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EdgeError) as error:
        compile_trees(trees)
    assert error.value.code == "MDSE-CONVERT-034"
    assert "--without-library" in str(error.value)
    made = compile_trees(trees, with_library=False)
    assert made.library is None
    assert made.library_difference is None


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"spec": False}, "031", "no attribute mds_edge"),
        ({"spec": {"target": "mds_aa"}}, "031", "lacks positive"),
        ({"spec": tree_spec(target="other")}, "031", "trained for 'other'"),
        ({"spec": tree_spec(threshold=1.5)}, "031", "threshold"),
        ({"spec": tree_spec(cohort={"simulated": True})}, "031", "cases"),
        ({"spec": tree_spec(parameters=[*PARAMETERS[:5], "X_share", *PARAMETERS[6:]])}, "032", "number 6 is 'X_share'"),
        ({"columns": 100}, "032", "100 instead of 114"),
        ({"objective": "reg:squarederror"}, "033", "reg:squarederror"),
    ],
)
def test_trees_that_do_not_say_what_they_answer_are_refused(tmp_path, change, code, words):
    path = write_trees(tmp_path / "trees.json", rounds=2, **change)
    with pytest.raises(EdgeError) as error:
        read_trained_trees(path, "mds_aa", CATALOGUE)
    assert error.value.code == f"MDSE-CONVERT-{code}"
    assert words in str(error.value)


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(EdgeError) as error:
        read_trained_trees(tmp_path / "none.json", "mds_aa", CATALOGUE)
    assert error.value.code == "MDSE-CONVERT-001"
    for text in ("not json", json.dumps({"learner": {}})):
        (tmp_path / "foreign.json").write_text(text)
        with pytest.raises(EdgeError) as error:
            read_trained_trees(tmp_path / "foreign.json", "mds_aa", CATALOGUE)
        assert error.value.code == "MDSE-CONVERT-030"
