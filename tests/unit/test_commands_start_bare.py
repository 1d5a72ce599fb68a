"""Every command can say what it does on a machine where no inference library is installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
COMMANDS = {name: target.split(":")[0] for name, target in PROJECT["project"]["scripts"].items()}

HEAVY = set(
    "numpy cv2 simplejpeg openvino treelite xgboost scipy pydantic cryptography watchdog tensorflow keras onnx "
    "onnxruntime tl2cgen shap sklearn matplotlib tensorrt tensorrt_rtx pycuda cuda".split()
)

BARE_START = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ImportError("not installed here: " + name)
sys.meta_path.insert(0, Absent())
sys.exit(importlib.import_module(sys.argv[1]).main(["--help"]))
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_nothing_but_the_standard_library(command):
    done = subprocess.run(
        [sys.executable, "-c", BARE_START, COMMANDS[command]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert command in done.stdout
    assert len(done.stdout.splitlines()) > 5, "a help page that teaches has more than a usage line"


def test_importing_the_package_sets_the_limits_that_must_exist_before_native_libraries_load():
    code = "import os, edge; print(os.environ['OPENCV_IO_MAX_IMAGE_PIXELS'], os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["16777216", "1"]
