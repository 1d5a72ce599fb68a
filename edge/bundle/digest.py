"""Canonical bytes and digests: the one spelling of a manifest that is signed, hashed and compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def manifest_bytes(document: Mapping[str, object]) -> bytes:
    """Return the canonical bytes of a manifest: ASCII JSON, sorted keys, one-space indent, one final newline.

    Only these bytes are accepted by `manifest_from_bytes`, so that a manifest has exactly one spelling and a changed
    blank or a doubled key cannot pass. Raises ValueError for NaN and infinities.
    """
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"
