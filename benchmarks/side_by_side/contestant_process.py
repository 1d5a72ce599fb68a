"""A contestant's process as the run sees it: started once, stopped while others are measured, ended at the end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.side_by_side.material import Material

REPOSITORY = Path(__file__).resolve().parents[2]
CHILD = "benchmarks.side_by_side.child"
ANSWER_WITHIN_S = 600.0


class NotRunError(Exception):
    """A contestant cannot be measured here; the text is the reason that goes into the results."""


class ContestantProcess:
    """One contestant in its own process group. `pause` stops every thread of it, so that nothing of it spins."""

    def __init__(self, name: str, material: Material, threads: int, log: Path, python: str = sys.executable) -> None:
        self.name = name
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command(name, material, threads, python),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(),
                cwd=REPOSITORY,
                process_group=0,
            )

    def ask(self, what: str, seconds: float = 0.0) -> dict[str, Any]:
        """Let it work on one order and return its answer. Raises NotRunError where it cannot or does not answer."""
        given, answers = self._process.stdin, self._process.stdout
        assert given is not None
        assert answers is not None
        try:
            given.write(json.dumps({"do": what, "seconds": seconds}).encode("ascii") + b"\n")
            given.flush()
        except BrokenPipeError as error:
            raise NotRunError(f"its process ended (status {self._process.wait()})") from error
        readable, _, _ = select.select([answers], [], [], ANSWER_WITHIN_S)
        line = answers.readline() if readable else b""
        if not line:
            state = f"status {self._process.poll()}" if readable else f"no answer within {ANSWER_WITHIN_S:.0f} s"
            raise NotRunError(f"its process ended or hung ({state})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise NotRunError(str(answer["error"]))
        return answer

    def pause(self) -> None:
        """Stop every thread of the process and its children; return when the process stands still, or has ended."""
        self._signal(signal.SIGSTOP)
        with contextlib.suppress(ChildProcessError):  # it has ended, and that was noticed before
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let them run again."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Ask it to end, and end it where it does not."""
        self.resume()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # an order that it did not live to read
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # then it is killed below, with its children
            self._process.wait(10)
        self._signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # it has ended, and so have its children


def command(name: str, material: Material, threads: int, python: str = sys.executable) -> list[str]:
    """Return the command line of a contestant's process."""
    return [python, "-m", CHILD, name, str(threads), json.dumps(material.as_words())]


def environment() -> dict[str, str]:
    """Return the environment of every contestant: byte code is kept, as in an installation."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(REPOSITORY)}
