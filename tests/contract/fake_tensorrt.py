"""TensorRT as a module of fakes over a FakeGpu: its engine computes the painted network of bundles.py.

A plan is JSON: {"sizes": [1, 4, 16], "size_px": 32}. Everything that TensorRT may refuse is refused here: bytes that
are no plan (None), a shape outside the chosen profile, an address that was not set or is too small (False).
"""

from __future__ import annotations

import json
from enum import Enum, IntEnum

import numpy as np
from painted import CATALOGUE, EMBEDDING, SIZE_PX, painted_outputs

WIDTHS = {"cell_type": len(CATALOGUE.cell_types), "findings": len(CATALOGUE.findings), "embedding": EMBEDDING}


def fake_plan(sizes=(1, 4, 16), size_px=SIZE_PX, **more):
    return json.dumps({"sizes": list(sizes), "size_px": size_px, **more}).encode()


class FakeTensorRt:
    """Stands for the module `tensorrt`."""

    __version__ = "10.13.0-fake"

    class DataType(IntEnum):
        FLOAT = 0
        UINT8 = 1
        INT8 = 2
        FP8 = 3

    class TensorIOMode(Enum):
        NONE = 0
        INPUT = 1
        OUTPUT = 2

    class LayerInformationFormat(Enum):
        JSON = 1

    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    class ILogger:
        ERROR = 1
        WARNING = 2

        def __init__(self):
            pass

    def __init__(self, gpu):
        self._gpu = gpu
        self.contexts_made = 0
        self.no_context = False
        self.plan_facts = {}
        self.refuses: set[str] = set()  # calls that answer what the real library answers when it refuses
        self.plan_sizes_px = SIZE_PX

    @property
    def gpu(self):
        """The GPU, or what gives the one that was opened last."""
        return self._gpu() if callable(self._gpu) else self._gpu

    class NetworkDefinitionCreationFlag(IntEnum):
        STRONGLY_TYPED = 1

    class MemoryPoolType(Enum):
        WORKSPACE = 0

    class ProfilingVerbosity(Enum):
        DETAILED = 2

    class LayerType(Enum):
        CONVOLUTION = 0
        MATRIX_MULTIPLY = 1
        DEQUANTIZE = 2

    def Builder(self, logger):  # noqa: N802 - the library's own name
        if "Builder" in self.refuses:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return FakeBuilder(self, logger)

    def OnnxParser(self, network, logger):  # noqa: N802 - the library's own name
        return None if "OnnxParser" in self.refuses else FakeParser(self, logger)

    def Runtime(self, logger):  # noqa: N802 - the library's own name
        return FakeRuntime(self, logger)


class FakeRuntime:
    def __init__(self, trt, logger):
        self.trt, self.logger = trt, logger

    def deserialize_cuda_engine(self, plan):
        try:
            facts = json.loads(plan)
        except ValueError:
            self.logger.log(self.trt.Severity.ERROR, "Magic tag does not match")
            return None
        return FakeEngine(self.trt, self.logger, facts)


class FakeEngine:
    def __init__(self, trt, logger, facts):
        self.trt, self.logger, self.facts = trt, logger, facts
        self.names = facts.get("names", ["images", *WIDTHS])
        self.num_io_tensors = len(self.names)
        self.num_optimization_profiles = len(facts["sizes"])
        self.device_memory_size_v2 = 123456

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        return self.trt.TensorIOMode.INPUT if name == self.names[0] else self.trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return self.trt.DataType.UINT8 if name == self.names[0] else self.trt.DataType.FLOAT

    def get_tensor_shape(self, name):
        side = self.facts["size_px"]
        return (-1, side, side, 3) if name == self.names[0] else (-1, WIDTHS.get(name, 1))

    def get_tensor_profile_shape(self, name, profile):
        size, side = self.facts["sizes"][profile], self.facts["size_px"]
        least = self.facts.get("least", size)
        return (least, side, side, 3), (size, side, side, 3), (size, side, side, 3)

    def create_execution_context(self):
        if self.trt.no_context:
            return None
        self.trt.contexts_made += 1
        return FakeContext(self)

    def create_engine_inspector(self):
        return FakeInspector(self.facts.get("layers", []))


class FakeInspector:
    def __init__(self, layers):
        self.layers = layers

    def get_engine_information(self, form):
        return json.dumps({"Layers": self.layers})


class FakeContext:
    def __init__(self, engine):
        self.engine = engine
        self.profile = None
        self.shape = None
        self.addresses = {}

    def set_optimization_profile_async(self, profile, stream):
        if not 0 <= profile < self.engine.num_optimization_profiles:
            return False
        self.profile = profile
        return True

    def set_input_shape(self, name, shape):
        _, _, allowed = self.engine.get_tensor_profile_shape(name, self.profile)
        if name != "images" or tuple(shape) != allowed:
            self.engine.logger.log(1, f"{shape} is not within profile {self.profile}")
            return False
        self.shape = tuple(shape)
        return True

    def set_tensor_address(self, name, address):
        if name not in self.engine.names:
            return False
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        gpu, count = self.engine.trt.gpu, self.shape[0] if self.shape else 0
        if self.shape is None or set(self.addresses) != set(self.engine.names):
            self.engine.logger.log(1, "not all shapes and addresses are set")
            return False
        addresses = dict(self.addresses)
        sizes = {name: count * width * 4 for name, width in WIDTHS.items()} | {"images": int(np.prod(self.shape))}
        shape = self.shape
        for name, size_bytes in sizes.items():
            gpu.at(addresses[name], size_bytes)

        def run():
            images = np.frombuffer(gpu.at(addresses["images"], sizes["images"]), np.uint8).reshape(shape)
            for name, values in painted_outputs(images).items():
                gpu.at(addresses[name], sizes[name])[:] = values.tobytes()

        gpu.queue(stream, run, tuple(addresses.values()))
        return True


class FakeBuilder:
    def __init__(self, trt, logger):
        self.trt, self.logger = trt, logger

    def _unless(self, call, value):
        return None if call in self.trt.refuses else value

    def create_network(self, flags):
        assert flags == 2, "strongly typed, and nothing else"
        return self._unless("create_network", FakeNetwork(self.trt))

    def create_builder_config(self):
        return self._unless("create_builder_config", FakeConfig(self.trt))

    def create_optimization_profile(self):
        return self._unless("create_optimization_profile", FakeProfile())

    def build_serialized_network(self, network, config):
        if "build_serialized_network" in self.trt.refuses:
            self.logger.log(1, "out of tactics")
            return None
        facts = {"sizes": [profile.size for profile in config.profiles]} | self.trt.plan_facts
        return fake_plan(facts.pop("sizes"), **facts)


class FakeTensor:
    def __init__(self, name, dtype, shape):
        self.name, self.dtype, self.shape = name, dtype, shape


class FakeNetwork:
    def __init__(self, trt):
        side = trt.plan_sizes_px
        self.inputs = [FakeTensor("images", trt.DataType.UINT8, (-1, side, side, 3))]
        self.outputs = [FakeTensor(name, trt.DataType.FLOAT, (-1, width)) for name, width in WIDTHS.items()]
        self.num_inputs, self.num_outputs, self.num_layers = 1, len(self.outputs), 0

    def get_input(self, index):
        return self.inputs[index]

    def get_output(self, index):
        return self.outputs[index]

    def get_layer(self, index):
        raise IndexError(index)


class FakeParser:
    num_errors = 0

    def __init__(self, trt, logger):
        self.trt = trt

    def parse(self, data):
        return "parse" not in self.trt.refuses

    def get_error(self, index):
        raise IndexError(index)


class FakeProfile:
    def set_shape(self, name, least, usual, most):
        assert name == "images"
        assert least == usual == most
        self.size = least[0]


class FakeTimingCache:
    def __init__(self, data):
        self.data = data

    def serialize(self):
        return self.data or b"learnt"


class FakeConfig:
    def __init__(self, trt):
        self.trt, self.profiles, self.cache = trt, [], None

    def set_memory_pool_limit(self, pool, limit):
        pass

    def add_optimization_profile(self, profile):
        if "add_optimization_profile" in self.trt.refuses:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, data):
        return None if "create_timing_cache" in self.trt.refuses else FakeTimingCache(data)

    def set_timing_cache(self, cache, ignore_mismatch):
        assert ignore_mismatch is False
        if "set_timing_cache" in self.trt.refuses or cache.data == b"foreign":
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache
