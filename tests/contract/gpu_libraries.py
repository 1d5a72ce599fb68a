"""NVIDIA's real libraries for tests that need no GPU: found in the folder that `.ci/gpu-libraries DIR` fills.

The bindings of the full TensorRT load only beside libraries that the package index does not carry. Their members can be
read all the same, beside stand-ins with the eleven C symbols that the bindings ask for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
VARIABLE = "MDS_EDGE_GPU_LIBRARIES"
STAND_IN = """
#define ANSWERS_NOTHING(name) void* name(void) { return 0; }
ANSWERS_NOTHING(createInferBuilder_INTERNAL) ANSWERS_NOTHING(createInferRefitter_INTERNAL)
ANSWERS_NOTHING(createInferRuntime_INTERNAL) ANSWERS_NOTHING(createNvOnnxParserRefitter_INTERNAL)
ANSWERS_NOTHING(createNvOnnxParser_INTERNAL) ANSWERS_NOTHING(getBuilderPluginRegistry)
ANSWERS_NOTHING(getNvOnnxParserVersion) ANSWERS_NOTHING(getPluginRegistry) ANSWERS_NOTHING(initLibNvInferPlugins)
"""


def library_folder(name: str) -> Path:
    """Return the folder of one library, or skip the test and say what would make it run."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) / name if named else None
    if folder is None or not folder.is_dir():
        pytest.skip(f"{name} is not here: run .ci/gpu-libraries DIR and set {VARIABLE}=DIR")
    return folder


def stand_in_libraries(folder: Path, major: int) -> Path:
    """Compile libnvinfer, its plugins and the ONNX parser as libraries that answer nothing."""
    if shutil.which("gcc") is None:
        pytest.skip("a C compiler is needed for the stand-in libraries")
    source = folder / "stand_in.c"
    source.write_text(STAND_IN)
    for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        soname = f"lib{name}.so.{major}"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", str(folder / soname), str(source)], check=True
        )
    return folder


def run_with(code: str, *folders: Path, libraries: Path | None = None, timeout_s: float = 300) -> str:
    """Run Python code in a process that sees these libraries beside the product; return what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (REPOSITORY, *folders)))}
    if libraries is not None:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], env=environment, cwd=REPOSITORY,
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
