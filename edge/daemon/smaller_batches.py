"""The same engine with smaller batches, for a slide whose first try ended for want of memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.engines.base import Engine, EngineOutputs, EngineSpec


class SmallerBatches:
    """An engine that says that it takes at most `max_batch` images at once; everything else is the engine's own."""

    def __init__(self, engine: Engine, max_batch: int) -> None:
        self._engine = engine
        self.spec: EngineSpec = replace(engine.spec, max_batch=max(1, min(max_batch, engine.spec.max_batch)))

    def infer(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[EngineOutputs]:
        """Yield the outputs of each batch, in order (as `Engine.infer`)."""
        return self._engine.infer(batches)

    def close(self) -> None:
        """Leave the engine open: it is used again for the next slide."""


def engine_for_attempt(engine: Engine, attempt: int) -> Engine:
    """Return the engine for the first attempt at a slide, and with half as many images at once for each further one."""
    return engine if attempt <= 1 else SmallerBatches(engine, engine.spec.max_batch >> (attempt - 1))
