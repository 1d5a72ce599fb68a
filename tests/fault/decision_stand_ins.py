"""What stands in for a daemon's children and for the receiver, in this process and in memory.

WorkerHere      computes a record of the spooled copy with `FakeAnalyzer`; fails as it is told to
PlainWriter     gives the receiver the record as it is
DelivererHere   a drop folder that is a dictionary, which outlives the daemon; the receiver has every file at once
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.daemon.channel import Message
from edge.errors import EXIT_SLIDE_REJECTED, EdgeError
from edge.writers.base import RenderedFile
from tests.fault.fake_analyzer import FakeAnalyzer

UNFORESEEN, NAME_TAKEN = "MDSE-DAEMON-006", "MDSE-DELIVERY-007"


class SmallAnalyzer(FakeAnalyzer):
    """`FakeAnalyzer` without the long table of parameters."""

    def _profile(self, counts: Mapping[str, int], total: int) -> list[dict[str, Any]]:
        return []


class PlainWriter:
    """Writes a record as JSON, unproved."""

    name = "json"

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the record."""
        return RenderedFile(".json", json.dumps(record).encode())

    def check(self, content: bytes) -> None:
        """Nothing is proved."""


ANALYZER = SmallAnalyzer()
ANALYZER._seconds = 0.0


@dataclass
class Moods:
    """How the worker does: `failures` of the next analyses, first to last; while `is_slow` it keeps its answer."""

    failures: list[str] = field(default_factory=list)
    is_slow: bool = False


class WorkerHere:
    """Stands for the worker. `on_begin` is called before the files are read."""

    def __init__(self, moods: Moods, on_begin: Callable[[dict[str, Any]], None]) -> None:
        self._moods = moods
        self._on_begin = on_begin
        self.answers: list[Message] = []

    def send(self, order: dict[str, Any], blobs: tuple[bytes, ...] = ()) -> None:
        """Take an order and have its answer ready."""
        if order["kind"] == "begin":
            self.answers.append(Message({"kind": "ready", **ANALYZER.facts, "engine": "none"}))
            return
        self._on_begin(order)
        failure = self._moods.failures.pop(0) if self._moods.failures else ""
        self.answers.append(failed(failure) if failure else self._analyzed(order))

    def _analyzed(self, order: dict[str, Any]) -> Message:
        try:
            return Message({"kind": "analyzed"}, ANALYZER.analyze(order))
        except EdgeError as error:
            kind = "rejected" if error.exit_status == EXIT_SLIDE_REJECTED else "failed"
            return Message({"kind": kind, "code": error.code, "text": str(error), "retry": False})

    def expect_within(self, budget_s: float | None, now_s: float) -> None:
        """Nothing hangs here."""


def failed(kind: str) -> Message:
    """Return a failure of an analysis: of the `slide`, of the `program` (counted) or of the `disk` (tried again)."""
    if kind == "slide":
        return Message({"kind": "rejected", "code": "MDSE-SLIDE-003", "text": "no cell can be read"})
    facts = {"kind": "failed", "code": UNFORESEEN, "text": kind, "retry": kind == "disk"}
    return Message(facts | {"errno": errno.EIO if kind == "disk" else 0})


@dataclass
class DropFolder:
    """What outlives a deliverer: the files of one output, and what the receiver will say of them."""

    name: str
    on_published: Callable[[str, str, bytes], None]
    staged: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    identity: str = ""


class DelivererHere:
    """Stands for the deliverer of one output: carries out each order at once."""

    def __init__(self, drop: DropFolder) -> None:
        self._drop = drop
        self.answers: list[Message] = []

    def send(self, order: dict[str, Any], blobs: tuple[bytes, ...] = ()) -> None:
        """Carry an order out."""
        if order["kind"] != "begin":
            answer = getattr(self, f"_{order['kind']}")(order, *blobs)
            self.answers.append(Message({"id": order.get("id", 0), "free_bytes": None, **answer}))

    def expect_within(self, budget_s: float | None, now_s: float) -> None:
        """Nothing hangs here."""

    def _claim(self, order: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "claimed", "identity": self._drop.identity}

    def _prepare(self, order: dict[str, Any]) -> dict[str, Any]:
        self._drop.identity = self._drop.identity or f"identity of {self._drop.name}"
        return {"kind": "ready", "identity": self._drop.identity, "method": "rename"}

    def _recover(self, order: dict[str, Any]) -> dict[str, Any]:
        states = [[number, self._place_of(staged, final)] for number, staged, final in order["staged"]]
        kept = {staged for _, staged, _ in order["staged"]}
        swept = [name for name in self._drop.staged if name not in kept]
        for name in swept:
            del self._drop.staged[name]
        return {"kind": "recovered", "states": states, "swept": swept, "removed": []}

    def _place_of(self, staged: str, final: str) -> str:
        return "staged" if staged in self._drop.staged else "published" if final in self._drop.files else "gone"

    def _stage(self, order: dict[str, Any], content: bytes) -> dict[str, Any]:
        self._drop.staged[order["staged_name"]] = content
        return {"kind": "staged"}

    def _publish(self, order: dict[str, Any]) -> dict[str, Any]:
        name, content = order["final_name"], self._drop.staged[order["staged_name"]]
        if name in self._drop.files:
            return {"kind": "failed", "code": NAME_TAKEN, "text": f"{name} is there"}
        if hashlib.sha256(content).hexdigest() != order["sha256"]:
            raise AssertionError(f"{name} is published with other bytes than were rendered")
        del self._drop.staged[order["staged_name"]]
        self._drop.files[name] = content
        self._drop.on_published(self._drop.name, name, content)
        return {"kind": "published"}

    def _acks(self, order: dict[str, Any]) -> dict[str, Any]:
        said = [[number, *self._drop.answers.get(name, ("pending", "", False))] for number, name, _ in order["wanted"]]
        return {"kind": "acks", "states": said}
