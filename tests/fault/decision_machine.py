"""Any order in which an analyzer, people, a receiver and time may act on a few slides, judged by `decision_judge`.

Folders, samples and images are few, so that what seldom meets in a laboratory meets here. A fault names the acts that
led to it, one a line; `shortened` leaves out those that it comes without.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.fault.decision_judge import Content, DecisionError, Sent, UnrestError
from tests.fault.decision_world import World, opened_world

FOLDERS = ("A", "B", "C")
IMAGES = (("a",), ("b",), ("a", "b"), ("c",))
SAMPLES = ("S1", "S1", "S2", "S3", None)
NUMBERS = (None, None, 2)
COMMANDS = ("release", "release", "requeue", "reanalyze", "discard", "finalize", "withdraw", "withdraw", "resend")
ODD_REQUESTS: tuple[dict[str, object], ...] = (
    {},
    {"command": []},
    {"command": "list", "state": ["HELD"]},
    {"command": "show", "slide": 1},
)


def values(**given: object) -> st.SearchStrategy[dict[str, object]]:
    """Return a strategy for an act's values: one of each list."""
    return st.fixed_dictionaries({name: st.sampled_from(list(of)) for name, of in given.items()})  # type: ignore[call-overload]  # lists and tuples


WAITS = (True, True, True, False)
"""Whether time passes after an act until all of it has taken effect."""
ACTS = {
    "export": (10, values(folder=FOLDERS, images=IMAGES, sample=SAMPLES, number=NUMBERS, waits=WAITS)),
    "change_images": (4, values(folder=FOLDERS, images=IMAGES, waits=WAITS)),
    "change_sample": (4, values(folder=FOLDERS, sample=SAMPLES, waits=WAITS)),
    "change_number": (2, values(folder=FOLDERS, number=NUMBERS, waits=WAITS)),
    "put_earlier_files_back": (6, values(folder=FOLDERS, back=(1, 2, 3), waits=WAITS)),
    "copy_folder": (5, values(folder=FOLDERS, to=FOLDERS, sample=(None, "S1", "S2"), waits=WAITS)),
    "spoil": (2, values(folder=FOLDERS, waits=WAITS)),
    "remove": (3, values(folder=FOLDERS, waits=WAITS)),
    "touch": (2, values(folder=FOLDERS)),
    "decide": (16, values(command=COMMANDS, folder=FOLDERS, waits=WAITS)),
    "decide_row": (5, values(command=COMMANDS, row=range(2, 9), waits=WAITS)),
    "decide_message": (5, values(command=COMMANDS, back=range(1, 7), waits=WAITS)),
    "fail_analyses": (3, values(kind=("slide", "program", "disk"), count=(1, 3))),
    "slow_worker": (1, values()),
    "answer": (2, values(which=range(4), said=("accepted", "refused", "refused for now"))),
    "restart": (2, values(how=("stopped", "killed", "second output", "late_policy"))),
    "rest": (1, values()),
    "ask_oddly": (1, values(request=ODD_REQUESTS)),
    "keep_for_long": (3, values(folder=FOLDERS, times=(2, 1), gone=(True, False))),
}
"""How often, and with which values. One rule draws them: hypothesis leaves rules of its own choice out of a schedule,
and here it is the mixture that finds things."""
Step = tuple[str, dict[str, object]]
STEPS = st.sampled_from([name for name, (weight, _) in ACTS.items() for _ in range(weight)]).flatmap(
    lambda name: st.tuples(st.just(name), ACTS[name][1])
)


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
        self.steps: list[Step] = []

    @rule(step=STEPS)
    def act(self, step: Step) -> None:
        self.steps.append(step)
        name, given = step
        getattr(self, name)(**given)

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

    def export(self, folder: str, images: tuple[str, ...], sample: str | None, number: int | None, waits: bool) -> None:
        self._show(folder, Content(images, sample, number), waits)

    def _show(self, folder: str, content: Content | None, waits: bool) -> None:
        self._act(f"{folder} shows {content if content is not None else 'nothing: it is gone'}")
        self.world.show(folder, content)
        self._then(waits)

    def change_images(self, folder: str, images: tuple[str, ...], waits: bool) -> None:
        if content := self._present(folder):
            self._show(folder, replace(content, images=images, bad=False), waits)

    def change_sample(self, folder: str, sample: str | None, waits: bool) -> None:
        if content := self._present(folder):
            self._show(folder, replace(content, sample=sample, bad=False), waits)

    def change_number(self, folder: str, number: int | None, waits: bool) -> None:
        if content := self._present(folder):
            self._show(folder, replace(content, slide_no=number, bad=False), waits)

    def put_earlier_files_back(self, folder: str, back: int, waits: bool) -> None:
        """Also where the folder is gone: then it comes back."""
        history = self.world.judge.history.get(folder, [])
        if history:
            self._show(folder, history[-min(back, len(history))], waits)

    def copy_folder(self, folder: str, to: str, sample: str | None, waits: bool) -> None:
        """Let the same images come under another name, for the same sample or another."""
        content = self._present(folder)
        if content is not None and to != folder:
            self._show(to, replace(content, sample=sample or content.sample), waits)

    def spoil(self, folder: str, waits: bool) -> None:
        if content := self._present(folder):
            self._show(folder, replace(content, bad=True), waits)

    def remove(self, folder: str, waits: bool) -> None:
        if self._present(folder) is not None:
            self._show(folder, None, waits)

    def touch(self, folder: str) -> None:
        if self._present(folder) is not None:
            self._act(f"a file of {folder} is touched")
            self.world.touch(folder)
            self.world.settle()

    # ---- people

    def decide(self, command: str, folder: str, waits: bool) -> None:
        if self._has_shown():
            self._decide(command, self._one_of(folder), waits)

    def decide_row(self, command: str, row: int, waits: bool) -> None:
        self._decide(command, f"row:{row}", waits)

    def decide_message(self, command: str, back: int, waits: bool) -> None:
        sent = self._messages()
        if not sent:
            return
        message = sent[-min(back, len(sent))]
        self._decide(command, message.message_id, waits, f" ({message})")

    def _decide(self, command: str, name: str, waits: bool, more: str = "") -> None:
        self._act(f"{command} {name}{more}")
        if refusal := self.world.decide(command, name):
            self.acts[-1] += f": {refusal}"
        else:
            self._then(waits)

    # ---- the worker, the receiver, the daemon, time

    def fail_analyses(self, kind: str, count: int) -> None:
        self._act(f"the next {count} analyses fail: the {kind}'s fault")
        self.world.moods.failures = [kind] * count

    def slow_worker(self) -> None:
        self.world.moods.is_slow = not self.world.moods.is_slow
        self._act("the worker keeps its answer" if self.world.moods.is_slow else "the worker answers again")
        self.world.settle()

    def answer(self, which: int, said: str) -> None:
        self._act(f"the receiver has {said} its unanswered result {which}")
        self.world.answer(which, said)

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

    def rest(self) -> None:
        self._act("hours pass")
        self.world.rest()

    def ask_oddly(self, request: dict[str, object]) -> None:
        self._act(f"the request {request}")
        self.world.ask(request)

    def keep_for_long(self, folder: str, times: int, gone: bool) -> None:
        """Let the retention pass, mostly of a folder that was cleaned away."""
        if gone:
            self.remove(folder=folder, waits=True)
        if self.world.moods.is_slow:
            self.slow_worker()  # its budget ends it long before
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
            raise UnrestError(f"a restart changed {changed or world.judge.sent[count:]}")


def played(machine: type[DecisionMachine], steps: list[Step]) -> tuple[DecisionError | None, list[str]]:
    """Play the steps in a new world; return the fault that they lead to, and the acts in words."""
    player = machine()
    try:
        for step in steps:
            player.act(step)
    except DecisionError as error:
        player._stack.close()
        return error, player.acts
    try:
        player.teardown()
    except DecisionError as error:
        return error, player.acts
    return None, player.acts


def shortened(
    machine: type[DecisionMachine], steps: list[Step], fault: DecisionError
) -> tuple[DecisionError, list[str]]:
    """Leave out every step without which the same kind of fault comes, in growing detail; return fault and acts.

    Faster than hypothesis, which draws each step anew: a schedule is played again some hundred times.
    """
    size = max(1, len(steps) // 2)
    while True:
        before, place = len(steps), 0
        while place < len(steps):
            fewer = steps[:place] + steps[place + size :]
            found, _ = played(machine, fewer)
            if type(found) is type(fault):
                steps = fewer
            else:
                place += size
        if size == 1 and len(steps) == before:
            found, acts = played(machine, steps)
            return found or fault, acts
        size = max(1, size // 2)
