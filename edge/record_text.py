"""The record of one slide revision as canonical bytes, proved to agree with itself; standard library only.

    record_bytes    record -> UTF-8 JSON, fixed order of keys, one trailing newline; refuses what contradicts itself
    revise_record   an archived record -> the same measurement under another status, revision and reason

The schema is docs/record.schema.json, its meaning and its promise docs/record.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from edge.errors import EdgeError
from edge.record_check import first_fault

SCHEMA = "mds-edge.record/1"
STATUS_LETTERS = ("P", "F", "C", "W", "X")
# Order of keys in the canonical bytes, by the path of the object that holds them ("" is the record itself).
KEYS: Mapping[str, Sequence[str]] = {
    "": (
        "schema message_id mode status revision supersedes reason analysed_at site slide counts leucocytes images "
        "unreadable unidentified out_of_distribution profile assessments cells warnings quality preclass provenance "
        "stage_ms"
    ).split(),
    "slide": ("source slide_key sample_id order_id slide_no acquired_at analyzer patient_id manifest_sha256").split(),
    "slide.analyzer": ("model", "serial", "software"),
    "profile": ("name", "value", "numerator", "denominator", "ci95"),
    "assessments": (
        "target positive negative score margin ci95 threshold call sufficient reasons contributions groups "
        "sufficiency contrast what_would_change"
    ).split(),
    "assessments.reasons": ("code", "text"),
    "assessments.contributions": ("name", "value", "cells"),
    "assessments.groups": ("group", "value"),
    "assessments.sufficiency": ("leucocytes", "neutrophils", "minimum", "more_cells_to_halve_interval", "text"),
    "assessments.sufficiency.minimum": ("wbc", "neutrophil"),
    "assessments.contrast": ("name", "value", "positive_median", "negative_median"),
    "assessments.what_would_change": ("name", "code", "counted", "of", "needed", "score"),
    "cells": ("id", "file", "sha256", "type", "p", "findings", "flags", "preclass", "distance", "best_type"),
    "warnings": ("code", "text"),
    "quality": ("focus", "stain"),
    "quality.focus": ("median", "low_share", "limit"),
    "quality.stain": ("hue_degrees", "saturation", "lightness", "distance", "limit"),
    "preclass": ("compared", "disagree"),
    "provenance": ("bundle", "engine", "trees", "software", "degraded"),
    "provenance.bundle": ("name", "version", "digest", "intended_use"),
    "provenance.engine": ("name", "device", "precision"),
    "stage_ms": ("decode", "resize", "infer", "findings", "profile", "assess", "explain"),
}
# Fields that version 1 gained after its first release: a record from before them stays in the archive as it was, and is
# finalized or withdrawn without them. What this software builds always has them.
ADDED: Mapping[str, frozenset[str]] = {
    "": frozenset({"quality", "preclass"}),
    "assessments": frozenset({"groups", "sufficiency", "contrast", "what_would_change"}),
    "cells": frozenset({"preclass", "distance", "best_type"}),
}


def record_bytes(record: Mapping[str, object]) -> bytes:
    """Return the canonical bytes of a record: the same record gives the same bytes on every machine.

    Keys that a later version of this software added are kept behind the known ones, so that an archived record can
    still be withdrawn after a downgrade. Raises EdgeError MDSE-SLIDE-012 when a key is missing, a number is not finite,
    a text cannot be encoded, or the counts contradict each other.
    """
    where = str(record.get("message_id", "record"))
    try:
        ordered = _ordered(record, "")
        text = json.dumps(ordered, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        content = (text + "\n").encode("utf-8")
        fault = first_fault(json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EdgeError("MDSE-SLIDE-012", where=where, reason=f"{type(error).__name__}: {error}") from error
    if fault:
        raise EdgeError("MDSE-SLIDE-012", where=where, reason=fault)
    return content


def revise_record(
    record: Mapping[str, object],
    *,
    status: str,
    revision: int,
    supersedes: str,
    reason: str,
    message_id: str,
    analysed_at: str,
) -> dict[str, object]:
    """Return a new revision of an archived record; nothing that was measured changes, and `record` stays as it is.

    `supersedes` must be the record's own message id, so that a revision can never be made of the wrong result; a
    reason must be given. Raises EdgeError MDSE-SLIDE-013 otherwise, MDSE-SLIDE-012 when the outcome contradicts itself.
    """
    faults = (
        (status not in STATUS_LETTERS, f"status {status!r} is none of {' '.join(STATUS_LETTERS)}"),
        (revision <= _revision(record), f"revision {revision} does not follow {record['revision']}"),
        (supersedes != record["message_id"], f"{supersedes} is not {record['message_id']}"),
        (message_id == record["message_id"], f"{message_id} is taken already"),
        (not reason.strip(), "no reason was given"),
    )
    fault = next((text for applies, text in faults if applies), None)
    if fault:
        raise EdgeError("MDSE-SLIDE-013", where=str(record["message_id"]), reason=fault)
    revised = {
        **record,
        "status": status,
        "revision": revision,
        "supersedes": supersedes,
        "reason": reason,
        "message_id": message_id,
        "analysed_at": analysed_at,
    }
    record_bytes(revised)
    return revised


def _revision(record: Mapping[str, object]) -> int:
    revision = record["revision"]
    if not isinstance(revision, int):
        raise EdgeError("MDSE-SLIDE-012", where=str(record["message_id"]), reason="revision is not a number")
    return revision


def _ordered(value: object, path: str) -> object:
    """Return the value with the keys of every known object in their fixed order. Raises KeyError for a missing one."""
    if isinstance(value, list | tuple):
        return [_ordered(item, path) for item in value]
    if not isinstance(value, Mapping):
        return value
    known, added = KEYS.get(path, ()), ADDED.get(path, frozenset())
    keys = [*(key for key in known if key in value or key not in added), *(key for key in value if key not in known)]
    return {key: _ordered(value[key], f"{path}.{key}".lstrip(".")) for key in keys}
