"""A test site whose watchdog is watched, with places of its own for what fails, and a part made wrong for controls."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from tests.fault.patched_daemon import NOTIFY
from tests.fault.site import Site, findings_of
from tests.fault.watchdog_socket import WatchdogSocket


class WatchedSite(Site):
    """`wrong_part` names what tests/fault/wrong_parts.py breaks; "" is the product as it is."""

    def __init__(self, root: Path, *, wrong_part: str = "", **settings: Any) -> None:
        super().__init__(root, **settings)
        self.wrong_part = wrong_part
        self.watchdog = WatchdogSocket()
        self.extra_environment: dict[str, str] = {}
        self.started_at_s = 0.0

    def command(self, *arguments: str) -> list[str]:
        part = self.wrong_part or "nothing"
        return [sys.executable, "-m", "tests.fault.patched_daemon", part, *super().command(*arguments)[3:]]

    def start(self, **environment: str) -> None:
        self.started_at_s = time.monotonic()
        told = {NOTIFY: json.dumps(self.watchdog.environment())}
        super().start(**told, **self.extra_environment, **environment)

    def close(self) -> None:
        super().close()
        self.watchdog.close()

    def alarms(self) -> list[str]:
        """Return the names of the alarms that are up now."""
        return [str(alarm["name"]) for alarm in self.ask("status")["alarms"]]

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def waited(self, condition: Any, deadline_s: float) -> float | None:
        """Return after how many seconds the condition became true; None when the time was up before."""
        begun_s = time.monotonic()
        while not condition():
            if time.monotonic() - begun_s > deadline_s:
                return None
            time.sleep(0.05)
        return time.monotonic() - begun_s

    def published(self, *names: str) -> bool:
        """Tell whether a whole result of every named slide lies in the drop folder."""
        return set(names) <= {key_of(path) for path in self.results()}


def key_of(path: Path) -> str:
    """Return the slide key of a published record; "" of a file that is no whole record."""
    try:
        return str(json.loads(path.read_bytes())["slide"]["slide_key"])
    except (ValueError, KeyError, OSError):
        return ""


def counted_faults(site: Site, names: list[str]) -> tuple[int, int, int, str]:
    """Return lost, duplicate and torn results of a stopped site, and what else is wrong with it, in words."""
    found = findings_of(site, names)
    other = {name: count for name, count in found.items() if count and name not in ("lost", "duplicate", "torn")}
    return found["lost"], found["duplicate"], found["torn"], json.dumps(other) if other else ""


def states_ever(site: Site) -> set[str]:
    """Return every state that the journal of a stopped site ever gave a slide."""
    connection: sqlite3.Connection = site.journal()
    try:
        return {str(row[0]) for row in connection.execute("SELECT DISTINCT new FROM audit WHERE new IS NOT NULL")}
    finally:
        connection.close()
