"""Controls of the numbered cases: the product is made wrong in a copy, and the test of the case has to fail there.

A control names a file, a text that stands in it exactly once, what takes its place, and the test, which has to pass in
the copy before anything is changed: one that fails there anyway proves nothing. The copy is made of the files that git
tracks; what is proved is kept in a ledger and done again only when source, test or control change.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CONTROLS = Path(__file__).with_name("controls.toml")
LIMIT_S = 300
LOADED_BEFORE = ("numpy", "cv2", "simplejpeg", "pydantic", "hypothesis", "cryptography", "watchdog.observers", "scipy")
FAILED = 1
"""Pytest's exit status when a test failed; any other says that it did not run."""


@dataclass(frozen=True, slots=True)
class Control:
    """One substitution that must make one test fail."""

    case: str
    file: str
    find: str
    replace: str
    test: str

    def digest(self, root: Path = REPOSITORY) -> str:
        """Return a digest of the control, the file that it changes and the test's module, as they lie below `root`."""
        content = json.dumps(asdict(self)).encode()
        for name in (self.file, self.test.partition("::")[0]):
            content += (root / name).read_bytes()
        return hashlib.sha256(content).hexdigest()[:24]


def load_controls() -> list[Control]:
    """Return every control, in the order of the file."""
    rows = tomllib.loads(CONTROLS.read_text(encoding="utf-8"))
    return [Control(case, **row) for case, several in rows.items() for row in several]


def copy_of_repository(target: Path) -> None:
    """Copy what git tracks, and what is new and not ignored; a service's user can read it."""
    target.chmod(0o755)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)


def prove(control: Control, copy: Path) -> str:
    """Run a control's test in the copy, sound and changed; return "fails" of the latter, or what went wrong."""
    path = copy / control.file
    sound = path.read_text(encoding="utf-8")
    if sound.count(control.find) != 1:
        return f"the text stands {sound.count(control.find)} times in {control.file}"
    try:
        if (status := run_sound_test(control.test, copy)) != 0:
            return f"the test does not pass on the sound product ({status})"
        path.write_text(sound.replace(control.find, control.replace), encoding="utf-8")
        status = run_test(control.test, copy)
    except TimeoutError:
        return f"the test did not end within {LIMIT_S} s"
    finally:
        path.write_text(sound, encoding="utf-8")
    if status == FAILED:
        return "fails"
    return "the test passes although the product is wrong" if status == 0 else f"the test did not run ({status})"


@cache
def run_sound_test(node: str, copy: Path) -> int:
    """Run one test in the copy, in which nothing may be changed now; controls of one test share it."""
    return run_test(node, copy)


def run_test(node: str, copy: Path) -> int:
    """Run one test in the copy, in a process forked from this one; return pytest's exit status.

    What the product imports of others is loaded once, here; of ours the child knows nothing yet. Raises TimeoutError.
    """
    for name in LOADED_BEFORE:
        importlib.import_module(name)
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            status = run_here(node, copy)
        finally:
            os._exit(status)
    end_s = time.monotonic() + LIMIT_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end_s:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError(node)
        time.sleep(0.05)


def run_here(node: str, copy: Path) -> int:
    """Run one test of the copy in this process, which is a fresh child."""
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(1, 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("edge", "convert", "tests", "benchmarks")]:
        del sys.modules[name]
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    sys.path[:0] = [str(copy)]
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", node]))


class ControlLedger:
    """What was proved already, one JSON line each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def proved(self) -> dict[str, str]:
        """Return the verdict by the control's digest."""
        if not self._path.exists():
            return {}
        lines = self._path.read_text(encoding="utf-8").splitlines()
        return {row["digest"]: row["verdict"] for row in map(json.loads, lines)}

    def add(self, control: Control, verdict: str, root: Path = REPOSITORY) -> None:
        """Keep a verdict about the files below `root`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"digest": control.digest(root), "case": control.case, "verdict": verdict}) + "\n")
