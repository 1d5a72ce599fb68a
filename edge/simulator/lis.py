"""A LIS to test a site with: takes files from a drop folder as real readers do, reads them strictly, answers.

Which files it takes, and when, says the reader model (`edge/simulator/lis_pickup.py`). One message id is booked once,
as a LIS does; the same id with other content is a fault. A file that was taken before it was whole is named, and kept.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from edge.errors import EdgeError
from edge.simulator.lis_pickup import INDEX_NAME, LOG_NAME, Pickup, ReaderModel, append_lines, listed_names
from edge.simulator.lis_reading import message_from_file
from edge.simulator.lis_received import ReceivedMessage

Answer = Literal["AA", "AE", "AR", "-"]
ERROR_FOLDER = "error"


@dataclass(frozen=True, slots=True)
class LisSettings:
    """How this LIS behaves.

    `refuse` is searched in sample id and slide; a match is answered with AE. `delete`: files are taken away once they
    are answered; without acknowledgement files a refused one is moved into the folder `error`. `collect`: where a copy
    of every file goes that was not whole. `offsets` False: it cannot read HL7 times with an offset from UTC.
    """

    drop: Path
    ack_folder: Path | None = None
    delete: bool = False
    refuse: re.Pattern[str] | None = None
    delay_s: float = 0.0
    reader: ReaderModel = "strict"
    collect: Path | None = None
    offsets: bool = True


@dataclass(frozen=True, slots=True)
class Reception:
    """One file that was read: its name, what was understood, the answer and whether its id was known already."""

    file_name: str
    message: ReceivedMessage
    answer: Answer
    repeated: bool
    refused: bool = False


@dataclass(slots=True)
class SimulatedLis:
    """The state of the LIS: which files it has read, which answers are due and which message ids it has booked."""

    settings: LisSettings
    monotonic: Callable[[], float]
    wall: Callable[[], float] = time.time
    receptions: list[Reception] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    passed_over: int = 0
    """Files that OpenELIS' rule knew by their content."""
    _read: set[str] = field(default_factory=set)
    _due: dict[str, tuple[float, Reception]] = field(default_factory=dict)
    _booked: dict[str, bytes] = field(default_factory=dict)
    _digests: set[bytes] = field(default_factory=set)
    _unfinished: int = 0
    _pickup: Pickup = field(init=False)

    def __post_init__(self) -> None:
        self._pickup = Pickup(self.settings.reader, self.settings.drop)

    def poll(self) -> tuple[Reception, ...]:
        """Look once at the folder; return what was read in this look. A folder that is away is a look in vain."""
        fresh = []
        self._unfinished = 0
        for name in self._names_to_read():
            try:
                if not self._pickup.is_finished(name, wall_s=self.wall(), now_s=self.monotonic()):
                    self._unfinished += 1
                    continue
                content = (self.settings.drop / name).read_bytes()
            except OSError:
                continue  # taken away, or not readable yet: the next look tells
            self._read.add(name)
            if self._is_known_content(content):
                continue
            reception = self.receive(name, content)
            fresh.append(reception)
            self._due[name] = (self.monotonic() + self.settings.delay_s, reception)
        self._answer_what_is_due()
        return tuple(fresh)

    def receive(self, name: str, content: bytes) -> Reception:
        """Read the bytes of one message, from a folder or a connection, and book it."""
        message = message_from_file(name, content, offsets=self.settings.offsets)
        # Without a message id (SENAITE's table) a reader knows a file by its bytes alone.
        key = message.message_id if message.names_message else hashlib.sha256(content).hexdigest()
        known = self._booked.get(key)
        if known is not None and known != content:
            faults = (*message.faults, "the message id was used before with other content")
            message = replace(message, faults=faults)
        if not message.faults:
            self._booked[key] = content
        if message.partial:
            self._collect(name, content)
        refused = not message.faults and self._is_refused(message)
        answer: Answer = "AR" if message.faults else "AE" if refused else "AA"
        reception = Reception(name, message, answer, known is not None, bool(message.faults) or refused)
        if self.settings.ack_folder is None and not name.startswith("mllp-"):
            reception = replace(reception, answer="-")
        self.receptions.append(reception)
        return reception

    @property
    def has_open_answers(self) -> bool:
        """Whether answers still wait for their time, or files for the age at which this reader takes them."""
        return bool(self._due) or self._unfinished > 0

    @property
    def faulty(self) -> tuple[Reception, ...]:
        """The files that were wrong in themselves (not those that this LIS was told to refuse)."""
        return tuple(reception for reception in self.receptions if reception.message.faults)

    def _names_to_read(self) -> list[str]:
        names = listed_names(self.settings.drop)
        # A name that is gone may come again with other content, as a resend may: forget it.
        self._read.intersection_update(names)
        known = self._pickup.known_names() if names else frozenset()
        for name in names:
            if not name.startswith(".") and not self._pickup.takes(name) and name not in (INDEX_NAME, LOG_NAME):
                self.foreign.add(name)
        return [name for name in names if self._pickup.takes(name) and name not in self._read and name not in known]

    def _is_known_content(self, content: bytes) -> bool:
        if self.settings.reader != "openelis":
            return False
        digest = hashlib.sha256(content).digest()
        if digest in self._digests:
            self.passed_over += 1
            return True
        self._digests.add(digest)
        return False

    def _is_refused(self, message: ReceivedMessage) -> bool:
        pattern = self.settings.refuse
        return pattern is not None and any(pattern.search(text) for text in (message.sample_id, message.slide))

    def _collect(self, name: str, content: bytes) -> None:
        if self.settings.collect is not None:
            self.settings.collect.mkdir(exist_ok=True)
            (self.settings.collect / f"{len(self.receptions):06d}_{name}").write_bytes(content)

    def _answer_what_is_due(self) -> None:
        now_s = self.monotonic()
        for name, (due_s, reception) in tuple(self._due.items()):
            if due_s > now_s:
                continue
            try:
                self._answer(name, reception)
            except OSError as error:
                where = self.settings.ack_folder or self.settings.drop
                raise EdgeError("MDSE-SIM-040", where=str(where), reason=error.strerror or str(error)) from error
            del self._due[name]

    def _answer(self, name: str, reception: Reception) -> None:
        """Tell the sender, in this reader's way, what became of the file. Raises OSError."""
        drop = self.settings.drop
        if self.settings.reader == "senaite":
            append_lines(drop / INDEX_NAME, (name,))
            append_lines(drop / LOG_NAME, (senaite_line(reception, datetime.now(UTC)),))
        if self.settings.ack_folder is not None:
            write_answer(self.settings.ack_folder, reception)
        if self.settings.delete and reception.refused and self.settings.ack_folder is None:
            (drop / ERROR_FOLDER).mkdir(exist_ok=True)
            (drop / name).replace(drop / ERROR_FOLDER / name)
        elif self.settings.delete:
            (drop / name).unlink(missing_ok=True)


def reasons_of(reception: Reception) -> str:
    """Return why a message was not accepted, in one line; "" for an accepted one."""
    told = "refused as this simulator was told to" if reception.refused else ""
    return "; ".join(reception.message.faults) or told


def senaite_line(reception: Reception, now: datetime) -> str:
    """Return the line that this LIS writes into SENAITE's log about a file."""
    level = "ERROR" if reception.refused else "INFO"
    text = (
        reasons_of(reception) or f"{len(reception.message.results)} results of {reception.message.sample_id} imported"
    )
    return f"{now:%Y-%m-%d %H:%M:%S} [{level}] [Instrument:SIMULATED] {reception.file_name}: {text}"


def write_answer(folder: Path, reception: Reception) -> Path:
    """Write `<stem>.ack`, or `<stem>.err` when the file had no message id to name. Returns the path. Raises OSError."""
    stem = reception.file_name.rpartition(".")[0]
    if reception.message.message_id:
        path, content = folder / f"{stem}.ack", ack_bytes(reception, datetime.now(UTC))
    else:
        path, content = folder / f"{stem}.err", f"{reasons_of(reception)}\n".encode()
    hidden = folder / f".{path.name}.tmp"
    hidden.write_bytes(content)
    hidden.replace(path)
    return path


def ack_bytes(reception: Reception, now: datetime) -> bytes:
    """Return an HL7 v2.5.1 acknowledgement (MSH, MSA) of the message; `now` carries its zone."""
    message = reception.message
    moment = now.strftime("%Y%m%d%H%M%S%z")
    said = reasons_of(reception)
    escaped = said.replace("\\", "\\E\\").replace("|", "\\F\\").replace("^", "\\S\\").replace("&", "\\T\\")
    is_law = message.format == "hl7-oul"
    event, profile = ("R22", "|||||||||LAB-29^IHE") if is_law else ("R01", "")
    header = f"MSH|^~\\&|LISSIM|SIMULATED|MDSEDGE||{moment}||ACK^{event}^ACK|A{message.message_id}"
    header += f"|{message.mode or 'P'}|2.5.1"
    return f"{header}{profile}\rMSA|{reception.answer}|{message.message_id}|{escaped[:80]}\r".encode()
