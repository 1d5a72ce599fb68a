"""Which cells these are: by what their labels say, or by the bytes of a file.

A checkpoint belongs to exactly the cells that it was trained on; trees and cards name the pictures themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from convert.dataset import LabelledCell
from edge.errors import EdgeError


def cells_sha256(*sets: Sequence[LabelledCell]) -> str:
    """Return the SHA-256 of what the labels say of every cell of the sets, in their order.

    Folders may lie elsewhere: a cell is named as its label file names it.
    """
    digest = hashlib.sha256()
    for cells in sets:
        for cell in cells:
            facts = [cell.cell_id, cell.cell_type, sorted(cell.findings.items()), cell.split, cell.origin]
            digest.update(json.dumps(facts).encode("utf-8", "surrogateescape") + b"\n")
        digest.update(b"\n")
    return digest.hexdigest()


def content_sha256(cell: LabelledCell) -> bytes:
    """Return the SHA-256 of a cell's file. Raises EdgeError MDSE-TRAIN-004 where it cannot be read."""
    try:
        return hashlib.sha256(cell.path.read_bytes()).digest()
    except OSError as error:
        raise EdgeError("MDSE-TRAIN-004", where=str(cell.labels or cell.path), file=str(cell.path)) from error
