"""The stage of the demonstration: the folders, the configuration and the three processes that play on it."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge.config_values import SOCKET_PATH_BYTES_MAX
from edge.errors import EdgeError

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 15.0

CONFIGURATION = """\
# Written by edge-demo. A site's own file is explained in docs/config.md.
[site]
id = "DEMOLAB"
name = "Demonstration with simulated slides"
timezone = "UTC"
state_dir = {state}

[bundle]
path = {bundle}
{public_key}allow_demo = true          # a bundle for demonstration will do: its results are marked as tests

[[source]]
id = "di60"
path = {export}
quiet_s = 5.0
scan_s = 0.5
marker_required = true     # the simulated analyzer writes one, so no half-copied slide can be taken

[[output]]
format = "hl7"
path = {hl7}
ack = "ack-file"
ack_path = {ack}

[[output]]
format = "json"
path = {json}
ack = "none"

[assess]
assess_all = true

[health]
socket = {socket}
metrics_file = {metrics}
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """The folders of one demonstration, all below `root`."""

    root: Path

    @property
    def export(self) -> Path:
        """Where the simulated analyzer writes its slides."""
        return self.root / "export"

    @property
    def state(self) -> Path:
        """Where the daemon keeps journal, spool and archive."""
        return self.root / "state"

    @property
    def results(self) -> Path:
        """Drop folders, one per format."""
        return self.root / "results"

    @property
    def acknowledgements(self) -> Path:
        """Where the simulated LIS answers."""
        return self.results / "ack"

    @property
    def logs(self) -> Path:
        """What the three processes said."""
        return self.root / "logs"

    @property
    def configuration(self) -> Path:
        """The daemon's configuration file."""
        return self.root / "mds-edge.toml"

    @property
    def control_socket(self) -> Path:
        """The daemon's control socket."""
        return self.state / "control.sock"

    @property
    def notify_socket(self) -> Path:
        """Where the daemon says that it is ready; its path is shorter than that of the control socket."""
        return self.root / "notify.sock"


def set_stage(root: Path, bundle: Path, public_key: Path | None) -> Stage:
    """Make the folders and write the configuration.

    Raises EdgeError MDSE-SIM-050 unless `root` is empty or absent, -052 where its path leaves no room for a socket's.
    """
    stage = Stage(root.resolve())
    over = len(bytes(stage.control_socket)) - SOCKET_PATH_BYTES_MAX
    if over > 0:
        raise EdgeError("MDSE-SIM-052", where=str(root), over=over, most=SOCKET_PATH_BYTES_MAX)
    if stage.root.exists() and any(stage.root.iterdir()):
        raise EdgeError("MDSE-SIM-050", where=str(root))
    for folder in (stage.export, stage.results / "hl7", stage.results / "json", stage.acknowledgements, stage.logs):
        folder.mkdir(parents=True)
    stage.state.mkdir(mode=0o700)
    text = CONFIGURATION.format(
        state=_toml(stage.state),
        bundle=_toml(bundle.resolve()),
        public_key=f"public_key = {_toml(public_key.resolve())}\n" if public_key else "",
        export=_toml(stage.export),
        hl7=_toml(stage.results / "hl7"),
        json=_toml(stage.results / "json"),
        ack=_toml(stage.acknowledgements),
        socket=_toml(stage.control_socket),
        metrics=_toml(stage.state / "metrics.prom"),
    )
    stage.configuration.write_text(text, encoding="utf-8")
    # The daemon refuses a configuration that others may write.
    stage.configuration.chmod(0o600)
    return stage


class Players:
    """The processes on the stage; leaving the `with` block stops every one of them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stack = ExitStack()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Players:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stack.close()

    def start(self, name: str, module: str, arguments: Sequence[str], environment: dict[str, str]) -> None:
        """Start one command of this package as a process of its own; its output goes to `logs/<name>.log`."""
        log = self._stack.enter_context((self._stage.logs / f"{name}.log").open("wb"))
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )

    def start_daemon(self) -> None:
        """Start the daemon and wait for its READY, told over the same socket that systemd would listen on.

        Raises EdgeError MDSE-SIM-051 with the end of its log when it ends, or says nothing, instead.
        """
        address = str(self._stage.notify_socket)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(address)
            arguments = ["--config", str(self._stage.configuration)]
            self.start("daemon", "edge.commands.daemon", arguments, {"NOTIFY_SOCKET": address})
            deadline = time.monotonic() + READY_WITHIN_S
            while time.monotonic() < deadline and self.processes["daemon"].poll() is None:
                readable, _, _ = select.select([listener], [], [], 0.1)
                if readable and b"READY=1" in listener.recv(4096):
                    return
        raise EdgeError("MDSE-SIM-051", where="edge-daemon", log=self.last_words("daemon"))

    def last_words(self, name: str) -> str:
        """Return the last lines of a process's log, for an error message."""
        lines = (self._stage.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"


def _toml(value: Path) -> str:
    # A JSON string is a TOML basic string, whatever the path holds.
    return json.dumps(str(value))
