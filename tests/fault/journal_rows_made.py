"""A journal as years leave it: finished slides with result, delivery and audit rows, made in one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge.audit import AuditEvent, append_audit
from edge.daemon.folder_look import look_at_folder

AT = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT08:00:00.000Z")
"""Yesterday: a journal that had been silent for weeks would raise the alarm of the clock."""
RECORD_BYTES = 10_000
MARKERS = ("done.ok",)


def fill_journal(connection: sqlite3.Connection, export: Path, names: Sequence[str], rows: int) -> None:
    """Add `rows` finished slides; the last of them are the folders `names` of `export`, whose bytes are still kept."""
    output = str(connection.execute("SELECT name FROM meta WHERE name LIKE 'drop %'").fetchone()[0]).removeprefix(
        "drop "
    )
    markers = markers_of(connection)
    connection.execute("BEGIN IMMEDIATE")
    for number in range(rows):
        at = number - (rows - len(names))
        name = names[at] if at >= 0 else f"OLD{number:07d}"
        signature = look_at_folder(export / name, markers, lambda: None).signature if at >= 0 else digest("look", name)
        content = bytes(RECORD_BYTES) if at >= 0 else None
        add_slide(connection, name, signature)
        add_result(connection, name, output, content)
    connection.execute("COMMIT")


def markers_of(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Return the markers that a source has by default: they are part of what a look sees."""
    from edge.config import SourceSection

    default = SourceSection.model_fields["marker"].default
    return tuple(default) if default else MARKERS


def digest(*words: str) -> str:
    return hashlib.sha256(" ".join(words).encode()).hexdigest()


def add_slide(connection: sqlite3.Connection, name: str, signature: str) -> None:
    connection.execute(
        "INSERT INTO slides (source, slide_key, folder, state, signature, manifest_sha256, idempotency_key,"
        " content_sha256, sample_id, file_count, byte_count, seen_at, changed_at)"
        " VALUES ('di60', ?, ?, 'CLOSED', ?, ?, ?, ?, ?, 2, 300, ?, ?)",
        (name, name.encode(), signature, digest("manifest", name), digest("key", name), digest("images", name),
         f"S-{name}", AT, AT),
    )  # fmt: skip
    slide = connection.execute("SELECT last_insert_rowid()").fetchone()[0]
    append_audit(connection, AT, AuditEvent("daemon", "arrived", f"slide:{slide}", "", "SEEN", {"arrival": 1}))
    for old, new in (("SEEN", "SETTLED"), ("SETTLED", "SPOOLED"), ("SPOOLED", "COMPUTED"), ("COMPUTED", "CLOSED")):
        append_audit(
            connection, AT, AuditEvent("daemon", "moved", f"slide:{slide}", old, new, {"code": "", "text": ""})
        )


def add_result(connection: sqlite3.Connection, name: str, output: str, content: bytes | None) -> None:
    slide = connection.execute("SELECT max(id) FROM slides").fetchone()[0]
    revision = connection.execute(
        "INSERT INTO revisions (slide_id, number, message_id, status, mode, record_sha256, bundle_digest, made_by,"
        " made_at) VALUES (?, 1, ?, 'P', 'T', ?, ?, 'daemon', ?) RETURNING id",
        (slide, f"{digest('key', name)[:12].upper()}.R1", digest("record", name), "0" * 64, AT),
    ).fetchone()[0]
    state = "SENT" if content is not None else "ARCHIVED"
    connection.execute(
        "INSERT INTO deliveries (revision_id, output, state, final_name, content, sha256, size, made_at, changed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (revision, output, state, f"{name}_r1_{digest(name)[:8]}.json", content, digest("file", name), RECORD_BYTES,
         AT, AT),
    )  # fmt: skip
    append_audit(connection, AT, AuditEvent("daemon", "moved", f"delivery:{revision}", "STAGED", state))
