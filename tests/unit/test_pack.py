"""A bundle is sealed whole or not at all, and equal contents give equal bytes."""

from __future__ import annotations

import errno
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from convert.deterministic_npz import npz_from_arrays
from convert.folder_exchange import put_in_place
from convert.golden import chosen_golden_images, drawn_golden_images
from convert.pack import require_writable, write_bundle
from edge.catalogue import load_catalogue
from edge.errors import EdgeError


def test_archives_depend_on_their_arrays_alone():
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones((1, 2, 2, 3), np.uint8)}
    first = npz_from_arrays(arrays)
    assert first == npz_from_arrays(dict(reversed(arrays.items())))
    assert {info.date_time for info in zipfile.ZipFile(io.BytesIO(first)).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    read = np.load(io.BytesIO(first), allow_pickle=False)
    for name, values in arrays.items():
        np.testing.assert_array_equal(read[name], values)
    with pytest.raises(ValueError, match="Object arrays"):
        npz_from_arrays({"x": np.array([object()])})


def test_golden_cells_are_drawn_alike_every_time_and_show_every_type():
    catalogue = load_catalogue()
    first = drawn_golden_images(catalogue, 48)
    np.testing.assert_array_equal(first, drawn_golden_images(catalogue, 48))
    assert first.shape == (34, 48, 48, 3)
    assert first.dtype == np.uint8
    assert len({image.tobytes() for image in first}) == 34


def test_real_golden_cells_take_the_types_in_turn():
    images = np.arange(80, dtype=np.uint8).reshape(80, 1, 1, 1).repeat(3, axis=3)
    chosen = chosen_golden_images(images, ["SNE"] * 60 + ["LY"] * 20, count=40)
    assert chosen[:, 0, 0, 0].tolist()[:6] == [60, 0, 61, 1, 62, 2]
    assert len(chosen) == 40
    with pytest.raises(EdgeError) as error:
        chosen_golden_images(images[:10], ["SNE"] * 10)
    assert error.value.code == "MDSE-CONVERT-040"


def refused_place(out, *, replace=False):
    with pytest.raises(EdgeError) as error:
        require_writable(out, replace=replace)
    assert error.value.code == "MDSE-CONVERT-041"
    return str(error.value)


def test_nothing_but_an_earlier_bundle_is_ever_replaced_and_that_only_when_asked(tmp_path):
    require_writable(tmp_path / "new", replace=False)
    (tmp_path / "empty").mkdir()
    require_writable(tmp_path / "empty", replace=False)
    (tmp_path / "file").write_text("x")
    assert "not a folder" in refused_place(tmp_path / "file", replace=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("x")
    assert "other files" in refused_place(tmp_path / "work", replace=True)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text("{}")
    assert "there already" in refused_place(tmp_path / "old")
    require_writable(tmp_path / "old", replace=True)
    (tmp_path / "link").symlink_to(tmp_path / "old")
    assert "not a folder" in refused_place(tmp_path / "link", replace=True)
    assert "parent" in refused_place(tmp_path / "none" / "bundle")


def test_a_bundle_that_the_reader_refuses_never_gets_its_name(tmp_path):
    out = tmp_path / "bundle"
    with pytest.raises(EdgeError) as error:
        write_bundle(out, b'{"schema": "wrong"}\n', {"catalogue.json": b"{}"}, None, replace=False)
    assert error.value.code == "MDSE-BUNDLE-002"
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_bundle_has_its_name_again_where_the_new_one_cannot_take_it(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("the earlier one")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / ".bundle.1.partial", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "manifest.json").read_text() == "the earlier one"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_an_earlier_bundle_has_its_name_again_after_an_interruption_between_the_renames(tmp_path, monkeypatch):
    for name in ("bundle", ".bundle.1.partial"):
        (tmp_path / name).mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("the earlier one")
    rename = Path.rename

    def interrupted(path, target):
        if path.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put_in_place(tmp_path / ".bundle.1.partial", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "manifest.json").read_text() == "the earlier one"


def test_what_is_left_of_an_earlier_bundle_is_told_and_the_new_one_is_in_place(tmp_path, monkeypatch):
    for name in ("bundle", ".bundle.1.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(name)
    # No removal as of a file that is not ours; root, who runs tests too, may remove every file.
    monkeypatch.setattr("os.unlink", refused_removal)
    left = put_in_place(tmp_path / ".bundle.1.partial", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "manifest.json").read_text() == ".bundle.1.partial"
    assert left == tmp_path / ".bundle.1.partial.replaced"
    assert (left / "manifest.json").exists()


def test_nothing_is_told_of_an_earlier_bundle_that_is_gone(tmp_path):
    for name in ("bundle", ".bundle.1.partial", ".bundle.2.partial"):
        (tmp_path / name).mkdir()
    assert put_in_place(tmp_path / ".bundle.1.partial", tmp_path / "bundle") is None
    assert put_in_place(tmp_path / ".bundle.2.partial", tmp_path / "new") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "new"]


def refused_removal(*_, **__):
    raise PermissionError(errno.EPERM, "Operation not permitted")
