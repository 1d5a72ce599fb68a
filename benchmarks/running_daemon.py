"""A real edge-daemon on a temporary stage, for the benchmarks: its folders, its process, and what its journal says.

The stage is edge-demo's (folders and configuration); a JSON and an HL7 output, acknowledgement by file. Times are those
of the daemon's own journal, in milliseconds, so that nothing is added by looking.
"""

from __future__ import annotations

import os
import select
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from edge.demo.stage import Stage, set_stage

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0


class RunningDaemon:
    """One daemon after another on the same stage; `python` may be another environment's interpreter."""

    def __init__(self, root: Path, bundle: Path, public_key: Path, *, python: str = sys.executable) -> None:
        self.stage: Stage = set_stage(root, bundle, public_key)
        text = self.stage.configuration.read_text(encoding="utf-8")
        # The settling time is the site's choice and not what is measured; the marker says that a slide is whole.
        text = text.replace("quiet_s = 5.0", "quiet_s = 1.0").replace("scan_s = 0.5", "scan_s = 0.2")
        self.stage.configuration.write_text(text, encoding="utf-8")
        self._python = python
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    def start(self) -> float:
        """Start the daemon and return the seconds until its READY, told as to systemd; RuntimeError when it ends."""
        address = self.stage.notify_socket
        address.unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
            (self.stage.logs / "daemon.log").open("ab") as log,
        ):
            listener.bind(str(address))
            command = [self._python, "-m", "edge.commands.daemon", "--config", str(self.stage.configuration)]
            self.started_at, start_s = time.time(), time.perf_counter()
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "NOTIFY_SOCKET": str(address)}
            )
            while time.perf_counter() - start_s < READY_WITHIN_S and self.process.poll() is None:
                readable, _, _ = select.select([listener], [], [], 0.1)
                if readable and b"READY=1" in listener.recv(4096):
                    return time.perf_counter() - start_s
        raise RuntimeError((self.stage.logs / "daemon.log").read_text(encoding="utf-8")[-2000:])

    def stop(self) -> None:
        """End the daemon as systemd would."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def children(self) -> dict[str, int]:
        """Return the running children by the module they run."""
        assert self.process is not None
        found = {}
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        for pid in listed.split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
            for name in ("scanner", "worker", "deliver"):
                if f"edge.daemon.{name}" in words:
                    found[name] = int(pid)
        return found

    def events(self, sql: str, *arguments: object) -> list[tuple[str, float]]:
        """Return (subject, seconds since 1970) of audit rows that fit the condition, oldest first."""
        journal = self.stage.state / "journal.sqlite"
        with sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10) as connection:
            rows = connection.execute(f"SELECT subject, at FROM audit WHERE {sql} ORDER BY seq", arguments).fetchall()  # noqa: S608 - our own text
        return [(subject, datetime.fromisoformat(at).timestamp()) for subject, at in rows]

    def wait_for(self, condition: Callable[[], bool], what: str, within_s: float) -> None:
        """Look again and again until it is so; RuntimeError when it takes longer or the daemon ends."""
        end_s = time.perf_counter() + within_s
        while not condition():
            if time.perf_counter() > end_s or self.process is None or self.process.poll() is not None:
                tail = (self.stage.logs / "daemon.log").read_text(encoding="utf-8")[-2000:]
                raise RuntimeError(f"never happened: {what}\n{tail}")
            time.sleep(0.1)


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Return a process's memory now (`VmRSS`) or at its largest (`VmHWM`), in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError(f"the kernel does not tell {field}")


def processor_s(pid: int) -> float:
    """Return the processor seconds that a process has used: the load of other programs changes them little."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return round((int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"), 2)
