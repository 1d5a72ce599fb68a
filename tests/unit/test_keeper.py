"""A child that talks without end: it is heard in turns, in order, and each of its messages once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_outbox import place_with

from edge.daemon.channel import FrameReader, Message, frame_from_message
from edge.daemon.child_process import ChildProcess
from edge.daemon.keeper import HEAR_S, Keeper

MESSAGE_S = 0.3
MESSAGES = 40


class Listening(Keeper):
    """Keeps what it hears; each message takes `MESSAGE_S` to book."""

    module = "none"

    def __init__(self, house: object, now_s: list[float]) -> None:
        super().__init__(house, "talker")  # type: ignore[arg-type]  # like a house
        self.now_s = now_s
        self.heard: list[int] = []

    def on_message(self, message: Message) -> None:
        self.heard.append(int(str(message.header["number"])))
        self.now_s[0] += MESSAGE_S

    def on_end(self, reason: str) -> None:
        self.heard.append(-1)

    def work(self) -> None:
        pass


def child_of(connection: socket.socket) -> ChildProcess:
    """Return a child without a process: the end of a channel that the test writes to."""
    child = ChildProcess.__new__(ChildProcess)
    child.name, child.state, child.socket = "talker", "running", connection
    child._reader, child._unsent, child.work_deadline_s = FrameReader(), bytearray(), None
    return child


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[tuple[Listening, socket.socket]]:
    place = place_with(tmp_path, "none", "json", report=False)
    keeper = Listening(place.keeper.house, place.now_s)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    keeper.child = child_of(ours)
    keeper.house.selector.register(ours, 1, keeper.on_ready)
    for number in range(MESSAGES):
        theirs.sendall(frame_from_message({"kind": "x", "number": number}))
    with ours, theirs:
        yield keeper, theirs
    place.books.journal.close()


def test_a_flood_of_messages_is_interrupted_and_goes_on_in_the_next_turn(
    talk: tuple[Listening, socket.socket],
) -> None:
    keeper, _ = talk
    turns = 0
    while len(keeper.heard) < MESSAGES:
        begun_s, before = keeper.now_s[0], len(keeper.heard)
        keeper.turn()  # no byte is left in the socket: what was read and not heard is not forgotten
        if not turns:
            keeper.on_ready()
        turns += 1
        assert len(keeper.heard) > before
        assert keeper.now_s[0] - begun_s <= HEAR_S + MESSAGE_S
    assert keeper.heard == list(range(MESSAGES))
    assert turns == MESSAGES // (int(HEAR_S / MESSAGE_S) + 1)


def test_the_end_of_a_child_is_seen_after_its_last_message(talk: tuple[Listening, socket.socket]) -> None:
    keeper, theirs = talk
    theirs.close()
    keeper.on_ready()
    child = keeper.child
    assert child is not None
    child._process = type("Process", (), {"poll": lambda _self: 0, "pid": 1, "returncode": 0})()  # it has ended
    for _ in range(MESSAGES):
        keeper.turn()
        keeper.on_ready()  # the selector calls it as long as the end of the channel can be read
        if keeper.child is None:
            break
    assert keeper.heard == [*range(MESSAGES), -1]
