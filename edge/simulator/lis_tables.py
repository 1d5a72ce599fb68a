"""How a LIS reads the two CSV forms: one row a result, and SENAITE's table of codes. Shares nothing with the writers.

The long form ends in a row END that states how many rows stand before it, the wide one in a line `end`: a file that
was read before it was whole lacks them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

from edge.simulator.lis_received import ReceivedMessage, ReceivedResult, unreadable

_PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
_NEEDED = "message_id reported_at mode status sample_id slide_id code name value unit".split()
_SAME = "message_id reported_at mode sample_id slide_id".split()


def message_from_long_table(content: bytes) -> ReceivedMessage:
    """Read a CSV of one row a result by the names of its columns. Whatever is wrong is in `faults`; never raises."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        return unreadable("csv", f"the file is no table in UTF-8: {error}", partial=not content.endswith(b"\r\n"))
    missing = [name for name in _NEEDED if not rows or name not in rows[0]]
    if missing:
        fault = f"the table lacks rows, or the columns {' '.join(missing)}"
        return unreadable("csv", fault, partial=not rows or not content.endswith(b"\r\n"))
    texts = [{name: value or "" for name, value in row.items() if name} for row in rows]
    results, end = texts[:-1], texts[-1]
    whole = content.endswith(b"\r\n") and end["code"] == "END" and end["value"] == str(len(results))
    faults = [*_table_faults(content, rows), *_row_faults(results, end["status"] if whole else "")]
    first = texts[0]
    return ReceivedMessage(
        message_id=first["message_id"],
        mode=first["mode"],
        sample_id=first["sample_id"],
        slide=first["slide_id"],
        status=end["status"],
        results=tuple(_long_results(results if whole else texts)),
        notes=tuple(note for row in texts for note in row.get("notes", "").split(" | ") if note),
        faults=tuple(faults) if whole else (*faults, "the file is not whole"),
        partial=not whole,
        format="csv",
    )


def _table_faults(content: bytes, rows: Sequence[Mapping[str | None, object]]) -> Iterator[str]:
    if content.startswith(b"\xef\xbb\xbf"):
        yield "the file begins with a byte order mark"
    if not content.endswith(b"\r\n"):
        yield "the last row has no end"
    if any(None in row or None in row.values() for row in rows):
        yield "a row has another number of cells than the header"


def _row_faults(rows: Sequence[Mapping[str, str]], report: str) -> Iterator[str]:
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        place = f"line {number}"
        if any(row[name] != rows[0][name] for name in _SAME):
            yield f"{place} is of another message, sample or slide"
        if not row["sample_id"]:
            yield f"{place} names no sample"
        if row["mode"] not in {"P", "T"}:
            yield f"{place} has the unknown mode {row['mode']!r}"
        if not _MOMENT.fullmatch(row["reported_at"]):
            yield f"{place} has no time with an offset"
        if not row["code"] or row["code"] in seen:
            yield f"{place} has no code of its own"
        seen.add(row["code"])
        if row["status"] not in {"P", "F", "C", "W", "X"} or (report and row["status"] not in {report, "X"}):
            yield f"{place} has status {row['status']!r}, which does not go with the others"
        if not row["value"] and row["status"] != "X":
            yield f"{place} is empty but not marked X"
        if row["value"] and row["unit"] and not _PLAIN_NUMBER.fullmatch(row["value"]):
            yield f"{place} has a unit but holds {row['value']!r}"


def _long_results(rows: Sequence[Mapping[str, str]]) -> Iterator[ReceivedResult]:
    for number, row in enumerate(rows, start=1):
        yield ReceivedResult(
            number=number,
            code=row.get("loinc") or row["code"],
            name=row["name"],
            value=row["value"],
            unit=row["unit"],
            flag=row.get("flag", ""),
            status=row["status"],
            local=row["code"],
        )


def message_from_wide_table(content: bytes) -> ReceivedMessage:
    """Read SENAITE's two-dimensional CSV as its importer does, and say where that importer would guess; never raises.

    That importer splits on commas without quoting, takes every cell for a number and an empty one for 0.0.
    """
    text = content.decode("latin-1")
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line]
    whole = len(lines) >= 3 and lines[-1] == "end" and text.endswith("\n")
    if len(lines) < 2:
        return unreadable("csv-wide", "the table lacks its line of values", partial=True)
    codes, values = (line.split(",") for line in lines[:2])
    faults = list(_wide_faults(codes, values, lines[2:] if whole else ["end"]))
    results = tuple(
        ReceivedResult(number, re.sub(r"\W", "", code), "", value, "", "", "", re.sub(r"\W", "", code))
        for number, (code, value) in enumerate(zip(codes[1:-1], values[1:-1], strict=False), start=1)
    )
    return ReceivedMessage(
        message_id="",
        mode="",
        sample_id=values[0],
        slide="",
        status="",
        results=results,
        notes=(),
        faults=tuple(faults) if whole else (*faults, "the file is not whole"),
        partial=not whole,
        format="csv-wide",
        names_message=False,
    )


def _wide_faults(codes: Sequence[str], values: Sequence[str], rest: Sequence[str]) -> Iterator[str]:
    if codes[0] or codes[-1] != "end":
        yield "the first line is not one of codes that ends with 'end'"
    if len(codes) != len(values):
        yield "codes and values do not stand under each other"
    if not values[0]:
        yield "the line of values names no sample"
    if list(rest) != ["end"]:
        yield "there is more than one sample"
    for code, value in zip(codes[1:-1], values[1:-1], strict=False):
        if not re.fullmatch(r"\w+", code):
            yield f"the code {code!r} would be altered"
        if not re.fullmatch(r"\d+(\.\d+)?", value):
            yield f"{code} holds {value!r}, which would be read as 0.0"
    if len(set(codes[1:-1])) != len(codes[1:-1]):
        yield "a code stands twice"
