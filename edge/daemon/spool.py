"""Copying a settled slide from the share into our own spool, hashing every byte on the way.

After this nothing depends on the share: what is decoded, analyzed and named in the result are the copied bytes.

    spool/incoming/<token>/files/...   while a scanner copies
    spool/<slide id>-<key8>/files/...  when the journal knows the slide (renamed by the supervisor)
    .../manifest.json                  the sorted (name, size, SHA-256) of every file
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.daemon.durable import sync_folder
from edge.errors import EdgeError
from edge.slide_files import METADATA_NAMES, open_folder, read_file_below

MANIFEST_NAME = "manifest.json"
FILES_NAME = "files"
SLIDE_BYTES_MAX = 4 * 1024**3


class FolderMovedError(Exception):
    """The folder changed while it was copied: it has to settle again."""


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """One file of the manifest: its path below the slide's folder, size in bytes and SHA-256 in hex."""

    name: str
    size: int
    sha256: str


def copy_slide(
    source: Path, target: Path, names: Sequence[str], *, file_bytes_max: int, on_progress: Callable[[], None]
) -> tuple[SpooledFile, ...]:
    """Copy the named files of folder `source` into the new folder `target`, synced; return the manifest.

    Every file is opened from its folder's descriptor, never through a link, never waiting on a pipe, and must be a
    regular file. Raises FolderMovedError when something is gone, EdgeError MDSE-SPOOL-001 for a link, MDSE-SPOOL-002
    for a slide beyond all measure, MDSE-IMAGE-003 and -008 for a file too large or not regular, OSError for trouble
    of the share or of our disk.
    """
    files = target / FILES_NAME
    files.mkdir(parents=True, mode=0o700)
    manifest, left = [], SLIDE_BYTES_MAX
    with open_folder(source) as folder_fd:
        for name in sorted(names):
            on_progress()
            copied = copy_file(folder_fd, name, files, file_bytes_max)
            left -= copied.size
            if left < 0:
                raise EdgeError("MDSE-SPOOL-002", where=source.name, limit_bytes=SLIDE_BYTES_MAX)
            manifest.append(copied)
    result = tuple(manifest)
    write_synced(target / MANIFEST_NAME, manifest_bytes(result))
    for folder, _, _ in os.walk(target):
        sync_folder(Path(folder))
    return result


def copy_file(folder_fd: int, name: str, files: Path, bytes_max: int) -> SpooledFile:
    """Copy one file of an open folder and sync it; raises as `copy_slide`."""
    try:
        content = read_file_below(folder_fd, name, bytes_max=bytes_max)
    except FileNotFoundError as error:
        raise FolderMovedError(f"{name} is gone") from error
    except OSError as error:
        # ELOOP: the last step is a link. ENOTDIR: a folder on the way became something else. ENXIO: a socket.
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise EdgeError("MDSE-SPOOL-001", where=name) from error
        raise
    path = files / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_synced(path, content)
    return SpooledFile(name, len(content), hashlib.sha256(content).hexdigest())


def manifest_bytes(manifest: Sequence[SpooledFile]) -> bytes:
    """Return the manifest as canonical JSON: [[name, size, sha256], ...] sorted by name, ASCII."""
    rows = sorted((entry.name, entry.size, entry.sha256) for entry in manifest)
    return json.dumps(rows, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def manifest_digest(manifest: Sequence[SpooledFile]) -> str:
    """Return the SHA-256 (hex) of the canonical manifest."""
    return hashlib.sha256(manifest_bytes(manifest)).hexdigest()


def content_digest(manifest: Sequence[SpooledFile]) -> str:
    """Return a digest of the images alone, whatever their names: the same slide exported under another name has it."""
    digests = sorted(entry.sha256 for entry in manifest if entry.name not in METADATA_NAMES)
    return hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest()


def idempotency_key(source_id: str, slide_key: str, manifest_sha256: str) -> str:
    """Return the identity of an arrival: SHA-256 (hex) over source, slide key and manifest. The bundle is not part."""
    text = json.dumps([source_id, slide_key, manifest_sha256], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_manifest(spooled: Path) -> tuple[SpooledFile, ...]:
    """Return the manifest of a spooled slide; raises OSError, or ValueError when it is damaged."""
    rows = json.loads((spooled / MANIFEST_NAME).read_bytes())
    return tuple(SpooledFile(str(name), int(size), str(digest)) for name, size, digest in rows)


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and sync it (its folder is synced by the caller); raises OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
