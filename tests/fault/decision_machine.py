"""Any order in which an analyzer, people, a receiver and time may act on a few slides, judged by `decision_judge`.

Folders, samples and images are few, so that what seldom meets in a laboratory meets here. A fault names the acts that
led to it, one a line; hypothesis shortens them first.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.fault.decision_judge import Content, DecisionError, Sent, UnrestFault
from tests.fault.decision_world import World, opened_world

FOLDERS = ("A", "B", "C")
IMAGES = (("a",), ("b",), ("a", "b"), ("c",))
SAMPLES = ("S1", "S1", "S2", "S3", None)
NUMBERS = (None, None, 2)
COMMANDS = ("release", "release", "requeue", "reanalyze", "discard", "finalize", "withdraw", "withdraw", "resend")
ODD_REQUESTS = ({}, {"command": []}, {"command": "list", "state": ["HELD"]}, {"command": "show", "slide": 1})
WAITS = st.sampled_from((True, True, True, False))
"""Whether time passes after an act until all of it has taken effect."""
folders = st.sampled_from(FOLDERS)


class DecisionMachine(RuleBasedStateMachine):
    """One schedule. `place` is a folder for the worlds, set by who runs it."""

    place: ClassVar[Path]
    schedules: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).schedules += 1
        self._stack = ExitStack()
        root = self.place / f"world-{type(self).schedules}"
        root.mkdir()
        self._stack.callback(shutil.rmtree, root, ignore_errors=True)
        self.world: World = self._stack.enter_context(opened_world(root))
        self.acts: list[str] = []
        self._is_over = False

    def _act(self, words: str) -> None:
        self.acts.append(words)

    def _then(self, waits: bool) -> None:
        if waits:
            self.world.settle()
        else:
            self.acts[-1] += " (at once)"

    def _has_shown(self) -> bool:
        return len(self.world.judge.shown) > 1

    def _one_of(self, folder: str) -> str:
        """Return the folder, or another where nothing was shown under that name."""
        shown = [name for name in self.world.judge.shown if name != "OLD"]
        return folder if folder in shown else shown[-1]

    def _messages(self) -> list[Sent]:
        return [sent for sent in self.world.judge.sent if sent.folder != "OLD" and sent.output == "first"]

    def _present(self, folder: str) -> Content | None:
        return self.world.judge.shown.get(folder)

    # ---- the analyzer

    @rule(
        folder=folders, images=st.sampled_from(IMAGES), sample=st.sampled_from(SAMPLES),
        number=st.sampled_from(NUMBERS), waits=WAITS,
    )  # fmt: skip
    def export(self, folder: str, images: tuple[str, ...], sample: str | None, number: int | None, waits: bool) -> None:
        self._show(folder, Content(images, sample, number), waits)

    def _show(self, folder: str, content: Content | None, waits: bool) -> None:
        self._act(f"{folder} shows {content if content is not None else 'nothing: it is gone'}")
        self.world.show(folder, content)
        self._then(waits)

    @precondition(lambda self: self._has_shown())
    @rule(folder=folders, images=st.sampled_from(IMAGES), waits=WAITS)
    def change_images(self, folder: str, images: tuple[str, ...], waits: bool) -> None:
        if content := self._present(folder):
            self._show(folder, replace(content, images=images, bad=False), waits)

    @precondition(lambda self: self._has_shown())
    @rule(folder=folders, sample=st.sampled_from(SAMPLES), waits=WAITS)
    def change_sample(self, folder: str, sample: str | None, waits: bool) -> None:
        if content := self._present(folder):
            self._show(folder, replace(content, sample=sample, bad=False), waits)

    @precondition(lambda self: self._has_shown())
    @rule(folder=folders, number=st.sampled_from(NUMBERS), waits=WAITS)
    def change_number(self, folder: str, number: int | None, waits: bool) -> None:
        if content := self._present(folder):
            self._show(folder, replace(content, slide_no=number, bad=False), waits)

    @precondition(lambda self: self._has_shown())
    @rule(folder=folders, back=st.integers(1, 3), waits=WAITS)
    def put_earlier_files_back(self, folder: str, back: int, waits: bool) -> None:
        """Also where the folder is gone: then it comes back."""
        history = self.world.judge.history.get(folder, [])
        if history:
            self._show(folder, history[-min(back, len(history))], waits)

    @precondition(lambda self: self._has_shown())
    @rule(folder=folders, to=folders, sample=st.none() | st.sampled_from(("S1", "S2")), waits=WAITS)
    def copy_folder(self, folder: str, to: str, sample: str | None, waits: bool) -> None:
        """Let the same images come under another name, for the same sample or another."""
        content = self._present(folder)
        if content is not None and to != folder:
            self._show(to, replace(content, sample=sample or content.sample), waits)

    @precondition(lambda self: self._has_shown())
    @rule(folder=folders, waits=WAITS)
    def spoil(self, folder: str, waits: bool) -> None:
        if content := self._present(folder):
            self._show(folder, replace(content, bad=True), waits)

    @precondition(lambda self: self._has_shown())
    @rule(folder=folders, waits=WAITS)
    def remove(self, folder: str, waits: bool) -> None:
        if self._present(folder) is not None:
            self._show(folder, None, waits)

    @precondition(lambda self: self._has_shown())
    @rule(folder=folders)
    def touch(self, folder: str) -> None:
        if self._present(folder) is not None:
            self._act(f"a file of {folder} is touched")
            self.world.touch(folder)
            self.world.settle()

    # ---- people

    @precondition(lambda self: self._has_shown())
    @rule(command=st.sampled_from(COMMANDS), folder=folders, waits=WAITS)
    def decide(self, command: str, folder: str, waits: bool) -> None:
        self._decide(command, self._one_of(folder), waits)

    @rule(command=st.sampled_from(COMMANDS), row=st.integers(2, 8), waits=WAITS)
    def decide_row(self, command: str, row: int, waits: bool) -> None:
        self._decide(command, f"row:{row}", waits)

    @precondition(lambda self: self._messages())
    @rule(command=st.sampled_from(COMMANDS), back=st.integers(1, 6), waits=WAITS)
    def decide_message(self, command: str, back: int, waits: bool) -> None:
        sent = self._messages()
        message = sent[-min(back, len(sent))]
        self._decide(command, message.message_id, waits, f" ({message})")

    def _decide(self, command: str, name: str, waits: bool, more: str = "") -> None:
        self._act(f"{command} {name}{more}")
        if refusal := self.world.decide(command, name):
            self.acts[-1] += f": {refusal}"
        else:
            self._then(waits)

    # ---- the worker, the receiver, the daemon, time

    @rule(kind=st.sampled_from(("slide", "program", "disk")), count=st.sampled_from((1, 3)))
    def fail_analyses(self, kind: str, count: int) -> None:
        self._act(f"the next {count} analyses fail: the {kind}'s fault")
        self.world.moods.failures = [kind] * count

    @rule()
    def slow_worker(self) -> None:
        self.world.moods.is_slow = not self.world.moods.is_slow
        self._act("the worker keeps its answer" if self.world.moods.is_slow else "the worker answers again")
        self.world.settle()

    @precondition(lambda self: len(self.world.drops["first"].files) > len(self.world.drops["first"].answers) + 1)
    @rule(which=st.integers(0, 3), said=st.sampled_from(("accepted", "refused", "refused for now")))
    def answer(self, which: int, said: str) -> None:
        self._act(f"the receiver has {said} its unanswered result {which}")
        self.world.answer(which, said)

    @rule(how=st.sampled_from(("stopped", "killed", "second output", "late_policy", "late_policy")))
    def restart(self, how: str) -> None:
        """Begin the daemon anew, as it is or with another configuration."""
        world = self.world
        if how == "second output":
            world.has_second = not world.has_second
            how = f"started with {'two outputs' if world.has_second else 'one output'}"
        elif how == "late_policy":
            world.late_policy = "revise" if world.late_policy == "hold" else "hold"
            how = f"started with late_policy {world.late_policy}"
        self._act(f"the daemon is {how} and begins anew")
        world.restart(killed=how == "killed")
        world.settle()

    @rule(number=st.integers(0, len(ODD_REQUESTS)))
    def rest_or_ask_oddly(self, number: int) -> None:
        if number < len(ODD_REQUESTS):
            self._act(f"the request {ODD_REQUESTS[number]}")
            self.world.ask(ODD_REQUESTS[number])
        else:
            self._act("hours pass")
            self.world.rest()

    @rule(folder=folders, times=st.sampled_from((2, 1)), gone=st.booleans())
    def keep_for_long(self, folder: str, times: int, gone: bool) -> None:
        """Let the retention pass, mostly of a folder that was cleaned away."""
        if gone:
            self.remove(folder=folder, waits=True)
        self._act(f"the retention passes {times} times")
        for _ in range(times):
            self.world.keep_for_long()
            self.world.settle()

    # ---- the end

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            self._stack.close()

    def _end(self) -> None:
        """Make everything well, wait, and judge what is left; then nothing may change by itself."""
        world = self.world
        world.moods.failures, world.moods.is_slow = [], False
        if not world.has_second:
            world.has_second = True
            world.restart()
        world.rest()
        world.judge.judge_end(world.books, world.alarms())
        world.prove_books()
        before, count = world.standing(), len(world.judge.sent)
        world.restart()
        world.settle()
        changed = [pair for pair in zip(before, world.standing(), strict=False) if pair[0] != pair[1]]
        if changed or len(world.judge.sent) != count:
            raise UnrestFault(f"a restart changed {changed or world.judge.sent[count:]}")


__all__ = ["DecisionError", "DecisionMachine"]
