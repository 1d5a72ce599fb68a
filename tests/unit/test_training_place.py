"""Where a training may not write is said before its work, a full disk has a code, and two runs do not mix."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

pytest.importorskip("keras")

from small_trainings import arguments_for, write_coloured_cells

from convert import train_cells
from convert.commands.train import main
from convert.training_place import training_place
from convert.training_state import TrainingState, save_state
from edge.errors import EdgeError

MISSING_TYPES = "--allow-missing-types"


class WorkBeganError(BaseException):  # an Exception would end as a status of the command
    pass


def begin(*_, **__):
    raise WorkBeganError


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return write_coloured_cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture
def without_work(monkeypatch):
    """A training ends before its first cell."""
    monkeypatch.setattr(train_cells, "pixels_from_cells", begin)


@pytest.mark.usefixtures("without_work")
def test_a_place_that_cannot_be_written_is_refused_before_the_first_cell(cells, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.keras").mkdir()
    for out in (tmp_path / "file" / "m.keras", tmp_path / "folder.keras"):
        assert main(arguments_for(cells, out, MISSING_TYPES)) == 2
        assert f"MDSE-TRAIN-022 {out}:" in capsys.readouterr().err
    cache = tmp_path / "file" / "cache"
    assert main(arguments_for(cells, tmp_path / "m.keras", MISSING_TYPES, "--cache", str(cache))) == 2
    assert f"MDSE-TRAIN-022 {cache}:" in capsys.readouterr().err


@pytest.mark.usefixtures("without_work")
def test_two_trainings_of_one_model_are_not_run_at_once(cells, tmp_path, capsys):
    arguments = arguments_for(cells, tmp_path / "m.keras", MISSING_TYPES)
    lock = tmp_path / ".m.training"  # of another run: to the kernel another descriptor is another holder
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert main(arguments) == 75
    assert f"MDSE-TRAIN-023 {tmp_path / 'm.keras'}:" in capsys.readouterr().err
    os.close(descriptor)  # as the kernel does for a run that was killed; its file stays
    with pytest.raises(WorkBeganError):
        main(arguments)
    assert not lock.exists()


def test_a_lock_that_its_holder_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    """Between opening and locking the run before ended: a lock without a name would keep nobody out."""
    lock, real = tmp_path / ".m.training", fcntl.flock
    removed = []

    def flock(descriptor, operation):
        if not removed:
            removed.append(lock.unlink())
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with training_place(tmp_path / "m.keras"):
        assert lock.exists()
        with pytest.raises(EdgeError, match="MDSE-TRAIN-023"), training_place(tmp_path / "m.keras"):
            pass


def test_a_share_that_goes_away_hides_neither_the_error_of_the_disk_nor_a_training_that_is_whole(tmp_path, monkeypatch):
    def unlink(path, missing_ok=False):
        raise OSError(errno.EROFS, "Read-only file system")

    def train():
        with training_place(tmp_path / "m.keras"):
            raise EdgeError("MDSE-TRAIN-024", where="m.keras", reason="the share went away")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", unlink)
        with pytest.raises(EdgeError, match="MDSE-TRAIN-024"):
            train()
    with training_place(tmp_path / "m.keras"):
        lock = tmp_path / ".m.training"
        assert lock.stat().st_mode & 0o777 == 0o666, "what a killed run has left keeps no other user out"


def test_a_checkpoint_that_does_not_fit_on_the_disk_has_a_code_and_leaves_the_earlier_one(tmp_path, monkeypatch):
    path = tmp_path / "m.checkpoint.npz"
    path.write_bytes(b"the earlier one")
    monkeypatch.setattr("convert.training_state.np.savez", full_disk)
    with pytest.raises(EdgeError, match="No space left on device") as raised:
        save_state(path, TrainingState({"seed": 1}))
    assert (raised.value.code, raised.value.exit_status) == ("MDSE-TRAIN-024", 75)
    assert path.read_bytes() == b"the earlier one"
    assert list(tmp_path.iterdir()) == [path]


def test_pixels_that_do_not_fit_on_the_disk_have_a_code(cells, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("convert.cell_pixels.np.save", full_disk)
    assert main(arguments_for(cells, tmp_path / "m.keras", MISSING_TYPES)) == 75
    assert f"MDSE-TRAIN-024 {tmp_path / 'm.cache'}" in capsys.readouterr().err
