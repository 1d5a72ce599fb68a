"""A small site on this machine for process tests: an export folder, a drop folder, a real daemon, its children."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.audit import verify_audit
from edge.daemon.control_client import reply_from_daemon
from edge.delivery.durable import OWN_NAMES

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
CONFIG = """\
[site]
id = "TEST"
timezone = "Asia/Tokyo"
state_dir = "{root}/state"
[bundle]
path = "{bundle}"
allow_demo = true
{key}
[engine]
device = "{device}"
{engine}
[[source]]
id = "di60"
path = "{root}/export"
quiet_s = {quiet_s}
scan_s = {scan_s}
max_wait_s = {max_wait_s}
{source}
{outputs}
[limits]
min_free_bytes = 1048576
min_free_drop_bytes = 1048576
attempts = {attempts}
worker_budget_s = {worker_budget_s}
[health]
socket = "{root}/run/s"
metrics_file = "{root}/run/metrics.prom"
"""


class Site:
    """Makes the folders and the configuration; starts, stops and asks the daemon."""

    def __init__(self, root: Path, *, formats: tuple[str, ...] = ("json",), ack: str = "none", **settings: Any) -> None:
        self.root = root
        self.formats = formats
        self.process: subprocess.Popen[bytes] | None = None
        self.log = root / "daemon.log"
        for name in ("export", "run", "bundle", *(f"drop-{f}" for f in formats)):
            (root / name).mkdir(parents=True, exist_ok=True)
        outputs = "\n".join(f'[[output]]\nformat = "{f}"\npath = "{root}/drop-{f}"\nack = "{ack}"' for f in formats)
        values = {"quiet_s": 1, "scan_s": 0.1, "max_wait_s": 1800, "attempts": 3, "worker_budget_s": 60, "source": "",
                  "bundle": root / "bundle", "key": "", "device": "cpu", "engine": ""}  # fmt: skip
        self.test_analyzer = settings.pop("test_analyzer", "tests.fault.fake_analyzer:open_fake_analyzer")
        values |= settings
        self.config = root / "mds-edge.toml"
        self.config.write_text(CONFIG.format(root=root, outputs=outputs, **values))

    @property
    def export(self) -> Path:
        return self.root / "export"

    def drop(self, name: str = "json") -> Path:
        return self.root / f"drop-{name}"

    def results(self, name: str = "json") -> list[Path]:
        return sorted(p for p in self.drop(name).iterdir() if not p.name.startswith("."))

    def command(self, *arguments: str) -> list[str]:
        extra = ["--test-analyzer", self.test_analyzer] if self.test_analyzer else []
        return [sys.executable, "-m", "edge.commands.daemon", "--config", str(self.config), *extra, *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        return os.environ | {"MDS_EDGE_TEST_ANALYZER": "1", "PYTHONPATH": str(REPOSITORY)} | more

    def start(self, **environment: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), env=self.environment(**environment), stderr=log, stdout=log, cwd=REPOSITORY
            )

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(DEADLINE_S)
        self.process = None
        return status

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self.process = None

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE_S)

    def children(self) -> dict[str, int]:
        """Return the running children by the module they run."""
        assert self.process is not None
        found = {}
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in task.read_text().split() if task.exists() else ():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_text()
            except OSError:
                continue
            for name in ("scanner", "worker", "deliver", "plan_builder"):
                if f"edge.daemon.{name} " in command:
                    found[name] = int(pid)
        return found

    def ask(self, command: str, **facts: Any) -> dict[str, Any]:
        return reply_from_daemon(self.root / "run" / "s", {"command": command, **facts})

    def state_of(self, slide_key: str) -> str:
        reply = self.ask("show", slide=f"di60/{slide_key}")
        return str(reply["slide"]["state"]) if reply["ok"] else "UNKNOWN"

    def wait_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended: {self.log.read_text()[-3000:]}")
            return (self.root / "run" / "s").exists() and self.answers()

        self.wait_for(is_ready, "the daemon answers")

    def answers(self) -> bool:
        from edge.errors import EdgeError

        try:
            return bool(self.ask("status")["ready"])
        except EdgeError:
            return False

    def wait_for(self, condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
        end = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"never happened: {what}\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def wait_state(self, slide_key: str, state: str) -> None:
        self.wait_for(lambda: self.state_of(slide_key) == state, f"{slide_key} is {state}")

    def journal(self) -> sqlite3.Connection:
        """Open the journal of a stopped daemon for reading."""
        assert self.process is None
        return sqlite3.connect(self.root / "state" / "journal.sqlite")


def write_slide(
    export: Path, name: str, *, cells: int = 3, sample_id: str | None = "", contents: tuple[bytes, ...] = ()
) -> Path:
    """Export one slide under a temporary name and rename it: complete from the first look on."""
    folder = export / f".{name}.part"
    folder.mkdir()
    for index in range(cells):
        body = contents[index] if index < len(contents) else jpeg_like(f"{name}/{index}")
        (folder / f"{index:04d}.jpg").write_bytes(body)
    if sample_id is not None:
        (folder / "slide.json").write_text(json.dumps({"sample_id": sample_id or f"S-{name}"}))
    final = export / name
    folder.rename(final)
    return final


def jpeg_like(seed: str) -> bytes:
    """Bytes that begin as a JPEG does and are different for every seed."""
    return b"\xff\xd8\xff\xe0" + hashlib.sha256(seed.encode()).digest() * 8


def findings_of(site: Site, names: list[str], format_name: str = "json") -> dict[str, int]:
    """Count what went wrong with a stopped site, by reading files and journal alone."""
    lost, duplicate, torn = [], [], []
    by_key: dict[str, list[Path]] = {}
    for path in site.results(format_name):
        try:
            record = json.loads(path.read_bytes())
            by_key.setdefault(record["slide"]["slide_key"], []).append(path)
        except ValueError:
            torn.append(path.name)
    for name in names:
        found = by_key.get(name, [])
        lost += [name] if not found else []
        duplicate += [name] if len(found) > 1 else []
    connection = site.journal()
    states = dict(connection.execute("SELECT slide_key, state FROM slides"))
    archived = {p.stem for p in (site.root / "state" / "archive").glob("*/*.json")}
    recorded = {row[0] for row in connection.execute("SELECT message_id FROM revisions")}
    staging = [
        p.name for f in site.formats for p in (site.drop(f) / ".mds-edge-staging").iterdir() if p.name not in OWN_NAMES
    ]
    hidden = [
        p.name
        for f in site.formats
        for p in site.drop(f).iterdir()
        if p.name.startswith(".") and p.name != ".mds-edge-staging"
    ]
    leftovers = [str(p) for p in (site.root / "state").rglob(".*.tmp")]
    incoming = list((site.root / "state" / "spool" / "incoming").iterdir())
    check = verify_audit(connection)
    integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    return {
        "lost": len(lost), "duplicate": len(duplicate), "torn": len(torn),
        "not_closed": sum(states.get(name) != "CLOSED" for name in names),
        "without_record": len(recorded - archived), "unrecorded": len(archived - recorded),
        "temporary_files": len(staging) + len(hidden) + len(leftovers) + len(incoming),
        "audit_broken": int(check.broken_at is not None), "journal_damaged": int(integrity != "ok"),
    }  # fmt: skip
