"""Which cells has a network seen? Short digests of their files, which its card and its bundle carry.

The split of a cell follows from the labels of today: with a patient column that was added after the training, or files
under new names, cells of the training become test cells. Figures on them prove nothing, and nothing else tells it.

Seen is what a training learned from or chose by (splits training and validation) and what a conversion fitted on.
Only real cells are kept: drawn ones never count as proof.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from convert.cell_identity import content_sha256
from convert.dataset import LabelledCell, LabelledCells
from convert.deterministic_npz import npz_from_arrays
from convert.label_faults import Faults
from edge.bundle.arrays import ArraySpec, arrays_from_npz
from edge.bundle.reader import Bundle
from edge.errors import EdgeError

SEEN_FILE = "decision/seen.npz"
# Of the SHA-256. Among 100,000 cells two files agree in 8 bytes by chance once in four thousand million data sets.
_DIGEST_BYTES = 8

SeenCells = frozenset[bytes]


def seen_from_cells(cells: Iterable[LabelledCell]) -> SeenCells:
    """Return the digests of the real ones among the cells.

    Raises EdgeError MDSE-TRAIN-004 for a file that cannot be read; several together as -017.
    """
    digests, faults = set(), Faults()
    for cell in cells:
        if cell.origin == "real":
            try:
                digests.add(_digest_of(cell))
            except EdgeError as fault:
                faults.add(fault)
    faults.require_none("images")
    return frozenset(digests)


def joined_seen(one: SeenCells | None, other: SeenCells | None) -> SeenCells | None:
    """Return the cells of both; None where nobody knows of one of them."""
    return None if one is None or other is None else one | other


def seen_by_training(labelled: LabelledCells) -> SeenCells:
    """Return the digests of all cells that a training learns from or chooses by. Raises as `seen_from_cells`."""
    return seen_from_cells((*labelled.of("training", "real"), *labelled.of("validation", "real")))


def count_seen(cells: Iterable[LabelledCell], seen: SeenCells | None) -> int | None:
    """Return how many of the cells were seen, None where nobody knows. Raises as `seen_from_cells`."""
    return None if seen is None else sum(_digest_of(cell) in seen for cell in cells)


def words_of_seen(found: int | None, count: int) -> str:
    """Return what follows for `count` cells that today's labels keep apart, of which `found` were seen."""
    if found is None:
        return "not checked against the training: the model does not say which cells it has seen"
    if found:
        return f"{found} of {count} cells were seen in training or calibration: no proof of anything"
    return "none of these files was seen in training"


def document_of_test_cells(cells: Collection[LabelledCell], seen: SeenCells | None) -> dict[str, Any] | None:
    """Return parity.json's count of a conversion's test cells that the training saw; None without test cells."""
    return {"n": len(cells), "seen": count_seen(cells, seen)} if cells else None


def notices_of_test_cells(document: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Say where nothing shows that the network has not seen the cells that a certificate calls test cells."""
    if document is None or document["seen"] == 0:
        return ()
    return (f"test cells: {words_of_seen(document['seen'], document['n'])}",)


def text_from_seen(seen: SeenCells) -> str:
    """Return the digests for a card, one line of base64."""
    return base64.b64encode(b"".join(sorted(seen))).decode("ascii")


def seen_from_text(text: object) -> SeenCells | None:
    """Read a card's entry, None where it has none. Raises ValueError for anything but `text_from_seen` writes."""
    if text is None:
        return None
    try:
        data = base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise ValueError(f"its seen_cells is not base64 ({error})") from error
    if not isinstance(text, str) or len(data) % _DIGEST_BYTES:
        raise ValueError(f"its seen_cells does not hold whole digests of {_DIGEST_BYTES} bytes")
    return _split(data)


def files_from_seen(seen: SeenCells | None, fitted_on: Collection[LabelledCell]) -> dict[str, bytes]:
    """Return the bundle's file by its name; none where the card does not say what the training saw.

    `fitted_on`: cells that the conversion fitted on. The file holds `digests`, uint8 [N, 8], sorted.
    """
    if seen is None:
        return {}
    digests = np.frombuffer(b"".join(sorted(seen | seen_from_cells(fitted_on))), np.uint8)
    return {SEEN_FILE: npz_from_arrays({"digests": digests.reshape(-1, _DIGEST_BYTES)})}


def seen_from_bundle(bundle: Bundle) -> SeenCells | None:
    """Return what the bundle carries, None where it has no such file. Raises EdgeError MDSE-BUNDLE-011."""
    if SEEN_FILE not in bundle:
        return None
    digests = arrays_from_npz(bundle.read(SEEN_FILE), {"digests": ArraySpec("uint8", 2)}, where=SEEN_FILE)["digests"]
    if digests.shape[1] != _DIGEST_BYTES:
        raise EdgeError("MDSE-BUNDLE-011", where=SEEN_FILE, reason=f"a digest has {digests.shape[1]} bytes")
    return _split(digests.tobytes())


def _split(data: bytes) -> SeenCells:
    return frozenset(data[at : at + _DIGEST_BYTES] for at in range(0, len(data), _DIGEST_BYTES))


def _digest_of(cell: LabelledCell) -> bytes:
    return content_sha256(cell)[:_DIGEST_BYTES]
