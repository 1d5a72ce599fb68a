r"""How a strict LIS reads a LIS2-A2 (ASTM E1394) record file; shares nothing with the writer.

    H {C} P {C} O {C} { R {C} } L

Two published readers split a file on LF alone or on CR alone: both must find the same records. A file that was read
before it was whole has no L record, or no end after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge.simulator.lis_received import ReceivedMessage, ReceivedResult, unreadable

Record = list[str]

_MOMENT = re.compile(r"\d{14}")
_PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_ORDER = re.compile(r"HC*PC*OC*(RC*)+L")
_ESCAPES = {"F": "|", "S": "^", "R": "\\", "E": "&"}
_FLAGS = {"", *"L H LL HH < > N A U D B W".split()}
_LETTERS = set("PFCX")


def message_from_records(content: bytes) -> ReceivedMessage:
    """Read one record file. Whatever is wrong with it is in `faults`; never raises."""
    ends = b"\r" if b"\n" not in content else b"\n" if b"\r" not in content else b"\r\n"
    lines = [line for line in content.split(ends) if line]
    if not lines or not lines[0].startswith(b"H|"):
        return unreadable("lis2", "the file does not begin with an H record", partial=b"H|\\^&".startswith(content[:5]))
    records = [line.decode("latin-1").split("|") for line in lines]
    whole = content.endswith(ends) and records[-1][0] == "L"
    faults = [*_framing_faults(content, ends), *_record_faults(records), *_result_faults(records)]
    order = _first(records, "O")
    return ReceivedMessage(
        message_id=_field(records[0], 3),
        mode=_field(records[0], 12),
        sample_id=_unescaped(_field(order, 3).split("^")[0]),
        slide=_unescaped(_field(order, 4)),
        status=_field(order, 26),
        results=tuple(_results(records)),
        notes=tuple(_unescaped(_field(record, 4)) for record in records if record[0] == "C"),
        faults=tuple(faults) if whole else (*faults, "the file is not whole"),
        partial=not whole,
        format="lis2",
    )


def _framing_faults(content: bytes, ends: bytes) -> Iterator[str]:
    if not content.endswith(ends):
        yield "the last record has no end"
    if ends == b"\r\n" and (
        content.count(b"\r") != content.count(b"\r\n") or content.count(b"\n") != content.count(ends)
    ):
        yield "the records end in different ways"
    if re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\xff]", content):
        yield "the file holds a byte that is not printable ASCII"


def _record_faults(records: list[Record]) -> Iterator[str]:
    header, order, last = records[0], _first(records, "O"), records[-1]
    if not _ORDER.fullmatch("".join(record[0][:1] for record in records)) or any(len(r[0]) != 1 for r in records):
        yield "the records are not those of one result in their order"
    if _field(header, 2) != "\\^&":
        yield "H.2 does not declare the standard delimiters"
    if not _field(header, 3):
        yield "H.3 names no message"
    if _field(header, 12) not in {"P", "T", "D", "Q"}:
        yield "H.12 is not P, T, D or Q"
    if _field(header, 13) != "LIS2-A2":
        yield f"H.13 is {_field(header, 13)!r}, not LIS2-A2"
    if not _MOMENT.fullmatch(_field(header, 14)):
        yield "H.14 is not a time of 14 digits"
    if not _field(order, 3):
        yield "O.3 names no sample"
    if _field(order, 26) not in _LETTERS:
        yield f"O.26 is {_field(order, 26)!r}, not P, F, C or X"
    if last[0] == "L" and (_field(last, 2), _field(last, 3)) != ("1", "N"):
        yield "the L record is not L|1|N"


def _result_faults(records: list[Record]) -> Iterator[str]:
    report = _field(_first(records, "O"), 26)
    seen: set[str] = set()
    for expected, record in enumerate((r for r in records if r[0] == "R"), start=1):
        place = f"R {expected}"
        code, value, unit, letter = _code_of(record), _field(record, 4), _field(record, 5), _field(record, 9)
        if _field(record, 2) != str(expected):
            yield f"{place} is numbered {_field(record, 2)!r}"
        if not re.fullmatch(r"\w+(-\d)?", code) or code in seen:
            yield f"{place} has no code of its own"
        seen.add(code)
        if letter != report and letter != "X":
            yield f"{place} has status {letter!r}, which does not go with O.26"
        if not value and letter not in {"X", "C"}:
            yield f"{place} is empty but marked neither X nor C"
        if value and unit and not _PLAIN_NUMBER.fullmatch(value):
            yield f"{place} has a unit but holds {value!r}"
        if _field(record, 7) not in _FLAGS:
            yield f"{place} has the unknown flag {_field(record, 7)!r}"
        if any(text and not _MOMENT.fullmatch(text) for text in (_field(record, 12), _field(record, 13))):
            yield f"{place} has a time that is not of 14 digits"
        elif _field(record, 13) > _field(records[0], 14):
            yield f"{place} was completed after the message was made"


def _results(records: list[Record]) -> Iterator[ReceivedResult]:
    names = _names(records)
    for index, record in enumerate(record for record in records if record[0] == "R"):
        yield ReceivedResult(
            number=index + 1,
            code=_code_of(record),
            name=names[index],
            value=_unescaped(_field(record, 4)),
            unit=_unescaped(_field(record, 5)),
            flag=_field(record, 7),
            status=_field(record, 9),
            local=_code_of(record),
        )


def _names(records: list[Record]) -> list[str]:
    """Return for each result its first comment, where this interface puts the long name."""
    names: list[str] = []
    before = ""
    for record in records:
        if record[0] == "R":
            names.append("")
        elif record[0] == "C" and before == "R" and names:
            names[-1] = _unescaped(_field(record, 4))
        before = record[0]
    return names


def _code_of(record: Record) -> str:
    """Return the test as one published reader finds it: component 4 of R.3, else component 2."""
    parts = _field(record, 3).split("^")
    return (parts[3] if len(parts) > 3 else "") or (parts[1] if len(parts) > 1 else "")


def _first(records: list[Record], kind: str) -> Record:
    return next((record for record in records if record[0] == kind), [])


def _field(record: Record, number: int) -> str:
    """Return a field as the standard counts them: 1 is the record's type."""
    return record[number - 1] if len(record) >= number else ""


def _unescaped(text: str) -> str:
    return re.sub(r"&([FSRE])&", lambda found: _ESCAPES[found[1]], text)
