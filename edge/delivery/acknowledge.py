"""What the LIS answered to a published result.

    ack-file        the LIS writes `<stem>.ack`, an HL7 acknowledgement, or `<stem>.err` into a folder
    file-gone       the LIS takes the file away; into a folder for errors: refused (edge/delivery/error_folders.py)
    senaite-index   the LIS leaves the file and writes its name into `imported.csv` (edge/delivery/senaite_index.py)
    none            nothing is expected

An acknowledgement counts only when its MSA-2 equals our message id: late answers have been booked on the wrong
message elsewhere, and that message was lost. What cannot be understood never settles anything.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edge.delivery.durable import explained, opened_folder
from edge.delivery.error_folders import NAMES_MAX, ErrorFiles, list_error_files
from edge.delivery.publish import Drop, is_collected, opened_drop
from edge.delivery.senaite_index import read_index, read_log, refusal_in_log
from edge.errors import EdgeError, printable

AckMode = Literal["ack-file", "file-gone", "senaite-index", "none"]
AckKind = Literal["pending", "accepted", "refused", "collected", "ignored"]

# An acknowledgement is a few hundred bytes; a larger file is not one.
ACK_BYTES_MAX = 65_536
TEXT_CHARACTERS_MAX = 500
# HL7 v2.5.1 table 0008.
_ACCEPTED = {"AA", "CA"}
_REFUSED = {"AE", "AR", "CE", "CR"}
# HL7 v2.5.1 table 0357: application record locked, application internal error. What the receiver calls an error of its
# own may be over when it gets the same message again; every other error is in the message and stays.
_TEMPORARY = {"206", "207"}


@dataclass(frozen=True, slots=True)
class AckState:
    """The state of one delivery as the LIS tells it.

    kind: `pending` nothing yet; `accepted`; `refused`; `collected` taken away without a word;
        `ignored` an answer is there that does not settle this message: still pending, and somebody should look.
    text: the LIS's own words or the reason, in one printable line of at most 500 characters; "" when there is none.
    temporary: a refusal (AE or CE) for an error that the receiver itself calls one of its own (ERR-3 206 or 207).
    whole: False where the file may still be being written: believed only when the next look finds the same.
    receipt_only: an acceptance by CA: the message has arrived, and nothing is said of what became of it.
    """

    kind: AckKind
    text: str = ""
    temporary: bool = False
    whole: bool = True
    receipt_only: bool = False


def read_acknowledgement(
    mode: AckMode, drop: Drop, final_name: str, message_id: str, *, ack_folder: Path | None = None
) -> AckState:
    """Return what the LIS has answered to the file that was published as `final_name`.

    Args:
        mode: as configured for the output.
        drop: the output's prepared folder.
        final_name: the published name.
        message_id: the message id inside the file (MSH-10).
        ack_folder: where the LIS writes; `ack` beside the drop folder when None.

    Raises:
        EdgeError: MDSE-DELIVERY-001 or -012 the place cannot be seen now, -005 another place is mounted there.
    """
    return read_acknowledgements(mode, drop, [(final_name, message_id)], ack_folder=ack_folder)[0]


def read_acknowledgements(
    mode: AckMode, drop: Drop, wanted: Sequence[tuple[str, str]], *, ack_folder: Path | None = None
) -> list[AckState]:
    """Return the same for several files, each with its message id; folders for errors are listed once for all."""
    if mode == "none":
        return [AckState("accepted", "no acknowledgement is configured") for _ in wanted]
    if mode == "file-gone":
        return _states_of_taken_files(drop, [final_name for final_name, _ in wanted])
    if mode == "senaite-index":
        return [_state_of_index(drop, final_name) for final_name, _ in wanted]
    folder = ack_folder or drop.folder.parent / "ack"
    return [_state_of_ack_file(folder, final_name, message_id) for final_name, message_id in wanted]


def _states_of_taken_files(drop: Drop, final_names: Sequence[str]) -> list[AckState]:
    gone = [is_collected(drop, name) for name in final_names]
    errors = list_error_files(drop.folder) if any(gone) else ErrorFiles()
    return [
        _state_of_taken_file(errors, name) if is_gone else AckState("pending")
        for name, is_gone in zip(final_names, gone, strict=True)
    ]


def _state_of_taken_file(errors: ErrorFiles, final_name: str) -> AckState:
    if folder := errors.folder_of(final_name):
        return AckState("refused", _cut(f"the reader moved the file to its folder {folder}"))
    if errors.overfull:
        text = f"more than {NAMES_MAX} names in the folder {errors.overfull}: clear it, a refusal would not be found"
        return AckState("ignored", _cut(text))
    return AckState("collected")


def _state_of_index(drop: Drop, final_name: str) -> AckState:
    with explained(drop.folder), opened_drop(drop) as opened:
        try:
            named = final_name in read_index(opened.folder)
            refusal = refusal_in_log(read_log(opened.folder), final_name)
        except OSError as error:
            reason = error.strerror or str(error)
            raise EdgeError("MDSE-DELIVERY-012", where=str(drop.folder), reason=reason) from error
    if refusal:
        return AckState("refused", _cut(refusal))
    return AckState("accepted", "named in imported.csv") if named else AckState("pending")


def _state_of_ack_file(folder: Path, final_name: str, message_id: str) -> AckState:
    stem = final_name.rpartition(".")[0] or final_name
    try:
        with opened_folder(folder) as descriptor:
            refusal = _read_small_file(descriptor, f"{stem}.err")
            answer = _read_small_file(descriptor, f"{stem}.ack")
    except OSError as error:
        raise EdgeError("MDSE-DELIVERY-012", where=str(folder), reason=error.strerror or str(error)) from error
    if refusal is not None:
        return AckState("refused", _one_line(refusal) or "an error file without a text", whole=_is_ended(refusal))
    if answer is None or answer == b"":
        return AckState("pending")
    state = state_from_ack(answer, message_id)
    # What refuses says why in a segment of its own, behind the one that refuses.
    explained_too = state.kind != "refused" or b"ERR" in answer
    return replace(state, whole=_is_ended(answer) and explained_too)


def _is_ended(content: bytes) -> bool:
    """Tell whether the file ends where a segment or a line does: one that does not may still be being written."""
    return content.endswith((b"\r", b"\n", b"\x1c"))


def state_from_ack(content: bytes, message_id: str) -> AckState:
    """Return what an HL7 acknowledgement says about our message. Pure.

    MLLP frame bytes and line feeds as segment ends are tolerated, as engines write them into files.
    """
    if len(content) > ACK_BYTES_MAX:
        return AckState("ignored", f"the acknowledgement is larger than {ACK_BYTES_MAX} bytes")
    text = content.strip(b"\x0b\x1c\r\n").removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    segments = text.replace("\r\n", "\r").replace("\n", "\r").split("\r")
    if not segments[0].startswith("MSH") or len(segments[0]) < 8:
        return AckState("ignored", "the acknowledgement does not start with an MSH segment")
    separator = segments[0][3]
    answers = [segment.split(separator) for segment in segments if segment.startswith(f"MSA{separator}")]
    if not answers or any(len(fields) < 3 for fields in answers):
        return AckState("ignored", "the acknowledgement has no complete MSA segment")
    ours = [fields for fields in answers if fields[2] == message_id]
    if not ours:
        named = ", ".join(fields[2] for fields in answers)
        return AckState("ignored", _cut(f"the acknowledgement is for message {named}, not for {message_id}"))
    codes = {fields[1] for fields in ours}
    said = _words_of(ours, segments, separator)
    if codes == {"CA"}:
        return AckState("accepted", _cut(f"only its receipt was confirmed (CA) {said}".strip()), receipt_only=True)
    if codes <= _ACCEPTED:
        return AckState("accepted", said)
    if codes <= _REFUSED:
        temporary = codes <= {"AE", "CE"} and _error_codes(segments, separator) & _TEMPORARY != set()
        return AckState("refused", _cut(f"{'/'.join(sorted(codes))} {said}".strip()), temporary)
    return AckState("ignored", _cut(f"the acknowledgement code {'/'.join(sorted(codes))!r} is not one of table 0008"))


def _error_codes(segments: list[str], separator: str) -> set[str]:
    """Return the codes of ERR-3 (HL7 error code, table 0357)."""
    errors = [segment.split(separator) for segment in segments if segment.startswith(f"ERR{separator}")]
    return {fields[3].split("^")[0] for fields in errors if len(fields) > 3}


def _words_of(answers: list[list[str]], segments: list[str], separator: str) -> str:
    """Return the text of MSA-3 and of the ERR segments (ERR-7 and ERR-8 are for people, ERR-3 names the error)."""
    words = [fields[3] for fields in answers if len(fields) > 3]
    for segment in segments:
        if segment.startswith(f"ERR{separator}"):
            fields = segment.split(separator)
            words += [fields[index] for index in (3, 7, 8) if len(fields) > index]
    return _cut(" ".join(word for word in words if word))


def _read_small_file(folder: int, name: str) -> bytes | None:
    """Return the bytes of a plain file, one more than the limit at most; None when it is not there or not plain."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError:
        # A link (ELOOP) or a socket (ENXIO) in place of an answer is none; any other fault is the caller's to report.
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return None
        raise
    content = b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        while len(content) <= ACK_BYTES_MAX and (block := os.read(descriptor, ACK_BYTES_MAX + 1 - len(content))):
            content += block
    finally:
        os.close(descriptor)
    return content


def _one_line(content: bytes) -> str:
    return _cut(" ".join(content[:ACK_BYTES_MAX].decode("utf-8", "replace").split()))


def _cut(text: str) -> str:
    line = printable(text)
    return line if len(line) <= TEXT_CHARACTERS_MAX else line[: TEXT_CHARACTERS_MAX - 3] + "..."
