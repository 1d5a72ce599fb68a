"""What was written and renamed is on disk when this returns: a power cut leaves the earlier files or these."""

from __future__ import annotations

import os
from pathlib import Path


def sync_path(path: Path) -> None:
    """Put a file's content, or a folder's names, on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
