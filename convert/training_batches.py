"""Balanced, augmented batches of labelled cells, made by a background thread while the network computes.

Batch k of an epoch depends on the seed, the epoch and k alone, so that a resumed training sees the same cells.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.augmentation import Augmentation, augmented_cell
from convert.dataset import LabelledCell
from edge.catalogue import Catalogue

NOT_ANNOTATED = -1.0
_AHEAD = 4


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What the network should say: type indices int64 [N], findings float32 [N, F] of 1, 0 or NOT_ANNOTATED."""

    cell_type: NDArray[np.int64]
    findings: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """uint8 [N, S, S, 3] RGB, one-hot types float32 [N, T], findings float32 [N, F] with NOT_ANNOTATED."""

    images: NDArray[np.uint8]
    cell_type: NDArray[np.float32]
    findings: NDArray[np.float32]


def targets_from_cells(cells: Sequence[LabelledCell], catalogue: Catalogue) -> Targets:
    """Return the labels as arrays, in the order of the catalogue."""
    position = {code: index for index, code in enumerate(catalogue.type_codes)}
    column = {code: index for index, code in enumerate(catalogue.finding_codes)}
    cell_type = np.array([position[cell.cell_type] for cell in cells], np.int64)
    findings = np.full((len(cells), len(column)), NOT_ANNOTATED, np.float32)
    for row, cell in enumerate(cells):
        for code, value in cell.findings.items():
            findings[row, column[code]] = value
    return Targets(cell_type, findings)


def sampling_weights(cells: Sequence[LabelledCell], *, real_share: float) -> NDArray[np.float64]:
    """Return the probability of each cell in a training epoch.

    Every type is drawn equally often: the paper's classes differ by a factor of 700, and a rare type matters as much
    as a frequent one. Within a type that has real and drawn cells, `real_share` of the draws are real; less where the
    real ones are fewer than the drawn ones, because a handful of images shown again and again is learned by heart.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for index, cell in enumerate(cells):
        groups.setdefault((cell.cell_type, cell.origin), []).append(index)
    weights = np.zeros(len(cells))
    for (cell_type, origin), members in groups.items():
        real = len(groups.get((cell_type, "real"), ()))
        drawn = len(groups.get((cell_type, "drawn"), ()))
        real_part = real_share * min(1.0, real / drawn) if drawn else 1.0
        real_part = real_part if real else 0.0
        weights[members] = (real_part if origin == "real" else 1 - real_part) / len(members)
    total: float = weights.sum()
    return np.asarray(weights / total)


class TrainingBatches:
    """Endless source of training epochs over decoded pixels (`pixels` uint8 [N, C, C, 3], C >= the training size)."""

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        targets: Targets,
        weights: NDArray[np.float64],
        *,
        type_count: int,
        batch: int,
        seed: int,
        augmentation: Augmentation,
    ) -> None:
        self._pixels = pixels
        self._targets = targets
        self._cumulative = np.cumsum(weights)
        self._one_hot = np.eye(type_count, dtype=np.float32)
        self._batch = batch
        self._seed = seed
        self._augmentation = augmentation

    def epoch(self, epoch: int, steps: int, size_px: int) -> Iterator[Batch]:
        """Yield `steps` batches of `size_px` images. Ends the background thread when the caller stops early."""
        ready: queue.Queue[Batch | Exception] = queue.Queue(_AHEAD)
        stopped = threading.Event()

        def produce() -> None:
            try:
                for step in range(steps):
                    if not _offer(ready, self._make(epoch, step, size_px), stopped):
                        return
            except Exception as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
                _offer(ready, error, stopped)

        thread = threading.Thread(target=produce, name="training-batches", daemon=True)
        thread.start()
        try:
            for _ in range(steps):
                item = ready.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            stopped.set()
            thread.join()

    def _make(self, epoch: int, step: int, size_px: int) -> Batch:
        random = np.random.default_rng([self._seed, epoch, step])
        # Stratified: one point in each of N equal parts of the weights gives each batch its share of every type.
        points = (np.arange(self._batch) + random.random(self._batch)) / self._batch
        chosen = np.searchsorted(self._cumulative, points * self._cumulative[-1], side="right")
        chosen = random.permutation(np.minimum(chosen, len(self._cumulative) - 1))
        styles = random.permutation(chosen)
        images = np.empty((self._batch, size_px, size_px, 3), np.uint8)
        for row, (cell, style) in enumerate(zip(chosen, styles, strict=True)):
            images[row] = augmented_cell(self._pixels[cell], size_px, self._pixels[style], self._augmentation, random)
        return Batch(images, self._one_hot[self._targets.cell_type[chosen]], self._targets.findings[chosen])


def _offer(ready: queue.Queue[Batch | Exception], item: Batch | Exception, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            ready.put(item, timeout=0.5)
        except queue.Full:
            continue
        return True
    return False
