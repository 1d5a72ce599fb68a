"""Which labelled cells calibrate and which ones prove: chosen by rule, audited, and never random pixels.

Calibration takes validation and training cells (splits 2-7), parity takes test cells (0-1), so that a network is never
judged on what set its int8 steps.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.dataset import LABELS_NAME, LabelledCell, LabelledCells, read_labelled_cells
from edge.catalogue import Catalogue
from edge.errors import EdgeError

CALIBRATION_CELLS = 512
FEWEST_CALIBRATION_CELLS = 64
ENOUGH_OF_A_TYPE = 20
JUDGING_CELLS = 512


@dataclass(frozen=True, slots=True)
class ChosenCells:
    """The cells for calibration and for parity, those of the other two splits, and what a person must know of them."""

    calibration: tuple[LabelledCell, ...]
    parity: tuple[LabelledCell, ...]
    training: tuple[LabelledCell, ...]
    validation: tuple[LabelledCell, ...]
    notices: tuple[str, ...]

    def judges(self) -> tuple[LabelledCell, ...]:
        """Return the cells on which int8 is held to its bars before the proof: validation, filled up by calibration."""
        validation = in_equal_numbers(self.validation, JUDGING_CELLS)
        known = {cell.cell_id for cell in validation}
        others = [cell for cell in self.calibration if cell.cell_id not in known]
        return (*validation, *others[: max(0, JUDGING_CELLS - len(validation))])


def choose_cells(
    folder: Path,
    catalogue: Catalogue,
    *,
    labels_name: str = LABELS_NAME,
    leave_out: Collection[str] = (),
    calibration_count: int = CALIBRATION_CELLS,
    for_int8: bool = True,
) -> ChosenCells:
    """Read a folder of labelled real cells and choose; drawn cells among them are left out with a notice.

    `labels_name` and `leave_out` as in `read_labelled_cells`.

    Calibration: the types in equal numbers as far as they reach, in the order of a digest of the file's name. Raises
    EdgeError MDSE-CONVERT-001 (no label file), MDSE-TRAIN-* (its content), MDSE-CONVERT-026 where fewer than 64 cells
    remain for the calibration of int8.
    """
    if not (folder / labels_name).is_file():
        raise EdgeError("MDSE-CONVERT-001", where=str(folder / labels_name), kind="label")
    labelled = _real_ones(
        read_labelled_cells([(folder, "real")], catalogue, labels_name=labels_name, leave_out=leave_out)
    )
    candidates = [cell for cell in labelled.cells if cell.split != "test"]
    calibration = in_equal_numbers(candidates, calibration_count)
    if for_int8 and len(calibration) < FEWEST_CALIBRATION_CELLS:
        raise EdgeError("MDSE-CONVERT-026", where=str(folder), found=len(calibration), needed=FEWEST_CALIBRATION_CELLS)
    audit = _audit(calibration, labelled.of("test"), catalogue)
    return ChosenCells(
        calibration,
        labelled.of("test"),
        labelled.of("training"),
        labelled.of("validation"),
        (*labelled.notices, *audit),
    )


def _real_ones(labelled: LabelledCells) -> LabelledCells:
    real = tuple(cell for cell in labelled.cells if cell.origin == "real")
    drawn = len(labelled.cells) - len(real)
    notice = (f"{drawn} drawn cells left out: neither calibration nor proof may rest on them",) if drawn else ()
    return LabelledCells(real, (*labelled.notices, *notice))


def in_equal_numbers(cells: Sequence[LabelledCell], count: int) -> tuple[LabelledCell, ...]:
    """Return up to `count` cells, taking the types in turn, each in the order of a digest of the cells' names."""
    ordered: dict[str, list[LabelledCell]] = {}
    for cell in sorted(cells, key=lambda c: hashlib.sha256(c.cell_id.encode("utf-8")).digest()):
        ordered.setdefault(cell.cell_type, []).append(cell)
    chosen: list[LabelledCell] = []
    turn = 0
    while len(chosen) < count and any(turn < len(of_type) for of_type in ordered.values()):
        chosen += [ordered[code][turn] for code in sorted(ordered) if turn < len(ordered[code])]
        turn += 1
    return tuple(chosen[:count])


def _audit(
    calibration: tuple[LabelledCell, ...], parity: tuple[LabelledCell, ...], catalogue: Catalogue
) -> tuple[str, ...]:
    notices = []
    for what, cells in (("calibration", calibration), ("parity", parity)):
        counts = Counter(cell.cell_type for cell in cells)
        none = [code for code in catalogue.type_codes if not counts[code]]
        few = [f"{code} {counts[code]}" for code in catalogue.type_codes if 0 < counts[code] < ENOUGH_OF_A_TYPE]
        notices.append(f"{what}: {len(cells)} cells of {len(counts)} types")
        if few:
            notices.append(f"{what}: fewer than {ENOUGH_OF_A_TYPE} cells of {', '.join(few)}")
        if none:
            notices.append(f"{what}: no cell of {', '.join(none)}; nothing is known about them in this precision")
    return tuple(notices)
