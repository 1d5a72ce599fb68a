"""A share that can be made to fail: a FUSE file system that passes everything on to a folder until told otherwise.

    python -m tests.fault.share_process BACKING MOUNT CONTROL

As on SMB, what changes behind it sends no events. CONTROL is a JSON file, read before every operation:

    fault   "" | hang | slow | eio | estale | eacces | empty       from   the fault begins with this operation (1-based)
    epoch   operations are counted anew when it changes

Every operation since the last epoch is written to CONTROL.trace, one name a line; the one that met the fault first is
marked with `!` and its monotonic time. A hanging operation goes on when the fault is taken back.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

SLOW_S = 5.0
LOOK_S = 0.05
CODES = {"eio": errno.EIO, "estale": errno.ESTALE, "eacces": errno.EACCES}


class Faults:
    """Counts operations and makes them fail as the control file says."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._trace = control.with_suffix(".trace")
        self._lock = threading.Lock()
        self._epoch = -1
        self._count = 0
        self._has_begun = False

    def ordered(self) -> dict[str, Any]:
        """Return what the control file says; it is replaced as a whole, never written in place."""
        order: dict[str, Any] = json.loads(self._control.read_bytes())
        return order

    def before(self, name: str) -> str:
        """Count an operation, let it fail, wait or go on; return the fault in force."""
        order = self.ordered()
        with self._lock:
            if order["epoch"] != self._epoch:
                self._epoch, self._count, self._has_begun = order["epoch"], 0, False
                self._trace.write_text("")
            self._count += 1
            fault = order["fault"] if self._count >= order["from"] else ""
            mark = f" ! {time.monotonic()}" if fault and not self._has_begun else ""
            self._has_begun = self._has_begun or bool(fault)
            with self._trace.open("a") as trace:
                trace.write(f"{name}{mark}\n")
        if fault in CODES:
            raise OSError(CODES[fault], os.strerror(CODES[fault]))
        if fault in ("hang", "slow"):
            end_s = time.monotonic() + (SLOW_S if fault == "slow" else float("inf"))
            while time.monotonic() < end_s and self.ordered()["fault"] == fault:
                time.sleep(LOOK_S)
        return str(fault)


def operations(backing: Path, faults: Faults) -> Any:
    """Return the file system; mfusepy needs libfuse, so it is imported when it is there for certain."""
    import mfusepy

    class Share(mfusepy.Operations):
        use_ns = True

        def _path(self, path: str) -> str:
            return f"{backing}{path}"

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            if faults.before("getattr") == "empty" and path != "/":
                raise OSError(errno.ENOENT, path)
            facts = os.lstat(self._path(path))
            names = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid")
            times = {f"st_{name}time": getattr(facts, f"st_{name}time_ns") for name in "amc"}
            return {name: getattr(facts, name) for name in names} | times

        def opendir(self, path: str) -> int:
            faults.before("opendir")
            return 0

        def readdir(self, path: str, fh: int) -> Any:
            empty = faults.before("readdir") == "empty"
            return [".", "..", *([] if empty else os.listdir(self._path(path)))]  # noqa: PTH208

        def open(self, path: str, flags: int) -> int:
            if faults.before("open") == "empty":
                raise OSError(errno.ENOENT, path)
            return os.open(self._path(path), os.O_RDONLY)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            faults.before("read")
            return os.pread(fh, size, offset)

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

        def statfs(self, path: str) -> dict[str, int]:
            faults.before("statfs")
            return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1 << 20, "f_bfree": 1 << 19, "f_bavail": 1 << 19}

    return Share()


def main() -> int:
    import mfusepy

    backing, mount, control = (Path(argument) for argument in sys.argv[1:4])
    options = {name: float(value) for name, _, value in (word.partition("=") for word in sys.argv[4:])}
    # It must not outlive a test that was killed: whoever hangs in it could not be killed either.
    ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
    caches = {"attr_timeout": 0.0, "entry_timeout": 0.0, "negative_timeout": 0.0} | options
    mfusepy.FUSE(operations(backing, Faults(control)), str(mount), foreground=True, fsname="test-share", **caches)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
