"""Copying a slide into the spool: bytes and digests of what was read, no link followed, no pipe waited on."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from edge.daemon.folder_look import list_slide_folders, look_at_folder, names_to_spool, parts_of_folder
from edge.daemon.spool import (
    FILES_NAME,
    FolderMovedError,
    SpooledFile,
    content_digest,
    copy_slide,
    idempotency_key,
    manifest_bytes,
    manifest_digest,
    read_manifest,
)
from edge.errors import EdgeError


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    folder = tmp_path / "export" / "A1"
    (folder / "wbc").mkdir(parents=True)
    (folder / "wbc" / "0001.jpg").write_bytes(b"one")
    (folder / "wbc" / "0002.jpg").write_bytes(b"two")
    (folder / "slide.json").write_text("{}")
    return folder


def copy(slide: Path, target: Path, names: tuple[str, ...] | None = None, bytes_max: int = 1000):
    chosen = names_to_spool(slide) if names is None else names
    return copy_slide(slide, target, chosen, file_bytes_max=bytes_max, on_progress=lambda: None)


def test_the_copy_holds_the_bytes_and_the_manifest_their_digests(slide: Path, tmp_path: Path) -> None:
    manifest = copy(slide, tmp_path / "spool")
    assert [entry.name for entry in manifest] == ["slide.json", "wbc/0001.jpg", "wbc/0002.jpg"]
    for entry in manifest:
        content = (tmp_path / "spool" / FILES_NAME / entry.name).read_bytes()
        assert content == (slide / entry.name).read_bytes()
        assert entry.sha256 == hashlib.sha256(content).hexdigest()
        assert entry.size == len(content)
    assert read_manifest(tmp_path / "spool") == manifest


def test_metadata_is_copied_and_watched_whatever_the_case_of_its_name(slide: Path, tmp_path: Path) -> None:
    (slide / "slide.json").rename(slide / "Slide.JSON")
    manifest = copy(slide, tmp_path / "spool")
    assert [entry.name for entry in manifest] == ["Slide.JSON", "wbc/0001.jpg", "wbc/0002.jpg"]
    assert content_digest(manifest) == content_digest(manifest[1:])
    assert parts_of_folder(slide) == ("Slide.JSON", "wbc")


@pytest.mark.case("S12")
def test_the_copy_is_readable_by_its_owner_alone(slide: Path, tmp_path: Path) -> None:
    copy(slide, tmp_path / "spool")
    for path in (tmp_path / "spool").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.case("S1")
def test_a_link_in_place_of_an_image_is_refused_and_not_followed(slide: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not yours")
    (slide / "wbc" / "0003.jpg").symlink_to(secret)
    with pytest.raises(EdgeError, match="MDSE-SPOOL-001"):
        copy(slide, tmp_path / "spool")


@pytest.mark.case("S2")
def test_a_file_swapped_for_a_link_after_the_look_is_refused(slide: Path, tmp_path: Path) -> None:
    names = names_to_spool(slide)
    (slide / "wbc" / "0002.jpg").unlink()
    (slide / "wbc" / "0002.jpg").symlink_to("/etc/passwd")
    with pytest.raises(EdgeError, match="MDSE-SPOOL-001"):
        copy(slide, tmp_path / "spool", names)


@pytest.mark.case("S2")
def test_a_folder_swapped_for_a_link_after_the_look_is_refused(slide: Path, tmp_path: Path) -> None:
    names = names_to_spool(slide)
    (slide / "wbc").rename(tmp_path / "elsewhere")
    (slide / "wbc").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EdgeError, match="MDSE-SPOOL-001"):
        copy(slide, tmp_path / "spool", names)


def test_a_pipe_in_place_of_an_image_is_refused_without_waiting(slide: Path, tmp_path: Path) -> None:
    names = names_to_spool(slide)
    (slide / "wbc" / "0002.jpg").unlink()
    os.mkfifo(slide / "wbc" / "0002.jpg")
    with pytest.raises(EdgeError, match="MDSE-IMAGE-008"):
        copy(slide, tmp_path / "spool", names)
    with pytest.raises(EdgeError, match="MDSE-SPOOL-001"):
        names_to_spool(slide)


def test_a_path_that_leaves_the_folder_is_never_opened(slide: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a path below"):
        copy(slide, tmp_path / "spool", ("../export/A1/slide.json",))


def test_a_file_that_is_gone_means_the_folder_moved(slide: Path, tmp_path: Path) -> None:
    names = names_to_spool(slide)
    (slide / "wbc" / "0002.jpg").unlink()
    with pytest.raises(FolderMovedError):
        copy(slide, tmp_path / "spool", names)


def test_a_file_above_the_limit_is_refused(slide: Path, tmp_path: Path) -> None:
    (slide / "wbc" / "0002.jpg").write_bytes(b"x" * 1001)
    with pytest.raises(EdgeError, match="MDSE-IMAGE-003"):
        copy(slide, tmp_path / "spool")


@pytest.mark.parametrize("change", ["grow", "touch", "add", "remove", "marker", "empty", "link"])
def test_every_kind_of_change_changes_the_signature(slide: Path, change: str) -> None:
    def signature() -> str:
        return look_at_folder(slide, (".complete",), lambda: None).signature

    before = signature()
    assert signature() == before
    if change == "grow":
        (slide / "wbc" / "0001.jpg").write_bytes(b"one more")
    elif change == "touch":
        os.utime(slide / "slide.json", ns=(1, 1))
    elif change == "add":
        (slide / "wbc" / "0003.jpg").write_bytes(b"three")
    elif change == "remove":
        (slide / "wbc" / "0001.jpg").unlink()
    elif change == "marker":
        (slide / ".complete").touch()
    elif change == "empty":
        (slide / "wbc" / "0003.jpg").touch()
    else:
        (slide / "wbc" / "0003.jpg").symlink_to("0001.jpg")
    assert signature() != before


def test_names_that_are_not_unicode_are_carried_through(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"A\xff\n1")
    folder.mkdir()
    (folder / os.fsdecode(b"c\xfe.jpg")).write_bytes(b"one")
    manifest = copy(folder, tmp_path / "spool")
    assert read_manifest(tmp_path / "spool") == manifest
    assert len(manifest_digest(manifest)) == 64


ONE = (SpooledFile("a.jpg", 3, "1" * 64), SpooledFile("slide.json", 2, "2" * 64))


def test_the_manifest_is_canonical_whatever_the_order() -> None:
    assert manifest_bytes(ONE) == manifest_bytes(tuple(reversed(ONE)))
    assert json.loads(manifest_bytes(ONE)) == [["a.jpg", 3, "1" * 64], ["slide.json", 2, "2" * 64]]


def test_the_same_images_under_other_names_have_the_same_content_but_another_identity() -> None:
    renamed = (SpooledFile("b.jpg", 3, "1" * 64), SpooledFile("slide.json", 9, "3" * 64))
    assert content_digest(ONE) == content_digest(renamed)
    assert manifest_digest(ONE) != manifest_digest(renamed)
    other = (SpooledFile("a.jpg", 3, "4" * 64),)
    assert content_digest(ONE) != content_digest(other)


def test_the_key_rests_on_source_slide_and_manifest_and_has_no_seams() -> None:
    keys = {
        idempotency_key("di60", "A1", "f" * 64), idempotency_key("di61", "A1", "f" * 64),
        idempotency_key("di60", "A2", "f" * 64), idempotency_key("di60", "A1", "e" * 64),
        idempotency_key("di6", "0A1", "f" * 64),
    }  # fmt: skip
    assert len(keys) == 5


def test_identities_stay_as_they_are_from_version_to_version() -> None:
    """Another spelling of the same facts would make every slide of a site's years new, and its results doubled."""
    rows = b'[["a.jpg",3,"' + b"1" * 64 + b'"],["slide.json",2,"' + b"2" * 64 + b'"]]\n'
    assert manifest_bytes(ONE) == rows
    two = (SpooledFile("b.jpg", 3, "4" * 64), SpooledFile("a.jpg", 3, "1" * 64))
    assert content_digest(two) == hashlib.sha256(b"1" * 64 + b"\n" + b"4" * 64).hexdigest()
    key = b'["di60","\\u75c7\\u4f8b 1","' + b"f" * 64 + b'"]'
    assert idempotency_key("di60", "症例 1", "f" * 64) == hashlib.sha256(key).hexdigest()


def test_a_missing_sentinel_means_the_source_is_away(tmp_path: Path) -> None:
    (tmp_path / "A1").mkdir()
    with pytest.raises(EdgeError, match="MDSE-DAEMON-005"):
        list_slide_folders(tmp_path, ".export_root", lambda: None)
    (tmp_path / ".export_root").touch()
    assert list_slide_folders(tmp_path, ".export_root", lambda: None) == ["A1"]


def test_folders_are_listed_oldest_first_without_links_and_hidden_names(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "old", ".hidden"]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, ns=(10**18 - age, 10**18 - age))
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "file").touch()
    assert list_slide_folders(tmp_path, None, lambda: None) == ["old", "new"]
