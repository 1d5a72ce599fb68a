"""Any order in which an analyzer, a person and a power switch may act on an export folder, against a model of it.

The model knows what was done to each folder and when. Three things must never be: a slide taken early (`EarlyError`), a
whole slide without a result or stated reason (`MissedError`), a slide with two results (`TwiceError`).
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.fault.arrival_world import MARKER, QUIET_S, SCAN_S, World, opened_world

FILE_TIMES = (None, None, None, 315_532_800.0, 0.0, 4_102_444_800.0)
"""As a copy tool leaves them: now, 1980, 1970, 2100."""
PAUSES = st.sampled_from((0.0, 0.0, 2.0, 6.0, 20.0, 60.0))
"""How long after an act until the next."""
FOLDERS_MAX = 5
SETTLES_IN_S = 4 * QUIET_S + 20 * SCAN_S
STATED = ("HELD", "QUARANTINED", "LATE", "DUPLICATE")


class EarlyError(AssertionError):
    """A slide was taken before it was complete."""


class MissedError(AssertionError):
    """A slide has neither a result nor a stated reason."""


class TwiceError(AssertionError):
    """A slide has two results."""


class ArrivalMachine(RuleBasedStateMachine):
    """One schedule. `place` is a folder for the worlds, set by who runs it."""

    place: ClassVar[Path]
    schedules: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).schedules += 1
        self._stack = ExitStack()
        self._root = self.place / f"world-{type(self).schedules}"
        self._root.mkdir()
        self._stack.callback(shutil.rmtree, self._root, ignore_errors=True)
        self.world: World = self._stack.enter_context(opened_world(self._root))
        self._count = 0

    def _fresh(self) -> str:
        self._count += 1
        return f"{self._count:03d}"

    def _folders(self) -> list[str]:
        return sorted(p.name for p in self.world.export.iterdir() if p.name != "OLD" and not p.name.startswith("."))

    def _pick(self, which: int) -> str | None:
        names = self._folders()
        return names[which % len(names)] if names else None

    # ---- the analyzer

    @precondition(lambda self: len(self._folders()) < FOLDERS_MAX)
    @rule(promised=st.none() | st.integers(1, 3), first=st.booleans(), when=st.sampled_from(FILE_TIMES), then=PAUSES)
    def make(self, promised: int | None, first: bool, when: float | None, then: float) -> None:
        name = f"S{self._fresh()}"
        self.world.make(name, promised=promised)
        if first:
            self.world.write(name, "0.jpg", self._picture(), mtime_s=when)
        self._pause(then)

    @rule(which=st.integers(0, 9), when=st.sampled_from(FILE_TIMES), then=PAUSES)
    def write(self, which: int, when: float | None, then: float) -> None:
        if name := self._pick(which):
            self.world.write(name, f"{self._fresh()}.jpg", self._picture(), mtime_s=when)
        self._pause(then)

    def _picture(self) -> bytes:
        return b"\xff\xd8\xff" + self._fresh().encode()

    @rule(which=st.integers(0, 9))
    def lengthen(self, which: int) -> None:
        """A file grows, as one does while it is copied."""
        if (name := self._pick(which)) and (files := sorted((self.world.export / name).glob("*.jpg"))):
            self.world.write(name, files[-1].name, files[-1].read_bytes() + b"more")

    @rule(which=st.integers(0, 9), when=st.sampled_from((1.0, 1e9, 2e9)))
    def touch(self, which: int, when: float) -> None:
        if (name := self._pick(which)) and (files := sorted((self.world.export / name).glob("*.jpg"))):
            self.world.write(name, files[0].name, files[0].read_bytes(), mtime_s=when + self.world.clock.now_s)

    @rule(which=st.integers(0, 9))
    def mark(self, which: int) -> None:
        if name := self._pick(which):
            self.world.write(name, MARKER, b"")

    @rule(which=st.integers(0, 9), then=PAUSES)
    def rename(self, which: int, then: float) -> None:
        if name := self._pick(which):
            self.world.rename(name, f"R{self._fresh()}")
        self._pause(then)

    @rule(which=st.integers(0, 9), then=PAUSES)
    def remove(self, which: int, then: float) -> None:
        if name := self._pick(which):
            self.world.remove(name)
        self._pause(then)

    @rule(which=st.integers(0, 9), act=st.sampled_from(("write", "remove", "rename", "lengthen")))
    def disturb_the_next_copy(self, which: int, act: str) -> None:
        """Something happens between two files of the next copy."""
        acts = {
            "write": lambda: self.write(which=which, when=None, then=0.0),
            "remove": lambda: self.remove(which=which, then=0.0),
            "rename": lambda: self.rename(which=which, then=0.0),
            "lengthen": lambda: self.lengthen(which=which),
        }
        self.world.during_copy = acts[act]

    # ---- time, and the power switch

    def _pause(self, seconds: float) -> None:
        if seconds:
            self.world.pass_time(seconds)
            self._check()

    @rule(seconds=st.sampled_from((2.0, 14.0, 40.0)), after=st.integers(0, 3))
    def crash(self, seconds: float, after: int) -> None:
        """The power goes after so many messages of a look, or at the end."""
        self.world.pass_time(seconds, crash_after=after)
        self.world.crash()
        self._check()

    # ---- what must hold

    def _check(self) -> None:
        if self.world.early:
            raise EarlyError(self.world.early[0])
        twice = [key for key, count in Counter(key for key, _ in self.world.results).items() if count > 1]
        same = Counter(
            tuple(sorted(v for k, v in files.items() if k.endswith("jpg"))) for _, files in self.world.results
        )
        if twice or any(count > 1 for count in same.values()):
            raise TwiceError(f"{twice or 'the same images under two names'}")

    def teardown(self) -> None:
        try:
            self.world.during_copy = None
            self.world.pass_time(SETTLES_IN_S)
            self._check()
            for name in self._folders():
                self._check_folder(name)
        finally:
            self._stack.close()

    def _check_folder(self, name: str) -> None:
        state, folder = self.world.state(name), self.world.export / name
        now = {path.name: path.read_bytes() for path in folder.glob("*.jpg")}
        got = [files for key, files in self.world.results if key == name]
        whole = len(now) >= self.world.promised.get(name, 1)
        if got and state not in ("CLOSED", *STATED):
            raise MissedError(f"{name} has a result and is {state}")
        taken = {k: v for k, v in got[0].items() if k.endswith("jpg")} if got else {}
        if got and state == "CLOSED" and taken != now:
            raise MissedError(f"{name} changed after its result and nobody was told")
        if not got and whole and state not in STATED:
            raise MissedError(f"{name} is whole and {state or 'unknown'}")
        if not whole and not got and state in ("CLOSED", "COMPUTED"):
            raise EarlyError(f"{name} is not whole and {state}")
