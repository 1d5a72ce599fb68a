r"""Our own check of a LIS2-A2 record file before it is published; standard library only.

Each record is held against the exact shape we write, sequence numbers and letters are followed through, and the L
record must be the end: a file that was cut anywhere lacks it.

    check_lis2(content)      raises EdgeError MDSE-WRITER-004 with the first fault
"""

from __future__ import annotations

import re
from functools import cache
from typing import NoReturn

from edge.errors import EdgeError

RECORD_ENDS = {"crlf": "\r\n", "cr": "\r", "lf": "\n"}

_TEXT = r"(?:[^|\\^&\x00-\x1f\x7f]|&[FRSE]&)"
_SOME = rf"{_TEXT}+"
_TIME = r"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d"
_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_SHAPES: dict[str, dict[int, tuple[bool, str]]] = {
    "H": {
        2: (True, r"\\\^&"),
        3: (True, r"[A-Za-z0-9.-]{1,20}"),
        5: (True, rf"MDSEDGE\^{_SOME}\^{_SOME}"),
        10: (True, "LIS"),
        12: (True, "[PT]"),
        13: (True, "LIS2-A2"),
        14: (True, _TIME),
    },
    "P": {2: (True, "1"), 3: (False, _SOME)},
    "O": {
        2: (True, "1"),
        3: (True, _SOME),
        4: (True, _SOME),
        5: (True, r"\^\^\^DIFF"),
        6: (True, "R"),
        16: (True, "Blood"),
        26: (True, "[PFCX]"),
    },
    "R": {
        2: (True, r"[1-9]\d*"),
        3: (True, r"\^\^\^[A-Z0-9]{4,20}"),
        4: (False, _SOME),
        5: (False, r"%|/100\{WBCs\}|\{cells\}|1"),
        7: (False, "[AH]"),
        9: (True, "[PFCX]"),
        12: (False, _TIME),
        13: (True, _TIME),
        14: (False, _SOME),
    },
    "C": {2: (True, r"[1-9]\d*"), 3: (True, "I"), 4: (True, _SOME), 5: (True, "G")},
    "L": {2: (True, "1"), 3: (True, "N")},
}
_ORDER = re.compile(r"HP(?:C)*O(?:C)*(?:R(?:C)*)+L")


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """Compile once: the check runs on every file, and the cache of `re` costs more than the match."""
    return re.compile(text, re.ASCII)


def check_lis2(content: bytes) -> None:
    """Check that `content` is one whole record file as we write it. Raises EdgeError MDSE-WRITER-004."""
    records = [record.split("|") for record in _records(content)]
    kinds = [record[0] for record in records]
    if not set(kinds) <= _SHAPES.keys() or not _ORDER.fullmatch("".join(kinds)):
        _refuse("a record is missing, unknown or out of its place")
    for number, record in enumerate(records, start=1):
        _check_shape(record, number)
    _check_results(records)
    _check_comments(records)


def _records(content: bytes) -> list[str]:
    if not content.isascii() or not content.startswith(b"H|"):
        _refuse("it is not ASCII that begins with a header record")
    text = content.decode("ascii")
    tail = re.search(r"[\r\n]+\Z", text)
    end = tail.group() if tail else ""
    if end not in RECORD_ENDS.values():
        _refuse("the last record has no end")
    records = text.split(end)[:-1]
    if any(re.search(r"[\x00-\x1f\x7f]", record) for record in records):
        _refuse("a record ends otherwise than the last, or holds a control character")
    return records


def _check_shape(record: list[str], number: int) -> None:
    name, shape = record[0], _SHAPES[record[0]]
    for field, value in enumerate(record[1:], start=2):
        if field not in shape and value:
            _refuse(f"record {number}, {name}.{field} must be empty")
        if field in shape and value and not _pattern(shape[field][1]).fullmatch(value):
            _refuse(f"record {number}, {name}.{field} has a value that does not belong there")
    for field, (required, _) in shape.items():
        if required and not (len(record) >= field and record[field - 1]):
            _refuse(f"record {number}, {name}.{field} is empty")


def _check_results(records: list[list[str]]) -> None:
    header = records[0]
    report = next(record[25] for record in records if record[0] == "O")
    codes: set[str] = set()
    for expected, record in enumerate((r for r in records if r[0] == "R"), start=1):
        value, unit, letter = record[3], record[4], record[8]
        if record[1] != str(expected):
            _refuse(f"result {expected} is numbered {record[1]}")
        if unit and value and not re.fullmatch(_NUMBER, value, re.ASCII):
            _refuse(f"result {expected} has a unit and no plain number")
        # An empty value is one that could not be given (X), or one that is withdrawn (C).
        if letter != report and (value or letter != "X"):
            _refuse("the status letters of order and results do not go together")
        if not value and letter not in "XC":
            _refuse(f"result {expected} is empty without being marked so")
        if record[12] != header[13]:
            _refuse(f"result {expected} is not of the time of its message")
        codes.add(record[2])
        if len(codes) != expected:
            _refuse(f"result {expected} has the same code as another")


def _check_comments(records: list[list[str]]) -> None:
    number = 0
    for record in records:
        number = number + 1 if record[0] == "C" else 0
        if record[0] == "C" and record[1] != str(number):
            _refuse("a comment is missing or out of its place")


def _refuse(reason: str) -> NoReturn:
    raise EdgeError("MDSE-WRITER-004", where="lis2", format="LIS2-A2", reason=reason)
