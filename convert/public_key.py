"""The key that must have signed a bundle, read where a command line names it."""

from __future__ import annotations

from pathlib import Path

from edge.errors import EdgeError


def read_public_key(path: Path | None) -> bytes | None:
    """Return the PEM at `path`, None for None. Raises EdgeError MDSE-BUNDLE-010 where it cannot be read."""
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-010", where=str(path), reason=error.strerror or str(error)) from error
