"""MLLP over TCP for receivers that read no folder: takes messages from a drop folder and writes the answers as files.

    frame    0x0B message 0x1C 0x0D        (HL7 v2 Transport Specification, Minimal Lower Layer Protocol)
    state    none of its own: a message is settled when its `<stem>.ack` or `<stem>.err` lies in the acknowledgement
             folder, where the daemon reads it with ack = "ack-file"

Messages leave one at a time, those of one slide in the order of their revisions, whatever the times of their files say:
a revision must not overtake the result that it replaces. Once a revision is answered, no lower one that was made before
it leaves any more, also where its answer is missing: the receiver would have back what was replaced.

An answer counts only when its MSA-2 is our MSH-10; any other is passed over, and the wait goes on. Killed between
sending and writing the answer down, the next start sends the same bytes with the same message id once more: the
receiver gets a message at least once, and knows a repeated one by its id.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge.delivery.acknowledge import ACK_BYTES_MAX, AckState, state_from_ack
from edge.delivery.durable import can_sync_folder, opened_folder, write_durably
from edge.delivery.publish import FILE_MODE
from edge.errors import EdgeError, printable

START, END = b"\x0b", b"\x1c\r"
MESSAGE_BYTES_MAX = 16 * 1_048_576
LOCK_NAME = ".mds-edge-mllp.lock"
# As edge/delivery/names.py makes them.
_RESULT_NAME = re.compile(
    r"(?P<slide>.+)_r(?P<revision>[0-9]{1,4})_(?P<made>[0-9]{8}T[0-9]{6}Z)_[0-9a-f]{8}(_d(?P<repeat>[0-9]{1,3}))?[.]hl7"
)


@dataclass(frozen=True, slots=True)
class MllpSettings:
    """Where messages come from and go to. Times in seconds; `take`: remove a message once its answer is on disk."""

    drop: Path
    ack_folder: Path
    host: str
    port: int
    connect_s: float = 10.0
    answer_s: float = 30.0
    take: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that was settled: file name, message id, what the receiver said, which answers were passed over."""

    file_name: str
    message_id: str
    state: AckState
    passed_over: tuple[str, ...]


class FrameReader:
    """Turns bytes into the contents of MLLP frames, however they are cut. What stands outside frames is dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes; yield every content they complete. An endless frame is dropped at 64 KiB."""
        self._buffer += data
        while True:
            start = self._buffer.find(START)
            if start < 0:
                self._buffer.clear()
                return
            del self._buffer[:start]
            end = self._buffer.find(END)
            if end < 0:
                if len(self._buffer) > ACK_BYTES_MAX:
                    self._buffer.clear()
                return
            content = bytes(self._buffer[1:end])
            del self._buffer[: end + len(END)]
            yield content


class MllpLink:
    """A connection that is opened when it is needed and closed after every fault. `exchange` sends and waits."""

    def __init__(self, settings: MllpSettings) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None
        self._reader = FrameReader()
        self._sent_here: set[str] = set()

    def close(self) -> None:
        """Close the connection: what the receiver still says on it reaches nobody, so it can settle nothing."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._sent_here.clear()

    def exchange(self, content: bytes, message_id: str) -> tuple[bytes, AckState, tuple[str, ...]]:
        """Send one message; return the answer that names it, what it says, and why other answers were passed over.

        Raises EdgeError MDSE-DELIVERY-031 no connection, -032 it was lost, -033 no answer in time; all try later.
        """
        if message_id in self._sent_here:
            # A second answer to the first copy must not settle this one.
            self.close()
        try:
            connection = self._connected()
            connection.settimeout(self._settings.answer_s)
            self._sent_here.add(message_id)
            connection.sendall(START + content + END)
            return self._answer(connection, message_id)
        except TimeoutError as error:
            self.close()
            raise EdgeError("MDSE-DELIVERY-033", where=self._where, seconds=self._settings.answer_s) from error
        except OSError as error:
            self.close()
            raise EdgeError("MDSE-DELIVERY-032", where=self._where, reason=error.strerror or str(error)) from error

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _connected(self) -> socket.socket:
        if self._socket is None:
            place = (self._settings.host, self._settings.port)
            try:
                self._socket = socket.create_connection(place, timeout=self._settings.connect_s)
            except OSError as error:
                reason = error.strerror or str(error)
                raise EdgeError("MDSE-DELIVERY-031", where=self._where, reason=reason) from error
            self._reader = FrameReader()
        return self._socket

    def _answer(self, connection: socket.socket, message_id: str) -> tuple[bytes, AckState, tuple[str, ...]]:
        """Read frames until one decides about our message; raises TimeoutError or another OSError when none does.

        CA confirms the receipt alone, and the application's answer that we ask for (MSH-16 AL) may follow: CA stands
        when the time for all answers is over, or the connection, before one has come.
        """
        passed_over: list[str] = []
        receipt: tuple[bytes, AckState] | None = None
        try:
            for frame in self._frames(connection):
                state = state_from_ack(frame, message_id)
                if state.kind not in ("accepted", "refused"):
                    passed_over.append(state.text)
                elif state.receipt_only:
                    receipt = receipt or (frame, state)
                else:
                    return frame, state, tuple(passed_over)
        except OSError:
            if receipt is None:
                raise
            self.close()
        if receipt is None:
            raise TimeoutError
        return *receipt, tuple(passed_over)

    def _frames(self, connection: socket.socket) -> Iterator[bytes]:
        """Yield frames until the time for all of them is over; raises OSError when the connection is lost."""
        end_s = time.monotonic() + self._settings.answer_s
        while (left_s := end_s - time.monotonic()) > 0:
            connection.settimeout(left_s)
            try:
                data = connection.recv(65_536)
            except TimeoutError:
                return
            if not data:
                raise ConnectionResetError("the receiver closed the connection without an answer")
            yield from self._reader.feed(data)


class MllpSender:
    """Sends what waits in the drop folder, one message at a time, and writes each answer beside it."""

    def __init__(self, settings: MllpSettings) -> None:
        self._settings = settings
        self.link = MllpLink(settings)
        self.left_alone: set[str] = set()
        self.held_back: set[str] = set()

    def waiting(self) -> list[str]:
        """Return the names of published messages without an answer, in the order in which they are to leave.

        Those that a later revision, answered already, has replaced are named in `held_back` instead.
        Raises EdgeError MDSE-DELIVERY-001 or -012 when a folder cannot be read now.
        """
        try:
            with os.scandir(self._settings.drop) as entries:
                found = [
                    (entry.stat(follow_symlinks=False).st_mtime_ns, entry.name)
                    for entry in entries
                    if entry.name.endswith(".hl7")
                    and not entry.name.startswith(".")
                    and entry.is_file(follow_symlinks=False)
                ]
        except OSError as error:
            reason = error.strerror or str(error)
            raise EdgeError("MDSE-DELIVERY-001", where=str(self._settings.drop), reason=reason) from error
        try:
            answered = {path.stem for path in self._settings.ack_folder.iterdir() if path.suffix in (".ack", ".err")}
        except OSError as error:
            reason = error.strerror or str(error)
            raise EdgeError("MDSE-DELIVERY-012", where=str(self._settings.ack_folder), reason=reason) from error
        open_names = [name for name in names_in_order(found) if name.removesuffix(".hl7") not in answered]
        self.held_back = replaced_names(open_names, answered)
        return [name for name in open_names if name not in self.held_back]

    def send(self, name: str) -> Sent | None:
        """Send one message and write its answer; None for a file that is no message or has gone.

        Raises EdgeError as `MllpLink.exchange`, or MDSE-DELIVERY-034 when the answer cannot be written (try later:
        the message is sent again with the same id).
        """
        path = self._settings.drop / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EdgeError("MDSE-DELIVERY-001", where=str(path), reason=error.strerror or str(error)) from error
        message_id = message_id_of(content)
        if not message_id:
            self.left_alone.add(name)
            return None
        answer, state, passed_over = self.link.exchange(content, message_id)
        self._write_answer(name, answer)
        if self._settings.take:
            # The answer is on disk: a file that stays is never sent again, so a failure here is no loss.
            with suppress(OSError):
                path.unlink()
        return Sent(name, message_id, state, tuple(printable(text) for text in passed_over))

    def _write_answer(self, name: str, answer: bytes) -> None:
        final = f"{name.removesuffix('.hl7')}.ack"
        hidden = f".{final}.{secrets.token_hex(4)}.tmp"
        try:
            with opened_folder(self._settings.ack_folder) as folder:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                write_durably(os.open(hidden, flags, FILE_MODE, dir_fd=folder), answer, FILE_MODE)
                os.rename(hidden, final, src_dir_fd=folder, dst_dir_fd=folder)
                can_sync_folder(folder)
        except OSError as error:
            reason = error.strerror or str(error)
            raise EdgeError("MDSE-DELIVERY-034", where=str(self._settings.ack_folder / final), reason=reason) from error


def names_in_order(found: Iterable[tuple[int, str]]) -> list[str]:
    """Return file names in the order in which they are to leave, from (modification time in ns, name).

    Slides leave by their oldest file; the files of one slide by revision and repeat, which their names tell: a clock
    that was set back, or a copy with new times, must not turn them round.
    """
    slides: dict[str, list[tuple[int, int, str]]] = {}
    oldest: dict[str, int] = {}
    for mtime_ns, name in found:
        match = _RESULT_NAME.fullmatch(name)
        slide = match["slide"] if match else name
        revision, repeat = (int(match["revision"]), int(match["repeat"] or 1)) if match else (0, 0)
        slides.setdefault(slide, []).append((revision, repeat, name))
        oldest[slide] = min(oldest.get(slide, mtime_ns), mtime_ns)
    in_turn = sorted(slides, key=lambda slide: (oldest[slide], slide))
    return [name for slide in in_turn for _, _, name in sorted(slides[slide])]


def replaced_names(names: Iterable[str], answered_stems: Iterable[str]) -> set[str]:
    """Return those of the file names that a higher revision of the same slide, made no earlier, has replaced. Pure.

    The answers tell it, not the messages: an answered message may have been taken away. Repeats do not replace, and
    carry the time (UTC) of the first delivery.

    A name does not tell one slide from another of the same sample and key (from a second source, after the retention,
    from a new journal), whose revisions begin at 1 again. A higher revision that was made before is taken for such
    another one's. Not decidable, and held back: a result made before, or in the same second as, a higher revision of
    such another slide. Not decidable either, and let go: a result made before the clock was set back, replaced after
    that.
    """
    answered: dict[str, list[tuple[int, str]]] = {}
    for stem in answered_stems:
        if match := _RESULT_NAME.fullmatch(f"{stem}.hl7"):
            answered.setdefault(match["slide"], []).append((int(match["revision"]), match["made"]))
    matches = [match for name in names if (match := _RESULT_NAME.fullmatch(name))]
    return {
        match.string
        for match in matches
        if any(
            revision > int(match["revision"]) and made >= match["made"]
            for revision, made in answered.get(match["slide"], ())
        )
    }


def message_id_of(content: bytes) -> str:
    """Return MSH-10 of a whole message that a frame can carry; "" for anything else."""
    if not content.startswith(b"MSH") or not content.endswith(b"\r") or len(content) > MESSAGE_BYTES_MAX:
        return ""
    if START in content or END[:1] in content:
        return ""
    header = content.split(b"\r", 1)[0].decode("utf-8", "replace")
    fields = header.split(header[3]) if len(header) > 3 else []
    return fields[9] if len(fields) > 9 else ""


@contextmanager
def only_sender(ack_folder: Path) -> Iterator[None]:
    """Hold the right to send for this acknowledgement folder; raises EdgeError MDSE-DELIVERY-035 when it is taken."""
    try:
        descriptor = os.open(ack_folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EdgeError("MDSE-DELIVERY-034", where=str(ack_folder), reason=reason) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise EdgeError("MDSE-DELIVERY-035", where=str(ack_folder)) from error
        yield
    finally:
        os.close(descriptor)
