"""What edge-train could not finish, or no bundle could hold, is refused before the first cell is read."""

from __future__ import annotations

import pytest

from convert.commands.train import main


def usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def cells(tmp_path, *extra, out="m.keras"):
    return ["cells", tmp_path / "cells", "--out", tmp_path / out, "--epochs", "1", *extra]


def slides(tmp_path, *extra, target="mds_aa"):
    fixed = ["--bundle", tmp_path / "bundle", "--out", tmp_path / "t.json", "--target", target]
    return ["slides", tmp_path / "slides", *fixed, *extra]


@pytest.mark.parametrize("out", ["model", "wbc-2026.1", "m.h5", "m.KERAS"])
def test_a_model_that_could_not_be_saved_or_converted_at_the_end_is_refused_at_the_start(out, tmp_path, capsys):
    assert "--out must end in .keras" in usage_error(cells(tmp_path, out=out), capsys)


@pytest.mark.parametrize(
    "extra",
    [
        ("--real-share", "2"), ("--real-share", "nan"), ("--start-share", "5"), ("--start-share", "-0.1"),
        ("--patience", "0"), ("--seed", "-1"), ("--seed", "4294967296"), ("--rate", "nan"), ("--minutes", "inf"),
        ("--findings-weight", "-1"), ("--width", "nan"), ("--start-size", "300"),
        ("--start-share", "1", "--start-size", "64"),
    ],
)  # fmt: skip
def test_a_number_that_no_training_of_cells_can_mean_is_named(extra, tmp_path, capsys):
    assert extra[0] in usage_error(cells(tmp_path, *extra), capsys)


@pytest.mark.parametrize(
    "extra",
    [
        ("--seed", "-1"), ("--minimum-wbc", "-1"), ("--minimum-neutrophil", "-20"), ("--minimum-wbc", "2000000"),
        ("--threads", "0"),
    ],
)  # fmt: skip
def test_a_number_that_no_training_of_slides_can_mean_is_named(extra, tmp_path, capsys):
    two = ("--positive", "MDS", "--negative", "AA")
    assert extra[0] in usage_error(slides(tmp_path, *two, *extra), capsys)


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        (("--positive", "MDS-EB1", "--negative", "AA"), "'MDS-EB1'"),
        (("--positive", "MDS", "--negative", "low risk"), "'low risk'"),
        (("--positive", "", "--negative", "AA"), "''"),
        (("--classes", "AA,PNH,MDS/MPN"), "'MDS/MPN'"),
        (("--classes", "AA,PNH,OTHER"), "OTHER stands for all other classes"),
    ],
)
def test_a_class_that_no_bundle_can_name_is_refused_before_hours_of_training(classes, named, tmp_path, capsys):
    assert named in usage_error(slides(tmp_path, *classes), capsys)


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ("mds aa", ("--positive", "MDS", "--negative", "AA")),
        ("", ("--positive", "MDS", "--negative", "AA")),
        ("m" * 62, ("--classes", "PV,ET,PMF")),
    ],
)
def test_a_question_that_no_bundle_can_name_is_refused_before_hours_of_training(target, classes, tmp_path, capsys):
    assert "the name of a question in a bundle" in usage_error(slides(tmp_path, *classes, target=target), capsys)
