"""Does a record add up? Every count is proved against every other before the record may be kept or sent.

`first_fault` works on the record as it stands in its bytes (parsed JSON), so that what is proved is what is sent. It
needs no catalogue: the record names its own types and parameters.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

SHARE, PER_100, RATE = "_share", "_per_100_wbc", "_rate"
WITHOUT_TYPE = {"UNIDENTIFIED": "unidentified", "OOD": "out_of_distribution"}
_VALUE_TOLERANCE = 1e-6
_MESSAGE_ID = re.compile(r"[A-Za-z0-9.-]{1,20}")
_CALLS_WITHOUT_SCORE = ("NOT-EVALUABLE", "NOT-REQUESTED")


def first_fault(record: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a record in words, None when it agrees with itself.

    A field that is missing, of another kind than the schema says, or a number beyond all bounds is told like any other
    fault: whoever reads records that others may have changed has one answer to expect.
    """
    checks = (_head_faults, _cell_faults, _count_faults, _profile_faults, _assessment_faults, _explanation_faults)
    try:
        return next((fault for check in checks for fault in check(record)), None)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return f"a field is missing or is not what the schema says ({type(error).__name__}: {error})"


def _head_faults(record: Mapping[str, Any]) -> Iterator[str]:
    if record["schema"] != "mds-edge.record/1":
        yield f"schema {record['schema']!r} is not known"
    if record["mode"] not in ("P", "T") or record["status"] not in ("P", "F", "C", "W", "X"):
        yield f"mode {record['mode']!r} or status {record['status']!r} is not known"
    if record["provenance"]["bundle"]["intended_use"] == "demo" and record["mode"] != "T":
        yield "a demonstration bundle made a result that is not marked as a test"
    if not _MESSAGE_ID.fullmatch(record["message_id"]) or not record["message_id"].endswith(f".R{record['revision']}"):
        yield f"message id {record['message_id']!r} does not belong to revision {record['revision']}"
    if record["revision"] < 1 or record["supersedes"] == record["message_id"]:
        yield "the revision is less than 1 or replaces itself"
    if datetime.fromisoformat(record["analysed_at"]).utcoffset() is None:
        yield "analysed_at has no offset from UTC"
    sample_id = record["slide"]["sample_id"]
    if not isinstance(sample_id, str) or not sample_id or not sample_id.isprintable():
        yield "there is no usable sample id"


def _cell_faults(record: Mapping[str, Any]) -> Iterator[str]:
    ids = [cell["id"] for cell in record["cells"]]
    if len(set(ids)) != len(ids):
        yield "a cell is listed twice"
    for cell in record["cells"]:
        without = [flag for flag in cell["flags"] if flag in WITHOUT_TYPE]
        if (cell["type"] is None) != (len(without) == 1):
            yield f"cell {cell['id']} has a type and a reason for none, or neither"
        if cell.get("best_type") is not None and "UNIDENTIFIED" not in cell["flags"]:
            yield f"cell {cell['id']} has a guess beside its type"
        if cell["type"] is None and cell["findings"]:
            yield f"cell {cell['id']} shows findings without a type"
        if not all(0 <= p <= 1 for p in (cell["p"], *cell["findings"].values())):
            yield f"cell {cell['id']} has a probability outside 0 to 1"


def _count_faults(record: Mapping[str, Any]) -> Iterator[str]:
    counts = record["counts"]
    typed = Counter(cell["type"] for cell in record["cells"] if cell["type"] is not None)
    if typed.keys() - counts.keys() or any(typed[code] != count for code, count in counts.items()):
        yield "the counts are not those of the cells"
    for flag, name in WITHOUT_TYPE.items():
        flagged = sum(flag in cell["flags"] for cell in record["cells"])
        if flagged != record[name]:
            yield f"{name} is {record[name]}, but {flagged} cells are marked {flag}"
    outside = record["unidentified"] + record["out_of_distribution"] + record["unreadable"]
    if sum(counts.values()) + outside != record["images"]:
        yield f"{sum(counts.values())} typed and {outside} other cells are not {record['images']} images"
    if len(record["cells"]) + record["unreadable"] != record["images"]:
        yield "the cells listed and the unreadable ones are not all images"
    leucocyte_codes = [row["name"].removesuffix(SHARE) for row in record["profile"] if row["name"].endswith(SHARE)]
    if sum(counts[code] for code in leucocyte_codes) != record["leucocytes"]:
        yield "leucocytes is not the sum of the leucocyte types"


def _profile_faults(record: Mapping[str, Any]) -> Iterator[str]:
    rows = record["profile"]
    if len({row["name"] for row in rows}) != len(rows):
        yield "a parameter stands twice"
    shown = Counter(code for cell in record["cells"] for code in cell["findings"])
    types = {row["name"].removesuffix(SHARE).removesuffix(PER_100) for row in rows if not row["name"].endswith(RATE)}
    if types != set(record["counts"]):
        yield "the types of the profile are not the counted types"
    rates = {row["name"].removesuffix(RATE) for row in rows if row["name"].endswith(RATE)}
    if shown.keys() - rates:
        yield "a finding of a cell is no parameter of the profile"
    for row in rows:
        name, numerator, denominator = row["name"], row["numerator"], row["denominator"]
        if name.endswith(RATE):
            expected = (shown[name.removesuffix(RATE)], denominator)
        else:
            expected = (record["counts"][name.removesuffix(SHARE).removesuffix(PER_100)], record["leucocytes"])
        if (numerator, denominator) != expected or (numerator > denominator and not name.endswith(PER_100)):
            yield f"{name} does not rest on the counts"
        yield from _value_faults(row, 100 if name.endswith(PER_100) else 1)


def _value_faults(row: Mapping[str, Any], factor: int) -> Iterator[str]:
    """Check a value against its counts, and its interval against the value."""
    if row["denominator"] == 0:
        if row["value"] is not None or row["ci95"] is not None:
            yield f"{row['name']} has a value although nothing was counted"
        return
    exact = factor * row["numerator"] / row["denominator"]
    if row["value"] is None or not math.isclose(row["value"], exact, rel_tol=0, abs_tol=_VALUE_TOLERANCE):
        yield f"{row['name']} is {row['value']}, but its counts give {exact}"
        return
    if row["ci95"] is not None:
        low, high = row["ci95"]
        if not low - _VALUE_TOLERANCE <= row["value"] <= high + _VALUE_TOLERANCE:
            yield f"{row['name']} lies outside its own interval"


def _assessment_faults(record: Mapping[str, Any]) -> Iterator[str]:
    cells = {cell["id"] for cell in record["cells"]}
    names = {row["name"] for row in record["profile"]}
    targets = [assessment["target"] for assessment in record["assessments"]]
    if len(set(targets)) != len(targets):
        yield "a target is assessed twice"
    for assessment in record["assessments"]:
        target, call, score = assessment["target"], assessment["call"], assessment["score"]
        calls = (f"{assessment['positive']}-SUSPECT", f"{assessment['negative']}-LIKE", "INDETERMINATE")
        if call not in (*calls, *_CALLS_WITHOUT_SCORE):
            yield f"the call {call!r} of {target} is not known"
        if call in calls and (score is None or not assessment["sufficient"]):
            yield f"{target} has a call without a score or without enough cells"
        if call in _CALLS_WITHOUT_SCORE and score is not None:
            yield f"{target} is called {call} and has a score"
        interval = assessment["ci95"] or [0, 1]
        if not all(0 <= f <= 1 for f in (score or 0, assessment["threshold"], *interval)) or interval[0] > interval[1]:
            yield f"a fraction of {target} is outside 0 to 1, or its interval is turned round"
        if score is not None and not interval[0] - 1e-4 <= score <= interval[1] + 1e-4:
            yield f"the score of {target} lies outside its own interval"
        yield from _call_faults(assessment)
        for row in assessment["contributions"]:
            if row["name"] not in names or not cells.issuperset(row["cells"]):
                yield f"{target}: a contribution of {row['name']} names a parameter or a cell that is not there"


def _explanation_faults(record: Mapping[str, Any]) -> Iterator[str]:
    """Check what explains a score; records from before these fields were added do not have them."""
    preclass = record.get("preclass")
    if preclass is not None and not 0 <= preclass["disagree"] <= preclass["compared"] <= record["images"]:
        yield "more cells disagree with the analyzer's own classes than were compared, or more than there are images"
    rows = {row["name"]: row for row in record["profile"]}
    for assessment in record["assessments"]:
        target = assessment["target"]
        groups, added = assessment.get("groups"), [row["value"] for row in assessment["contributions"]]
        if groups and not math.isclose(
            math.fsum(row["value"] for row in groups),
            math.fsum(added),
            rel_tol=0,
            abs_tol=_VALUE_TOLERANCE * (len(groups) + len(added)),
        ):
            yield f"{target}: the groups do not add up to the contributions"
        yield from _sufficiency_faults(assessment, record["leucocytes"])
        for contrast in assessment.get("contrast") or ():
            if contrast["name"] not in rows or contrast["value"] != rows[contrast["name"]]["value"]:
                yield f"{target}: the contrast of {contrast['name']} is not that of the profile"
        for change in assessment.get("what_would_change") or ():
            row = rows.get(change["name"])
            if row is None:
                yield f"{target}: a change names the parameter {change['name']}, which is not there"
                continue
            if (change["counted"], change["of"]) != (row["numerator"], row["denominator"]):
                yield f"{target}: a change of {change['name']} does not start from the counts"
            if change["needed"] < 0 or change["needed"] == change["counted"] or not 0 <= change["score"] <= 1:
                yield f"{target}: a change of {change['name']} changes nothing or is impossible"


def _sufficiency_faults(assessment: Mapping[str, Any], leucocytes: int) -> Iterator[str]:
    found = assessment.get("sufficiency")
    if found is None:
        return
    enough = found["leucocytes"] >= found["minimum"]["wbc"] and found["neutrophils"] >= found["minimum"]["neutrophil"]
    if found["leucocytes"] != leucocytes or not 0 <= found["neutrophils"] <= leucocytes:
        yield f"{assessment['target']}: the sufficiency does not rest on the counts"
    if enough != assessment["sufficient"]:
        yield f"{assessment['target']} is called sufficient against its own counts, or the other way round"


def _call_faults(assessment: Mapping[str, Any]) -> Iterator[str]:
    """A call must lie on its own side of the threshold (INDETERMINATE may lie on either)."""
    score, threshold, call = assessment["score"], assessment["threshold"], assessment["call"]
    positive, negative = f"{assessment['positive']}-SUSPECT", f"{assessment['negative']}-LIKE"
    # The score is rounded to 4 decimals: half a unit of the last one cannot decide a side.
    if score is not None and (
        (call == positive and score < threshold - 5e-5) or (call == negative and score > threshold + 5e-5)
    ):
        yield f"{assessment['target']} is called {call} with a score of {score} at a threshold of {threshold}"
