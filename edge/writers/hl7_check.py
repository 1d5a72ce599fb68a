"""Our own check of an ORU^R01 or OUL^R22 before it is published; standard library only, fast enough for every message.

Parsers alone are not enough: a strict one accepts text in a numeric field, unknown segments, and every message that was
cut at the end of a segment. So each segment is held against the exact shape we write: which fields may be filled, and
with what. A stray delimiter shifts the fields and shows itself.

    check_hl7(content, "ORU_R01")      raises EdgeError MDSE-WRITER-004 with the first fault
"""

from __future__ import annotations

import re
from functools import cache
from typing import NoReturn

from edge.errors import EdgeError

_TEXT = r"(?:[^|^~&\\\x00-\x1f\x7f]|\\[FSTRE]\\)"
_PART = rf"{_TEXT}{{1,199}}"
_TIME = r"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?:[+-](?:0\d|1[0-4])[0-5]\d)?"
_CODED = r"[\w.-]{1,20}"
_CE = rf"{_CODED}\^{_PART}\^\w{{2,20}}(?:\^{_CODED}\^{_PART}\^\w{{2,20}})?"
_NUMBER = r"[+-]?\d+(?:\.\d+)?"

# Field number -> (required, pattern); every other field must be empty. MSH is numbered as the standard numbers it.
_SHAPES: dict[str, dict[int, tuple[bool, str]]] = {
    "MSH": {
        2: (True, r"\^~\\&"),
        3: (True, "MDSEDGE"),
        4: (True, rf"{_PART}|\^{_PART}\^L"),
        7: (True, _TIME),
        9: (True, r"ORU\^R01\^ORU_R01"),
        10: (True, r"[A-Za-z0-9.-]{1,20}"),
        11: (True, "[PT]"),
        12: (True, r"2\.5\.1"),
        15: (True, "NE"),
        16: (True, "AL"),
        18: (False, "UNICODE UTF-8"),
    },
    "SFT": {1: (True, _PART), 2: (True, _PART), 3: (True, _PART), 4: (True, _PART)},
    "PID": {1: (True, "1"), 3: (True, _PART), 5: (True, r"\^{6}U")},
    "ORC": {1: (True, "RE"), 2: (False, rf"{_PART}\^LIS"), 3: (True, rf"{_PART}\^MDSEDGE")},
    "OBR": {
        1: (True, "1"),
        2: (False, rf"{_PART}\^LIS"),
        3: (True, rf"{_PART}\^MDSEDGE"),
        4: (True, _CE),
        7: (False, _TIME),
        22: (True, _TIME),
        24: (True, "HM"),
        25: (True, "[PFCX]"),
    },
    "NTE": {1: (True, r"[1-9]\d*"), 2: (True, "L"), 3: (True, rf"{_TEXT}+")},
    "OBX": {
        1: (True, r"[1-9]\d*"),
        2: (True, "NM|ST|TX"),
        3: (True, _CE),
        4: (True, rf"{_TEXT}{{1,20}}"),
        5: (False, rf"{_TEXT}+"),
        6: (False, r"[^|~\\^&]+\^[^|~\\^&]+\^UCUM"),
        8: (False, "[AH]"),
        11: (True, "[PFCWXD]"),
        14: (False, _TIME),
        18: (False, _PART),
        19: (True, _TIME),
    },
    "SPM": {1: (True, "1"), 2: (True, rf"{_PART}&LIS\^{_PART}&MDSEDGE"), 4: (True, r"BLD\^Blood\^HL70487")},
}
# Where times stand: a slide key or a sample id may look like one.
_TIME_FIELDS = {"MSH": (7,), "OBR": (7, 22), "OBX": (14, 19)}
# What an OUL^R22 has instead of the shapes above.
_OUL_SHAPES: dict[str, dict[int, tuple[bool, str]]] = {
    "MSH": {
        **_SHAPES["MSH"],
        9: (True, r"OUL\^R22\^OUL_R22"),
        18: (True, "UNICODE UTF-8"),
        21: (True, r"LAB-29\^IHE"),
    },
    "ORC": {**_SHAPES["ORC"], 1: (True, "SC"), 5: (True, "CM")},
    "OBR": {**_SHAPES["OBR"], 2: (True, rf'""|{_PART}\^LIS')},
    "SPM": {
        1: (True, "1"),
        2: (True, rf"{_PART}&BARCODE\^{_PART}&MDSEDGE"),
        4: (True, r"BLD\^Blood\^HL70487"),
        11: (True, r"P\^\^HL70369"),
    },
    "SAC": {3: (True, _PART)},
}
_STRUCTURES = {
    "ORU_R01": (re.compile(r"MSH SFT (PID )?ORC OBR (NTE )*(OBX (NTE )*)+SPM "), _SHAPES),
    "OUL_R22": (re.compile(r"MSH SFT (PID )?SPM SAC OBR ORC (NTE )*(OBX (NTE )*)+"), {**_SHAPES, **_OUL_SHAPES}),
}
# OBR-25 and the letters of results that may stand under it (D: deleted, for receivers that know no W).
_LETTERS_BY_REPORT = {"P": "P", "F": "F", "C": "CWD", "X": "X"}


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """Compile once: the check runs on every message, and the cache of `re` costs more than the match."""
    return re.compile(text, re.ASCII)


def check_hl7(content: bytes, structure: str) -> None:
    """Check that `content` is one whole message of `structure` as we write it. Raises EdgeError MDSE-WRITER-004."""
    order, shapes = _STRUCTURES[structure]
    segments = _segments(content)
    if not order.fullmatch("".join(f"{segment[0]} " for segment in segments)):
        _refuse("a segment is missing, unknown or out of its place")
    for number, segment in enumerate(segments, start=1):
        _check_shape(segment, number, shapes[segment[0]])
    _check_results(segments)
    _check_whole(segments)
    # An OUL^R22 always names its character set; an ORU^R01 only when it is not plain ASCII.
    if structure == "ORU_R01" and (segments[0][18:] == ["UNICODE UTF-8"]) == content.isascii():
        _refuse("MSH-18 does not say how the text is coded")


def _segments(content: bytes) -> list[list[str]]:
    if not content.startswith(b"MSH|^~\\&|"):
        _refuse("it does not begin with MSH and the usual delimiters")
    if not content.endswith(b"\r"):
        _refuse("the last segment has no end")
    if re.search(rb"[\x00-\x0c\x0e-\x1f\x7f]", content):
        _refuse("it holds a control byte other than CR")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("it is neither ASCII nor UTF-8")
    segments = [segment.split("|") for segment in text.split("\r")[:-1]]
    # The delimiter after MSH is its field 1: put it in, so that the numbers are those of the standard.
    segments[0].insert(1, "|")
    return segments


def _check_shape(segment: list[str], number: int, shape: dict[int, tuple[bool, str]]) -> None:
    name = segment[0]
    first = 2 if name == "MSH" else 1
    for field, value in enumerate(segment[first:], start=first):
        if field not in shape and value:
            _refuse(f"segment {number}, {name}-{field} must be empty")
        if field in shape and value and not _pattern(shape[field][1]).fullmatch(value):
            _refuse(f"segment {number}, {name}-{field} has a value that does not belong there")
    for field, (required, _) in shape.items():
        if required and not (len(segment) > field and segment[field]):
            _refuse(f"segment {number}, {name}-{field} is empty")


def _check_results(segments: list[list[str]]) -> None:
    report = next(segment[25] for segment in segments if segment[0] == "OBR")
    letters = set()
    keys = set()
    for expected, obx in enumerate((s for s in segments if s[0] == "OBX"), start=1):
        if obx[1] != str(expected):
            _refuse(f"OBX {expected} is numbered {obx[1]}")
        if obx[2] == "NM" and obx[5] and not re.fullmatch(_NUMBER, obx[5], re.ASCII):
            _refuse(f"OBX {expected} is numeric and has no plain number")
        if obx[2] == "ST" and len(obx[5]) > 199:
            _refuse(f"OBX {expected} is longer than an ST may be")
        if not obx[5] and obx[11] != "X":
            _refuse(f"OBX {expected} is empty without being marked so")
        if obx[5]:
            letters.add(obx[11])
        keys.add((obx[3], obx[4]))
        if len(keys) != expected:
            _refuse(f"OBX {expected} has the same code as another")
    if len(letters) != 1 or not letters <= set(_LETTERS_BY_REPORT[report]):
        _refuse("the status letters of report and results do not go together")


def _check_whole(segments: list[list[str]]) -> None:
    results = [segment for segment in segments if segment[0] == "OBX"]
    last = results[-1]
    if last[3].split("^")[0] != "OBXCOUNT" or last[5] != str(len(results)):
        _refuse("the number of results is not the one it states")
    number = 0
    for segment in segments:
        number = number + 1 if segment[0] == "NTE" else 0
        if segment[0] == "NTE" and segment[1] != str(number):
            _refuse("a note is missing or out of its place")
    offsets = {
        segment[field][14:]
        for segment in segments
        for field in _TIME_FIELDS.get(segment[0], ())
        if len(segment) > field and segment[field]
    }
    if len(offsets) != 1:
        _refuse("its times are told in more than one zone")
    if segments[0][7] != results[0][19] or len({segment[19] for segment in results}) != 1:
        _refuse("a result is not of the time of its message")


def _refuse(reason: str) -> NoReturn:
    raise EdgeError("MDSE-WRITER-004", where="hl7", format="HL7", reason=reason)
