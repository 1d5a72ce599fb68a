"""Our own archive: the canonical record of every revision and its HTML report, kept for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge.daemon.durable import make_folder, write_durably
from edge.errors import EdgeError
from edge.journal_rows import RevisionRow


def record_path(archive: Path, message_id: str) -> Path:
    """Return where the record of a message lies: in one of 256 folders, so that none grows without measure."""
    return archive / message_id[:2] / f"{message_id}.json"


def report_path(archive: Path, message_id: str) -> Path:
    """Return where the HTML report of a message lies."""
    return archive / message_id[:2] / f"{message_id}.html"


def store_result(archive: Path, message_id: str, record: bytes, report: bytes | None) -> tuple[str, str | None]:
    """Write record and report, synced, and return their SHA-256. Raises OSError.

    A file of that name left by an interrupted try is replaced: the journal does not know it yet.
    """
    path = record_path(archive, message_id)
    make_folder(path.parent)
    if report is not None:
        write_durably(report_path(archive, message_id), report)
    write_durably(path, record)
    return hashlib.sha256(record).hexdigest(), None if report is None else hashlib.sha256(report).hexdigest()


def archived_record(archive: Path, revision: RevisionRow) -> bytes:
    """Return the canonical bytes of a revision's record, proved by the journal's digest.

    Raises EdgeError MDSE-JOURNAL-007 when the file is missing or was changed.
    """
    return _proved(record_path(archive, revision.message_id), revision.record_sha256)


def archived_report(archive: Path, revision: RevisionRow) -> bytes:
    """Return the HTML report of a revision, proved by the journal's digest.

    Raises EdgeError MDSE-JOURNAL-007 when there is none, or it is missing or was changed.
    """
    return _proved(report_path(archive, revision.message_id), revision.report_sha256)


def _proved(path: Path, sha256: str | None) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EdgeError("MDSE-JOURNAL-007", where=str(path), reason=str(error)) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EdgeError("MDSE-JOURNAL-007", where=str(path), reason="its digest is not the recorded one")
    return content
