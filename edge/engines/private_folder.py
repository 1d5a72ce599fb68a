"""The folder for what engines compiled: executable code, so nobody else may be able to write there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge.errors import EdgeError


def private_folder(folder: Path) -> Path:
    """Return `folder`, made if it is not there. Raises EdgeError MDSE-ENGINE-006 when others could write into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise EdgeError("MDSE-ENGINE-006", where=str(folder), reason=os.strerror(error.errno or 0)) from error
    if not stat.S_ISDIR(status.st_mode):
        raise EdgeError("MDSE-ENGINE-006", where=str(folder), reason="it is a link")
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise EdgeError("MDSE-ENGINE-006", where=str(folder), reason="other users own it or may write into it")
    return folder
