"""A whole machine with a GPU and TensorRT, all fake, and a bundle with a network for it."""

from __future__ import annotations

from fake_gpu import FakeDriver, FakeGpu
from fake_tensorrt import FakeTensorRt

from edge.bundle.reader import open_bundle
from edge.engines.choose import choose_engine
from edge.engines.cuda_device import CudaDevice
from edge.gpu_plans import GpuTools


class Machine:
    """A machine with a GPU and TensorRT, all fake; every device that was opened is remembered."""

    def __init__(self, version="10.13.0"):
        self.gpus = []
        self.version = version
        self.refuses = set()
        self.plan_facts = {}

    def device(self):
        self.gpus.append(FakeGpu())
        return CudaDevice(FakeDriver(self.gpus[-1]))

    def binding(self, library):
        trt = self.trt = FakeTensorRt(lambda: self.gpus[-1])
        trt.__version__, trt.refuses, trt.plan_facts = self.version, self.refuses, self.plan_facts
        return trt

    @property
    def tools(self):
        return GpuTools(self.binding, self.device)

    def gave_everything_back(self):
        return all(gpu.released and not any(gpu.leaks().values()) for gpu in self.gpus)


def gpu_bundle(folder, *, signed_for_us=True, plans=None, expected=None):
    """Write a bundle with a network for a GPU; return it opened, and the choice of that network."""
    # Here: the fake GPU itself must not cost the import of everything that makes bundles.
    from bundles import PUBLIC_KEY, bundle_contents, manifest_document, npz, painted_network, write_bundle

    contents = bundle_contents(**{"cells.fp16.onnx": painted_network()})
    if expected is not None:
        contents["golden/expected.npz"] = npz(**expected)
    contents |= plans or {}
    document = manifest_document(contents)
    document["engines"].append({"file": "cells.fp16.onnx", "device": "gpu", "precision": "fp16", "proof": "none yet"})
    write_bundle(folder, contents, document)
    bundle = open_bundle(folder, public_key=PUBLIC_KEY if signed_for_us else None)
    return bundle, choose_engine(bundle.manifest.engines, {"tensorrt"}, "gpu")
