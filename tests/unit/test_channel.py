"""Messages between processes: whole however they are cut, refused beyond their caps, never pickled."""

from __future__ import annotations

import contextlib
import json
import pickle
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.daemon import channel
from edge.daemon.channel import Channel, FrameReader, Message, frame_from_message
from edge.errors import EdgeError

HEADERS = st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=20), st.none()), max_size=4)


@given(st.lists(st.tuples(HEADERS, st.lists(st.binary(max_size=50), max_size=4)), max_size=4), st.randoms())
def test_messages_come_back_as_they_were_however_the_stream_is_cut(messages, chance) -> None:
    stream = b"".join(frame_from_message(header, tuple(blobs)) for header, blobs in messages)
    reader, found, place = FrameReader(), [], 0
    while place < len(stream):
        step = chance.randint(1, 40)
        found += list(reader.feed(stream[place : place + step]))
        place += step
    assert [(dict(m.header), list(m.blobs)) for m in found] == messages


def test_lone_surrogates_of_file_names_survive(tmp_path) -> None:
    (message,) = FrameReader().feed(frame_from_message({"folder": "\udcff\n"}))
    assert message.header["folder"] == "\udcff\n"


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        pickle.dumps({"kind": "analyzed"}).ljust(20),
        struct.pack(">4sII", b"MDE1", channel.HEADER_BYTES_MAX + 1, 0),
        struct.pack(">4sII", b"MDE1", 2, channel.BLOBS_MAX + 1),
        struct.pack(">4sIIQ", b"MDE1", 2, 1, channel.BLOB_BYTES_MAX + 1),
        struct.pack(">4sII", b"MDE1", 2, 0) + b"[]",
        struct.pack(">4sII", b"MDE1", 4, 0) + b"\xff\xff\xff\xff",
        struct.pack(">4sII", b"MDE1", 40_000, 0) + b"[" * 40_000,
    ],
)
@pytest.mark.case("S8")
def test_a_broken_or_oversized_frame_is_refused_before_it_is_kept(stream: bytes) -> None:
    with pytest.raises(EdgeError, match="MDSE-DAEMON-010"):
        list(FrameReader().feed(stream))


@given(st.binary(max_size=200))
@pytest.mark.case("S8")
def test_no_bytes_whatever_raise_anything_but_our_own_error(stream: bytes) -> None:
    with contextlib.suppress(EdgeError):
        assert all(isinstance(message, Message) for message in FrameReader().feed(stream))


def test_a_message_above_the_cap_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "BLOB_BYTES_MAX", 10)
    with pytest.raises(EdgeError, match="MDSE-DAEMON-010"):
        frame_from_message({"kind": "x"}, (b"x" * 11,))


def test_a_child_receives_what_was_sent_and_ends_with_the_supervisor() -> None:
    ours, theirs = socket.socketpair()
    child = Channel(theirs)
    assert child.receive(0.0) is None
    big = bytes(range(256)) * 20_000
    sender = threading.Thread(target=lambda: (ours.sendall(frame_from_message({"kind": "a"}, (big,))), ours.close()))
    sender.start()
    message = child.receive()
    assert message is not None
    assert (message.kind, message.blobs) == ("a", (big,))
    sender.join()
    with pytest.raises(EOFError):
        child.receive()
    theirs.close()


def test_a_header_is_plain_json_on_the_wire() -> None:
    frame = frame_from_message({"kind": "ready", "n": 1})
    assert json.loads(frame[12:]) == {"kind": "ready", "n": 1}
