"""A LIS to test a site with: polls a drop folder, reads every message like a strict receiver, answers, takes away.

It reads a file as soon as it sees it, without waiting for it to settle: whatever a sender does wrong while publishing
shows itself here. One message id is booked once, as a LIS does; the same id with other content is a fault.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from edge.errors import EdgeError
from edge.simulator.lis_message import ReceivedMessage, message_from_bytes

Answer = Literal["AA", "AE", "AR", "-"]


@dataclass(frozen=True, slots=True)
class LisSettings:
    """How this LIS behaves. `refuse` is searched in sample id and slide; a match is answered with AE."""

    drop: Path
    ack_folder: Path | None = None
    delete: bool = False
    refuse: re.Pattern[str] | None = None
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reception:
    """One file that was read: its name, what was understood, the answer and whether its id was known already."""

    file_name: str
    message: ReceivedMessage
    answer: Answer
    repeated: bool


@dataclass(slots=True)
class SimulatedLis:
    """The state of the LIS: which files it has read, which answers are due and which message ids it has booked."""

    settings: LisSettings
    monotonic: Callable[[], float]
    receptions: list[Reception] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    _read: set[str] = field(default_factory=set)
    _due: dict[str, tuple[float, Reception]] = field(default_factory=dict)
    _booked: dict[str, bytes] = field(default_factory=dict)

    def poll(self) -> tuple[Reception, ...]:
        """Look once at the folder; return what was read in this look. A folder that is away is a look in vain."""
        fresh = []
        for name in self._listed():
            if name in self._read or name.startswith("."):
                continue
            if not name.endswith(".hl7"):
                self.foreign.add(name)
                continue
            try:
                content = (self.settings.drop / name).read_bytes()
            except OSError:
                continue  # taken away, or not readable yet: the next look tells
            reception = self._receive(name, content)
            self._read.add(name)
            fresh.append(reception)
            self._due[name] = (self.monotonic() + self.settings.delay_s, reception)
        self._answer_what_is_due()
        self.receptions += fresh
        return tuple(fresh)

    @property
    def has_open_answers(self) -> bool:
        """Whether answers still wait for their time."""
        return bool(self._due)

    @property
    def faulty(self) -> tuple[Reception, ...]:
        """The files that were wrong in themselves (not those that this LIS was told to refuse)."""
        return tuple(reception for reception in self.receptions if reception.message.faults)

    def _listed(self) -> list[str]:
        try:
            names = sorted(os.listdir(self.settings.drop))  # noqa: PTH208  names alone are compared, not paths
        except OSError:
            return []
        # A name that is gone may come again with other content, as a resend may: forget it.
        self._read.intersection_update(names)
        return [name for name in names if not (self.settings.drop / name).is_dir()]

    def _receive(self, name: str, content: bytes) -> Reception:
        message = message_from_bytes(content)
        known = self._booked.get(message.message_id)
        if known is not None and known != content:
            faults = (*message.faults, "the message id was used before with other content")
            message = replace(message, faults=faults)
        if not message.faults:
            self._booked[message.message_id] = content
        return Reception(name, message, self._answer_to(message), known is not None)

    def _answer_to(self, message: ReceivedMessage) -> Answer:
        if self.settings.ack_folder is None:
            return "-"
        if message.faults:
            return "AR"
        refused = self.settings.refuse is not None and any(
            self.settings.refuse.search(text) for text in (message.sample_id, message.slide)
        )
        return "AE" if refused else "AA"

    def _answer_what_is_due(self) -> None:
        now_s = self.monotonic()
        for name, (due_s, reception) in tuple(self._due.items()):
            if due_s > now_s:
                continue
            if self.settings.ack_folder is not None:
                try:
                    write_answer(self.settings.ack_folder, reception)
                except OSError as error:
                    reason = error.strerror or str(error)
                    raise EdgeError("MDSE-SIM-040", where=str(self.settings.ack_folder), reason=reason) from error
            if self.settings.delete:
                (self.settings.drop / name).unlink(missing_ok=True)
            del self._due[name]


def write_answer(folder: Path, reception: Reception) -> Path:
    """Write `<stem>.ack`, or `<stem>.err` when the file had no message id to name. Returns the path. Raises OSError."""
    stem = reception.file_name.rpartition(".")[0]
    reasons = "; ".join(reception.message.faults)
    if reception.message.message_id:
        path, content = (
            folder / f"{stem}.ack",
            ack_bytes(reception.message, reception.answer, reasons, datetime.now(UTC)),
        )
    else:
        path, content = folder / f"{stem}.err", f"{reasons}\n".encode()
    hidden = folder / f".{path.name}.tmp"
    hidden.write_bytes(content)
    hidden.replace(path)
    return path


def ack_bytes(message: ReceivedMessage, answer: Answer, reasons: str, now: datetime) -> bytes:
    """Return an HL7 v2.5.1 acknowledgement (MSH, MSA) of the message; `now` carries its zone."""
    moment = now.strftime("%Y%m%d%H%M%S%z")
    said = reasons or ("refused as this simulator was told to" if answer == "AE" else "")
    escaped = said.replace("\\", "\\E\\").replace("|", "\\F\\").replace("^", "\\S\\").replace("&", "\\T\\")
    header = (
        f"MSH|^~\\&|LISSIM|SIMULATED|MDSEDGE||{moment}||ACK^R01^ACK|A{message.message_id}|{message.mode or 'P'}|2.5.1"
    )
    return f"{header}\rMSA|{answer}|{message.message_id}|{escaped[:80]}\r".encode()


def table_of_receptions(receptions: tuple[Reception, ...] | list[Reception]) -> str:
    """Return what was understood, one row a file."""
    header = ("message id", "mode", "sample", "slide", "status", "results", "score", "call", "answer", "remarks")
    rows = [header, *(_row(reception) for reception in receptions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def facts_of_reception(reception: Reception) -> Mapping[str, object]:
    """Return one reception as plain facts, for `--json`."""
    message = reception.message
    return {
        "file": reception.file_name,
        "message_id": message.message_id,
        "mode": message.mode,
        "sample_id": message.sample_id,
        "slide": message.slide,
        "status": message.status,
        "answer": reception.answer,
        "repeated": reception.repeated,
        "partial": message.partial,
        "faults": list(message.faults),
        "results": {result.code: result.value for result in message.results},
    }


def _row(reception: Reception) -> tuple[str, ...]:
    message = reception.message
    remarks = list(message.faults)
    remarks += ["PARTIAL FILE"] if message.partial else []
    remarks += ["seen before"] if reception.repeated else []
    return (
        message.message_id or "?",
        message.mode or "?",
        message.sample_id or "?",
        message.slide or "?",
        message.status or "?",
        str(len(message.results)),
        message.value_of("SCORE") or "-",
        message.value_of("CALL") or "-",
        reception.answer,
        "; ".join(remarks) or "ok",
    )
