"""Seals a bundle: the manifest over every file, the signature over the manifest, the folder in one rename.

Equal inputs give an equal bundle, byte for byte: canonical JSON, archives without time stamps, nothing about when or
where. What was written is opened again by the runtime's own reader before it gets its name.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.durable import sync_path
from convert.folder_exchange import put_in_place
from edge.bundle.digest import manifest_bytes, sha256_hex
from edge.bundle.manifest import manifest_from_bytes
from edge.bundle.reader import MANIFEST_NAME, SIGNATURE_NAME, open_bundle
from edge.bundle.signature import public_from_private, sign_manifest
from edge.errors import EdgeError


@dataclass(frozen=True, slots=True)
class Written:
    """The digest of a bundle that is in its place, and what could not be removed of an earlier one (None: nothing)."""

    digest: str
    left: Path | None


def manifest_from_parts(parts: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Return the canonical manifest of `parts` with size and SHA-256 of every file.

    Raises EdgeError MDSE-BUNDLE-002 where the parts do not make a manifest.
    """
    listed = {name: {"sha256": sha256_hex(data), "bytes": len(data)} for name, data in files.items()}
    data = manifest_bytes({"schema": "mds-edge.bundle/1", **parts, "files": listed})
    manifest_from_bytes(data)
    return data


def require_writable(out: Path, *, replace: bool) -> None:
    """Raise EdgeError MDSE-CONVERT-041 unless `out` is free, or is a bundle that may be replaced."""
    if out.name in ("", ".."):
        raise EdgeError("MDSE-CONVERT-041", where=str(out), reason="this does not end in the name of a folder")
    if not out.exists() and not out.is_symlink():
        if not out.absolute().parent.is_dir():
            raise EdgeError("MDSE-CONVERT-041", where=str(out), reason="its parent folder does not exist")
        return
    if out.is_symlink() or not out.is_dir():
        raise EdgeError("MDSE-CONVERT-041", where=str(out), reason="it is not a folder")
    if Path.cwd().is_relative_to(out.resolve()):
        # The folder would be exchanged, and this command and the person's shell would stand in one that is gone.
        raise EdgeError("MDSE-CONVERT-041", where=str(out), reason="this command runs inside of it")
    if not any(out.iterdir()):
        return
    if not (out / MANIFEST_NAME).is_file():
        raise EdgeError("MDSE-CONVERT-041", where=str(out), reason="it holds other files than a bundle")
    if not replace:
        raise EdgeError("MDSE-CONVERT-041", where=str(out), reason="a bundle is there already")


def write_bundle(
    out: Path,
    manifest: bytes,
    files: Mapping[str, bytes],
    private_key: bytes | None,
    *,
    replace: bool,
    outdated: Sequence[Path] = (),
) -> Written:
    """Write the bundle. Nothing is at `out` until everything is there and verified.

    `outdated` are files about an earlier bundle: they go once the new one has taken its place. Raises EdgeError
    MDSE-CONVERT-041 (`require_writable`), MDSE-CONVERT-042 where the disk refuses.
    """
    require_writable(out, replace=replace)
    partial = out.absolute().with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    contents = {**files, MANIFEST_NAME: manifest}
    if private_key is not None:
        contents[SIGNATURE_NAME] = sign_manifest(manifest, private_key)
    try:
        for name, data in contents.items():
            _write_durably(partial / name, data)
        opened = open_bundle(partial, public_key=public_from_private(private_key) if private_key else None)
        left = put_in_place(partial, out)
        for path in outdated:
            # Such a page names the digest of its bundle: one that cannot be removed now says nothing false of the new.
            with suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    path.unlink()
        sync_path(out.absolute().parent)
    except OSError as error:
        raise EdgeError("MDSE-CONVERT-042", where=str(out), reason=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone already when all went well
    return Written(opened.digest, left)


def _write_durably(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
