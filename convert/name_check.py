"""Does the network call the cells by their names, or by each other's? Swapped outputs show in labelled cells.

A network that confuses types calls some cells of A by the name of B. One whose outputs are in another order calls most
of A's cells B, most of B's cells A (or C, in a ring): each type has its own name, and it is another type's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.catalogue import Catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError

_FEWEST_CELLS = 20


def require_own_names(
    outputs: EngineOutputs, cells: NDArray[np.int64], labels: Sequence[str], catalogue: Catalogue
) -> None:
    """Raise EdgeError MDSE-PARITY-009 where types with at least 20 cells exchange their names.

    `outputs` of views, `cells` [views] the cell of each, `labels` the type of every cell.
    """
    truth = np.array([catalogue.type_codes.index(label) for label in labels])[cells]
    called = outputs.cell_type.argmax(axis=1)
    mostly: dict[int, int] = {}
    for code in np.unique(truth):
        own = called[truth == code]
        names, counts = np.unique(own, return_counts=True)
        if len(own) >= _FEWEST_CELLS and counts.max() * 2 > len(own):
            mostly[int(code)] = int(names[counts.argmax()])
    ring = _ring(mostly)
    if ring:
        codes = [catalogue.type_codes[place] for place in ring]
        raise EdgeError("MDSE-PARITY-009", where="cell_type", exchanged=" -> ".join([*codes, codes[0]]))


def _ring(mostly: dict[int, int]) -> list[int]:
    """Return types of which each is mostly called by the next one's name, and the last by the first's."""
    for start in mostly:
        ring = [start]
        while mostly.get(ring[-1], ring[-1]) not in ring:
            ring.append(mostly[ring[-1]])
        if len(ring) > 1 and mostly.get(ring[-1]) == start:
            return ring
    return []
