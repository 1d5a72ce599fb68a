"""Believing a worker's answer: the record must be of the slide, the revision and the files that were ordered.

The worker decodes hostile images and may be wrong in any way; what it returns is text that the supervisor proves before
a byte of it is archived.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from edge.errors import EdgeError

SCHEMA = "mds-edge.record/1"
# What differs between two analyses of the same slide that found the same.
VOLATILE = ("message_id", "status", "revision", "supersedes", "reason", "analysed_at", "stage_ms")


def proved_record(content: bytes, order: Mapping[str, Any], file_sha256s: Collection[str]) -> dict[str, Any]:
    """Return the parsed record; raises EdgeError MDSE-DAEMON-011 when it is not the one that was ordered.

    `file_sha256s` are the digests of the spooled files: every cell in the record must rest on one of them.
    """
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise wrong(order, "it is not JSON") from error
    if not isinstance(record, dict) or not isinstance(record.get("slide"), dict):
        raise wrong(order, "it is not a record")
    job, slide = order["job"], record["slide"]
    wanted = {
        "schema": SCHEMA, "message_id": job["message_id"], "revision": job["revision"], "status": job["status"],
        "supersedes": job["supersedes"], "analysed_at": job["analysed_at"],
    }  # fmt: skip
    for name, value in wanted.items():
        if record.get(name) != value:
            raise wrong(order, f"{name} is {record.get(name)!r}, not {value!r}")
    identity = {"source": job["source"], "slide_key": order["slide_key"], "manifest_sha256": job["manifest_sha256"]}
    identity["sample_id"] = order["sample_id"]
    for name, value in identity.items():
        if slide.get(name) != value:
            raise wrong(order, f"slide.{name} is not the ordered one")
    check_cells(record, order, file_sha256s)
    return record


def check_cells(record: Mapping[str, Any], order: Mapping[str, Any], file_sha256s: Collection[str]) -> None:
    """Raise EdgeError MDSE-DAEMON-011 when a cell rests on bytes that are not in the spooled slide."""
    cells = record.get("cells")
    if not isinstance(cells, list):
        raise wrong(order, "it has no list of cells")
    for cell in cells:
        if not isinstance(cell, dict) or cell.get("sha256") not in file_sha256s:
            raise wrong(order, "a cell rests on bytes that are not in the spooled slide")


def wrong(order: Mapping[str, Any], reason: str) -> EdgeError:
    """Return the error for a record that is not what was ordered."""
    return EdgeError("MDSE-DAEMON-011", where=str(order["job"]["message_id"]), reason=reason)


def is_same_outcome(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two records say the same of the slide, whenever and as whichever revision it was said."""
    return {k: v for k, v in one.items() if k not in VOLATILE} == {k: v for k, v in other.items() if k not in VOLATILE}
