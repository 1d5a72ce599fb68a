"""Contestants are measured as they are used, and the tables say where a committed figure falls short of that."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.side_by_side import tables
from benchmarks.side_by_side.contestants.keras_plain import BATCH, SLIDE_CELLS, KerasPredict
from benchmarks.side_by_side.results import size_document


class CountingModel:
    """Takes the place of a Keras model and notes how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def predict(self, images: Any, batch_size: int, verbose: int) -> None:
        self.asked.append((len(images), batch_size))


def asked_for(batches: list[Any], batch: int) -> tuple[int, list[tuple[int, int]]]:
    contestant = KerasPredict(None, 2)  # type: ignore[arg-type]  # not looked at
    contestant._model = CountingModel()
    return contestant.run(batch, iter(batches)), contestant._model.asked


def test_keras_alone_is_asked_once_for_a_slide_in_batches_of_32_as_the_plain_way_asks_it() -> None:
    batches = [np.zeros((BATCH, 4, 4, 3), np.uint8)] * 15
    done, asked = asked_for(batches, BATCH)
    whole = SLIDE_CELLS // BATCH
    assert done == 15 * BATCH
    assert asked == [(whole * BATCH, BATCH), (whole * BATCH, BATCH), ((15 - 2 * whole) * BATCH, BATCH)]


def test_keras_is_given_one_image_alone_where_one_is_asked() -> None:
    assert asked_for([np.zeros((1, 4, 4, 3), np.uint8)], 1) == (1, [(1, BATCH)])


def rounds_of(**values: float) -> list[dict[str, Any]]:
    named = {name.replace("__", "."): value for name, value in values.items()}
    return [{"round": 0, "values": named, "cpu_ms": {}, "steal": 0.0, "others": 0.0, "load_1min": 0.0}]


def contestants_text(opened: dict[str, dict[str, Any]], **values: float) -> str:
    facts = {name: {"open_s": 1.0, "batch": 32, "peak_rss_mb": 100} | more for name, more in opened.items()}
    return tables.contestant_tables({"sizes": {"160": size_document(rounds_of(**values), facts, 5.0)}})


def test_a_rate_alone_below_that_of_whole_slides_is_told_as_understated_with_both_figures() -> None:
    facts: dict[str, dict[str, Any]] = {"plain": {}, "fp32_limit": {}}
    text = contestants_text(facts, plain__rate=20.0, plain__slide=30.0, fp32_limit__rate=20.0)
    # 30 cells of 5 giga-operations against 20 products of 2 * 2.048**3 giga-operations.
    assert (
        "Keras `predict`: the network alone is understated at least 1.50 times: whole slides, which contain the "
        "network, reach 30 cells/s, 44 % of its limit."
    ) in text
    assert "understated" not in contestants_text(facts, plain__rate=30.0, plain__slide=20.0, fp32_limit__rate=20.0)
