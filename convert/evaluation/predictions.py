"""Labelled cells through a network: read, decode, change (for a robustness test), resize, infer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.cell_pixels import decode_labelled, read_labelled, refuse_second_label
from convert.dataset import LabelledCell
from convert.evaluation.networks import Network
from convert.label_faults import Faults
from convert.progress import Progress
from convert.training_batches import Targets, targets_from_cells
from edge.catalogue import Catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.findings import check_outputs
from edge.image_measures import measures_from_tensors
from edge.images import CellImage
from edge.tensors import tensors_from_cells

Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Cells [N], what people said about them, what the network says, and the measures of its input, float32 [N, M]."""

    cells: tuple[LabelledCell, ...]
    targets: Targets
    outputs: EngineOutputs
    measures: NDArray[np.float32]
    catalogue: Catalogue

    @property
    def called(self) -> NDArray[np.int64]:
        """Type index with the highest probability, int64 [N]."""
        return np.asarray(self.outputs.cell_type.argmax(axis=1), np.int64)

    @property
    def patients(self) -> list[str] | None:
        """The patient of every cell; None where no cell names one.

        A cell without a patient beside cells that have one is a patient of its own: it must not make the others'
        cells count as if each were another person's.
        """
        if all(cell.patient is None for cell in self.cells):
            return None
        # No label can begin with this character: a name of a cell is never that of a patient.
        return [f"\0{row}" if cell.patient is None else cell.patient for row, cell in enumerate(self.cells)]


def predict(
    cells: Sequence[LabelledCell],
    network: Network,
    label: str,
    stream: TextIO | None,
    *,
    change: Change | None = None,
) -> Predictions:
    """Return the network's outputs for all cells, in order; at least one cell.

    `change` is applied to the decoded pixels, at full size, before they are resized. Raises EdgeError MDSE-TRAIN-021
    naming the file that cannot be used, -004 one that cannot be read, -003 where two files with the same content carry
    different types; several together as -017.
    """
    measures: list[NDArray[np.float32]] = []
    with Progress(label, len(cells), stream) as progress:
        parts = list(network.infer(_batches(cells, network, change, progress, measures)))
    outputs = EngineOutputs(
        cell_type=np.concatenate([part.cell_type for part in parts]),
        findings=np.concatenate([part.findings for part in parts]),
        embedding=np.concatenate([part.embedding for part in parts]),
    )
    check_outputs(outputs, len(cells), network.catalogue)
    targets = targets_from_cells(cells, network.catalogue)
    return Predictions(tuple(cells), targets, outputs, np.concatenate(measures), network.catalogue)


def _batches(
    cells: Sequence[LabelledCell],
    network: Network,
    change: Change | None,
    progress: Progress,
    measures: list[NDArray[np.float32]],
) -> Iterator[NDArray[np.uint8]]:
    seen: dict[bytes, LabelledCell] = {}
    faults = Faults()
    for start in range(0, len(cells), network.batch):
        images = []
        for cell in cells[start : start + network.batch]:
            try:
                pixels = _decoded(cell, seen)
            except EdgeError as fault:
                faults.add(fault)
                continue
            images.append(CellImage(cell.cell_id, pixels if change is None else change(pixels)))
        progress.advance(len(images))
        if faults.found:
            continue  # nothing is computed any more: what else cannot be used is named in the same run
        batch = tensors_from_cells(images, network.size_px)
        measures.append(measures_from_tensors(batch))
        yield batch
    faults.require_none("images")


def _decoded(cell: LabelledCell, seen: dict[bytes, LabelledCell]) -> NDArray[np.uint8]:
    data = read_labelled(cell)
    refuse_second_label(cell, hashlib.sha256(data).digest(), seen)
    return decode_labelled(data, cell)
