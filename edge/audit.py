"""The audit chain: every change of the journal is a row that carries the hash of the row before it.

An edited, removed or inserted row breaks the chain at exactly that row. Rows cut off at the end leave a shorter,
valid chain: the newest hash is therefore shown by `edge-journal verify-audit` and in the status, so that a site can
write it down elsewhere and compare.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

FIRST_HASH = "0" * 64
COLUMNS = "seq, at, actor, action, subject, old, new, detail, previous_hash"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change: who did what to which subject (`slide:12`, `delivery:7`), the state before and after."""

    actor: str
    action: str
    subject: str
    old: str = ""
    new: str = ""
    detail: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What verifying found: the number of rows, the newest hash, the first row that does not fit (None = intact)."""

    rows: int
    head: str
    broken_at: int | None
    reason: str


def row_hash(values: tuple[object, ...]) -> str:
    """Return the SHA-256, in hex, of one row: the columns of `COLUMNS` in order, the previous hash included."""
    return hashlib.sha256(json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode("ascii")).hexdigest()


def append_audit(connection: sqlite3.Connection, at: str, event: AuditEvent) -> str:
    """Append one row inside the transaction that makes the change; return its hash. `at` is UTC, ISO 8601."""
    last = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    sequence, previous = (last[0] + 1, last[1]) if last else (1, FIRST_HASH)
    detail = json.dumps(dict(event.detail or {}), ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    values = (sequence, at, event.actor, event.action, event.subject, event.old, event.new, detail, previous)
    digest = row_hash(values)
    connection.execute(f"INSERT INTO audit ({COLUMNS}, hash) VALUES (?,?,?,?,?,?,?,?,?,?)", (*values, digest))  # noqa: S608 - fixed names
    return digest


def verify_audit(connection: sqlite3.Connection) -> AuditCheck:
    """Walk the whole chain and say where it breaks, if it does."""
    previous, rows = FIRST_HASH, 0
    for row in connection.execute(f"SELECT {COLUMNS}, hash FROM audit ORDER BY seq"):  # noqa: S608 - fixed names
        rows += 1
        if row[0] != rows:
            return AuditCheck(rows, previous, row[0], f"row {rows} is missing or out of order")
        if row[8] != previous:
            return AuditCheck(rows, previous, row[0], "the row does not follow the row before it")
        if row_hash(tuple(row[:9])) != row[9]:
            return AuditCheck(rows, previous, row[0], "the row was changed after it was written")
        previous = row[9]
    return AuditCheck(rows, previous, None, "")


def audit_head(connection: sqlite3.Connection) -> tuple[int, str]:
    """Return the number and hash of the newest row (0 and zeros in an empty chain)."""
    last = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return (last[0], last[1]) if last else (0, FIRST_HASH)
