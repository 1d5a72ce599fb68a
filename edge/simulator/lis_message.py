"""How a strict LIS reads ORU^R01 and OUL^R22: written from the standard alone, sharing nothing with the writers.

    message_from_bytes(content) -> ReceivedMessage        never raises: what is wrong is listed in `faults`

A file that was read before it was whole shows itself in one of three ways: no CR at its end, a segment of the group
missing, or fewer OBX than the closing count states.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from edge.simulator.lis_received import ReceivedMessage, ReceivedResult, unreadable

Segment = list[str]

_TIME_WITH_OFFSET = re.compile(r"\d{14}(\.\d{1,4})?[+-]\d{4}")
_TIME_WITHOUT_OFFSET = re.compile(r"\d{14}(\.\d{1,4})?")
_PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_CONTROL = re.compile(rb"[\x00-\x0c\x0e-\x1f\x7f]")
# In ORU^R01 the standard leaves SPM out freely; this interface closes every such message with it, so its absence is a
# cut. In OUL^R22 the specimen comes first, and ORC after OBR.
_GROUPS = {
    "ORU^R01^ORU_R01": re.compile(r"MSH( SFT)*( PID)?( ORC)? OBR( NTE)*( OBX( NTE)*)+ SPM"),
    "OUL^R22^OUL_R22": re.compile(
        r"MSH( SFT)*( NTE)?( PID)? SPM( OBX)*( SAC)* OBR( ORC)?( NTE)*( OBX( TCD)?( SID)*( NTE)*)+"
    ),
}
_ESCAPES = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}
# OBR-25 (table 0123) beside OBX-11 (table 0085): a withdrawn value (W) comes in a corrected report.
_LETTERS = {"P": {"P"}, "F": {"F"}, "C": {"C", "W", "D"}, "X": {"X"}}
_COUNT_CODE = "OBXCOUNT"


def message_from_bytes(content: bytes, *, offsets: bool = True) -> ReceivedMessage:
    """Read one file. Whatever is wrong with it is in `faults`; an empty tuple means that it can be accepted.

    `offsets` False: a receiver that knows no offset from UTC, and takes a time with one for a fault.
    """
    faults = list(_framing_faults(content))
    text = content.decode("utf-8", "replace").replace("\r\n", "\r").replace("\n", "\r")
    segments = [line.split("|") for line in text.split("\r") if line]
    if not segments or segments[0][0] != "MSH":
        faults.append("the file has no MSH segment")
        partial = b"MSH|".startswith(content[:4])
        return replace(unreadable("hl7", faults[-1], partial=partial), faults=tuple(faults))
    segments[0].insert(1, "|")
    results = tuple(_results(segments))
    faults += [*_header_faults(segments[0], offsets), *_group_faults(segments), *_result_faults(segments)]
    is_oul = _field(segments[0], 9) == "OUL^R22^OUL_R22"
    closed = is_oul or segments[-1][0] == "SPM"
    partial = not content.endswith(b"\r") or _is_short(results) or not closed
    if partial:
        faults.append("the file is not whole")
    request = _first(segments, "OBR")
    return ReceivedMessage(
        message_id=_field(segments[0], 10),
        mode=_field(segments[0], 11),
        sample_id=_unescaped(_sample_of(segments)),
        slide=_slide_of(_first(segments, "SPM")),
        status=_field(request, 25),
        results=results,
        notes=tuple(_unescaped(_field(segment, 3)) for segment in segments if segment[0] == "NTE"),
        faults=tuple(faults),
        partial=partial,
        format="hl7-oul" if is_oul else "hl7",
    )


def _framing_faults(content: bytes) -> Iterator[str]:
    if not content.startswith(b"MSH|^~\\&|"):
        yield "the file does not start with MSH and the standard delimiters"
    if b"\n" in content:
        yield "the file holds a line feed; segments end with CR alone"
    if _CONTROL.search(content.replace(b"\n", b"")):
        yield "the file holds a control byte"
    if not content.endswith(b"\r"):
        yield "the last segment has no CR"
    if b"\r\r" in content:
        yield "the file holds an empty segment"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        yield "the file is neither ASCII nor UTF-8"


def _header_faults(header: Segment, offsets: bool) -> Iterator[str]:
    if _field(header, 9) not in _GROUPS:
        yield f"MSH-9 is {_field(header, 9)!r}, not ORU^R01^ORU_R01 or OUL^R22^OUL_R22"
    if _field(header, 9) == "OUL^R22^OUL_R22" and "LAB-29^IHE" not in _field(header, 21).split("~"):
        yield "MSH-21 does not name the profile LAB-29^IHE"
    if not 1 <= len(_field(header, 10)) <= 20:
        yield "MSH-10 must have 1 to 20 characters"
    if _field(header, 11) not in {"P", "T", "D"}:
        yield "MSH-11 is not of table 0103"
    if _field(header, 12) != "2.5.1":
        yield f"MSH-12 is {_field(header, 12)!r}, not 2.5.1"
    if offsets and not _TIME_WITH_OFFSET.fullmatch(_field(header, 7)):
        yield "MSH-7 is not a time to the second with an offset"
    if not offsets and not _TIME_WITHOUT_OFFSET.fullmatch(_field(header, 7)):
        yield "MSH-7 is not a time to the second without an offset"


def _group_faults(segments: list[Segment]) -> Iterator[str]:
    kind = _field(segments[0], 9)
    if kind in _GROUPS and not _GROUPS[kind].fullmatch(" ".join(segment[0] for segment in segments)):
        yield f"the segments are not those of one {kind[:7]} in their order"
    request, specimen, container = (_first(segments, name) for name in ("OBR", "SPM", "SAC"))
    sample = _field(request, 3).split("^")[0]
    if not sample:
        yield "OBR-3 names no sample"
    if container and _field(container, 3).split("^")[0] != sample:
        yield "SAC-3 names another container than OBR-3 a sample"
    if _field(request, 25) not in _LETTERS:
        yield f"OBR-25 is {_field(request, 25)!r}, not P, F, C or X"
    if specimen and _field(specimen, 2).split("^")[0].split("&")[0] != sample:
        yield "SPM-2 names another sample than OBR-3"


def _result_faults(segments: list[Segment]) -> Iterator[str]:
    allowed = _LETTERS.get(_field(_first(segments, "OBR"), 25), set())
    header_time = _field(segments[0], 7)
    seen: set[tuple[str, str]] = set()
    for expected, obx in enumerate((segment for segment in segments if segment[0] == "OBX"), start=1):
        place = f"OBX {expected}"
        if _field(obx, 1) != str(expected):
            yield f"{place} is numbered {_field(obx, 1)!r}"
        identifier = _field(obx, 3).split("^")
        if len(identifier) not in {3, 6} or not all(identifier):
            yield f"{place} has no code, name and code system"
        if (key := (_field(obx, 3), _field(obx, 4))) in seen:
            yield f"{place} repeats the code of an earlier one"
        else:
            seen.add(key)
        if _field(obx, 19) and _field(obx, 19) > header_time:
            yield f"{place} was analysed after the message was made"
        yield from _value_faults(place, obx, allowed)


def _value_faults(place: str, obx: Segment, allowed: set[str]) -> Iterator[str]:
    kind, value, status = _field(obx, 2), _field(obx, 5), _field(obx, 11)
    if kind not in {"NM", "ST", "TX"}:
        yield f"{place} has the unknown value type {kind!r}"
    if not value:
        if status != "X":
            yield f"{place} is empty but not marked X"
        return
    if status not in allowed:
        yield f"{place} has status {status!r}, which does not go with OBR-25"
    if kind != "NM":
        return
    if not _PLAIN_NUMBER.fullmatch(value):
        yield f"{place} is numeric but holds {value!r}"
        return
    unit = _field(obx, 6).split("^")[0]
    highest = {"%": 100.0, "1": 1.0}.get(unit, float("inf"))
    if unit and not 0 <= float(value) <= highest:
        yield f"{place} holds {value} {unit}, which cannot be"
    if unit == "{cells}" and not value.isdigit():
        yield f"{place} counts {value} cells, which cannot be"


def _results(segments: list[Segment]) -> Iterator[ReceivedResult]:
    for obx in segments:
        if obx[0] != "OBX":
            continue
        identifier = _field(obx, 3).split("^")
        # As common receivers do: the first coding's code, else that of the second.
        code = identifier[0] or (identifier[3] if len(identifier) > 3 else "")
        yield ReceivedResult(
            number=int(_field(obx, 1)) if _field(obx, 1).isdigit() else 0,
            code=_unescaped(code),
            name=_unescaped(identifier[1] if len(identifier) > 1 else ""),
            value=_unescaped(_field(obx, 5)),
            unit=_field(obx, 6).split("^")[0],
            flag=_field(obx, 8),
            status=_field(obx, 11),
            local=_unescaped(identifier[3] if len(identifier) > 3 else identifier[0]),
        )


def _is_short(results: tuple[ReceivedResult, ...]) -> bool:
    """Return whether the closing count is missing or says that there were more results."""
    return not results or results[-1].code != _COUNT_CODE or results[-1].value != str(len(results))


def _sample_of(segments: list[Segment]) -> str:
    """Return the sample as a receiver of this kind finds it: OBR-3, for OUL the container's barcode."""
    if container := _first(segments, "SAC"):
        return _field(container, 3).split("^")[0]
    return _field(_first(segments, "OBR"), 3).split("^")[0]


def _slide_of(specimen: Segment) -> str:
    parts = _field(specimen, 2).split("^")
    return _unescaped(parts[1].split("&")[0]) if len(parts) > 1 else ""


def _first(segments: list[Segment], name: str) -> Segment:
    return next((segment for segment in segments if segment[0] == name), [])


def _field(segment: Segment, number: int) -> str:
    return segment[number] if len(segment) > number else ""


def _unescaped(text: str) -> str:
    return re.sub(r"\\([FSTRE])\\", lambda found: _ESCAPES[found[1]], text)
