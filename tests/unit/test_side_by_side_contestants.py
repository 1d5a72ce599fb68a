"""Contestants are measured as they are used, and the tables say where a committed figure falls short of that."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.side_by_side import tables
from benchmarks.side_by_side.claims import judged
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


def results_of(measured: dict[str, float]) -> dict[str, Any]:
    found = rounds_of(**measured)
    opened = {name.partition("__")[0]: {"open_s": 1.0, "batch": 8} for name in measured}
    machine = {"cores": 2, "cpu": "a processor"}
    return {
        "date": "2026-01-02", "machine": machine, "threads": 2, "cells": "real",
        "sizes": {"299": size_document(found, opened, 16.0)}, "ratios": judged(299, found, 16.0, 17.0),
    }  # fmt: skip


RIVALS = {"pipeline__rate": 100.0, "openvino_fp32__rate": 20.0, "openvino_default_async__rate": 80.0,
          "openvino_int8_async__rate": 125.0}  # fmt: skip


def test_the_readme_table_names_the_nearest_rivals_right_below_the_ratio_over_forced_fp32() -> None:
    lines = tables.readme_table(results_of(RIVALS)).splitlines()
    place = next(number for number, line in enumerate(lines) if "OpenVINO's two fp32 patterns" in line)
    assert "default precision" in lines[place + 1]
    assert lines[place + 1].endswith("| 1.25x (1.25 to 1.25) |")
    assert "async sample on the same int8 file" in lines[place + 2]
    assert lines[place + 2].endswith("| 0.80x (0.80 to 0.80) |")


def test_a_rival_whose_ratio_was_not_kept_by_round_is_shown_by_the_medians_of_both_rates() -> None:
    results = results_of(RIVALS)
    results["ratios"] = [row for row in results["ratios"] if row["claim"] != "openvino_default"]
    (line,) = [line for line in tables.readme_table(results).splitlines() if "default precision" in line]
    assert line.endswith("| 1.25x, of the medians |")
    (line,) = [line for line in tables.ratio_table(results).splitlines() if "default precision" in line]
    assert "| 299 px | 1.25x, of the medians |" in line


def test_a_rival_that_did_not_run_has_no_row() -> None:
    results = results_of({name: rate for name, rate in RIVALS.items() if "default" not in name})
    assert "default precision" not in tables.readme_table(results)
    assert "default precision" not in tables.ratio_table(results)
