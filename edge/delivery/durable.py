"""The single steps of publishing: bytes and folders on disk, names that stay in their folder, the place's identity.

Every function works on an open folder, so that no path is walked twice between a look and a deed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import EdgeError

STAGING_NAME = ".mds-edge-staging"
IDENTITY_NAME = "drop.id"
PROBE_NAMES = ("probe.a", "probe.b")
OWNER_NAME, ASK_NAME, ANSWER_NAME = "owner", "owner.ask", "owner.answer"
OWN_NAMES = frozenset({IDENTITY_NAME, *PROBE_NAMES, OWNER_NAME, ASK_NAME, ANSWER_NAME})

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}")
# What a file system answers that has no fsync for folders (some SMB and FUSE servers).
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_BLOCK_BYTES = 1_048_576


def require_plain_name(name: str) -> None:
    """Raise MDSE-DELIVERY-010 unless the name is ours in kind: `[A-Za-z0-9_.-]`, at most 120 bytes, no leading dot."""
    if not _PLAIN_NAME.fullmatch(name):
        raise EdgeError("MDSE-DELIVERY-010", where=name)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what the operating system says into MDSE-DELIVERY-001: the place is not usable now, try later.

    The OSError stays reachable as `__cause__`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise EdgeError("MDSE-DELIVERY-001", where=str(folder), reason=reason) from error


@contextmanager
def opened_folder(folder: Path) -> Iterator[int]:
    """Yield a descriptor of the folder. Raises OSError when it is not there or not a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_durably(descriptor: int, content: bytes, mode: int) -> None:
    """Give the open file its mode whatever the umask, write all bytes, fsync and close. Raises OSError."""
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
            os.fchmod(descriptor, mode)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if size != len(content):
        raise OSError(errno.EIO, f"{len(content)} bytes were written, the file has {size}")


def can_sync_folder(folder: int) -> bool:
    """Sync the open folder; return False where its file system knows no such thing. Raises OSError on a fault."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
        return False
    return True


def sync_folder(possible: bool, folder: int) -> None:
    """Put the names of an open folder on disk, where the probe at start found it possible. Raises OSError."""
    if possible:
        os.fsync(folder)


def is_there(folder: int, name: str) -> bool:
    """Return whether the open folder has an entry of that name, of whatever kind. Raises OSError other than ENOENT."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def digest_and_size(folder: int, name: str) -> tuple[str, int]:
    """Return SHA-256 (hex) and size in bytes of a plain file; ("", -1) for a link, a folder or a device.

    Raises:
        FileNotFoundError: no such entry.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        return "", -1
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    digest = hashlib.sha256()
    size = 0
    try:
        while block := os.read(descriptor, _BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    finally:
        os.close(descriptor)
    return digest.hexdigest(), size


def read_identity(staging: int) -> str:
    """Return the identity of the place that the open staging folder belongs to; "" when it has none."""
    try:
        descriptor = os.open(IDENTITY_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=staging)
    except FileNotFoundError:
        return ""
    try:
        return os.read(descriptor, 64).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)


def write_identity(staging: int) -> str:
    """Give the place a new random identity and return it once it is on disk.

    Overwrites an empty file: the machine stopped while the identity was being made, so nothing was staged under it.
    """
    identity = secrets.token_hex(16)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(IDENTITY_NAME, flags, 0o600, dir_fd=staging)
    write_durably(descriptor, identity.encode("ascii") + b"\n", 0o600)
    can_sync_folder(staging)
    return identity
