"""How other software reads the record itself (mds-edge.record/1), by docs/record.md alone.

It counts again: the cells by type, the leucocytes, the shares. A file that was read before it was whole is no JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from edge.simulator.lis_received import ReceivedMessage, ReceivedResult, unreadable

LEUCOCYTES = "SNE BNE MMY MY PMY BL LY VLY MO EO BA".split()
_UNITS = {"share": "1", "rate": "1", "wbc": "/100{WBCs}"}


def message_from_record(content: bytes) -> ReceivedMessage:
    """Read one record. Whatever is wrong with it is in `faults`; never raises."""
    try:
        record = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return unreadable("json", f"the file is no JSON: {error}", partial=True)
    try:
        return ReceivedMessage(
            message_id=record["message_id"],
            mode=record["mode"],
            sample_id=record["slide"]["sample_id"],
            slide=record["slide"]["slide_key"],
            status=record["status"],
            results=tuple(_results(record)),
            notes=tuple(f"{warning['code']} {warning['text']}" for warning in record["warnings"]),
            faults=tuple(_faults(record)),
            partial=False,
            format="json",
        )
    except (KeyError, TypeError, AttributeError) as error:
        return unreadable(
            "json", f"a field is missing or of another kind: {type(error).__name__} {error}", partial=False
        )


def _faults(record: Mapping[str, Any]) -> Iterator[str]:
    if record["schema"] != "mds-edge.record/1":
        yield f"the schema {record['schema']!r} is not known"
    if record["status"] not in set("PFCWX"):
        yield f"the status {record['status']!r} is not known"
    if record["revision"] > 1 and not record["supersedes"]:
        yield "a revision names no predecessor"
    counted = Counter(cell["type"] for cell in record["cells"] if cell["type"] is not None)
    if {code: count for code, count in record["counts"].items() if count} != dict(counted):
        yield "the counts are not those of the cells"
    if record["leucocytes"] != sum(counted[code] for code in LEUCOCYTES):
        yield "the leucocytes are not the sum of their types"
    for row in record["profile"]:
        expected = None
        if row["denominator"]:
            expected = row["numerator"] / row["denominator"] * (100 if row["name"].endswith("_wbc") else 1)
        if (row["value"] is None) != (expected is None) or abs((row["value"] or 0) - (expected or 0)) > 1e-5:
            yield f"{row['name']} is {row['value']}, its counts give {expected}"


def _results(record: Mapping[str, Any]) -> Iterator[ReceivedResult]:
    rows = [(row["name"], row["value"], _UNITS[row["name"].rpartition("_")[2]]) for row in record["profile"]]
    for assessment in record["assessments"]:
        name = assessment["target"].upper()
        rows += [(f"{name}_SCORE", assessment["score"], "1"), (f"{name}_CALL", assessment["call"], "")]
    for number, (name, value, unit) in enumerate(rows, start=1):
        text = "" if value is None else str(value)
        yield ReceivedResult(number, name, "", text, unit, "", record["status"] if text else "X", name)
