"""A laboratory in one process for what people decide: real scanner, keepers, books and commands, a clock of ours.

    world.show("A", Content(("a", "b"), "S1", None))   what an analyzer leaves in a folder; None removes the folder
    world.settle()                                     time for all that follows from it
    world.decide("withdraw", "A")                      a person's command; "" or the code of the refusal
    world.rest()                                       long enough for every pause between two tries

Children, drop folders and receiver are stand-ins in memory (`decision_stand_ins`); `decision_judge` is told what
happens and judges it. Nothing is synced: what a power cut leaves is the sweeps' business.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import edge.daemon.intents as intents_module
import edge.daemon.scanner as scanner_module
import edge.record_text as record_text_module
from edge.audit import verify_audit
from edge.config import config_from_text
from edge.daemon.analysis import AnalysisKeeper
from edge.daemon.books import Books, opened_books
from edge.daemon.house import House
from edge.daemon.missed import plan_missed_results
from edge.daemon.outbox import OutputKeeper
from edge.daemon.recovery import recover_state
from edge.daemon.requests import answer_request
from edge.daemon.retention import purge_old_copies
from edge.daemon.scanner import Scanner
from edge.daemon.sources import SourceKeeper
from edge.daemon.waiting import raise_alarms_for_people
from edge.errors import EdgeError
from tests.fault.arrival_world import Clock, NoEvents, Pipe, SupervisorEnd
from tests.fault.decision_judge import Content, CrashError, Judge, UnrestError
from tests.fault.decision_stand_ins import DelivererHere, DropFolder, Moods, PlainWriter, WorkerHere

QUIET_S, SCAN_S = 4.0, 2.0
# A folder that was gone and comes back with other files takes two looks more: its earlier look is told first.
LOOKS_TO_SETTLE = 8
TURNS_MAX = 300
RETENTION_DAYS = 30
CONFIG = """
site = {{ id = "T", timezone = "UTC", state_dir = "{root}/state" }}
bundle = {{ path = "{root}/bundle", allow_demo = true }}
retention = {{ days = {days} }}
[[source]]
id = "di60"
path = "{root}/export"
quiet_s = {quiet}
scan_s = {scan}
late_policy = "{late_policy}"
[[output]]
format = "hl7"
path = "{root}/first"
ack = "ack-file"
"""
SECOND = """
[[output]]
format = "json"
path = "{root}/second"
ack = "none"
"""


@dataclass
class World:
    """See the module. Make it with `opened_world`."""

    root: Path
    judge: Judge
    clock: Clock = field(default_factory=Clock)
    moods: Moods = field(default_factory=Moods)
    late_policy: str = "hold"
    has_second: bool = True
    wall: datetime = datetime(2026, 11, 28, tzinfo=UTC)
    drops: dict[str, DropFolder] = field(default_factory=dict)
    _written: int = 0
    _changed: set[str] = field(default_factory=set)

    # ---- the daemon

    def start(self) -> None:
        """Begin a supervisor's life on the books as they are."""
        text = (CONFIG + SECOND * self.has_second).format(
            root=self.root, days=RETENTION_DAYS, quiet=QUIET_S, scan=SCAN_S, late_policy=self.late_policy
        )
        self._held = opened_books(config_from_text(text), lambda: self.wall + timedelta(seconds=self.clock.now_s))
        self.books: Books = self._held.__enter__()
        recover_state(self.books)
        plan_missed_results(self.books)
        self.house = House(self.books, self.clock.monotonic)
        self._start_outputs()
        self._start_worker()
        self._start_source()

    def _start_outputs(self) -> None:
        self.outputs = [
            OutputKeeper(self.house, output, index) for index, output in enumerate(self.books.config.outputs)
        ]
        for keeper in self.outputs:
            name = keeper.output.path.name
            drop = self.drops.setdefault(name, DropFolder(name, self._on_published))
            keeper.child = DelivererHere(drop)  # type: ignore[assignment]  # stands for the real one
            keeper.begin(keeper.child)  # type: ignore[arg-type]  # stands for the real one

    def _start_worker(self) -> None:
        self.analysis = AnalysisKeeper(self.house)
        self.analysis.end_child = self._end_worker  # type: ignore[method-assign]  # stands for the real one
        self._employ_worker()

    def _employ_worker(self) -> None:
        self.analysis.child = WorkerHere(self.moods, self._on_begin)  # type: ignore[assignment]  # stands for the real one
        self.analysis.begin(self.analysis.child)  # type: ignore[arg-type]  # stands for the real one

    def _end_worker(self, reason: str, *, expected: bool = False) -> None:
        self.analysis.child = None
        self.analysis.on_end(reason)

    def _start_source(self) -> None:
        self.source = SourceKeeper(self.house, self.books.config.sources[0])
        self.source.is_working_on = lambda slide_id: self.analysis.in_work == slide_id
        self.pipe = Pipe()
        self.source.child = SupervisorEnd(self.pipe)  # type: ignore[assignment]  # stands for the real one
        self.source.begin(self.source.child)  # type: ignore[arg-type]  # stands for the real one
        settings = self.pipe.to_scanner.popleft()
        self.scanner = Scanner(self.pipe, dict(settings.header))  # type: ignore[arg-type]  # stands for the real one
        self._obey()

    def restart(self, *, killed: bool = False) -> None:
        """End the supervisor, as a stop does or as SIGKILL does, and begin the next with its present settings."""
        with self.guarded():
            if not killed:
                self.house.stopping = True
                self.analysis.on_end("the daemon stops")
                self.source.on_end("the daemon stops")
            self.let_go()
            self.start()
        self.judge.on_restart()

    def let_go(self) -> None:
        """Close what is open; nothing is booked."""
        self._held.__exit__(None, None, None)
        self.house.selector.close()
        self.pipe.close()
        if self.scanner._events is not None:
            self.scanner._events.close()

    # ---- time

    def settle(self) -> None:
        """Let so much time pass that a folder which stands still is read, and all is done that follows from it."""
        for _ in range(LOOKS_TO_SETTLE):
            self._look()
        raise_alarms_for_people(self.house)
        self.judge.on_settled(self.books)

    def rest(self) -> None:
        """Let hours pass, so that everything that was to be tried again is tried again."""
        for _ in range(3):
            self.clock.now_s += 4000.0
            self.settle()

    def _look(self) -> None:
        self.clock.now_s += SCAN_S
        with self.guarded():
            self.scanner.look(self._changed)
        self._changed = set()
        self.work()

    def work(self) -> None:
        """Let the daemon do all that it can do at this moment."""
        with self.guarded():
            for _ in range(TURNS_MAX):
                if not self._turn():
                    return
        raise UnrestError(f"the daemon was still at work after {TURNS_MAX} turns")

    def _turn(self) -> bool:
        busy = False
        for keeper in self.outputs:
            keeper.work()
            busy |= self._hear(keeper, keeper.child.answers)  # type: ignore[union-attr]  # stands for the real one
        if self.analysis.child is None:
            self._employ_worker()
        self.analysis.work()
        if not (self.moods.is_slow and self.analysis.in_work is not None):
            busy |= self._hear(self.analysis, self.analysis.child.answers)  # type: ignore[union-attr]  # stands for the real one
        while self.pipe.to_supervisor:
            self.source.on_message(self.pipe.to_supervisor.popleft())
            busy = True
        self.source.work()
        return self._obey() or busy

    def _hear(self, keeper: Any, answers: list[Any]) -> bool:
        waiting, answers[:] = list(answers), []
        for answer in waiting:
            keeper.on_message(answer)
        return any(answer.kind != "acks" for answer in waiting)

    def _obey(self) -> bool:
        if not self.pipe.to_scanner:
            return False
        self.scanner._obey(0.0)
        return True

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn what leaves the product into a fault that says where it came from."""
        try:
            yield
        except AssertionError:
            raise
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.name})"
            raise CrashError(text) from error

    # ---- the analyzer

    def show(self, folder: str, content: Content | None) -> None:
        """Let a folder hold exactly this; None: it is gone."""
        self._changed.add(folder)
        self.judge.on_shown(folder, content)
        place = self.root / "export" / folder
        if content is None:
            shutil.rmtree(place, ignore_errors=True)
            return
        place.mkdir(exist_ok=True)
        wanted = content.files()
        for path in list(place.iterdir()):
            if path.name not in wanted or path.is_symlink():
                path.unlink()
        for name, data in wanted.items():
            self._write(place / name, data)
        if content.bad:
            (place / "9.jpg").symlink_to("1.jpg")

    def touch(self, folder: str) -> None:
        """Give a file of the folder another time."""
        self._changed.add(folder)
        path = self.root / "export" / folder / "slide.json"
        self._write(path, path.read_bytes())

    def _write(self, path: Path, data: bytes) -> None:
        # Times of our own: two writes within one tick of the file system's clock would look alike.
        self._written += 1
        path.write_bytes(data)
        os.utime(path, ns=(self._written * 10**9, self._written * 10**9))

    # ---- people, and what the receiver says

    def decide(self, command: str, name: str) -> str:
        """Carry out a person's command as the control socket does; return "" or the code of the refusal."""
        before = self.judge.before_command(self.books)
        request = {"command": command, "slide": name, "by": "K. Sato", "reason": "because"}
        with self.guarded():
            try:
                reply = answer_request(self.books, request, uid=1)
            except EdgeError as error:
                self.judge.on_refused(command, name, error, before)
                return error.code
            row = self.books.journal.slides.get(reply["slide"])
            self.source.tell(row)
        self.judge.on_decided(command, name, reply, before)
        self.work()
        return ""

    def ask(self, request: dict[str, Any]) -> None:
        """Put a request of any form to the control socket."""
        with self.guarded(), contextlib.suppress(EdgeError):
            answer_request(self.books, request, uid=1)

    def answer(self, which: int, said: str) -> None:
        """Let the receiver of the first output answer to one of its results."""
        drop = self.drops["first"]
        waiting = [name for name in drop.files if name not in drop.answers]
        if not waiting:
            return
        name = waiting[which % len(waiting)]
        drop.answers[name] = ("accepted" if said == "accepted" else "refused", "said", said == "refused for now")
        if said != "accepted":
            self.judge.on_receiver_refused("first", name)
        self.clock.now_s += SCAN_S
        self.work()

    def keep_for_long(self) -> None:
        """Let the retention pass."""
        self.wall += timedelta(days=RETENTION_DAYS + 1)
        with self.guarded():
            while purge_old_copies(self.books):
                pass
        self.judge.on_purged(self.books)

    # ---- what the judge is told

    def _on_published(self, output: str, name: str, content: bytes) -> None:
        self.judge.on_published(output, name, content)

    def _on_begin(self, order: dict[str, Any]) -> None:
        copy = {path.name: path.read_bytes() for path in sorted(Path(order["folder"]).iterdir())}
        self.judge.on_begin(self.analysis.in_work or 0, order, copy)

    def alarms(self) -> set[str]:
        """Return the names of the alarms that are up."""
        return {str(alarm["name"]) for alarm in self.house.alarms.listed(self.clock.now_s)}

    def prove_books(self) -> None:
        """Raise a fault when the journal or its audit is damaged."""
        (found,) = self.books.journal.connection.execute("PRAGMA integrity_check").fetchone()
        check = verify_audit(self.books.journal.connection)
        if found != "ok" or check.broken_at is not None:
            raise CrashError(f"the journal: {found}, {check.reason}")

    def standing(self) -> list[tuple[Any, ...]]:
        """Return what must not change by itself."""
        query = "SELECT id, state, manifest_sha256, spool_name, sample_id FROM slides ORDER BY id"
        rows = self.books.journal.connection.execute(query).fetchall()
        return [*rows, *self.books.journal.connection.execute("SELECT id, state FROM deliveries ORDER BY id")]


@contextlib.contextmanager
def opened_world(root: Path) -> Iterator[World]:
    """Yield a world with one finished slide, OLD, so that a source that lost a folder is no source that is away."""
    for name in ("export", "first", "second", "bundle"):
        (root / name).mkdir()
    world = World(root, Judge())
    with (
        # Writers and the proofs of a record have tests of their own, and take most of the time here.
        patch.object(intents_module, "writer_for", lambda *_: PlainWriter()),
        patch.object(record_text_module, "first_fault", lambda _: ""),
        patch.object(scanner_module, "time", world.clock),
        patch.object(scanner_module, "FolderEvents", NoEvents),
        patch.object(House, "has_room", lambda _: True),
        patch.object(os, "fsync", lambda _: None),
    ):
        world.start()
        try:
            world.show("OLD", Content(("old",), "OLD", None))
            world.settle()
            yield world
        finally:
            world.let_go()
