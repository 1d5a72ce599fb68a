"""Disks small enough to be filled: a tmpfs with few blocks and inodes, or ext4 in a file where tmpfs is no judge.

Needs root. Everything that is mounted is unmounted at the end, also lazily when a process still sits on it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

FILLER = "filler"
DISK_BYTES = 16 * 1024 * 1024
INODES = 600


def can_mount() -> bool:
    """Tell whether this process may mount (CAP_SYS_ADMIN); tried, not guessed."""
    if os.geteuid() != 0:
        return False
    return (
        subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        ).returncode
        == 0
    )


@contextlib.contextmanager
def small_tmpfs(folder: Path, *, size: int = DISK_BYTES, inodes: int = INODES) -> Iterator[Path]:
    """Mount a small tmpfs over `folder` (made when missing, its content hidden)."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},nr_inodes={inodes},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "mds-edge-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        unmount(folder)


@contextlib.contextmanager
def small_ext4(folder: Path, image: Path, *, size: int = DISK_BYTES, inodes: int = INODES) -> Iterator[Path]:
    """Mount an ext4 of its own, without blocks kept back for root, over `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(size)
    make = ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(inodes), str(image)]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True, capture_output=True)
    (folder / "lost+found").rmdir()
    try:
        yield folder
    finally:
        unmount(folder)
        image.unlink()


def unmount(folder: Path) -> None:
    if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode != 0:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def fill_bytes(disk: Path) -> None:
    """Write until not one byte is left: large pieces first, then single bytes."""
    append_until_full(disk / FILLER, b"\0")


def append_until_full(path: Path, byte: bytes) -> None:
    """Let a file grow until the disk refuses one byte more; on a full disk that is what its last page still holds."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for piece in (1 << 20, 1 << 16, 1 << 12, 1 << 9, 1):
            with contextlib.suppress(OSError):
                while os.write(descriptor, byte * piece):
                    pass
    finally:
        os.close(descriptor)


def fill_inodes(disk: Path) -> None:
    """Make empty files until the file system has no name left to give."""
    folder = disk / f"{FILLER}.d"
    with contextlib.suppress(OSError):
        folder.mkdir()
        for number in range(1_000_000):
            os.close(os.open(folder / str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def give_back(disk: Path) -> None:
    """Remove what filled the disk."""
    (disk / FILLER).unlink(missing_ok=True)
    folder = disk / f"{FILLER}.d"
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def set_read_only(disk: Path, read_only: bool) -> bool:
    """Mount the disk anew as read-only or writable; False when it could not be: a file is open for writing now."""
    command = ["mount", "-o", f"remount,{'ro' if read_only else 'rw'}", str(disk)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
