"""What an engine is: batches of images in, outputs in the same order out. As narrow as the weakest implementation.

EngineSpec      what was opened: device, precision, sizes
EngineOutputs   the network's three outputs for one batch
Engine          the protocol; every implementation passes tests/contract/test_engine.py
checked_outputs refuses outputs that are not what the contract promises, before anybody computes with them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError

INPUT_NAME = "images"
OUTPUT_NAMES = ("cell_type", "findings", "embedding")
_ROW_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An opened engine: library name, device ("cpu", "gpu"), precision, image side, largest batch, output widths.

    `copies` of the network take batches strictly in turn, each with `threads` processor threads (0: not on one).
    `batch_sizes`, ascending: those with kernels of their own, to which smaller batches are filled up; empty where all
    run as `max_batch`. Such an engine's `lanes` take batches strictly in turn; the first of a size runs plainly in each
    and is recorded, later ones are replayed.
    """

    name: str
    device: str
    precision: str
    size_px: int
    max_batch: int
    embedding_dim: int
    type_count: int
    finding_count: int
    copies: int = 1
    threads: int = 0
    batch_sizes: tuple[int, ...] = ()
    lanes: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class EngineOutputs:
    """Outputs for one batch of N images, owned by the receiver.

    cell_type: float32 [N, types], each row a probability distribution. findings: float32 [N, findings], each value a
    probability. embedding: float32 [N, D], the last hidden layer.
    """

    cell_type: NDArray[np.float32]
    findings: NDArray[np.float32]
    embedding: NDArray[np.float32]


class Engine(Protocol):
    """A network on a device. Not thread-safe; one `infer` at a time."""

    @property
    def spec(self) -> EngineSpec:
        """What was opened."""
        ...

    def infer(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[EngineOutputs]:
        """Yield the outputs of each batch, in order.

        Each batch is uint8 [n, S, S, 3] RGB with 1 <= n <= spec.max_batch; it is copied, so the caller may reuse it
        once the next one is asked for. The next batch is pulled while the device works on earlier ones. Raises
        EdgeError MDSE-ENGINE-* for a batch of another shape and for outputs that break the contract.
        """
        ...

    def close(self) -> None:
        """Give back the device's memory. The engine cannot be used afterwards. Closing twice is harmless."""
        ...


def check_batch(batch: NDArray[np.uint8], spec: EngineSpec) -> None:
    """Raise EdgeError MDSE-ENGINE-003 unless the batch is what the network takes."""
    side = spec.size_px
    fits = batch.dtype == np.uint8 and batch.ndim == 4 and batch.shape[1:] == (side, side, 3)
    if not fits or not 1 <= batch.shape[0] <= spec.max_batch:
        expected = f"uint8 [1..{spec.max_batch}, {side}, {side}, 3]"
        raise EdgeError(
            "MDSE-ENGINE-003", where=spec.name, found=f"{batch.dtype} {list(batch.shape)}", expected=expected
        )


def checked_outputs(outputs: EngineOutputs, images: int, spec: EngineSpec) -> EngineOutputs:
    """Return `outputs` when they keep the contract for this many images, else raise EdgeError MDSE-ENGINE-004.

    Checked: dtype, number of rows, widths, finite values, probabilities within 0..1, rows of cell_type summing to 1.
    """
    widths = (spec.type_count, spec.finding_count, spec.embedding_dim)
    arrays = (outputs.cell_type, outputs.findings, outputs.embedding)
    for name, width, array in zip(OUTPUT_NAMES, widths, arrays, strict=True):
        if array.dtype != np.float32 or array.shape != (images, width):
            raise _broken(spec, f"{name} is {array.dtype} {list(array.shape)}, not float32 [{images}, {width}]")
        if not np.isfinite(array).all():
            raise _broken(spec, f"{name} holds a value that is not a number")
    for name, array in zip(OUTPUT_NAMES[:2], arrays[:2], strict=True):
        if array.min() < -_ROW_SUM_TOLERANCE or array.max() > 1 + _ROW_SUM_TOLERANCE:
            raise _broken(spec, f"{name} holds a probability outside 0..1")
    if np.abs(outputs.cell_type.sum(axis=1) - 1).max() > _ROW_SUM_TOLERANCE:
        raise _broken(spec, "the probabilities of a cell's types do not add up to 1")
    return outputs


def _broken(spec: EngineSpec, reason: str) -> EdgeError:
    return EdgeError("MDSE-ENGINE-004", where=spec.name, reason=reason)
