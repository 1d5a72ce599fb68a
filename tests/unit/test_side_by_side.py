"""The comparison with other ways to run the network: its statistics, its resuming, its tables."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.side_by_side import rounds, tables
from benchmarks.side_by_side.claims import judged, judged_cold
from benchmarks.side_by_side.contestant_process import NotRunError
from benchmarks.side_by_side.contestants import ENTRIES, contestant_class
from benchmarks.side_by_side.layers import DENSE, DEPTHWISE, POINTWISE, operations
from benchmarks.side_by_side.machine import processor_time
from benchmarks.side_by_side.pages import filled
from benchmarks.side_by_side.progress import Progress
from benchmarks.side_by_side.results import cold_document, size_document
from benchmarks.side_by_side.rounds import Seconds, finished_rounds, measure_size, slices_of
from benchmarks.side_by_side.slides import pictures, write_slide_folder
from benchmarks.side_by_side.spread import ratios, spread, verdict
from edge.slide import read_slide

QUIET = dict.fromkeys(range(5), 0.0)


def test_a_spread_is_the_median_with_the_lowest_and_the_highest() -> None:
    found = spread([9.0, 1.0, 4.0, 2.0])
    assert (found.median, found.lowest, found.highest, found.rounds) == (3.0, 1.0, 9.0, 4)
    with pytest.raises(ValueError, match="no round"):
        spread([])


def test_ratios_are_taken_round_by_round_and_only_where_both_were_measured() -> None:
    assert ratios({0: 10.0, 1: 30.0, 2: 5.0}, {0: 5.0, 1: 10.0, 3: 1.0}) == {0: 2.0, 1: 3.0}


def test_a_ratio_of_rounds_is_not_the_ratio_of_medians() -> None:
    ours, theirs = {0: 10.0, 1: 20.0, 2: 40.0}, {0: 20.0, 1: 10.0, 2: 5.0}
    assert spread(list(ratios(ours, theirs).values())).median == 2.0


@pytest.mark.parametrize(
    ("median", "expected"), [(4.5, "met"), (4.49, "missed"), (4.51, "met")], ids=["at", "below", "above"]
)
def test_the_median_of_the_rounds_meets_or_misses_the_bar(median: float, expected: str) -> None:
    found = {0: 1.0, 1: median, 2: median, 3: median, 4: 100.0}
    assert verdict(found, QUIET, 4.5, 5) == expected


def test_rounds_with_steal_are_shown_and_not_judged() -> None:
    found = dict.fromkeys(range(6), 1.0) | {5: 9.0}
    stolen = dict.fromkeys(range(6), 0.0)
    assert verdict(found, stolen, 0.9, 5) == "met"
    assert verdict(found, stolen | {0: 0.051}, 0.9, 5) == "met"
    assert verdict(found, stolen | {0: 0.051, 1: 0.06}, 0.9, 5) == "not judged"
    # The only rounds that reach the bar are those in which the hypervisor interfered: that is no success.
    fast = {0: 9.0, 1: 9.0, 2: 9.0, 3: 1.0, 4: 1.0}
    assert verdict(fast, QUIET | {0: 0.2, 1: 0.2, 2: 0.2}, 4.5, 2) == "missed"


def test_a_ratio_without_a_bar_has_no_verdict() -> None:
    assert verdict({0: 1.0}, QUIET, None, 1) == ""


def a_round(number: int, **values: float) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in values.items()}
    cpu_ms = {name: 20.0 if name.endswith("rate") else 25.0 for name in named}
    return {"round": number, "values": named, "cpu_ms": cpu_ms, "steal": 0.0, "others": 0.0, "load_1min": 0.0}


def five(**values: float) -> list[dict[str, Any]]:
    return [a_round(number, **values) for number in range(5)]


def claim(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["claim"] == name)


def test_latency_is_better_when_it_is_lower() -> None:
    rows = judged(299, five(pipeline__latency=20.0, openvino_int8__latency=10.0, plain__latency=85.0), 16.0, 17.0)
    assert claim(rows, "latency_keras")["ratio"]["median"] == 8.5
    assert claim(rows, "latency_keras")["verdict"] == "met"
    assert claim(rows, "latency_shipped")["ratio"]["median"] == 4.25
    assert claim(rows, "latency_shipped")["verdict"] == ""


def test_openvino_fp32_is_compared_by_its_faster_pattern() -> None:
    rows = judged(299, five(pipeline__rate=54.0, openvino_fp32__rate=10.0, openvino_fp32_async__rate=20.0), 16.0, 17.0)
    assert claim(rows, "openvino_fp32")["ratio"]["median"] == 2.7
    assert claim(rows, "openvino_fp32")["verdict"] == "met"


def test_the_share_of_the_limit_counts_operations_and_not_images() -> None:
    # 50 images of 16 giga-operations each against 64 products of 20: 800 of 1280.
    rows = judged(299, five(pipeline__rate=50.0, int8_limit__rate=64.0), 16.0, 20.0)
    assert claim(rows, "int8_limit")["ratio"]["median"] == 0.625
    assert claim(rows, "int8_limit")["verdict"] == "missed"


def test_a_contestant_that_did_not_run_leaves_its_claims_out() -> None:
    rows = judged(128, five(pipeline__rate=50.0, pipeline__slide=45.0), 3.0, 17.0)
    assert [row["claim"] for row in rows] == ["end_to_end"]
    assert rows[0]["verdict"] == "met"


def test_other_sizes_are_shown_without_bars() -> None:
    rows = judged(160, five(pipeline__rate=50.0, pipeline__slide=1.0), 3.0, 17.0)
    assert (rows[0]["bar"], rows[0]["verdict"]) == (None, "")


def test_cold_starts_compare_seconds() -> None:
    pairs = [{"round": number, "values": {"pipeline": 4.0, "plain": 30.0}, "steal": 0.0} for number in range(3)]
    (row,) = judged_cold(299, pairs)
    assert (row["ratio"]["median"], row["verdict"]) == (7.5, "met")
    assert judged_cold(299, pairs[:2])[0]["verdict"] == "not judged"


class FakeProcess:
    """Answers like a contestant's process, and notes what was asked of whom."""

    def __init__(self, name: str, journal: list[str], all_of_them: dict[str, FakeProcess], fails: str) -> None:
        self.name, self.journal, self.fails, self.running = name, journal, fails, True
        self.all_of_them = all_of_them

    def ask(self, what: str, seconds: float = 0.0) -> dict[str, Any]:
        running = [name for name, process in self.all_of_them.items() if process.running]
        assert running == [self.name], f"{self.name} was asked while {running} ran"
        if what == self.fails:
            raise NotRunError("no such library")
        self.journal.append(f"{self.name} {what}")
        answer = {"value": 2.0, "cpu_s": 0.1} | ({} if what == "latency" else {"images": 2})
        return {"open_s": 1.0, "batch": 8, "cpu_s": 0.1} if what in ("open", "facts") else answer

    def pause(self) -> None:
        self.running = False

    def resume(self) -> None:
        self.running = True

    def close(self) -> None:
        self.running = False
        self.journal.append(f"{self.name} closed")


NAMES = ("pipeline", "ort_fp32", "openvino_int8_async")


def starting(journal: list[str], **failing: str) -> Callable[[str], Any]:
    processes: dict[str, FakeProcess] = {}

    def start(name: str) -> FakeProcess:
        processes[name] = FakeProcess(name, journal, processes, failing.get(name, ""))
        return processes[name]

    return start


def run_rounds(file: Path, count: int, journal: list[str], **failing: str) -> tuple[list[dict[str, Any]], Any]:
    progress = Progress(100.0, io.StringIO())
    return measure_size(file, NAMES, count, Seconds(1, 1, 1), starting(journal, **failing), progress)


def test_every_contestant_has_its_turn_in_every_round_and_the_order_turns() -> None:
    first, second = slices_of(NAMES, 0), slices_of(NAMES, 1)
    assert first[0] == ("pipeline", "rate")
    assert second[0] == ("ort_fp32", "rate")
    assert sorted(first) == sorted(second)


def test_a_round_measures_everybody_while_the_others_stand_still(tmp_path: Path) -> None:
    journal: list[str] = []
    found, facts = run_rounds(tmp_path / "rounds.jsonl", 2, journal)
    assert [row["round"] for row in found] == [0, 1]
    assert found[0]["values"].keys() == {f"{name}.{kind}" for name in NAMES for kind in ENTRIES[name].kinds}
    assert facts["ort_fp32"]["batch"] == 8
    assert journal[-3:] == [f"{name} closed" for name in reversed(NAMES)]


def test_a_run_that_was_ended_goes_on_after_the_last_whole_round(tmp_path: Path) -> None:
    file = tmp_path / "rounds.jsonl"
    run_rounds(file, 2, [])
    with file.open("a") as stream:
        stream.write('{"round": 2, "val')  # ended in the middle of a line
    journal: list[str] = []
    found, _ = run_rounds(file, 4, journal)
    assert sorted(row["round"] for row in found) == [0, 1, 2, 3]
    assert journal.count("pipeline rate") == 2
    assert [row["round"] for row in finished_rounds(file)] == [0, 1, 2, 3]


def test_a_run_that_is_complete_starts_no_process(tmp_path: Path) -> None:
    file = tmp_path / "rounds.jsonl"
    _, facts = run_rounds(file, 2, [])
    journal: list[str] = []
    found, kept = run_rounds(file, 2, journal)
    assert (len(found), journal, kept) == (2, [], facts)


def test_a_contestant_that_cannot_open_is_named_with_its_reason(tmp_path: Path) -> None:
    found, facts = run_rounds(tmp_path / "rounds.jsonl", 1, [], ort_fp32="open")
    assert facts["ort_fp32"] == {"not_run": "no such library"}
    assert not [name for name in found[0]["values"] if name.startswith("ort_fp32")]


def test_a_contestant_that_fails_in_a_round_does_not_end_the_run(tmp_path: Path) -> None:
    found, facts = run_rounds(tmp_path / "rounds.jsonl", 1, [], ort_fp32="latency")
    assert facts["ort_fp32"]["not_run"] == "latency: no such library"
    assert "ort_fp32.rate" in found[0]["values"]
    assert "openvino_int8_async.rate" in found[0]["values"]


def test_a_contestant_that_died_in_the_last_round_does_not_cost_the_others_their_figures(tmp_path: Path) -> None:
    file = tmp_path / "rounds.jsonl"
    _, facts = run_rounds(file, 1, [], ort_fp32="facts")
    assert facts["ort_fp32"]["not_run"] == "no such library"
    assert facts["openvino_int8_async"]["batch"] == 8
    assert run_rounds(file, 1, [])[1] == facts


def test_the_remaining_time_grows_with_what_the_work_took_over_its_plan() -> None:
    progress = Progress(100.0, io.StringIO())
    progress.begin("a", 20.0)
    progress.end("done")
    assert progress.remaining_s(elapsed_s=40.0) == 160.0
    progress.skip("b", 50.0)
    assert progress.remaining_s(elapsed_s=40.0) == 60.0


def test_steal_is_the_share_of_all_processor_time(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 700 50 0 0 50 0 0\ncpu0 1 2 3\n")
    earlier = processor_time(stat)
    stat.write_text("cpu  150 0 150 760 60 0 0 80 0 0\ncpu0 1 2 3\n")
    assert processor_time(stat).since(earlier).steal == pytest.approx(30 / 200)
    assert processor_time(stat).since(earlier).busy_s == pytest.approx(1.0)


def convolution(name: str, given: str, shape: tuple[int, ...], groups: int, **more: Any) -> tuple[Any, Any]:
    weights = numpy_helper.from_array(np.zeros(shape, np.float32), f"{name}/w")
    return helper.make_node("Conv", [given, f"{name}/w"], [name], name=name, group=groups, **more), weights


def test_operations_are_two_for_every_multiplication_of_a_convolution() -> None:
    made = [
        convolution("dense", "images", (8, 3, 3, 3), 1, pads=[1, 1, 1, 1], strides=[2, 2]),
        convolution("depthwise", "dense", (8, 1, 3, 3), 8, pads=[1, 1, 1, 1]),
        convolution("pointwise", "depthwise", (16, 8, 1, 1), 1),
    ]
    graph = helper.make_graph(
        [node for node, _ in made],
        "three",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 10, 10])],
        [helper.make_tensor_value_info("pointwise", TensorProto.FLOAT, ["N", 16, 5, 5])],
        [weights for _, weights in made],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(network)
    giga, kinds = operations(network.SerializeToString())
    assert kinds == {"dense": DENSE, "depthwise": DEPTHWISE, "pointwise": POINTWISE}
    assert {name: round(value * 1e9) for name, value in giga.items()} == {
        "dense": 2 * 27 * 8 * 25,
        "depthwise": 2 * 9 * 8 * 25,
        "pointwise": 2 * 8 * 16 * 25,
    }


def made_up_results() -> dict[str, Any]:
    kinds = {
        f"{name}__{kind}": 10.0 * (place + 1)
        for place, (name, entry) in enumerate(ENTRIES.items())
        for kind in entry.kinds
        if name != "triton"
    }
    found = five(**kinds)
    opened = {"open_s": 1.0, "batch": 8, "peak_rss_mb": 100}
    contestants = {name: dict(opened) for name in ENTRIES} | {"triton": {"not_run": "no interpreter | given"}}
    cold = [{"round": number, "values": {"pipeline": 4.0, "plain": 32.0}, "steal": 0.01} for number in range(3)]
    figures = {form: [1.0, 0.5, 2.0] for form in tables.TREE_FORMS}
    waiting = [{"slides": 1, "all_s": 3.0, "slides_per_s": None, "supervisor_rss_mb": 30, "worker_rss_mb": 300,
                "steal": 0.0}]  # fmt: skip
    machine = {"cpu": "a processor", "cores": 2, "memory_gb": 24, "instructions": ["avx2"], "system": "Linux",
               "python": "3.11", "versions": {"keras": "3"}}  # fmt: skip
    return {
        "date": "2026-01-02", "machine": machine, "threads": 2, "cells": "real", "slice_s": {"rate": 3.0},
        "sizes": {"299": size_document(found, contestants, 16.0), "160": size_document(found[:3], contestants, 5.0)},
        "ratios": [*judged(299, found, 16.0, 17.0), *judged(160, found[:3], 5.0, 17.0), *judged_cold(299, cold)],
        "cold_s": {"299": cold_document(cold)}, "waiting": waiting,
        "layers": {"299": [{"kind": POINTWISE, "ms": 8.0, "giga_operations": 16.0}]},
        "trees": [{"trees": 1, "us": figures}, {"trees": 2000, "us": figures}],
    }  # fmt: skip


def test_every_block_of_the_page_is_filled_and_filling_again_changes_nothing() -> None:
    page = Path(tables.__file__).parents[1] / "README.md"
    results = json.loads(json.dumps(made_up_results()))
    once = filled(page.read_text(encoding="utf-8"), results)
    assert filled(once, results) == once
    for block in tables.BLOCKS:
        _, mark, rest = once.partition(f"<!-- side by side: {block} -->")
        assert mark, f"the page has no place for {block}"
        assert rest.lstrip().startswith(("|", "###")), block


def test_a_mark_that_nothing_fills_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled("<!-- side by side: unheard -->\n<!-- end of figures -->", made_up_results())


def test_the_table_says_who_did_not_run_and_why() -> None:
    text = tables.contestant_tables(made_up_results())
    assert "| not run: no interpreter / given |" in text
    assert "no round measured it" not in text


def test_who_computes_one_image_alone_has_no_rate_and_stands_in_the_table_all_the_same() -> None:
    label = ENTRIES["openvino_int8"].label
    (row, *_) = [line for line in tables.contestant_tables(made_up_results()).splitlines() if label in line]
    rate, one_cell = row.split("|")[2:4]
    assert (rate.strip(), one_cell.strip() != "") == ("", True)


def test_the_results_name_no_folder_of_the_machine() -> None:
    reason = "NoSuchFile: Load model from /home/a.b/x-1/unsigned.onnx failed (1/2 of it)"
    found = size_document(five(pipeline__rate=1.0), {"ort_u8": {"not_run": reason}}, 1.0)
    kept = found["contestants"]["ort_u8"]["not_run"]
    assert kept == "NoSuchFile: Load model from unsigned.onnx failed (1/2 of it)"


def test_the_readme_table_shows_the_ratios_that_have_a_bar_with_their_spread() -> None:
    lines = tables.readme_table(made_up_results()).splitlines()
    assert lines[0] == "| network of the paper's size, random weights | 299 px |"  # no size without a bar
    cold = next(line for line in lines if "cold process" in line)
    assert cold.endswith("| 8.00x (8.00 to 8.00) |")
    share = next(line for line in lines if "int8 matrix rate" in line)
    assert "%" in share
    assert "steal at most 0.0 %" in lines[-1]


def test_the_ratio_table_shows_bars_and_verdicts() -> None:
    rows = tables.ratio_table(made_up_results()).splitlines()
    assert any(row.endswith("| 7x | 3 | met |") for row in rows)
    assert any(row.endswith("|  | 3 | shown |") for row in rows)


def test_a_layer_table_gives_shares_and_what_a_kind_reaches_of_the_limit() -> None:
    # 16 giga-operations in 8 ms are 2,000 a second; the limit of the made-up rounds is 10 products a second.
    row = tables.layer_tables(made_up_results()).splitlines()[2]
    limit = made_up_results()["sizes"]["299"]["contestants"]["int8_limit"]["giga_operations_per_s"]["median"]
    assert row == f"| {POINTWISE} | 8.00 | 100.0 % | 16.00 | {100 * 2000 / limit:.0f} % |"


def test_the_line_below_says_how_near_the_network_could_come_to_the_limit() -> None:
    results = made_up_results()
    limit = results["sizes"]["299"]["contestants"]["int8_limit"]["giga_operations_per_s"]["median"]
    products_ms = 1000 * 16.0 / limit
    rows = [{"kind": POINTWISE, "ms": 3 * products_ms, "giga_operations": 16.0},
            {"kind": DEPTHWISE, "ms": products_ms, "giga_operations": 0.0}]  # fmt: skip
    text = tables.layer_tables(results | {"layers": {"299": rows}})
    assert text.endswith("all else as it is: 50 % of the limit.\n")


def test_the_processor_table_says_how_much_of_the_rate_whole_slides_can_reach() -> None:
    row = tables.processor_table(made_up_results()).splitlines()[2]
    assert row.startswith("| 299 px | 20.00 | 25.00 | 80 % | ")


def test_processor_time_is_counted_by_the_image(tmp_path: Path) -> None:
    found, _ = run_rounds(tmp_path / "rounds.jsonl", 1, [])
    assert found[0]["cpu_ms"]["pipeline.rate"] == 50.0
    assert "pipeline.latency" not in found[0]["cpu_ms"]


def test_drawn_slides_can_be_read_by_the_product(tmp_path: Path) -> None:
    found = pictures(None, 3)
    write_slide_folder(tmp_path / "S1", found.files, "SAMPLE", marker=".complete")
    slide = read_slide(tmp_path / "S1")
    assert found.kind == "drawn"
    assert (slide.sample_id, len(slide.cell_files)) == ("SAMPLE", 3)


def test_real_cells_are_taken_type_by_type_in_turn(tmp_path: Path) -> None:
    names = {"b1.jpg": "BL", "a2.jpg": "AA", "a1.jpg": "AA", "x.jpg": ""}
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    lines = "\n".join(f"{name},{code}" for name, code in names.items())
    (tmp_path / "labels.csv").write_text(f"file,cell_type\n{lines}\n")
    assert pictures(tmp_path, 3).files == (b"a1.jpg", b"b1.jpg", b"a2.jpg")


def test_every_contestant_has_a_class_where_its_entry_says() -> None:
    for name, entry in ENTRIES.items():
        assert contestant_class(name).__name__ == entry.place.partition(":")[2]


def test_a_contestant_with_libraries_of_its_own_needs_an_interpreter(tmp_path: Path) -> None:
    start = rounds.starter(None, 2, tmp_path / "log", None)  # type: ignore[arg-type]  # not looked at
    with pytest.raises(NotRunError, match="triton-python"):
        start("triton")


def test_only_our_pipeline_runs_in_the_interpreter_of_a_plain_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[str, str] = {}
    monkeypatch.setattr(rounds, "ContestantProcess", lambda name, *words: started.update({name: words[-1]}))
    start = rounds.starter(None, 2, tmp_path / "log", "triton", "plain")  # type: ignore[arg-type]  # not looked at
    for name in ("pipeline", "ort_fp32", "triton"):
        start(name)
    assert started == {"pipeline": "plain", "ort_fp32": sys.executable, "triton": "triton"}
