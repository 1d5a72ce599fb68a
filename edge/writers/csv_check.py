"""Our own checks of the two CSV forms before they are published; standard library only.

check_csv_long(content)      one row a result
check_csv_wide(content)      SENAITE's two-dimensional form
both raise EdgeError MDSE-WRITER-004 with the first fault
"""

from __future__ import annotations

import csv
import io
import re
from typing import NoReturn

from edge.errors import EdgeError

COLUMNS = tuple(
    "message_id reported_at mode status revision supersedes reason site sample_id order_id slide_id slide_no "
    "acquired_at device code name loinc value unit reference flag numerator denominator degraded model_version "
    "software warnings notes".split()
)
END_CODE = "END"
WIDE_SAMPLE = r"[\w.-]{1,64}"

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
_COLUMN_SHAPES = {
    "message_id": r"[A-Za-z0-9.-]{1,20}",
    "reported_at": _TIME,
    "mode": "[PT]",
    "status": "[PFCWX]",
    "revision": r"[1-9]\d*",
    "sample_id": ".+",
    "slide_id": ".+",
    "slide_no": ".+",
    "acquired_at": f"(?:{_TIME})?",
    "code": r"[A-Z0-9]{3,20}|\d{3,5}-\d",
    "name": ".+",
    "loinc": r"(?:\d{3,5}-\d)?",
    "unit": r"(?:%|/100\{WBCs\}|\{cells\}|1)?",
    "reference": "",
    "flag": "[AH]?",
    "numerator": r"\d*",
    "denominator": r"\d*",
    "degraded": "YES|NO",
}
# What every row of a file repeats.
_REPEATED = tuple(
    "message_id reported_at mode revision supersedes reason site sample_id order_id slide_id slide_no acquired_at "
    "device degraded model_version software warnings".split()
)


def check_csv_long(content: bytes) -> None:
    """Check that `content` is one whole table as we write it. Raises EdgeError MDSE-WRITER-004."""
    rows = _table(content)
    for number, row in enumerate(rows, start=2):
        for column, shape in _COLUMN_SHAPES.items():
            if not re.fullmatch(shape, row[column], re.ASCII):
                _refuse(f"line {number}, {column} has a value that does not belong there")
    results, end = rows[:-1], rows[-1] if rows else None
    if end is None or end["code"] != END_CODE or end["value"] != str(len(results)) or not results:
        _refuse("the number of rows is not the one it states")
    if any(row[column] != end[column] for row in results for column in _REPEATED):
        _refuse("a row is of another message, slide or sample")
    if len({row["code"] for row in rows}) != len(rows):
        _refuse("a code stands twice")
    for row in results:
        _check_result(row, end["status"])


def _table(content: bytes) -> list[dict[str, str]]:
    if content.startswith(b"\xef\xbb\xbf") or not content.endswith(b"\r\n"):
        _refuse("it begins with a byte order mark, or the last row has no end")
    if re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n", content):
        _refuse("it holds a control byte, or a row ends otherwise than with CR LF")
    try:
        table = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        _refuse(f"it is not a table in UTF-8 ({error})")
    if tuple(table[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in table):
        _refuse("the columns are not the ones we write")
    return [dict(zip(COLUMNS, row, strict=True)) for row in table[1:]]


def _check_result(row: dict[str, str], report: str) -> None:
    value, letter = row["value"], row["status"]
    if row["unit"] and value and not re.fullmatch(_NUMBER, value, re.ASCII):
        _refuse(f"{row['code']} has a unit and no plain number")
    if not value and letter != "X":
        _refuse(f"{row['code']} is empty without being marked so")
    if letter != report and (value or letter != "X"):
        _refuse("the status letters of the rows do not go together")
    if bool(row["numerator"]) != bool(row["denominator"]):
        _refuse(f"{row['code']} has half of its counts")


def check_csv_wide(content: bytes) -> None:
    """Check that `content` is one whole two-dimensional table as we write it. Raises EdgeError MDSE-WRITER-004."""
    if not content.isascii() or not content.endswith(b"\r\nend\r\n"):
        _refuse("it is not ASCII that ends with the line 'end'")
    lines = content.decode("ascii").split("\r\n")[:-2]
    if len(lines) != 2 or re.search(r"[\x00-\x1f\x7f\"]", "".join(lines)):
        _refuse("it is not one line of codes and one of values")
    codes, values = (line.split(",") for line in lines)
    if codes[0] or codes[-1] != "end" or values[-1] or len(codes) != len(values) or len(codes) < 3:
        _refuse("codes and values do not stand under each other")
    if not re.fullmatch(WIDE_SAMPLE, values[0], re.ASCII):
        _refuse("there is no sample id that the reader could take")
    if len(set(codes[1:-1])) != len(codes) - 2 or not all(re.fullmatch("[A-Z0-9]{4,20}", code) for code in codes[1:-1]):
        _refuse("a code stands twice or is not one")
    if not all(re.fullmatch(r"\d+(?:\.\d+)?", value, re.ASCII) for value in values[1:-1]):
        _refuse("a value is not a plain number: the reader would take it for 0.0")


def _refuse(reason: str) -> NoReturn:
    raise EdgeError("MDSE-WRITER-004", where="csv", format="CSV", reason=reason)
