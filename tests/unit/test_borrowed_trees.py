"""A benchmark may hand the trees of one network to another: without their origin they are taken."""

from __future__ import annotations

from keras_models import CATALOGUE, tree_spec, write_trees

from benchmarks.borrowed_trees import borrow_trees
from convert.tree_model import read_trained_trees


def test_borrowed_trees_answer_the_same_question_and_say_no_origin(tmp_path):
    spec = tree_spec(network="0" * 64, decision={"card": "c"})
    path = write_trees(tmp_path / "own.json", spec=spec, rounds=1)
    borrow_trees(path, tmp_path / "borrowed.json")
    own, borrowed = (read_trained_trees(tmp_path / f"{name}.json", "mds_aa", CATALOGUE) for name in ("own", "borrowed"))
    assert (own.network, own.decision) == ("0" * 64, {"card": "c"})
    assert (borrowed.network, borrowed.decision) == (None, None)
    assert borrowed.assessment == own.assessment
