"""What edge-bench says of a machine: its limit, its disturbance, ratios to an earlier run, and a picture."""

import json
import os
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.bench.claims import check_claim, comparison_table, saved_report
from edge.bench.machine import Moment, disturbance, moment
from edge.bench.picture import svg_from_report
from edge.bench.report import Limit, report_from_timings, table_from_report
from edge.bench.stages import Timings
from edge.commands import bench
from edge.engines.base import EngineSpec
from edge.engines.openvino_limits import MatmulLimit, measured_limit, network_macs
from edge.errors import EdgeError

STAGES = "read decode resize wait infer findings profile assess explain record render publish".split()
REPORT = {
    "machine": {"cpu": "Fast <One> & Co", "cores": 2, "load_1min": 0.1, "disturbance": {
        "steal_pct": 0.0, "throttled": 0, "clock_mhz": None, "notes": ["other programs were busy"]}},
    "bundle": {"name": "demo", "version": "1", "digest": "ab"},
    "engine": "openvino-cpu", "precision": "int8", "computed_in": "int8",
    "layout": {"copies": 2, "threads": 1, "batch": 8},
    "image_px": 112, "simulated": True, "slides": 4, "cells": 200, "images_per_s": 400.0, "ready_s": 1.25,
    "first_slide_s": 0.61, "slide_s": {"p50": 0.5, "p95": 0.61, "p99": 0.61}, "slides_s": [0.61, 0.5, 0.5, 0.49],
    "stage_ms": {name: 10.0 * number for number, name in enumerate(STAGES)}, "rss_mb": 300.0, "base_rss_mb": 250.0,
    "limit": {"int8_gops": 670.0, "fp32_gflops": 180.0, "copies": 2, "threads": 1, "gmac_per_image": 0.297,
              "engine_images_per_s": 800.0, "pct": 70.9, "end_to_end_pct_of_engine": 50.0},
}  # fmt: skip


@pytest.mark.parametrize("claim", ["p99<10s", "p50<=0.5s", "slide_s.p99<10", "ready_s<2s", "limit.pct>=70"])
def test_claims_may_be_short_and_name_their_unit(claim):
    check_claim(claim, REPORT)


@pytest.mark.parametrize("claim", ["p99<10ms", "p98<1", "images_per_s<1ms", "stage_ms.infer<10s", "limit<3", "p99<s"])
def test_a_claim_in_another_unit_or_about_nothing_is_refused(claim):
    with pytest.raises(EdgeError, match="MDSE-BENCH-002"):
        check_claim(claim, REPORT)


@pytest.mark.parametrize("claim", ["p99 < ten", "p99<10ms", "p99<1.2.3", "p99=10", "", "images_per_s<1ms"])
def test_a_claim_that_cannot_be_read_is_refused_before_minutes_are_measured(claim, monkeypatch, capsys):
    def measured(_):
        raise AssertionError("the measurement began")

    monkeypatch.setattr(bench, "_measure", measured)
    assert bench.main(["--assert", "p50<9s", "--assert", claim]) == 2
    assert "MDSE-BENCH-002" in capsys.readouterr().err


def test_a_claim_that_does_not_hold_says_what_was_measured():
    with pytest.raises(EdgeError, match=r"MDSE-BENCH-001 p99<0.6s: .*0\.61"):
        check_claim("p99<0.6s", REPORT)


def test_ratios_are_above_one_where_this_run_is_better():
    earlier = {**REPORT, "slide_s": {"p50": 1.0, "p95": 1.22, "p99": 0.305}, "images_per_s": 200.0}
    rows = {row.split()[0]: row.split() for row in comparison_table(REPORT, earlier).splitlines() if row.strip()}
    assert rows["slide_s.p50"][1:] == ["1.000", "0.500", "2.00", "x"]
    assert rows["slide_s.p99"][3] == "0.50"
    assert rows["images_per_s"][3] == "2.00"
    assert rows["limit.pct"][3] == "1.00"


def test_a_comparison_says_what_was_not_the_same():
    text = comparison_table(REPORT, {**REPORT, "precision": "fp32", "bundle": {"digest": "cd"}})
    assert "NOT THE SAME precision: fp32 then, int8 now" in text
    assert "NOT THE SAME bundle.digest: cd then, ab now" in text
    assert "NOT THE SAME" not in comparison_table(REPORT, REPORT)


def test_numbers_that_one_of_the_runs_lacks_do_not_stop_the_comparison():
    earlier = {name: value for name, value in REPORT.items() if name not in ("limit", "ready_s")}
    assert "  ready_s " in comparison_table(REPORT, earlier)
    assert "x" in comparison_table(earlier, REPORT)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"slide_s": 3}', None])
def test_what_is_no_saved_report_is_refused(tmp_path, content):
    file = tmp_path / "earlier.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(EdgeError, match="MDSE-BENCH-003"):
        saved_report(file)
    file.write_text(json.dumps(REPORT))
    assert saved_report(file) == REPORT


def test_the_picture_is_well_formed_and_shows_every_stage_and_slide():
    root = ET.fromstring(svg_from_report(REPORT))  # noqa: S314 - our own bytes
    space = "{http://www.w3.org/2000/svg}"
    texts = ["".join(text.itertext()) for text in root.iter(f"{space}text")]
    assert len(list(root.iter(f"{space}circle"))) == len(REPORT["slides_s"])
    bars = [float(bar.get("width")) for bar in root.iter(f"{space}rect") if bar.get("height") == "16"]
    assert len(bars) == len(STAGES)
    assert bars == sorted(bars)
    assert bars[-1] == pytest.approx(11 / 10 * bars[-2], abs=0.2)
    assert any("Fast <One> & Co" in text for text in texts)
    assert "p50  0.5 s" in texts
    assert "p95, p99  0.61 s" in texts
    width, height = float(root.get("width")), float(root.get("height"))
    for text in root.iter(f"{space}text"):
        assert 0 <= float(text.get("x")) <= width
        assert 0 <= float(text.get("y")) <= height


@pytest.mark.parametrize("times", [[0.001], [1.0] * 9, [0.1, 90.0]])
def test_the_picture_holds_any_times(times):
    report = {**REPORT, "slides_s": times, "stage_ms": dict.fromkeys(STAGES, 0.0)}
    root = ET.fromstring(svg_from_report(report))  # noqa: S314 - our own bytes
    circles = [float(dot.get("cx")) for dot in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert all(0 <= place <= float(root.get("width")) for place in circles)


def test_the_table_names_every_stage_and_what_disturbed_the_run():
    text = table_from_report(REPORT)
    assert "NOTE: other programs were busy" in text
    assert "end to end reaches 50 % of it" in text
    for value in REPORT["stage_ms"].values():
        assert f"{value:8.2f}" in text
    assert "limit" not in table_from_report({**REPORT, "limit": None})


def test_the_table_says_that_an_int8_network_is_computed_in_single_precision():
    note = "no int8 dot product"
    assert note in table_from_report({**REPORT, "computed_in": "fp32"})
    assert note not in table_from_report(REPORT)
    assert note not in table_from_report({**REPORT, "precision": "fp16", "computed_in": "fp32"})


@pytest.mark.parametrize(("has_dot_product", "numbers", "reached"), [(True, "int8", 5.0), (False, "fp32", 20.0)])
def test_what_was_reached_is_judged_by_the_numbers_that_were_computed_in(
    monkeypatch, has_dot_product, numbers, reached
):
    """100 images a second of 1 GMAC are 200 of 4,000 int8 and of 1,000 single-precision operations."""
    monkeypatch.setattr("edge.engines.openvino_limits.has_int8_dot_product", lambda: has_dot_product)
    spec = EngineSpec("openvino", "cpu", "int8", 112, 8, 16, 17, 97, copies=1, threads=1)
    model = SimpleNamespace(
        engine=SimpleNamespace(spec=spec), manifest=SimpleNamespace(name="demo", version="1"), digest="ab"
    )
    timings = Timings((1.0,), (50,), {}, rss_mb=1.0, base_rss_mb=1.0)
    limit = Limit(MatmulLimit(1000.0, 4000.0, 1, 1), 10**9, 100.0)
    report = report_from_timings(timings, model, synthetic=True, ready_s=1.0, machine={}, limit=limit)
    assert (report["computed_in"], report["limit"]["pct"]) == (numbers, reached)


def test_a_processor_whose_int8_overflows_has_no_int8_limit(monkeypatch):
    monkeypatch.setattr("edge.engines.openvino_limits.SIDE", 64)
    monkeypatch.setattr("edge.engines.openvino_limits.has_int8_dot_product", lambda: False)
    limit = measured_limit(1, 1)
    assert limit.int8_gops is None
    assert limit.fp32_gflops > 0


@pytest.fixture
def kernel(tmp_path):
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    proc.mkdir()
    (proc / "stat").write_text("cpu  100 0 50 800 0 0 0 50 30 0\ncpu0 1 2 3\n")
    counter = sys / "devices/system/cpu/cpu0/thermal_throttle"
    counter.mkdir(parents=True)
    (counter / "core_throttle_count").write_text("7\n")
    clock = sys / "devices/system/cpu/cpu0/cpufreq"
    clock.mkdir()
    (clock / "scaling_cur_freq").write_text("2800000\n")
    return proc, sys


def test_stolen_time_heat_and_clock_come_from_the_kernel(kernel):
    before = moment(*kernel)
    assert before == Moment(1000, 50, 7)
    found = disturbance(before, Moment(1200, 70, 9), 0.0, kernel[1])
    assert (found["steal_pct"], found["throttled"], found["clock_mhz"]) == (10.0, 2, [2800, 2800])
    assert any("10.0 % of the time went to other machines" in note for note in found["notes"])
    assert any("2 times because of heat" in note for note in found["notes"])


def test_an_idle_machine_has_no_notes(kernel):
    before = moment(*kernel)
    assert disturbance(before, before, 0.1, kernel[1])["notes"] == []


def test_other_programs_are_said_to_be_there(kernel):
    before = moment(*kernel)
    busy = 2.0 * len(os.sched_getaffinity(0))
    assert "other programs were busy" in disturbance(before, before, busy, kernel[1])["notes"][0]


def test_multiplications_of_a_network_are_counted_from_its_shapes():
    def constant(name, shape):
        return numpy_helper.from_array(np.zeros(shape, np.float32), name)

    nodes = [
        helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c", "d"], ["e"], group=8, pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["e", "axes"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "g"], ["y"]),
    ]
    held = [constant("w", (8, 3, 3, 3)), constant("d", (8, 1, 3, 3)), constant("g", (8, 5)),
            numpy_helper.from_array(np.array([2, 3], np.int64), "axes")]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 32, 32, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])], held,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    dense, depthwise, head = 16 * 16 * 8 * 3 * 9, 16 * 16 * 8 * 9, 8 * 5
    assert network_macs(model.SerializeToString(), 32) == dense + depthwise + head
