"""Against NVIDIA's real libraries, without a GPU: every member that we use exists, and real plans are built."""

from __future__ import annotations

import json

import pytest
from gpu_libraries import library_folder, run_with, stand_in_libraries

READ_MEMBERS = """
import json
import {module} as binding
from edge.engines.tensorrt_binding import MEMBERS, RTX_MEMBERS, missing_members
print(json.dumps([binding.__version__, missing_members(binding, MEMBERS), missing_members(binding, RTX_MEMBERS)]))
"""


@pytest.mark.parametrize("version", ["10.13", "10.16", "11.4"])
def test_every_member_we_use_exists_in_the_real_bindings_of_tensorrt(version, tmp_path):
    folder = library_folder(f"tensorrt-{version}")
    libraries = stand_in_libraries(tmp_path, int(version.split(".")[0]))
    code = READ_MEMBERS.format(module="tensorrt_bindings")
    found, missing, only_rtx = json.loads(run_with(code, folder, libraries=libraries))
    assert found.startswith(version)
    assert missing == []
    assert any(name.startswith("ComputeCapability") for name in only_rtx)


def test_every_member_we_use_exists_in_the_real_tensorrt_for_rtx():
    code = READ_MEMBERS.format(module="tensorrt_rtx")
    found, missing, only_rtx = json.loads(run_with(code, library_folder("rtx")))
    assert found >= "1.7"
    assert missing == only_rtx == []


def test_a_member_that_a_version_lacks_is_found():
    code = "from edge.engines.tensorrt_binding import missing_members\nimport tensorrt_rtx as t\n"
    code += (
        "print(missing_members(t, {'BuilderFlag': ('FP16',), 'Builder': ('build_serialized_network',), 'No': ('x',)}))"
    )
    assert run_with(code, library_folder("rtx")).strip() == "['BuilderFlag.FP16', 'No.x']"


DEMO_PLAN = """
import json, sys
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.bundle.reader import open_bundle
from edge.engines.tensorrt_binding import load_binding
from edge.engines.tensorrt_plan import PlanRequest, build_plan
from edge.errors import EdgeError
trt = load_binding("rtx")
bundle = open_bundle(DEMO_BUNDLE, public_key=DEMO_PUBLIC_KEY.read_bytes())
def built(file, **changes):
    given = {{"size_px": bundle.manifest.image.size, "compute_capabilities": ("SM89",), **changes}}
    data = bundle.read(file) if file else b"no network"
    try:
        plan = build_plan(trt, data, PlanRequest(**given), where=file)
        return [len(plan.plan), plan.timing_cache_was_used, plan.quantized_layers]
    except EdgeError as error:
        return str(error)
print(json.dumps({call}))
"""


def built(call: str):
    return json.loads(run_with(DEMO_PLAN.format(call=call), library_folder("rtx")))


@pytest.mark.parametrize("capability", ["SM86", "SM89", "SM120"])
def test_the_demo_network_becomes_a_real_float16_plan_without_a_gpu(capability):
    size_bytes, _, quantized = built(f"built('cells.fp16.onnx', compute_capabilities=({capability!r},))")
    assert size_bytes > 1_000_000
    assert quantized == {}


def test_the_demo_network_in_int8_becomes_a_real_plan_and_its_int8_layers_are_named():
    size_bytes, _, quantized = built("built('cells.int8.onnx')")
    assert size_bytes > 1_000_000
    assert len(quantized) > 50
    assert set(quantized.values()) == {"int8"}
    assert any("depthwise" in name for name in quantized)


def test_what_the_library_refuses_becomes_an_error_with_its_own_words():
    junk, small, target = built(
        "[built(''), built('cells.fp16.onnx', size_px=32), built('cells.fp16.onnx', compute_capabilities=('SM75',))]"
    )
    assert "MDSE-PLAN-002" in junk
    assert "MDSE-PLAN-002" in small
    assert "[N, 32, 32, 3]" in small
    assert "MDSE-PLAN-003" in target


def test_a_damaged_timing_cache_is_left_out_and_the_plan_is_built():
    size_bytes, _, _ = built("built('cells.fp16.onnx', timing_cache=b'damaged')")
    assert size_bytes > 1_000_000


def test_a_plan_for_this_machine_needs_its_gpu_and_says_so():
    assert "MDSE-PLAN-003" in built("built('cells.fp16.onnx', compute_capabilities=('CURRENT',))")
