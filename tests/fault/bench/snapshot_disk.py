"""A disk that can lose its power: an image file, mounted by loop, and copies of it taken in one instant.

What had reached the block device at the moment of the copy is what a machine finds after a power cut; what was only in
memory is not in it. The copy is a reflink (xfs clones a file atomically), so a cut costs milliseconds.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

FICLONE = 0x40049409
CLONE_NEWNS = 0x20000
HOST_BYTES = 2 * 1024**3
DISK_BYTES = {"ext4": 64 * 1024**2, "xfs": 320 * 1024**2}
"""mkfs.xfs makes nothing below 300 MB; the files are sparse."""
UNMOUNT_S = 20.0


def missing_tool() -> str:
    """Return what this machine lacks for power cuts; "" when nothing."""
    if os.geteuid() != 0:
        return "the right to mount"
    return next((tool for tool in ("mkfs.ext4", "mkfs.xfs", "mount", "umount") if shutil.which(tool) is None), "")


class SnapshotDisks:
    """Mounted file systems of one kind, `work/<name>` each, that lose their power together.

    `work` has to be a folder of an ordinary file system.
    """

    def __init__(self, work: Path, kind: str, names: tuple[str, ...]) -> None:
        self._kind = kind
        self._host_image, self._host = work / "host.img", work / "host"
        self._disks = {work / name: self._host / f"{name}.img" for name in names}
        for folder in (self._host, *self._disks):
            folder.mkdir()
        make_image(self._host_image, HOST_BYTES, ["mkfs.xfs", "-q", "-m", "reflink=1"])

    def __enter__(self) -> SnapshotDisks:
        keep_mounts_private()
        try:
            mount(self._host_image, self._host)
            tool = ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0"] if self._kind == "ext4" else ["mkfs.xfs", "-q"]
            for folder, image in self._disks.items():
                make_image(image, DISK_BYTES[self._kind], tool)
                mount(image, folder)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for folder in (*self._disks, self._host):
            if os.path.ismount(folder):
                unmount(folder)

    def snap(self) -> None:
        """Keep what has reached the devices up to this instant. Whoever writes stands still meanwhile."""
        for image in self._disks.values():
            with image.open("rb") as source, image.with_suffix(".copy").open("wb") as target:
                fcntl.ioctl(target.fileno(), FICLONE, source.fileno())

    def come_back(self) -> None:
        """Put the kept state in the place of the present one and mount it, as after the cut. Nothing may be open."""
        for folder, image in self._disks.items():
            unmount(folder)
            image.with_suffix(".copy").replace(image)
            mount(image, folder)


def keep_mounts_private() -> None:
    """Take a mount namespace of this process's own.

    A container that is started meanwhile would copy our mounts and keep their devices busy; and they end with us.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNS)")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def make_image(path: Path, size: int, command: list[str]) -> None:
    """Make a sparse file with a file system in it."""
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run([*command, str(path)], check=True, stdout=subprocess.DEVNULL)


def mount(image: Path, folder: Path) -> None:
    """Mount an image by loop."""
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)


def unmount(folder: Path) -> None:
    """Unmount, waiting for the last process that is going."""
    end_s = time.monotonic() + UNMOUNT_S
    while subprocess.run(["umount", str(folder)], stderr=subprocess.PIPE, check=False).returncode != 0:
        if time.monotonic() > end_s:
            raise AssertionError(f"{folder} is still in use")
        time.sleep(0.02)
