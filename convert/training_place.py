"""The place where a training writes: looked at before its work, held by one run alone, and faults of its disk told.

training_place     around a whole training: nobody else writes to the same --out
require_folder     a folder that can be written, made where it is not there
written            around what writes: a full disk is an error with a code
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.errors import EdgeError


@contextmanager
def training_place(out: Path) -> Iterator[None]:
    """Hold the right to write `out` and the files beside it that are named after it.

    Raises EdgeError MDSE-TRAIN-022 where nothing can be written, -023 while another run of edge-train holds it.
    """
    if out.is_dir():
        raise EdgeError("MDSE-TRAIN-022", where=str(out), reason="this is a folder")
    require_folder(out.parent, where=out)
    lock = out.with_name(f".{out.stem}.training")
    descriptor = _taken(lock, out)
    try:
        yield
    finally:
        # Removed while it is held, so that it is never that of another run. Where the share has gone away it stays,
        # which hinders nobody: the error of what was written, or that all was, is the news.
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def require_folder(folder: Path, *, where: Path) -> None:
    """Make `folder` where it is not there. Raises EdgeError MDSE-TRAIN-022 at `where` unless it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(where, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EdgeError("MDSE-TRAIN-022", where=str(where), reason="this user may not write into the folder")


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Raise EdgeError MDSE-TRAIN-024 for an OSError of what writes `path`."""
    try:
        yield
    except OSError as error:
        raise EdgeError("MDSE-TRAIN-024", where=str(path), reason=error.strerror or str(error)) from error


def _taken(lock: Path, out: Path) -> int:
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(out, error) from error
        # One that a killed run has left must not keep other users of a shared folder out. It may be theirs already.
        with suppress(OSError):
            os.fchmod(descriptor, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise EdgeError("MDSE-TRAIN-023", where=str(out)) from error
        except OSError as error:
            os.close(descriptor)
            raise _unwritable(out, error) from error
        if _is_named(lock, descriptor):
            return descriptor
        os.close(descriptor)  # the run before removed it after it was opened here: a third may hold a new one


def _is_named(lock: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(lock.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unwritable(where: Path, error: OSError) -> EdgeError:
    return EdgeError("MDSE-TRAIN-022", where=str(where), reason=error.strerror or str(error))
