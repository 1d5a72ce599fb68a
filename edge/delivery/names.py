"""File names of results: readable, safe on every file system, the same for the same record, unique for ever.

    A0042_A0042_S1_r1_20261123T083100Z_9f3c21aa.hl7        sample, slide, revision, UTC, hash
    A0042_A0042_S1_r1_20261123T083100Z_9f3c21aa_d2.hl7     the same bytes, delivered a second time

Ids come from outside and may hold anything, from `../` to a line feed. A part that had to be changed or cut ends in
six hex digits of its original, so that two hostile ids never meet in one name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from edge.errors import EdgeError

# Half of what the narrowest common file system allows: readers add prefixes, suffixes and folders of their own.
NAME_BYTES_MAX = 120
PART_CHARACTERS_MAX = 36

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_EXTENSION = re.compile(r"\.[a-z0-9]{1,8}")
# Names that Windows, where many LIS readers run, takes for devices whatever the extension.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe_part_from_id(text: str) -> str:
    """Return an id as part of a file name: `[A-Za-z0-9_.-]`, at most 36 characters, no leading dot or dash.

    An id that is safe already stays as it is; any other ends in `-` and six hex digits of its SHA-256.
    """
    safe = _UNSAFE.sub("-", text)[:PART_CHARACTERS_MAX].lstrip(".-").rstrip(".")
    if safe == text and safe and not _DEVICES.fullmatch(safe):
        return safe
    tail = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    kept = safe[: PART_CHARACTERS_MAX - 9]
    # `id-` keeps a device name from standing alone and an empty one from starting with a dash.
    return f"{kept}-{tail}" if kept and not _DEVICES.fullmatch(kept) else f"id-{kept}-{tail}".replace("--", "-")


def final_name_from_record(record: Mapping[str, object], extension: str, *, delivery: int = 1) -> str:
    """Return the name under which a rendering of the record is published; the same record gives the same name.

    Args:
        record: a `mds-edge.record/1`; used are `slide`, `revision`, `analysed_at`, and the whole for the hash.
        extension: with its dot, for example `.hl7`.
        delivery: 1 for the first; a repeated delivery of the same bytes takes 2, 3, … and a name of its own.

    Raises:
        EdgeError: MDSE-DELIVERY-011 when the record lacks a sample id, a slide key, a revision or a zoned time.
    """
    slide = record.get("slide")
    ids = [slide.get(key) if isinstance(slide, Mapping) else None for key in ("sample_id", "slide_key")]
    revision = record.get("revision")
    if not all(isinstance(text, str) and text for text in ids):
        raise EdgeError("MDSE-DELIVERY-011", reason="it has no sample id or no slide key")
    if not isinstance(revision, int) or not 1 <= revision <= 9999 or not 1 <= delivery <= 999:
        raise EdgeError("MDSE-DELIVERY-011", reason="its revision or delivery number is out of range")
    if not _EXTENSION.fullmatch(extension):
        raise EdgeError("MDSE-DELIVERY-011", reason=f"the extension {extension!r} is not one")
    parts = "_".join(safe_part_from_id(str(text)) for text in ids)
    again = f"_d{delivery}" if delivery > 1 else ""
    return f"{parts}_r{revision}_{_utc_stamp(record)}_{_record_hash(record)}{again}{extension}"


def _utc_stamp(record: Mapping[str, object]) -> str:
    try:
        moment = datetime.fromisoformat(str(record.get("analysed_at")))
    except ValueError as error:
        raise EdgeError("MDSE-DELIVERY-011", reason="its time of analysis is not ISO 8601") from error
    if moment.tzinfo is None:
        raise EdgeError("MDSE-DELIVERY-011", reason="its time of analysis has no offset")
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _record_hash(record: Mapping[str, object]) -> str:
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:8]
