"""Messages between the supervisor and its children: length-prefixed bytes over a socket pair. No pickle.

    frame = magic "MDE1" | header size u32 | number of blobs u32 | blob sizes u64... | header (JSON, ASCII) | blobs

Every size is checked against a cap before a byte is kept, so that a child gone wrong costs a bounded amount of memory.
The supervisor reads and writes without blocking (`FrameReader`, `frame_from_message`); a child uses `Channel`.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge.errors import EdgeError

MAGIC = b"MDE1"
HEADER_BYTES_MAX = 8 * 1024 * 1024
BLOB_BYTES_MAX = 64 * 1024 * 1024
BLOBS_MAX = 4
PREFIX = struct.Struct(">4sII")
SIZE = struct.Struct(">Q")
READ_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Message:
    """One message: a JSON object whose `kind` names it, and raw bytes beside it."""

    header: Mapping[str, object]
    blobs: tuple[bytes, ...] = ()

    @property
    def kind(self) -> str:
        """What the message is about."""
        return str(self.header.get("kind", ""))


def frame_from_message(header: Mapping[str, object], blobs: tuple[bytes, ...] = ()) -> bytes:
    """Return the bytes of one frame; raises EdgeError MDSE-DAEMON-010 above a cap."""
    head = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    check_sizes(len(head), [len(blob) for blob in blobs])
    sizes = b"".join(SIZE.pack(len(blob)) for blob in blobs)
    return b"".join((PREFIX.pack(MAGIC, len(head), len(blobs)), sizes, head, *blobs))


def check_sizes(header_bytes: int, blob_bytes: list[int]) -> None:
    """Refuse a frame larger than the caps; raises EdgeError MDSE-DAEMON-010."""
    if header_bytes > HEADER_BYTES_MAX or len(blob_bytes) > BLOBS_MAX or any(n > BLOB_BYTES_MAX for n in blob_bytes):
        raise EdgeError("MDSE-DAEMON-010", reason=f"header {header_bytes} bytes, blobs {blob_bytes}")


class FrameReader:
    """Turns a stream of bytes into messages, however the bytes are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def holds_bytes(self) -> bool:
        """Whether bytes are kept: a part of a message, or messages that nobody took."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes and yield every message they complete; raises EdgeError MDSE-DAEMON-010 on a broken frame."""
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        buffer = self._buffer
        if len(buffer) < PREFIX.size:
            return None
        magic, header_bytes, blob_count = PREFIX.unpack_from(buffer)
        if magic != MAGIC or blob_count > BLOBS_MAX:
            raise EdgeError("MDSE-DAEMON-010", reason="the frame does not begin as ours do")
        body = PREFIX.size + blob_count * SIZE.size
        if len(buffer) < body:
            return None
        sizes = [SIZE.unpack_from(buffer, PREFIX.size + index * SIZE.size)[0] for index in range(blob_count)]
        check_sizes(header_bytes, sizes)
        end = body + header_bytes + sum(sizes)
        if len(buffer) < end:
            return None
        header = header_from_bytes(bytes(buffer[body : body + header_bytes]))
        blobs, place = [], body + header_bytes
        for size in sizes:
            blobs.append(bytes(buffer[place : place + size]))
            place += size
        del buffer[:end]
        return Message(header, tuple(blobs))


def header_from_bytes(data: bytes) -> dict[str, object]:
    """Return the header of a frame; raises EdgeError MDSE-DAEMON-010 when it is no JSON object."""
    try:
        header = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EdgeError("MDSE-DAEMON-010", reason="the header is not JSON") from error
    if not isinstance(header, dict):
        raise EdgeError("MDSE-DAEMON-010", reason="the header is not an object")
    return header


class Channel:
    """A child's end: blocking. The supervisor's death is an end of file here, and ends the child."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.setblocking(True)
        self._reader = FrameReader()
        self._waiting: list[Message] = []

    def fileno(self) -> int:
        """The socket's descriptor, for `select`."""
        return self._connection.fileno()

    @property
    def holds_messages(self) -> bool:
        """Whether messages were read that nobody took yet: `select` does not tell of them."""
        return bool(self._waiting)

    def send(self, header: Mapping[str, object], blobs: tuple[bytes, ...] = ()) -> None:
        """Send one message; blocks until the supervisor has taken it."""
        self._connection.sendall(frame_from_message(header, blobs))

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """Return the next message, or None when the time is up; raises EOFError when the supervisor is gone."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._waiting:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._connection], [], [], left)[0]:
                return None
            data = self._connection.recv(READ_BYTES)
            if not data:
                raise EOFError("the supervisor closed the channel")
            self._waiting.extend(self._reader.feed(data))
        return self._waiting.pop(0)
