"""The real analyzer, pipeline, engine, plan cache and plan builder in the daemon's real processes, on a fake GPU.

What the GPU does is in the file that MDS_EDGE_TEST_GPU names, one word, read whenever a process opens it:

    ok   absent (no driver answers)   small (too little memory)   dies   hangs   (while it is opened)
    refuses (TensorRT builds nothing)   slow (a build takes seconds)   builder-dies
    wrong (the network computes something else)

What it does in the middle of a slide is the slide's sample id: GPU-LOST, GPU-MEMORY, GPU-HANGS, GPU-DIES.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))

import edge.gpu_plans
import edge.model
from edge.daemon.plan_builder import build
from edge.daemon.worker import BundleAnalyzer
from edge.engines.cuda_device import CudaDevice
from edge.engines.cuda_driver import OUT_OF_MEMORY
from edge.errors import EdgeError

USABLE = frozenset({"openvino", "tensorrt"})


def state() -> str:
    return Path(os.environ["MDS_EDGE_TEST_GPU"]).read_text().strip()


def fake_machine() -> Any:
    from fake_gpu import FakeDriver, FakeGpu
    from fake_machine import Machine

    class FaultyMachine(Machine):
        def device(self) -> CudaDevice:
            word = state()
            if word == "absent":
                raise EdgeError("MDSE-GPU-001", where="fake", reason="driver and kernel module differ")
            if word == "dies":
                os.abort()
            if word == "hangs":
                time.sleep(3600)
            self.gpus.append(FakeGpu(total_bytes=10_000 if word == "small" else 1 << 30))
            self.opened = CudaDevice(FakeDriver(self.gpus[-1]))
            return self.opened

    machine = FaultyMachine()
    machine.refuses = {"build_serialized_network"} if state() == "refuses" else set()
    return machine


class GpuAnalyzer(BundleAnalyzer):
    """The bundle's analyzer with trouble on demand, on the GPU alone."""

    def __init__(self, settings: Mapping[str, Any], machine: Any) -> None:
        super().__init__(settings)
        self._machine = machine
        self._on_gpu = settings["device"] == "gpu"

    def analyze(self, order: Mapping[str, Any]) -> tuple[bytes, bytes]:
        if self._on_gpu:
            make_gpu_trouble(order["sample_id"], self._machine)
        return super().analyze(order)


def make_gpu_trouble(word: str, machine: Any) -> None:
    gpu = machine.gpus[-1]
    if word == "GPU-LOST":
        gpu.fail = dict.fromkeys(("copy_in", "synchronize", "synchronize_event"), 719)
    elif word == "GPU-MEMORY":
        # The page-locked blocks that the golden proof left over are in use by somebody, and there are no more.
        machine.opened._idle.clear()
        gpu.fail = {"allocate_host": OUT_OF_MEMORY}
    elif word == "GPU-HANGS":
        gpu.synchronize_event = lambda event: time.sleep(3600)
    elif word == "GPU-DIES":
        gpu.synchronize_event = lambda event: os.abort()


def open_gpu_analyzer(settings: Mapping[str, Any]) -> GpuAnalyzer:
    machine = fake_machine()
    whole = edge.gpu_plans.open_gpu_engine
    edge.gpu_plans.open_gpu_engine = lambda *given: whole(*given, tools=machine.tools)
    edge.model.libraries_of_machine = lambda: USABLE
    if state() == "wrong" and settings["device"] == "gpu":
        import fake_tensorrt

        right = fake_tensorrt.painted_outputs
        fake_tensorrt.painted_outputs = lambda images: {name: a[::-1].copy() for name, a in right(images).items()}
    return GpuAnalyzer(settings, machine)


def build_test_plan(settings: Mapping[str, Any], report: Any) -> dict[str, Any]:
    word = state()
    if word == "builder-dies":
        os.abort()
    while word == "slow" and state() == "slow":
        report(1.0, 42.0)
        time.sleep(0.05)
    return build(settings, report, usable=USABLE, tools=fake_machine().tools)
