"""What a network was trained on is carried with it: figures on these cells are told apart from figures on others."""

from __future__ import annotations

import base64
import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("keras")

from small_trainings import arguments_for, write_coloured_cells

from convert.commands import train as train_command
from convert.commands.convert import main as convert
from convert.commands.validate import main as validate
from convert.dataset import split_from_key
from convert.model_card import read_model_card
from edge.catalogue import load_catalogue
from edge.errors import EdgeError

UNCHECKED = "not checked against the training: the model does not say which cells it has seen"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network trained on cells whose labels name no patient, and the same cells under labels that name some."""
    root = tmp_path_factory.mktemp("seen")
    (root / "cells").mkdir()
    write_coloured_cells(root / "cells")
    assert train_command.main(arguments_for(root / "cells", root / "m.keras", "--allow-missing-types")) == 0
    shutil.copytree(root / "cells", root / "patients")
    with (root / "patients" / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (root / "patients" / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [*rows[0], "patient"])
        writer.writeheader()
        writer.writerows({**row, "patient": f"P{number // 2}"} for number, row in enumerate(rows))
    return root


@pytest.fixture(scope="module")
def counted(folder):
    """How many cells are test cells by the labels with patients, and how many of them the training had."""
    test = [n for n in range(40) if split_from_key(f"P{n // 2}") == "test"]
    seen = [n for n in test if split_from_key(f"c{n}.png") != "test"]
    assert 0 < len(seen) < len(test)
    return Counter(test=len(test), seen=len(seen))


def section_of(network: Path, cells: Path, out: Path, *options: str) -> dict:
    assert validate([str(network), str(cells), "--out", str(out), "--no-embedding", "--quiet", *options]) == 0
    return json.loads((out / "validation.json").read_text(encoding="utf-8"))


def model_without_its_cells(folder: Path, root: Path) -> Path:
    shutil.copy(folder / "m.keras", root / "m.keras")
    card = json.loads((folder / "m.card.json").read_text(encoding="utf-8"))
    (root / "m.card.json").write_text(json.dumps({k: v for k, v in card.items() if k != "seen_cells"}), "utf-8")
    return root / "m.keras"


def test_cells_that_a_new_patient_column_made_test_cells_are_counted_and_no_split_is_claimed(folder, counted, tmp_path):
    found = section_of(folder / "m.keras", folder / "patients", tmp_path / "report")
    assert found["n"] == counted["test"]
    assert found["note"] == (
        f"real cells, {counted['seen']} of {counted['test']} cells were seen in training or calibration: "
        "no proof of anything."
    )
    assert found["seen"] == counted["seen"]


def test_cells_of_which_the_training_had_none_are_said_to_be_checked(folder, tmp_path):
    found = section_of(folder / "m.keras", folder / "cells", tmp_path / "report")
    assert "none of these files was seen in training" in found["note"]
    assert found["seen"] == 0


def test_a_model_that_does_not_say_what_it_has_seen_makes_no_split_certain(folder, tmp_path):
    found = section_of(model_without_its_cells(folder, tmp_path), folder / "patients", tmp_path / "report")
    assert found["note"] == f"real cells, split by patient; {UNCHECKED}."
    assert found["seen"] is None


def test_the_certificate_and_the_bundle_tell_of_test_cells_that_the_training_had(folder, counted, tmp_path, capsys):
    bundle = tmp_path / "bundle"
    options = ("--precision", "fp32", "--cells", str(folder / "patients"), "--threads", "1")
    assert convert([str(folder / "m.keras"), "--out", str(bundle), *options]) == 0
    said = f"{counted['seen']} of {counted['test']} cells were seen in training or calibration"
    assert f"test cells: {said}" in capsys.readouterr().out
    test_cells = json.loads((bundle / "parity.json").read_text())["reference"]["test_cells"]
    assert test_cells == {"n": counted["test"], "seen": counted["seen"]}
    assert said in (tmp_path / "bundle.certificate.html").read_text(encoding="utf-8")
    assert section_of(bundle, folder / "patients", tmp_path / "report")["seen"] == counted["seen"]


def test_a_bundle_of_a_model_that_does_not_say_it_keeps_it_unknown(folder, tmp_path):
    bundle = tmp_path / "bundle"
    options = ("--precision", "fp32", "--cells", str(folder / "patients"), "--threads", "1")
    assert convert([str(model_without_its_cells(folder, tmp_path)), "--out", str(bundle), *options]) == 0
    assert UNCHECKED in (tmp_path / "bundle.certificate.html").read_text(encoding="utf-8")
    assert section_of(bundle, folder / "patients", tmp_path / "report")["seen"] is None


def test_a_training_that_starts_from_a_model_has_seen_its_cells_too(folder, tmp_path, capsys):
    own = frozenset({b"12345678"})
    before = read_model_card(folder / "m.keras", load_catalogue()).seen
    assert len(before) == sum(split_from_key(f"c{number}.png") != "test" for number in range(40))
    assert train_command._seen_with_start(own, None) == own
    assert train_command._seen_with_start(own, folder / "m.keras") == own | before
    assert train_command._seen_with_start(own, model_without_its_cells(folder, tmp_path)) is None
    assert "does not say which cells it has seen" in capsys.readouterr().err


def test_a_resumed_training_has_seen_what_its_checkpoint_has_whatever_files_and_start_are_now(folder, tmp_path):
    cells, out = tmp_path / "cells", tmp_path / "n.keras"
    shutil.copytree(folder / "cells", cells)
    for place, path in enumerate(sorted(cells.glob("*.png"))):
        cv2.imwrite(str(path), np.full((40, 40, 3), 5 * place, np.uint8))
    arguments = arguments_for(cells, out, "--allow-missing-types")
    assert train_command.main([*arguments, "--init", str(folder / "m.keras")]) == 0
    begun = read_model_card(out, load_catalogue()).seen
    assert read_model_card(folder / "m.keras", load_catalogue()).seen < begun
    cv2.imwrite(str(cells / "c0.png"), np.full((40, 40, 3), 251, np.uint8))
    shutil.rmtree(out.with_suffix(".cache"), ignore_errors=True)
    assert train_command.main([*arguments, "--resume"]) == 0
    resumed = read_model_card(out, load_catalogue()).seen
    assert begun <= resumed
    assert len(resumed) - len(begun) == (split_from_key("c0.png") != "test")


@pytest.mark.parametrize("entry", [7, "no base64!", base64.b64encode(b"12345").decode()])
def test_a_card_whose_digests_are_damaged_is_refused(entry, tmp_path):
    (tmp_path / "m.card.json").write_text(json.dumps({"seen_cells": entry}), encoding="utf-8")
    with pytest.raises(EdgeError, match="MDSE-CONVERT-012") as error:
        read_model_card(tmp_path / "m.keras", load_catalogue())
    assert "seen_cells" in str(error.value)
