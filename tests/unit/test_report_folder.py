"""A report appears whole; what cannot be written leaves the earlier report, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convert.evaluation.report_folder import require_place, write_validation
from convert.evaluation.validation import Validation
from edge.catalogue import load_catalogue
from edge.errors import EdgeError


def a_validation(made_at: str, **more: object) -> Validation:
    model = dict(name="m", version="1", engine="cpu", precision="int8", size_px=32, kind="bundle", intended_use="demo")
    document = {"model": {**model, "sha256": "0" * 64}, "made_at": made_at, "software": "s", "paper_source": "p"}
    return Validation({**document, "notices": [], "evidence": {}, "slides": {}, **more}, load_catalogue())


def made_at(report: Path) -> str:
    return json.loads((report / "validation.json").read_text(encoding="utf-8"))["made_at"]


def test_a_figure_that_no_json_can_hold_leaves_no_folder_behind(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_validation(a_validation("now", n=float("nan")), tmp_path / "report", may_replace=False)
    assert list(tmp_path.iterdir()) == []


def test_a_report_takes_the_place_of_the_earlier_one_and_nothing_is_left_over(tmp_path):
    write_validation(a_validation("yesterday"), tmp_path / "report", may_replace=False)
    write_validation(a_validation("today"), tmp_path / "report", may_replace=True)
    assert (made_at(tmp_path / "report"), [path.name for path in tmp_path.iterdir()]) == ("today", ["report"])


def test_the_earlier_report_has_its_name_again_where_the_new_one_cannot_take_it(tmp_path, monkeypatch):
    write_validation(a_validation("yesterday"), tmp_path / "report", may_replace=False)
    rename, replaced = Path.rename, Path.replace

    def failing(method):
        def moved(self: Path, target: Path) -> Path:
            if self.name.startswith(".report.") and self.name.count("replaced") == 0:
                raise OSError(5, "the disk does not answer")
            return method(self, target)

        return moved

    monkeypatch.setattr(Path, "rename", failing(rename))
    monkeypatch.setattr(Path, "replace", failing(replaced))
    with pytest.raises(EdgeError, match=r"MDSE-VALIDATE-014 .*does not answer") as error:
        write_validation(a_validation("today"), tmp_path / "report", may_replace=True)
    assert (made_at(tmp_path / "report"), [path.name for path in tmp_path.iterdir()]) == ("yesterday", ["report"])
    assert error.value.exit_status == 75


def test_a_place_that_cannot_be_written_is_an_error_with_a_code_before_anything_is_computed(tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(EdgeError, match=r"MDSE-VALIDATE-014 .*file is not a folder"):
        require_place(tmp_path / "file" / "deeper" / "report", may_replace=True)
    require_place(tmp_path / "not" / "there" / "yet", may_replace=False)
    with pytest.raises(EdgeError, match="MDSE-VALIDATE-001"):
        require_place(Path("/"), may_replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    write_validation(a_validation("now"), tmp_path / "not" / "there" / "yet", may_replace=False)
