"""A key that a command line names and that is not there."""

from __future__ import annotations

from convert.commands.train import main as train
from convert.commands.validate import main as validate


def test_a_key_that_is_not_there_is_an_error_and_no_traceback(tmp_path, capsys):
    given = ["slides", tmp_path, "--bundle", tmp_path / "none", "--out", tmp_path / "t.json", "--target", "kind"]
    given += ["--positive", "MDS", "--negative", "AA", "--public-key", tmp_path / "none.pem"]
    assert train([str(word) for word in given]) == 78
    assert "MDSE-BUNDLE-010" in capsys.readouterr().err


def test_a_validation_says_the_same(tmp_path, capsys):
    given = [tmp_path / "bundle", tmp_path, "--out", tmp_path / "report", "--public-key", tmp_path / "none.pem"]
    assert validate([str(word) for word in given]) == 78
    assert "MDSE-BUNDLE-010" in capsys.readouterr().err
