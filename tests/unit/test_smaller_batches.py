"""A slide that ended its worker once is analyzed again with half as many images at once."""

from __future__ import annotations

import pytest

from edge.daemon.smaller_batches import engine_for_attempt
from edge.engines.base import EngineSpec


class Engine:
    spec = EngineSpec("fake", "cpu", "fp32", 112, 32, 8, 17, 97)
    closed = False

    def infer(self, batches):
        yield from batches

    def close(self) -> None:
        self.closed = True


@pytest.mark.case("C10")
def test_each_further_attempt_takes_half_as_many_images_and_never_none() -> None:
    engine = Engine()
    assert engine_for_attempt(engine, 1) is engine
    assert [engine_for_attempt(engine, n).spec.max_batch for n in (2, 3, 4, 9)] == [16, 8, 4, 1]
    smaller = engine_for_attempt(engine, 2)
    assert list(smaller.infer(iter([1, 2]))) == [1, 2]
    smaller.close()
    assert not engine.closed
