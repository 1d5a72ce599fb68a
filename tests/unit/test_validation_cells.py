"""A folder of cells is validated on as it was trained with: the same label file, the same types left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert.commands.validate import _parser, _request
from convert.evaluation.validation import _labelled
from edge.catalogue import load_catalogue
from edge.errors import EdgeError


def request_of(folder: Path, *options: str):
    return _request(_parser().parse_args(["bundle", str(folder), "--out", "report", *options]))


def test_cell_types_that_a_training_left_out_are_left_out_of_a_validation_and_others_stay_an_error(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "labels.csv").write_text("file,cell_type\na.jpg,SNE\nb.jpg,PLASMA\nc.jpg,SMUDGE\n")
    request = request_of(tmp_path, "--leave-out", "PLASMA,SMUDGE", "--leave-out", "NORMAL")
    assert list(request.leave_out) == ["PLASMA", "SMUDGE", "NORMAL"], "a label of slides may stand beside them"
    labelled = _labelled(request, load_catalogue())
    assert [cell.cell_id for cell in labelled.cells] == ["a.jpg"]
    assert any("1 rows left out: type PLASMA" in notice for notice in labelled.notices)
    with pytest.raises(EdgeError, match="SMUDGE") as error:
        _labelled(request_of(tmp_path, "--leave-out", "PLASMA"), load_catalogue())
    assert error.value.code == "MDSE-TRAIN-002"
