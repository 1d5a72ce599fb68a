"""One digest for sets of labelled cells: a checkpoint belongs to exactly the cells that it was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from convert.dataset import LabelledCell


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
