"""The file of a key that a command line names: the public one that must have signed a bundle, or the private one."""

from __future__ import annotations

from pathlib import Path

from edge.errors import EdgeError


def read_key(path: Path) -> bytes:
    """Return the PEM at `path`. Raises EdgeError MDSE-BUNDLE-010 where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-010", where=str(path), reason=error.strerror or str(error)) from error


def read_public_key(path: Path | None) -> bytes | None:
    """Return the PEM at `path`, None for None: no signature is asked for. Raises as `read_key` does."""
    return None if path is None else read_key(path)
