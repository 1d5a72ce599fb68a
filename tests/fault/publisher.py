"""A publisher of one result in a process of its own, which can be killed between any two of its steps.

The supervisor's side of an output (`OutputKeeper`) and the deliverer, on a real journal and a real drop folder, without
the socket between them: a step is a call that changes a file or the journal, and a death is SIGKILL.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.config import config_from_text
from edge.daemon.archive import store_result
from edge.daemon.books import Books, opened_books
from edge.daemon.channel import Message
from edge.daemon.deliver import Deliverer
from edge.daemon.house import House
from edge.daemon.intents import intents_for
from edge.daemon.outbox import OutputKeeper
from edge.daemon.site_test import record_of_test
from edge.delivery import rename
from edge.errors import EdgeError
from edge.journal_results import NewRevision, ResultBook
from edge.record_text import record_bytes

CONFIG = """
site = {{ id = "T", timezone = "UTC", state_dir = "{root}/state" }}
bundle = {{ path = "{root}/bundle" }}
source = [{{ id = "di60", path = "{root}/export" }}]
output = [{{ format = "{format}", path = "{root}/drop", ack = "none" }}]
"""
STEPS = ("open", "write", "fsync", "rename", "unlink", "mkdir")
TURNS_MAX = 200
DELIVERED, AWAY, PARKED = 0, 75, 5


class Steps:
    """Counts the steps of a process and ends it, by force, at the chosen one. `stall` waits in the middle of a file."""

    def __init__(self, die_at: int, stall_s: float) -> None:
        self.count = 0
        self._die_at = die_at
        self._stall_s = stall_s

    def reach(self) -> None:
        """Pass one point between two steps."""
        self.count += 1
        if self.count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Put a point before and after every call that changes something, and one in the middle of a write."""
        for name in STEPS:
            setattr(os, name, self._around(getattr(os, name)))
        os.write = self._in_two(os.write)  # type: ignore[assignment]  # a stand-in
        function = rename._renameat2()
        rename._renameat2 = lambda: self._around(function)  # type: ignore[assignment]  # a stand-in
        ResultBook.move_delivery = self._around(ResultBook.move_delivery)  # type: ignore[method-assign]  # a stand-in

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.reach()
            result = call(*arguments, **named)
            self.reach()
            return result

        return counted

    def _in_two(self, write: Callable[..., int]) -> Callable[..., int]:
        stalled: set[int] = set()

        def halved(descriptor: int, content: Any) -> int:
            half = len(content) // 2
            if half < 1000 or descriptor in stalled:
                return write(descriptor, content)
            stalled.add(descriptor)
            done = write(descriptor, content[:half])
            time.sleep(self._stall_s)
            return done

        return halved


class Here:
    """Stands for the child of the keeper: carries out each order in this process."""

    def __init__(self) -> None:
        self.deliverer: Any = None
        self.answers: list[Message] = []

    def send(self, order: dict[str, Any], blobs: tuple[bytes, ...] = ()) -> None:
        if order["kind"] == "begin":
            self.deliverer = Deliverer(None, order)  # type: ignore[arg-type]  # a stand-in
            return
        try:
            self.answers.append(Message(self.deliverer._carry_out(Message(order, blobs))))
        except EdgeError as error:
            facts = {"kind": "failed", "id": order.get("id", 0), "code": error.code, "text": str(error)}
            self.answers.append(Message(facts))

    def expect_within(self, budget_s: float | None, now_s: float) -> None:
        pass


def make_root(root: Path) -> None:
    for name in ("drop", "export"):
        (root / name).mkdir(parents=True, exist_ok=True)


def publish(root: Path, key: str, *, die_at: int = 0, stall_s: float = 0.0, output_format: str = "hl7") -> int:
    """Publish the result of `key` in a process of its own; return its exit status, negative for the signal.

    The same call again goes on where the journal says. DELIVERED, AWAY (the folder cannot be used now) or PARKED.
    """
    child = os.fork()
    if child == 0:
        status = 70
        try:
            status = _run(root, key, Steps(die_at, stall_s), output_format)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_steps(root: Path, key: str) -> int:
    """Publish undisturbed in this process; return how many points there are."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        steps = Steps(0, 0.0)
        try:
            _run(root, key, steps, "hl7")
            count = steps.count
            steps.count = -1_000_000
            os.write(write_end, str(count).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as pipe:
        return int(pipe.read())


def _run(root: Path, key: str, steps: Steps, output_format: str) -> int:
    config = config_from_text(CONFIG.format(root=root, format=output_format))
    with opened_books(config) as books:
        _plan_once(books, key)
        steps.watch()
        keeper = OutputKeeper(House(books, time.monotonic), config.outputs[0], 0)
        here = Here()
        keeper.child = here  # type: ignore[assignment]  # a stand-in
        keeper.begin(here)  # type: ignore[arg-type]  # a stand-in
        for _ in range(TURNS_MAX):
            keeper.work()
            answers, here.answers = here.answers, []
            for answer in answers:
                keeper.on_message(answer)
            states = {row.state for row in books.journal.results.deliveries_of(_revision_id(books, key))}
            if "PARKED" in states:
                return PARKED
            if keeper.is_away:
                return AWAY
            if not answers and not states & {"RENDERED", "STAGED"}:
                return DELIVERED
    return 70


def _revision_id(books: Books, key: str) -> int:
    return books.journal.results.revision(f"{key}.R1").id


def _plan_once(books: Books, key: str) -> None:
    """Put the slide's result into the journal unless it stands there."""
    if books.journal.slides.newest("di60", key) is not None:
        return
    record = record_of_test(
        message_id=f"{key}.R1", slide_key=key, sample_id=f"S{key}", analysed_at=books.site_time(), site="T"
    )
    digest, _ = store_result(books.folders.archive, f"{key}.R1", record_bytes(record), None)
    new = NewRevision(1, f"{key}.R1", "P", "T", digest, None, "0" * 64, None, "daemon", None)
    with books.journal.change():
        slide = books.journal.slides.add("di60", key, key.encode())
        books.journal.slides.move(slide.id, "SETTLED")
        books.journal.slides.move(slide.id, "SPOOLED", idempotency_key=key, sample_id=f"S{key}")
        books.journal.results.add_revision(slide.id, new, intents_for(books.config.outputs, record))
        books.journal.slides.move(slide.id, "COMPUTED")
