"""Where the pictures of a simulated slide come from: drawn, or a folder of real labelled cells.

Both answer the same question, "a cell of this type with these findings, please", with the bytes of an image file and
what they are. A folder of real cells cannot answer everything: what it lacks is drawn, and the answer says so.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.simulator.cells import draw_cell
from edge.simulator.films import FilmCell
from edge.simulator.scene import SceneLook

Origin = Literal["drawn", "labelled"]
Split = Literal["all", "training", "validation", "test"]
JPEG_QUALITY = 90
# The Barcelona crops are 360 x 363 px; drawn cells are square.
CELL_SIDE_PX = 360


@dataclass(frozen=True, slots=True)
class SuppliedCell:
    """An image of a cell: file bytes and suffix, origin, and why it was drawn where a labelled one was wanted."""

    data: bytes
    suffix: str
    origin: Origin
    drawn_because: str | None = None


class CellSource(Protocol):
    """Supplies the pictures of a slide; the same generator state supplies the same bytes."""

    def supply(self, wanted: Sequence[FilmCell], look: SceneLook, rng: np.random.Generator) -> tuple[SuppliedCell, ...]:
        """Return one image for each wanted cell, of its type and with its findings, as on one slide of this look."""
        ...


@dataclass(frozen=True, slots=True)
class DrawnCells:
    """Draws every cell."""

    size_px: int = CELL_SIDE_PX

    def supply(self, wanted: Sequence[FilmCell], look: SceneLook, rng: np.random.Generator) -> tuple[SuppliedCell, ...]:
        """Return drawings. Raises EdgeError MDSE-SIM-001 or -002 for what cannot be drawn."""
        return tuple(self.draw(cell, look, rng, None) for cell in wanted)

    def draw(self, wanted: FilmCell, look: SceneLook, rng: np.random.Generator, because: str | None) -> SuppliedCell:
        """Return one drawing; `because` says why no labelled cell was used, where one was wanted."""
        picture = draw_cell(wanted.type_code, wanted.findings, rng, size_px=self.size_px, look=look)
        return SuppliedCell(jpeg_from_pixels(picture), ".jpg", "drawn", because)


@dataclass(frozen=True, slots=True)
class RealCell:
    """One labelled image file: which findings were annotated as present."""

    path: Path
    present: frozenset[str]


class LabelledCells:
    """Picks from a folder of real labelled cells; draws what the folder does not hold, and says so.

    A cell without findings is any cell of the type on which no finding was annotated as present. A cell with findings
    must carry exactly those annotations; otherwise it is drawn, because a label that the picture does not show would
    teach and test the wrong thing. No picture is used twice on one slide, as none is on a real one.
    """

    def __init__(self, cells: Mapping[str, tuple[RealCell, ...]]) -> None:
        self._cells = {
            code: {present: tuple(c for c in group if c.present == present) for present in {c.present for c in group}}
            for code, group in cells.items()
        }
        self._drawn = DrawnCells()

    @property
    def counts(self) -> dict[str, int]:
        """Number of real cells per type code."""
        return {code: sum(map(len, groups.values())) for code, groups in self._cells.items()}

    def supply(self, wanted: Sequence[FilmCell], look: SceneLook, rng: np.random.Generator) -> tuple[SuppliedCell, ...]:
        """Return random labelled cells' own bytes, or drawings with their reasons."""
        left: dict[tuple[str, frozenset[str]], list[RealCell]] = {}
        return tuple(self._one(cell, left, look, rng) for cell in wanted)

    def _one(
        self,
        wanted: FilmCell,
        left: dict[tuple[str, frozenset[str]], list[RealCell]],
        look: SceneLook,
        rng: np.random.Generator,
    ) -> SuppliedCell:
        present = frozenset(wanted.findings)
        groups = self._cells.get(wanted.type_code, {})
        pile = left.setdefault((wanted.type_code, present), list(groups.get(present, ())))
        if pile:
            path = pile.pop(int(rng.integers(0, len(pile)))).path
            return SuppliedCell(path.read_bytes(), path.suffix, "labelled")
        lack = "no further" if present in groups else "no"
        findings = f" with {' '.join(wanted.findings)}" if groups and wanted.findings else ""
        return self._drawn.draw(wanted, look, rng, f"{lack} labelled {wanted.type_code}{findings}")


def open_labelled_cells(folder: Path, *, split: Split = "all") -> LabelledCells:
    """Read the labels of a folder of real cells (`labels.csv`: file, cell_type, finding codes 1/0/blank, [patient]).

    `split` keeps the cells of one split of the one rule that training follows: byte 0 of sha256(key) modulo 8 gives
    0-1 test, 2 validation, 3-7 training; the key is the patient where one is named, else the file's base name.
    Raises EdgeError MDSE-SIM-006 when there is no usable labels.csv.
    """
    labels = folder / "labels.csv"
    known = load_catalogue()
    cells: dict[str, list[RealCell]] = {}
    try:
        with labels.open(newline="", encoding="utf-8-sig") as lines:
            for row in csv.DictReader(lines):
                path = folder / row["file"]
                key = (row.get("patient") or "").strip() or path.name
                if row["cell_type"] in known.type_codes and split in ("all", _split_of(key)):
                    present = frozenset(code for code in known.finding_codes if row.get(code) == "1")
                    cells.setdefault(row["cell_type"], []).append(RealCell(path, present))
    except (OSError, KeyError, csv.Error, UnicodeDecodeError) as error:
        raise EdgeError("MDSE-SIM-006", where=str(labels), reason=repr(error)) from error
    if not cells:
        raise EdgeError("MDSE-SIM-006", where=str(labels), reason=f"it names no cell of the split {split!r}")
    return LabelledCells({code: tuple(group) for code, group in cells.items()})


def jpeg_from_pixels(pixels: NDArray[np.uint8], *, quality: int = JPEG_QUALITY) -> bytes:
    """Return an RGB image [H,W,3] uint8 as the bytes of a JPEG file."""
    done, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise EdgeError("MDSE-SIM-007", where=f"{pixels.shape}")
    return bytes(encoded)


def count_reasons(supplied: Iterable[SuppliedCell]) -> Counter[str]:
    """Count cells by where they came from and, for drawings in place of real cells, why."""
    return Counter(f"drawn: {cell.drawn_because}" if cell.drawn_because else cell.origin for cell in supplied)


def _split_of(key: str) -> Split:
    remainder = hashlib.sha256(key.encode("utf-8")).digest()[0] % 8
    if remainder < 2:
        return "test"
    return "validation" if remainder == 2 else "training"
