"""What a contestant is: a network opened from the material of one size, asked for batches; some do whole slides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.side_by_side.material import Material

Batch = NDArray[np.uint8]


class Contestant:
    """One way to run the network. A process makes one, opens it, and asks it for batches until it is told to stop.

    `batches`: the batch sizes that are tried at the start; the fastest is kept. The times of imports and of opening are
    measured too, so a module imports its library inside of `open`.
    """

    batches: ClassVar[tuple[int, ...]] = (1, 8)

    def __init__(self, material: Material, threads: int) -> None:
        self.material = material
        self.threads = threads

    def open(self) -> None:
        """Import the library and load the network."""
        raise NotImplementedError

    def chosen_batches(self) -> tuple[int, ...]:
        """Return the batch sizes to try; known only now where the product decides itself."""
        return self.batches

    def prepare(self, batch: int) -> None:
        """Make ready for batches of this many images (a compilation, a trace, nothing)."""

    def run(self, batch: int, batches: Iterable[Batch]) -> int:
        """Compute every batch (uint8 [batch, S, S, 3]), all outputs in arrays of the host; return the images done."""
        raise NotImplementedError

    def slide(self, folder: Path) -> float:
        """Do one slide from its files to a published result; return the probability of MDS."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Return what a reader should know of how it was opened."""
        return {}

    def close(self) -> None:
        """Stop what would outlive the process."""
