"""Publishing a result: the LIS sees it whole or not at all, once, and never in place of another file.

    try_drop        before a start: whether it could be prepared; nothing is left behind
    prepare_drop    at start: the staging folder, the identity of the place, and what its file system can do
    stage_file      write, fsync file, fsync staging folder          then the journal records STAGED
    publish_file    verify, rename without replacing, fsync both     then the journal records SENT
    staged_state    after a crash: what has happened, made durable before it is told
    sweep_staging   after recovery: remove what no STAGED row names

Every step opens the folders anew and compares the place's identity first: with the share away, an absent file
would otherwise look like a delivered one. Both fsyncs, of the file and of the folder, were measured to be needed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.delivery.durable import (
    OWN_NAMES,
    PROBE_NAMES,
    STAGING_NAME,
    can_sync_folder,
    digest_and_size,
    explained,
    is_there,
    opened_folder,
    read_identity,
    require_plain_name,
    sync_folder,
    write_durably,
    write_identity,
)
from edge.delivery.rename import FileReplacedError, RenameMethod, probe_rename_method, rename_without_replacing
from edge.errors import EdgeError

# The LIS's group may read a result, nobody else (the unit's umask alone would shut the LIS out).
FILE_MODE = 0o640

StagedState = Literal["staged", "published", "gone"]


@dataclass(frozen=True, slots=True)
class Drop:
    """A prepared drop folder.

    `identity` is a random name written into the staging folder when it was made: keep it with the books and hand it
    to `prepare_drop` at the next start. `method` and `folder_sync` say what the file system can do (for status).
    """

    folder: Path
    staging: Path
    identity: str
    method: RenameMethod
    folder_sync: bool


@dataclass(frozen=True, slots=True)
class _OpenDrop:
    folder: int
    staging: int


def prepare_drop(folder: Path, *, expected_identity: str | None = None) -> Drop:
    """Make the staging folder ready and find out what the file system can do. Never creates the drop folder itself.

    Raises:
        EdgeError: MDSE-DELIVERY-001 no such folder or not writable now (try later), -002 the staging folder is not
            ours alone, -003 staging on another file system, -004 the file system replaces existing files,
            -005 another place than `expected_identity` names (wrong share, or none, mounted).
    """
    staging = folder / STAGING_NAME
    with explained(folder):
        with opened_folder(folder) as outer:
            # A known place has its staging folder: making one would leave our marks on a wrong share.
            _own_staging_folder(outer, staging, create=expected_identity is None)
        with opened_folder(staging) as inner:
            identity = read_identity(inner)
            if expected_identity is not None and identity != expected_identity:
                raise EdgeError("MDSE-DELIVERY-005", where=str(folder), expected=expected_identity)
            identity = identity or write_identity(inner)
            method = _proved_method(folder, inner)
            return Drop(folder, staging, identity, method, can_sync_folder(inner))


def try_drop(folder: Path) -> tuple[RenameMethod, bool]:
    """Find out what `prepare_drop` would, and leave the place as it was: no identity, no staging folder of our making.

    Returns how to rename, and whether folders can be synced. A daemon may be working in the folder meanwhile.

    Raises:
        EdgeError: MDSE-DELIVERY-001 to -004, as `prepare_drop`.
    """
    staging = folder / STAGING_NAME
    with explained(folder), opened_folder(folder) as outer:
        was_there = is_there(outer, STAGING_NAME)
        try:
            _own_staging_folder(outer, staging, create=True)
            with opened_folder(staging) as inner:
                _write_and_remove(inner, PROBE_NAMES[0])
                return _proved_method(folder, inner), can_sync_folder(inner)
        finally:
            if not was_there:
                # Not empty: a daemon has begun to use it meanwhile, and the folder is the daemon's now.
                with suppress(OSError):
                    os.rmdir(STAGING_NAME, dir_fd=outer)


def _write_and_remove(staging: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=staging)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, FILE_MODE, dir_fd=staging)
    try:
        write_durably(descriptor, b"mds-edge\n", FILE_MODE)
    finally:
        os.unlink(name, dir_fd=staging)


def _proved_method(folder: Path, staging: int) -> RenameMethod:
    try:
        return probe_rename_method(staging, *PROBE_NAMES)
    except FileReplacedError as error:
        raise EdgeError("MDSE-DELIVERY-004", where=str(folder)) from error


def _own_staging_folder(outer: int, staging: Path, *, create: bool) -> None:
    """Make the staging folder if asked to; prove that it is a folder of ours alone, on the drop's file system."""
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=outer, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if create:
        # From an earlier start it exists already; it is looked at below as if a stranger had made it.
        with suppress(FileExistsError):
            os.mkdir(STAGING_NAME, 0o700, dir_fd=outer)
            can_sync_folder(outer)
    elif not is_there(outer, STAGING_NAME):
        raise FileNotFoundError(errno.ENOENT, f"it has no folder {STAGING_NAME}; is the right share mounted?")
    facts = os.stat(STAGING_NAME, dir_fd=outer, follow_symlinks=False)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        mode = f"{stat.S_IMODE(facts.st_mode):04o}"
        raise EdgeError("MDSE-DELIVERY-002", where=str(staging), mode=mode, owner=facts.st_uid)
    if facts.st_dev != os.fstat(outer).st_dev:
        raise EdgeError("MDSE-DELIVERY-003", where=str(staging))


def stage_file(drop: Drop, staged_name: str, content: bytes) -> None:
    """Write the bytes of a result into the staging folder and return when they are on disk.

    After an error nothing of that name may be used again: take a new name (a failed fsync is never repeated).

    Raises:
        EdgeError: MDSE-DELIVERY-001 not possible now, -005 another place, -006 the name is taken, -010 bad name.
    """
    require_plain_name(staged_name)
    with explained(drop.folder), opened_drop(drop) as opened:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(staged_name, flags, FILE_MODE, dir_fd=opened.staging)
        except FileExistsError as error:
            raise EdgeError("MDSE-DELIVERY-006", where=str(drop.staging / staged_name)) from error
        try:
            write_durably(descriptor, content, FILE_MODE)
            sync_folder(drop.folder_sync, opened.staging)
        except OSError:
            # Frees the space of a half-written file; what cannot be removed now, the next sweep removes.
            with suppress(OSError):
                os.unlink(staged_name, dir_fd=opened.staging)
            raise


def publish_file(drop: Drop, staged_name: str, final_name: str, sha256: str, size: int) -> None:
    """Move a staged file to its final name, after proving that it is still the file that was recorded.

    Returns when both folders are on disk. After an error ask `staged_state` what has happened.

    Raises:
        EdgeError: MDSE-DELIVERY-001 not possible now, -005 another place, -007 the final name is taken,
            -008 the staged file is not the recorded one, -009 there is no staged file, -010 bad name.
    """
    require_plain_name(staged_name)
    require_plain_name(final_name)
    where = str(drop.folder / final_name)
    with explained(drop.folder), opened_drop(drop) as opened:
        try:
            found = digest_and_size(opened.staging, staged_name)
        except FileNotFoundError as error:
            raise EdgeError("MDSE-DELIVERY-009", where=where) from error
        if found != (sha256, size):
            raise EdgeError("MDSE-DELIVERY-008", where=where, size=found[1], expected_size=size)
        try:
            rename_without_replacing(drop.method, opened.staging, staged_name, opened.folder, final_name)
        except FileExistsError as error:
            raise EdgeError("MDSE-DELIVERY-007", where=where) from error
        sync_folder(drop.folder_sync, opened.folder)
        sync_folder(drop.folder_sync, opened.staging)


def staged_state(drop: Drop, staged_name: str, final_name: str) -> StagedState:
    """Return where a file recorded as STAGED is: `staged` (go on), `published` (there), `gone` (taken by the reader).

    The last two are on disk when this returns; a power cut cannot bring the staged file back afterwards.

    Raises:
        EdgeError: MDSE-DELIVERY-001 not to be seen now, -005 another place, -010 bad name.
    """
    require_plain_name(staged_name)
    require_plain_name(final_name)
    with explained(drop.folder), opened_drop(drop) as opened:
        if is_there(opened.staging, staged_name):
            return "staged"
        sync_folder(drop.folder_sync, opened.folder)
        sync_folder(drop.folder_sync, opened.staging)
        return "published" if is_there(opened.folder, final_name) else "gone"


def is_collected(drop: Drop, final_name: str) -> bool:
    """Return whether the reader has taken the published file; if so, its absence is on disk when this returns.

    Raises:
        EdgeError: MDSE-DELIVERY-001 not to be seen now, -005 another place, -010 bad name.
    """
    require_plain_name(final_name)
    with explained(drop.folder), opened_drop(drop) as opened:
        if is_there(opened.folder, final_name):
            return False
        sync_folder(drop.folder_sync, opened.folder)
        return True


def remove_reappeared_file(drop: Drop, final_name: str, sha256: str, size: int) -> bool:
    """Remove a file that was recorded as collected and is there again (a power cut undid the reader's delete).

    Only the very bytes that were published are removed; anything else of that name stays. Returns whether it was.

    Raises:
        EdgeError: MDSE-DELIVERY-001 not possible now, -005 another place, -010 bad name.
    """
    require_plain_name(final_name)
    with explained(drop.folder), opened_drop(drop) as opened:
        if not is_there(opened.folder, final_name):
            return False
        if digest_and_size(opened.folder, final_name) != (sha256, size):
            return False
        os.unlink(final_name, dir_fd=opened.folder)
        sync_folder(drop.folder_sync, opened.folder)
        return True


def sweep_staging(drop: Drop, keep: Collection[str]) -> tuple[str, ...]:
    """Remove every file of the staging folder that `keep` does not name; return their names. After recovery only.

    Raises:
        EdgeError: MDSE-DELIVERY-001 not possible now, -005 another place.
    """
    removed = []
    with explained(drop.folder), opened_drop(drop) as opened:
        for name in sorted(os.listdir(opened.staging)):  # noqa: PTH208  a descriptor has no path to iterate
            facts = os.stat(name, dir_fd=opened.staging, follow_symlinks=False)
            if name in keep or name in OWN_NAMES or stat.S_ISDIR(facts.st_mode):
                continue
            os.unlink(name, dir_fd=opened.staging)
            removed.append(name)
        if removed:
            sync_folder(drop.folder_sync, opened.staging)
    return tuple(removed)


@contextmanager
def opened_drop(drop: Drop) -> Iterator[_OpenDrop]:
    """Open both folders by path (a share may have been mounted anew) and prove that they are the prepared place."""
    with opened_folder(drop.folder) as folder, opened_folder(drop.staging) as staging:
        if read_identity(staging) != drop.identity:
            raise EdgeError("MDSE-DELIVERY-005", where=str(drop.folder), expected=drop.identity)
        yield _OpenDrop(folder, staging)
