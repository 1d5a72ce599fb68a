"""Renaming without ever replacing: what the file system offers, and how it is found out.

`renameat2(RENAME_NOREPLACE)` does it in one step. Where a file system lacks it (NFS, some FUSE), a look and a plain
rename take its place: our names are unique by hash, one daemon at a time holds the lock, and one atomic step still
decides between "not delivered" and "delivered". `link` + `unlink` is not used: killed between the two, with a reader
that has taken the file meanwhile, nothing on disk tells a delivered result from an undelivered one, and the
recovery would send it twice.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import Literal

RenameMethod = Literal["noreplace", "checked"]

# From <linux/fs.h>.
_RENAME_NOREPLACE = 1
# What a kernel, a C library or a file system answers when it does not know the flag.
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class FileReplacedError(Exception):
    """A file system replaced an existing file although it was told not to."""


@cache
def _renameat2() -> ctypes._NamedFuncPointer | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
        function.restype = ctypes.c_int
    return function


def rename_without_replacing(method: RenameMethod, old_dir: int, old: str, new_dir: int, new: str) -> None:
    """Rename `old` in the open folder `old_dir` to `new` in `new_dir`.

    Raises:
        FileExistsError: there is something of the new name, of whatever kind; nothing was changed.
        OSError: as rename(2).
    """
    if method == "checked":
        try:
            os.stat(new, dir_fd=new_dir, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(old, new, src_dir_fd=old_dir, dst_dir_fd=new_dir)
            return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    function = _renameat2()
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(old_dir, os.fsencode(old), new_dir, os.fsencode(new), _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new)


def probe_rename_method(folder: int, first: str, second: str) -> RenameMethod:
    """Find out which method works in an open folder, by trying it on two files of ours that are removed again.

    Raises:
        FileReplacedError: the file system replaces an existing file although told not to.
        OSError: the folder cannot be written.
    """
    for name in (first, second):
        _remove_if_there(folder, name)
    try:
        _create_empty(folder, first)
        try:
            rename_without_replacing("noreplace", folder, first, folder, second)
            method: RenameMethod = "noreplace"
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            method = "checked"
            rename_without_replacing(method, folder, first, folder, second)
        _create_empty(folder, first)
        try:
            rename_without_replacing(method, folder, first, folder, second)
        except FileExistsError:
            return method
        raise FileReplacedError(second)
    finally:
        for name in (first, second):
            _remove_if_there(folder, name)


def _create_empty(folder: int, name: str) -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder))


def _remove_if_there(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
