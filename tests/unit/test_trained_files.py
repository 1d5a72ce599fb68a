"""What a training takes up again or starts from is what it was made of, and no card lies beside another model."""

from __future__ import annotations

import errno
import shutil
import zipfile
from pathlib import Path

import pytest

keras = pytest.importorskip("keras")

from small_trainings import arguments_for, write_coloured_cells  # noqa: E402

from convert.cell_identity import cells_sha256  # noqa: E402
from convert.commands.train import main  # noqa: E402
from convert.dataset import read_labelled_cells, split_from_key  # noqa: E402
from convert.keras_model import read_architecture  # noqa: E402
from edge.catalogue import load_catalogue  # noqa: E402
from edge.errors import EdgeError  # noqa: E402

MISSING_TYPES = "--allow-missing-types"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of cells beside the model trained on it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "cells").mkdir()
    write_coloured_cells(folder / "cells")
    assert main(arguments_for(folder / "cells", folder / "m.keras", MISSING_TYPES, "--intended-use", "demo")) == 0
    return folder


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def resumed(copy):
    return main(arguments_for(copy / "cells", copy / "m.keras", MISSING_TYPES, "--intended-use", "demo", "--resume"))


def exchange_two_labels(cells, split):
    """Give two cells of one split each other's type: every number of cells stays."""
    labels = cells / "labels.csv"
    rows = [line.split(",") for line in labels.read_text().splitlines()]
    one, two = (next(r for r in rows[1:] if r[1] == code and split_from_key(r[0]) == split) for code in ("SNE", "LY"))
    one[1], two[1] = two[1], one[1]
    labels.write_text("\n".join(map(",".join, rows)) + "\n")


@pytest.mark.parametrize("split", ["training", "validation"])
def test_a_checkpoint_of_as_many_other_cells_is_refused(copy, split, capsys):
    exchange_two_labels(copy / "cells", split)
    assert resumed(copy) == 2
    said = capsys.readouterr().err
    assert "MDSE-TRAIN-008" in said
    assert "it differs in cells" in said


def test_a_checkpoint_fits_the_same_cells_in_another_place(copy):
    catalogue = load_catalogue()
    there = read_labelled_cells([(copy / "cells", "real")], catalogue).cells
    shutil.copytree(copy / "cells", copy / "elsewhere")
    elsewhere = read_labelled_cells([(copy / "elsewhere", "real")], catalogue).cells
    assert cells_sha256(there) == cells_sha256(elsewhere)
    assert cells_sha256(there, there[:1]) != cells_sha256(there[:1], there)


class PowerCutError(BaseException):
    """Stands for a process that ends there: no error that the command could tell of."""


@pytest.mark.parametrize("moment", ["the new model is written", "the new model is in place"])
def test_a_process_that_ends_while_it_saves_leaves_no_card_beside_another_model(copy, moment, monkeypatch):
    model, card = copy / "m.keras", copy / "m.card.json"
    card.write_text("of the old model")
    old, real_save, real_replace = model.read_bytes(), keras.Model.save, Path.replace

    def save(network, path):
        real_save(network, path)
        if moment == "the new model is written":
            raise PowerCutError

    def replace(path, target):
        moved = real_replace(path, target)
        if Path(target) == model and moment == "the new model is in place":
            raise PowerCutError
        return moved

    monkeypatch.setattr(keras.Model, "save", save)
    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(PowerCutError):
        resumed(copy)
    assert not card.exists() or model.read_bytes() == old
    assert not list(copy.glob("*.part*"))


def test_a_model_that_does_not_fit_on_the_disk_has_a_code_and_the_earlier_one_stays(copy, monkeypatch, capsys):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = (copy / "m.keras").read_bytes(), (copy / "m.card.json").read_bytes()
    monkeypatch.setattr(keras.Model, "save", full_disk)
    assert resumed(copy) == 75
    assert f"MDSE-TRAIN-024 {copy / 'm.keras'}: it could not be written: No space left" in capsys.readouterr().err
    assert ((copy / "m.keras").read_bytes(), (copy / "m.card.json").read_bytes()) == before


def test_initial_weights_are_looked_at_as_a_conversion_looks_at_them(made, tmp_path, capsys):
    """A file that is an archive to whoever looks and HDF5 to Keras, which goes by the name."""
    network = keras.models.load_model(made / "m.keras", compile=False)
    network.save(tmp_path / "plain.h5")
    both = tmp_path / "both.h5"
    both.write_bytes((tmp_path / "plain.h5").read_bytes() + (made / "m.keras").read_bytes())
    assert zipfile.is_zipfile(both)
    assert main(arguments_for(made / "cells", tmp_path / "n.keras", MISSING_TYPES, "--init", str(both))) == 2
    said = capsys.readouterr().err
    assert "MDSE-TRAIN-009" in said
    assert "MDSE-CONVERT-002" in said


def test_a_network_under_a_name_that_keras_reads_as_another_format_is_refused(made, tmp_path):
    other = tmp_path / "m.h5"
    shutil.copy(made / "m.keras", other)
    with pytest.raises(EdgeError, match=r"\.keras") as raised:
        read_architecture(other)
    assert raised.value.code == "MDSE-CONVERT-002"
