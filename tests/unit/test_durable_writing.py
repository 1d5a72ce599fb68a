"""Writing that survives a power cut: what is left after each failure, and what a file system may refuse."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import edge.daemon.durable as ours
import edge.daemon.spool as spool
import edge.delivery.durable as drops
import edge.delivery.rename as rename
from edge.delivery.publish import prepare_drop
from edge.errors import EdgeError


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def failing(number: int) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.case("D8")
@pytest.mark.parametrize("existing", [None, b"before"])
def test_after_a_failed_sync_the_old_content_stands_and_nothing_else_is_left(
    tmp_path: Path, monkeypatch: Any, existing: bytes | None
) -> None:
    path = tmp_path / "record.json"
    if existing is not None:
        ours.write_durably(path, existing)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        ours.write_durably(path, b"after")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([existing] if existing is not None else [])


def test_a_file_is_synced_before_its_name_and_the_name_after(tmp_path: Path, monkeypatch: Any) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.rename

    def note_sync(descriptor: int) -> None:
        steps.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def note_rename(self: Path, target: Path) -> Path:
        steps.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    ours.write_durably(tmp_path / "a", b"x")
    assert steps == ["file", "name", "folder"]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_leftover_of_an_earlier_try_is_replaced_and_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    (tmp_path / f".a.{os.getpid()}.tmp").symlink_to(victim)
    ours.write_durably(tmp_path / "a", b"x")
    assert (victim.read_bytes(), (tmp_path / "a").read_bytes()) == (b"keep", b"x")


def test_folders_are_made_for_their_owner_with_their_parents_and_again_without_harm(tmp_path: Path) -> None:
    deep = tmp_path / "one" / "two"
    for _ in range(2):
        ours.make_folder(deep)
    assert [p.stat().st_mode & 0o777 for p in (deep, deep.parent)] == [0o700, 0o700]
    assert ours.free_bytes(deep) == os.statvfs(deep).f_bavail * os.statvfs(deep).f_frsize


@pytest.mark.case("D9")
def test_a_file_that_lost_bytes_on_the_way_is_an_error(tmp_path: Path, monkeypatch: Any) -> None:
    descriptor = os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT, 0o600)
    monkeypatch.setattr(os, "write", lambda _descriptor, data: len(data))
    with pytest.raises(OSError, match="4 bytes were written, the file has 0") as failure:
        drops.write_durably(descriptor, b"four", 0o600)
    assert failure.value.errno == errno.EIO
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_write_that_takes_part_of_the_bytes_is_gone_on_with(tmp_path: Path, monkeypatch: Any) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    descriptor = os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT, 0o600)
    drops.write_durably(descriptor, b"ten bytes!", 0o640)
    assert (tmp_path / "a").read_bytes() == b"ten bytes!"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_a_sync_for_folders_is_told_apart(tmp_path: Path, monkeypatch: Any, number: int) -> None:
    with opened(tmp_path) as folder:
        assert drops.can_sync_folder(folder)
        monkeypatch.setattr(os, "fsync", failing(number))
        assert not drops.can_sync_folder(folder)
        drops.sync_folder(False, folder)
        with pytest.raises(OSError, match=os.strerror(number)):
            drops.sync_folder(True, folder)


@pytest.mark.case("D8")
def test_a_folder_whose_sync_fails_is_a_fault(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with opened(tmp_path) as folder, pytest.raises(OSError, match="Input/output"):
        drops.can_sync_folder(folder)


def test_what_the_system_says_of_a_folder_is_kept_behind_our_own_words(tmp_path: Path) -> None:
    with pytest.raises(EdgeError) as failure, drops.explained(tmp_path):
        raise OSError("no number")
    assert failure.value.code == "MDSE-DELIVERY-001"
    assert "no number" in str(failure.value)
    assert isinstance(failure.value.__cause__, OSError)


def test_digests_are_of_plain_files_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(2_500_000))
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with opened(tmp_path) as folder:
        assert drops.digest_and_size(folder, "file")[1] == 2_500_000
        assert [drops.digest_and_size(folder, name) for name in ("link", "folder", "pipe")] == [("", -1)] * 3
        assert drops.is_there(folder, "link")
        assert not drops.is_there(folder, "nothing")
        with pytest.raises(FileNotFoundError):
            drops.digest_and_size(folder, "nothing")


@pytest.mark.case("D23")
def test_a_system_without_the_flag_says_so_and_the_checked_method_is_found(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(rename, "_renameat2", lambda: None)
    (tmp_path / "a").write_bytes(b"a")
    with opened(tmp_path) as folder:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSYS)):
            rename.rename_without_replacing("noreplace", folder, "a", folder, "b")
        assert rename.probe_rename_method(folder, "p1", "p2") == "checked"
        rename.rename_without_replacing("checked", folder, "a", folder, "b")
        (tmp_path / "a").write_bytes(b"another")
        with pytest.raises(FileExistsError):
            rename.rename_without_replacing("checked", folder, "a", folder, "b")
    assert sorted((p.name, p.read_bytes()) for p in tmp_path.iterdir()) == [("a", b"another"), ("b", b"a")]


def test_a_system_library_without_the_call_has_no_such_function(monkeypatch: Any) -> None:
    rename._renameat2.cache_clear()
    monkeypatch.setattr(rename.ctypes, "CDLL", lambda *_, **__: object())
    try:
        assert rename._renameat2() is None
    finally:
        rename._renameat2.cache_clear()


def test_trouble_while_the_method_is_probed_is_no_missing_flag(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(rename, "rename_without_replacing", failing(errno.EIO))
    with opened(tmp_path) as folder, pytest.raises(OSError, match="Input/output"):
        rename.probe_rename_method(folder, "p1", "p2")
    assert list(tmp_path.iterdir()) == []


def test_a_slide_beyond_all_measure_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    source = tmp_path / "A1"
    source.mkdir()
    for name in ("1.jpg", "2.jpg"):
        (source / name).write_bytes(b"12345")
    monkeypatch.setattr(spool, "SLIDE_BYTES_MAX", 10)
    spool.copy_slide(source, tmp_path / "fits", ["1.jpg", "2.jpg"], file_bytes_max=5, on_progress=lambda: None)
    monkeypatch.setattr(spool, "SLIDE_BYTES_MAX", 9)
    with pytest.raises(EdgeError) as refusal:
        spool.copy_slide(source, tmp_path / "not", ["1.jpg", "2.jpg"], file_bytes_max=5, on_progress=lambda: None)
    assert refusal.value.code == "MDSE-SPOOL-002"


@pytest.mark.case("S2")
@pytest.mark.parametrize("number", [errno.ELOOP, errno.ENOTDIR, errno.ENXIO])
def test_what_became_a_link_or_a_socket_is_refused(tmp_path: Path, monkeypatch: Any, number: int) -> None:
    monkeypatch.setattr(spool, "read_file_below", failing(number))
    with pytest.raises(EdgeError) as failure:
        spool.copy_file(0, "1.jpg", tmp_path, 5)
    assert failure.value.code == "MDSE-SPOOL-001"


@pytest.mark.case("D7")
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_trouble_of_the_share_is_told_as_what_it_is(tmp_path: Path, monkeypatch: Any, number: int) -> None:
    monkeypatch.setattr(spool, "read_file_below", failing(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        spool.copy_file(0, "1.jpg", tmp_path, 5)


@pytest.mark.case("D1")
def test_every_copied_file_and_every_folder_is_synced(tmp_path: Path, monkeypatch: Any) -> None:
    source = tmp_path / "A1"
    (source / "wbc").mkdir(parents=True)
    for name in ("1.jpg", "wbc/2.jpg"):
        (source / name).write_bytes(name.encode())
    synced: set[str] = set()
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    target = tmp_path / "copy"
    told: list[int] = []
    spool.copy_slide(
        source, target, ["wbc/2.jpg", "1.jpg"], file_bytes_max=99, on_progress=lambda: told.append(1)
    )  # fmt: skip
    assert synced == {str(p) for p in (target, *target.rglob("*"))}
    assert len(told) >= 2
    assert {p.stat().st_mode & 0o777 for p in target.rglob("*") if p.is_file()} == {0o600}


@pytest.mark.case("D20")
def test_a_drop_folder_that_we_may_not_write_is_told_as_try_later(tmp_path: Path, monkeypatch: Any) -> None:
    asked: list[tuple[object, int]] = []

    def refused(path: object, mode: int, **_: object) -> bool:
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", refused)
    with pytest.raises(EdgeError) as failure:
        prepare_drop(tmp_path)
    assert failure.value.code == "MDSE-DELIVERY-001"
    assert asked == [(".", os.W_OK | os.X_OK)]
    assert list(tmp_path.iterdir()) == []
