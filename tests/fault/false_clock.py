"""A wall clock that can be set while the daemon runs (false_clock.c, preloaded). The monotonic clock stays true."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

YEARS_S = 365.25 * 86400
SOURCE = Path(__file__).with_name("false_clock.c")


def missing_for_clock() -> str:
    """Return why the clock cannot be made false here; "" where it can."""
    return "" if shutil.which("cc") else "no C compiler"


class FalseClock:
    """The clock of every process that is started with `environment()`; `work` is a folder for its two files."""

    def __init__(self, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._library = work / "false_clock.so"
        self._file = work / "offset"
        self._file.write_bytes(struct.pack("d", 0.0))
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE), "-lm"]
        subprocess.run(command, check=True, capture_output=True)

    def set(self, offset_s: float) -> None:
        """Let the wall clock be wrong by so many seconds from now on. Written in place: the processes map the file."""
        descriptor = os.open(self._file, os.O_WRONLY)
        try:
            os.pwrite(descriptor, struct.pack("d", offset_s), 0)
        finally:
            os.close(descriptor)

    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "MDS_EDGE_TEST_CLOCK": str(self._file)}
