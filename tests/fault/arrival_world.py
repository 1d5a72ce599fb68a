"""One source of a laboratory in this process: a real folder, the real scanner, spool and journal, a clock of ours.

The scanner and the supervisor's side of it run as they are; only their clock, their pipe and the worker are stand-ins.
The pipe may be cut at any message (`crash`), the folder changed between any two files of a copy (`during_copy`).

    world.pass_time(10)      so many seconds, a look every `scan_s`, everything that follows from it
    world.results            [(slide key, {file: bytes})] in the order in which the worker got them
    world.early              what was taken although it had changed too lately, or was promised more
"""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import edge.daemon.scanner as scanner_module
from edge.config import config_from_text
from edge.daemon.books import Books, opened_books
from edge.daemon.channel import Message
from edge.daemon.house import House
from edge.daemon.recovery import recover_state
from edge.daemon.scanner import Scanner
from edge.daemon.sources import SourceKeeper
from edge.errors import EdgeError, printable
from edge.journal_results import NewRevision
from edge.journal_rows import SlideRow

QUIET_S, SCAN_S, MAX_WAIT_S = 10.0, 2.0, 300.0
MARKER = "done.ok"
CONFIG = """
[site]
id = "T"
timezone = "UTC"
state_dir = "{root}/state"
[bundle]
path = "{root}/bundle"
[[source]]
id = "di60"
path = "{root}/export"
quiet_s = {quiet}
scan_s = {scan}
max_wait_s = {wait}
marker = ["done.ok"]
late_policy = "hold"
[[output]]
format = "json"
path = "{root}/drop"
ack = "none"
[limits]
min_free_bytes = 1048576
"""


@dataclass
class Clock:
    """Seconds that only we move. Stands in for the scanner's `time`."""

    now_s: float = 1000.0

    def monotonic(self) -> float:
        return self.now_s


class NoEvents:
    """Stands in for the events of the file system: none ever comes, as on a share."""

    problem = ""

    def __init__(self, root: Path) -> None:
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._reading

    def take_changed(self) -> set[str]:
        return set()

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)


class Pipe:
    """The channel between scanner and supervisor, both ends; a message is bytes' worth of JSON and nothing else."""

    def __init__(self) -> None:
        self.to_supervisor: deque[Message] = deque()
        self.to_scanner: deque[Message] = deque()
        self._nothing, self._other = os.pipe2(os.O_CLOEXEC)

    # The scanner's end.
    def fileno(self) -> int:
        """Return a descriptor that never tells of anything: messages wait in `to_scanner`."""
        return self._nothing

    @property
    def holds_messages(self) -> bool:
        return bool(self.to_scanner)

    def send(self, header: dict[str, Any], blobs: tuple[bytes, ...] = ()) -> None:
        self.to_supervisor.append(Message(json.loads(json.dumps(header))))

    def receive(self, timeout_s: float | None = None) -> Message | None:
        return self.to_scanner.popleft() if self.to_scanner else None

    def close(self) -> None:
        os.close(self._nothing)
        os.close(self._other)


class SupervisorEnd:
    """What the keeper takes for its child."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def send(self, header: dict[str, Any], blobs: tuple[bytes, ...] = ()) -> None:
        self._pipe.to_scanner.append(Message(json.loads(json.dumps(header))))

    def expect_within(self, budget_s: float | None, now_s: float) -> None:
        """Nothing hangs here."""


@dataclass
class World:
    """See the module. Make it with `opened_world`."""

    root: Path
    clock: Clock
    changed_at_s: dict[str, float] = field(default_factory=dict)
    promised: dict[str, int] = field(default_factory=dict)
    results: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    during_copy: Callable[[], None] | None = None
    wall: datetime = datetime(2026, 11, 28, tzinfo=UTC)
    quiet_s: float = QUIET_S

    @property
    def export(self) -> Path:
        return self.root / "export"

    # ---- the daemon

    def start(self) -> None:
        text = CONFIG.format(root=self.root, quiet=self.quiet_s, scan=SCAN_S, wait=MAX_WAIT_S)
        self._held = opened_books(config_from_text(text), lambda: self.wall + timedelta(seconds=self.clock.now_s))
        self.books: Books = self._held.__enter__()
        recover_state(self.books)
        self.house = House(self.books, self.clock.monotonic)
        self.keeper = SourceKeeper(self.house, self.books.config.sources[0])
        self.pipe = Pipe()
        self.keeper.child = SupervisorEnd(self.pipe)  # type: ignore[assignment]  # stands for the real one
        self.keeper.begin(self.keeper.child)  # type: ignore[arg-type]  # stands for the real one
        settings = self.pipe.receive()
        assert settings is not None
        self.scanner = Scanner(self.pipe, dict(settings.header))  # type: ignore[arg-type]  # stands for the real one
        self.scanner._alive = self._between_files  # type: ignore[method-assign]  # stands for the real one

    def crash(self) -> None:
        """Everything that is not on the disk is gone; messages under way are lost."""
        self._let_go()
        self.start()

    def _let_go(self) -> None:
        self._held.__exit__(None, None, None)
        self.house.selector.close()
        self.pipe.close()
        if self.scanner._events is not None:
            self.scanner._events.close()

    def _between_files(self) -> None:
        if self.during_copy is not None and self.keeper._fetching is not None:
            change, self.during_copy = self.during_copy, None
            change()

    def pass_time(self, seconds: float, *, crash_after: int | None = None) -> None:
        """Let time pass, a look every `SCAN_S`; `crash_after` so many messages everything dies and begins anew."""
        end_s = self.clock.now_s + seconds
        while self.clock.now_s < end_s:
            self.clock.now_s += SCAN_S
            self.scanner.look(set())
            for _ in range(8):
                if crash_after is not None and crash_after <= len(self.pipe.to_supervisor):
                    for _ in range(crash_after):
                        self._book()
                    crash_after = None
                    self.crash()
                    break
                if not self._turn():
                    break

    def _turn(self) -> bool:
        busy = bool(self.pipe.to_supervisor or self.pipe.to_scanner)
        while self.pipe.to_supervisor:
            self._book()
        self.keeper.work()
        self.scanner._obey(0.0)
        self._work()
        return busy or bool(self.pipe.to_supervisor)

    def _book(self) -> None:
        message = self.pipe.to_supervisor.popleft()
        if message.kind == "fetched":
            self._note_early(str(message.header["folder"]))
        self.keeper.on_message(message)

    def _note_early(self, name: str) -> None:
        """The copy was made just now: judge it by what we did to the folder."""
        row = self.books.journal.slides.newest("di60", printable(name))
        if row is None or row.released or row.state not in ("SETTLED", "SPOOLED"):
            return
        folder = self.export / name
        quiet_s = min(self.quiet_s, 5.0) if (folder / MARKER).exists() else self.quiet_s
        waited_s = self.clock.now_s - self.changed_at_s.get(name, float("-inf"))
        if waited_s < quiet_s:
            self.early.append(f"{name} was taken {waited_s:g} s after its last change")
        cells = len(list(folder.glob("*.jpg"))) if folder.is_dir() else 0
        if cells < self.promised.get(name, 1):
            self.early.append(f"{name} was taken with {cells} of {self.promised.get(name, 1)} cells")

    def _work(self) -> None:
        """The worker: every spooled slide gets its result at once."""
        for slide in self.books.journal.slides.in_states(["SPOOLED"]):
            self.finish(slide)

    def finish(self, slide: SlideRow) -> None:
        """Book a result of a spooled slide, as delivered."""
        files = self.books.folders.spool / str(slide.spool_name) / "files"
        content = {path.name: path.read_bytes() for path in sorted(files.iterdir())}
        self.results.append((slide.slide_key, content))
        made = self.books.journal.results.revisions_of_folder(slide.source, slide.slide_key)
        number = max((row.number for row in made), default=0) + 1
        message_id = f"{(slide.idempotency_key or '')[:12].upper()}.R{number}"
        new = NewRevision(number, message_id, "P", "T", "0" * 64, None, "0" * 64, None, "daemon", None)
        with self.books.journal.change():
            self.books.journal.results.add_revision(slide.id, new, [])
            self.books.journal.slides.move(slide.id, "COMPUTED", attempts=0)
            self.books.journal.slides.move(slide.id, "CLOSED")

    # ---- the analyzer

    def make(self, name: str, *, sample_id: str | None = None, promised: int | None = None) -> None:
        """Make a slide's folder with its metadata."""
        folder = self.export / name
        folder.mkdir()
        document: dict[str, Any] = {"sample_id": sample_id or f"S-{name}"}
        if promised is not None:
            document["expected"] = {"wbc": promised}
            self.promised[name] = promised
        (folder / "slide.json").write_text(json.dumps(document))
        self.touched(name)

    def write(self, name: str, file: str, content: bytes, *, mtime_s: float | None = None) -> None:
        """Write one file; `mtime_s` as a copy tool may set it."""
        path = self.export / name / file
        # A marker that is there says the same when it is written once more: nothing of the slide has changed.
        says_nothing_new = file == MARKER and path.exists()
        path.write_bytes(content)
        if mtime_s is not None:
            os.utime(path, (mtime_s, mtime_s))
        if not says_nothing_new:
            self.touched(name)

    def touched(self, name: str) -> None:
        """Note that a folder changed now."""
        self.changed_at_s[name] = self.clock.now_s

    def rename(self, name: str, new: str) -> None:
        """Rename a folder."""
        (self.export / name).rename(self.export / new)
        for facts in (self.changed_at_s, self.promised):
            if name in facts:
                facts[new] = facts.pop(name)  # type: ignore[index, assignment]  # stands for the real one

    def remove(self, name: str) -> None:
        """Remove a folder with all in it."""
        shutil.rmtree(self.export / name)

    def state(self, name: str) -> str:
        """Return the state of the folder's newest slide; "" where the books do not know it."""
        row = self.books.journal.slides.newest("di60", printable(name))
        return "" if row is None else row.state

    def alarms(self) -> str:
        """Return the alarms in words."""
        return " | ".join(f"{alarm['name']}: {alarm['text']}" for alarm in self.house.alarms.listed(self.clock.now_s))


@contextmanager
def opened_world(root: Path, *, quiet_s: float = QUIET_S) -> Iterator[World]:
    """Yield a world with one finished slide, OLD, so that a source that lost a folder is no source that is away."""
    for name in ("export", "drop", "bundle"):
        (root / name).mkdir()
    clock = Clock()
    real_time, real_events = scanner_module.time, scanner_module.FolderEvents
    scanner_module.time, scanner_module.FolderEvents = clock, NoEvents  # type: ignore[assignment, misc]  # stands for the real one
    world = World(root, clock, quiet_s=quiet_s)
    try:
        world.start()
        world.make("OLD")
        world.write("OLD", "1.jpg", b"\xff\xd8\xffold")
        world.pass_time(3 * quiet_s)
        if [key for key, _ in world.results] != ["OLD"]:
            raise EdgeError("MDSE-DAEMON-005", where=str(root), reason="the first slide got no result")
        world.results.clear()
        yield world
    finally:
        scanner_module.time, scanner_module.FolderEvents = real_time, real_events  # type: ignore[misc]  # stands for the real one
        world._let_go()
