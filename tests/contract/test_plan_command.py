"""edge-plan: a plan by hand, without TensorFlow; and a CPU-only install that never hears of GPUs."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest
from gpu_libraries import library_folder, run_with

from edge import gpu_plans
from edge.commands.plan import main
from edge.engines.installed import libraries_of_machine
from edge.engines.tensorrt_plan import BuiltPlan

BUILD = """
import sys
from edge.commands.plan import main
status = main(["build", "--for", "SM86", "SM89", "--plans", {plans!r}, "--batch-sizes", "4,1,4", "--json"])
assert not any(name.split(".")[0] in ("tensorflow", "keras", "onnx", "openvino") for name in sys.modules)
sys.exit(status)
"""


def test_a_plan_for_gpus_that_are_not_here_is_built_and_called_unproved(tmp_path):
    facts = json.loads(run_with(BUILD.format(plans=str(tmp_path / "plans")), library_folder("rtx")))
    assert facts["batch_sizes"] == [1, 4]
    assert facts["proof"].startswith("none")
    (path,) = (tmp_path / "plans").iterdir()
    assert path.stat().st_size == facts["plan_bytes"] > 1_000_000
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif("tensorrt" in libraries_of_machine(), reason="this machine has a GPU with TensorRT")
def test_without_a_gpu_the_command_says_what_the_bundle_and_the_machine_have(capsys):
    assert main(["build", "--engine", "tensorrt"]) == 4
    assert "MDSE-ENGINE-001" in capsys.readouterr().err


@pytest.mark.parametrize("request_", ["cpu", "auto", "cpu-fp32", "gpuu"])
def test_a_request_that_is_not_for_a_gpu_is_refused(request_, capsys):
    assert main(["key", "--engine", request_]) == 78
    assert "MDSE-ENGINE-002" in capsys.readouterr().err


@pytest.fixture
def built(monkeypatch):
    """The builds that were asked for: TensorRT for RTX is not here, and its plan is a few bytes."""
    asked = []

    def build(_bundle, choice, targets, **_more):
        asked.append((choice.library, choice.precision, targets))
        return BuiltPlan(b"a plan", b"", timing_cache_was_used=False, quantized_layers={}, build_s=1.0)

    monkeypatch.setattr(gpu_plans, "build_foreign_plan", build)
    return asked


@pytest.mark.parametrize("request_", ["tensorrt", "tensorrt-fp16"])
def test_a_plan_for_other_gpus_is_never_built_by_another_library_than_the_one_asked_for(
    request_, built, tmp_path, capsys
):
    assert main(["build", "--for", "SM89", "--engine", request_, "--plans", str(tmp_path / "plans")]) == 2
    assert f"MDSE-PLAN-009 {request_}" in capsys.readouterr().err
    assert built == []
    assert not (tmp_path / "plans").exists()


@pytest.mark.parametrize("request_", ["gpu", "rtx", "gpu-fp16", "rtx-fp16"])
def test_a_plan_for_other_gpus_is_built_by_tensorrt_for_rtx(request_, built, tmp_path):
    assert main(["build", "--for", "SM89", "--engine", request_, "--plans", str(tmp_path / "plans")]) == 0
    assert built == [("rtx", "fp16", ("SM89",))]


@pytest.mark.parametrize("request_", ["gpu-", "rtx-"])
def test_a_request_without_the_precision_that_it_begins_is_refused(request_, built, tmp_path, capsys):
    assert main(["build", "--for", "SM89", "--engine", request_, "--plans", str(tmp_path / "plans")]) == 78
    assert "MDSE-ENGINE-002" in capsys.readouterr().err
    assert built == []


@pytest.mark.usefixtures("built")
def test_a_full_disk_is_told_with_the_folder_and_leaves_no_half_plan(tmp_path, monkeypatch, capsys):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert main(["build", "--for", "SM89", "--plans", str(tmp_path / "plans")]) == 75
    said = capsys.readouterr().err
    assert f"MDSE-PLAN-008 {tmp_path / 'plans'}: " in said
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert list((tmp_path / "plans").iterdir()) == []


@pytest.mark.usefixtures("built")
def test_what_fails_while_building_is_not_told_as_a_full_disk(tmp_path, monkeypatch, capsys):
    def damaged(*_args, **_settings):
        raise OSError("libnvinfer.so: cannot open shared object file")

    monkeypatch.setattr("edge.gpu_plans.build_foreign_plan", damaged)
    assert main(["build", "--for", "SM89", "--plans", str(tmp_path / "plans")]) == 70
    said = capsys.readouterr().err
    assert "libnvinfer.so" in said
    assert "MDSE-PLAN-008" not in said


@pytest.mark.parametrize("sizes", ["", "0", "1,,2", "-1", "a", "9999"])
def test_batch_sizes_that_are_none_are_a_usage_error(sizes, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["build", "--batch-sizes", sizes])
    assert ended.value.code == 2
    assert "batch sizes" in capsys.readouterr().err


ON_THE_CPU = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorrt", "tensorrt_rtx", "pycuda", "cuda"):
            raise ImportError("asked for " + name)
sys.meta_path.insert(0, Absent())
import ctypes
whole = ctypes.CDLL
class Watched(whole):
    def __init__(self, name, *arguments, **more):
        assert "cuda" not in str(name), name
        super().__init__(name, *arguments, **more)
ctypes.CDLL = Watched
from importlib import util
def absent(name, package=None):
    return None if name in ("tensorrt", "tensorrt_rtx") else real(name, package)
real, util.find_spec = util.find_spec, absent
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.model import open_model
model = open_model(DEMO_BUNDLE, public_key=DEMO_PUBLIC_KEY.read_bytes(), engine="auto")
print(model.choice.library, model.prove_golden().flipped)
heavy = ("edge.gpu_plans", "edge.engines.tensorrt", "edge.engines.cuda_python")
loaded = [name for name in sys.modules if name in heavy]
print(loaded)
"""


def test_a_cpu_only_install_neither_imports_nor_asks_for_anything_of_a_gpu():
    done = subprocess.run([sys.executable, "-c", ON_THE_CPU], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("openvino ")
    assert done.stdout.splitlines()[1] == "[]"
