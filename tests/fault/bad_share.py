"""An export folder on a share that can be made to hang, fail, slow down or look empty (share_process.py)."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path

FAULTS = ("hang", "slow", "eio", "estale", "eacces", "empty")


def missing_for_share() -> str:
    """Return why no FUSE share can be made here; "" where it can."""
    if not Path("/dev/fuse").exists() or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    if find_library("fuse3") is None:
        return "libfuse3 is not installed"
    if importlib.util.find_spec("mfusepy") is None:
        return "mfusepy is not installed"
    return "" if os.geteuid() == 0 else "mounting needs root"


class BadShare:
    """`folder` is where it is mounted, `backing` what lies behind it (where the analyzer writes)."""

    def __init__(self, folder: Path, work: Path, **options: float) -> None:
        self.folder = folder
        self.backing = work / "backing"
        self._control = work / "share.json"
        self._trace = self._control.with_suffix(".trace")
        self._epoch = 0
        self.backing.mkdir(parents=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.order("")
        arguments = [str(self.backing), str(folder), str(self._control), *(f"{k}={v}" for k, v in options.items())]
        command = [sys.executable, "-W", "ignore", "-m", "tests.fault.share_process", *arguments]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        with (work / "share.log").open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, stderr=log)
        end_s = time.monotonic() + 20.0
        while not os.path.ismount(folder):
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise OSError("the share could not be mounted")
            time.sleep(0.02)

    def order(self, fault: str, *, first_operation: int = 1) -> None:
        """Put a fault in force from the so-maniest operation from now on; "" heals the share."""
        self._epoch += 1
        new = self._control.with_suffix(".new")
        new.write_text(json.dumps({"fault": fault, "from": first_operation, "epoch": self._epoch}))
        new.replace(self._control)

    def operations(self) -> list[str]:
        """Return the names of the operations since the last order."""
        return [line.split(" ")[0] for line in self._trace.read_text().splitlines()] if self._trace.exists() else []

    def met_at_s(self) -> float | None:
        """Return when the ordered fault was first met (monotonic), None when it was not yet."""
        lines = self._trace.read_text().splitlines() if self._trace.exists() else []
        return next((float(line.split(" ! ")[1]) for line in lines if " ! " in line), None)

    def close(self) -> None:
        """Heal, unmount, end: whoever hangs in it comes free."""
        self.order("")
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def bad_share(folder: Path, work: Path, **options: float) -> Iterator[BadShare]:
    share = BadShare(folder, work, **options)
    try:
        yield share
    finally:
        share.close()
