"""The cells that a bundle measures others by: what the deployed engine and the picture itself say about known cells.

Real cells are those of splits 2-7 of the labelled folder: training cells fit the statistics, validation cells set the
limits, so that a limit is never set on what it was fitted to. Where a network learned some types from drawings only,
drawn cells of every type stand beside them as a family of their own: real and drawn cells differ in style, and one
common spread would be too wide for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.calibration_cells import in_equal_numbers
from convert.cell_pixels import pixels_from_cells
from convert.dataset import LabelledCell
from convert.progress import Progress
from edge.catalogue import Catalogue
from edge.engines.base import Engine
from edge.image_measures import measures_from_tensors
from edge.images import CellImage
from edge.simulator.cells import DRAWABLE_FINDINGS, draw_cell, sample_findings
from edge.tensors import tensors_from_cells

REAL, DRAWN = 0, 1
MOST_TRAINING, MOST_VALIDATION = 2000, 1000
FEWEST_TRAINING, FEWEST_VALIDATION = 200, 50
DRAWN_PER_TYPE, DRAWN_HELD_OUT_PER_TYPE = 40, 12
_SEED = 20190914


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceCells:
    """Known cells as the engine and the picture show them.

    `embedding` float32 [N, D], `measures` float32 [N, M], `cell_type` int64 [N] (index into the catalogue's types),
    `family` uint8 [N] (REAL or DRAWN), `held_out` bool [N]: kept for setting limits.
    """

    embedding: NDArray[np.float32]
    measures: NDArray[np.float32]
    cell_type: NDArray[np.int64]
    family: NDArray[np.uint8]
    held_out: NDArray[np.bool_]


def enough_reference(training: Sequence[LabelledCell], validation: Sequence[LabelledCell]) -> str | None:
    """Return None, or a sentence that says why no reference can be made of these cells."""
    if len(training) >= FEWEST_TRAINING and len(validation) >= FEWEST_VALIDATION:
        return None
    return (
        f"no out-of-distribution limits, quality limits and atlas: {FEWEST_TRAINING} training and {FEWEST_VALIDATION} "
        f"validation cells are needed, {len(training)} and {len(validation)} were given"
    )


def cells_of_reference(
    training: Sequence[LabelledCell], validation: Sequence[LabelledCell]
) -> tuple[tuple[LabelledCell, ...], tuple[LabelledCell, ...]]:
    """Return the cells that statistics are fitted on and those that set limits; none of either where they are few."""
    return _in_reference(training, validation) if enough_reference(training, validation) is None else ((), ())


def reference_cells(
    engine: Engine,
    training: Sequence[LabelledCell],
    validation: Sequence[LabelledCell],
    catalogue: Catalogue,
    *,
    with_drawn: bool,
    stream: TextIO | None,
) -> ReferenceCells:
    """Run known cells through the engine that a site will run. Raises EdgeError MDSE-TRAIN-*, MDSE-ENGINE-*."""
    size_px = engine.spec.size_px
    place = {code: index for index, code in enumerate(catalogue.type_codes)}
    fitted, held_out = _in_reference(training, validation)
    cells = (*fitted, *held_out)
    images = [pixels_from_cells(cells, size_px)]
    types = [np.array([place[cell.cell_type] for cell in cells], np.int64)]
    kept = [np.arange(len(cells)) >= len(fitted)]
    if with_drawn:
        drawn, drawn_types, drawn_kept = _drawn(catalogue, size_px)
        images, types, kept = [*images, drawn], [*types, drawn_types], [*kept, drawn_kept]
    pixels = np.concatenate(images)
    with Progress("reference cells", len(pixels), stream) as progress:
        embedding = np.concatenate([part.embedding for part in engine.infer(_batches(pixels, engine, progress))])
    return ReferenceCells(
        embedding=embedding,
        measures=np.concatenate([measures_from_tensors(pixels[i : i + 64]) for i in range(0, len(pixels), 64)]),
        cell_type=np.concatenate(types),
        family=np.repeat(np.array([REAL, DRAWN], np.uint8)[: len(types)], [len(part) for part in types]),
        held_out=np.concatenate(kept),
    )


def _in_reference(
    training: Sequence[LabelledCell], validation: Sequence[LabelledCell]
) -> tuple[tuple[LabelledCell, ...], tuple[LabelledCell, ...]]:
    return in_equal_numbers(training, MOST_TRAINING), in_equal_numbers(validation, MOST_VALIDATION)


def _drawn(catalogue: Catalogue, size_px: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Draw the same cells for the same catalogue and size: pixels, type indices, and which are held out."""
    pixels, types, kept = [], [], []
    for index, code in enumerate(catalogue.type_codes):
        if code not in DRAWABLE_FINDINGS:
            continue
        for number in range(DRAWN_PER_TYPE):
            random = np.random.default_rng([_SEED, index, number])
            drawn = draw_cell(code, sample_findings(code, random), random)
            pixels.append(tensors_from_cells([CellImage(f"{code}{number}", drawn)], size_px))
            types.append(index)
            kept.append(number >= DRAWN_PER_TYPE - DRAWN_HELD_OUT_PER_TYPE)
    return np.concatenate(pixels), np.array(types, np.int64), np.array(kept, np.bool_)


def _batches(pixels: NDArray[np.uint8], engine: Engine, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    step = engine.spec.max_batch
    for start in range(0, len(pixels), step):
        batch = np.ascontiguousarray(pixels[start : start + step])
        yield batch
        progress.advance(len(batch))
