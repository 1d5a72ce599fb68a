"""pycuda.driver and cuda.bindings.driver as thin skins over one FakeGpu, each with its own library's manners.

pycuda raises its own exceptions, frees objects with their last reference and knows no graphs, which go to the driver's
C library; cuda-python answers (result code, values...) from every call.
"""

from __future__ import annotations

import enum
from types import SimpleNamespace

import numpy as np

from edge.engines.cuda_driver import OUT_OF_MEMORY, CudaCallError


class FakePycuda:
    """Stands for the module pycuda.driver. Exceptions are the module's own, as in the real one."""

    class Error(Exception):
        pass

    class MemoryError(Error):  # noqa: A001 - pycuda's own name
        pass

    event_flags = SimpleNamespace(DISABLE_TIMING=2)

    def __init__(self, gpu):
        self.gpu = gpu
        module = self

        class Block(int):
            def free(self):
                module.guarded(gpu.free, int(self))

        class HostBlock(np.ndarray):
            pass

        class Stream:
            def __init__(self, flags=0):
                assert flags == 1
                self.handle = module.guarded(gpu.create_stream)

            def synchronize(self):
                module.guarded(gpu.synchronize, self.handle)

            def wait_for_event(self, event):
                module.guarded(gpu.wait, self.handle, event.handle)

            def __del__(self):
                gpu.destroy_stream(self.handle)

        class Event:
            def __init__(self, flags=0):
                assert flags == 2
                self.handle = module.guarded(gpu.create_event)

            def record(self, stream):
                module.guarded(gpu.record, self.handle, stream.handle)

            def synchronize(self):
                module.guarded(gpu.synchronize_event, self.handle)

            def __del__(self):
                gpu.destroy_event(self.handle)

        self.Block, self.Stream, self.Event = Block, Stream, Event

    def guarded(self, function, *arguments):
        try:
            return function(*arguments)
        except CudaCallError as error:
            kind = self.MemoryError if error.code == OUT_OF_MEMORY else self.Error
            raise kind(f"{error.call} failed: {error.text}") from error

    def init(self):
        pass

    def get_driver_version(self):
        return 12080

    def Device(self, ordinal):  # noqa: N802 - pycuda's own name
        gpu = self.gpu

        class Context:
            def push(self):
                gpu.current = True

            def pop(self):
                for address in list(gpu.host):
                    gpu.free_host(address)
                gpu.current, gpu.released = False, True

        return SimpleNamespace(
            retain_primary_context=Context, compute_capability=lambda: (8, 9), name=lambda: "Fake GPU",
            total_memory=lambda: gpu.total_bytes,
        )  # fmt: skip

    def mem_get_info(self):
        return self.gpu.total_bytes - sum(map(len, self.gpu.memory.values())), self.gpu.total_bytes

    def mem_alloc(self, size_bytes):
        return self.Block(self.guarded(self.gpu.allocate, size_bytes))

    def pagelocked_empty(self, shape, dtype):
        address = self.guarded(self.gpu.allocate_host, int(shape))
        gpu, module = self.gpu, self

        class Allocation:
            __array_interface__ = {"data": (address, False), "shape": (shape,), "typestr": "|u1", "version": 3}  # noqa: RUF012 - a stand-in, made anew for every test

            def free(self):
                module.guarded(gpu.free_host, address)

        return np.asarray(Allocation(), dtype)

    def memcpy_htod_async(self, target, source, stream):
        address = np.ctypeslib.as_array(source).ctypes.data
        self.guarded(self.gpu.copy_in, target, address, len(source), stream.handle)

    def memcpy_dtoh_async(self, target, source, stream):
        address = np.ctypeslib.as_array(target).ctypes.data
        self.guarded(self.gpu.copy_out, address, source, len(target), stream.handle)


class FakeLibcuda:
    """Stands for libcuda.so.1 as ctypes gives it; knows only what PycudaDriver asks of it."""

    def __init__(self, gpu):
        self.gpu = gpu
        self.raw_graphs = {}

    def _status(self, function, *arguments):
        try:
            function(*arguments)
        except CudaCallError as error:
            return error.code
        return 0

    def cuStreamBeginCapture_v2(self, stream, mode):  # noqa: N802 - the library's own name
        assert mode == 1
        return self._status(self.gpu.begin_capture, stream.value)

    def cuStreamEndCapture(self, stream, graph):  # noqa: N802 - the library's own name
        def end():
            graph._obj.value = self.gpu.end_capture(stream.value)
            self.raw_graphs[graph._obj.value] = True

        return self._status(end)

    def cuGraphInstantiateWithFlags(self, executable, graph, flags):  # noqa: N802 - the library's own name
        assert flags.value == 0
        executable._obj.value = graph.value
        return 0

    def cuGraphDestroy(self, graph):  # noqa: N802 - the library's own name
        del self.raw_graphs[graph.value]
        return 0

    def cuGraphLaunch(self, graph, stream):  # noqa: N802 - the library's own name
        return self._status(self.gpu.launch, graph.value, stream.value)

    def cuGraphExecDestroy(self, graph):  # noqa: N802 - the library's own name
        return self._status(self.gpu.destroy_graph, graph.value)


class Result(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_LAUNCH_FAILED = 719
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900


class FakeCudaPython:
    """Stands for the module cuda.bindings.driver."""

    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=76
    )
    CUstream_flags = SimpleNamespace(CU_STREAM_NON_BLOCKING=1)
    CUevent_flags = SimpleNamespace(CU_EVENT_DISABLE_TIMING=2)
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)
    _SAME = {  # noqa: RUF012 - a stand-in, made anew for every test
        "cuMemAlloc": "allocate", "cuMemFree": "free", "cuMemFreeHost": "free_host",
        "cuStreamDestroy": "destroy_stream", "cuEventDestroy": "destroy_event",
        "cuMemcpyHtoDAsync": "copy_in", "cuMemcpyDtoHAsync": "copy_out", "cuEventRecord": "record",
        "cuStreamSynchronize": "synchronize", "cuEventSynchronize": "synchronize_event",
        "cuStreamEndCapture": "end_capture", "cuGraphLaunch": "launch", "cuGraphExecDestroy": "destroy_graph",
    }  # fmt: skip

    def __init__(self, gpu):
        self.gpu = gpu
        self.retained = 0

    def __getattr__(self, name):
        function = getattr(self.gpu, self._SAME[name])
        return lambda *arguments: self._answer(function, *arguments)

    def _answer(self, function, *arguments):
        try:
            value = function(*arguments)
        except CudaCallError as error:
            return (Result(error.code), None)
        return (Result.CUDA_SUCCESS,) if value is None else (Result.CUDA_SUCCESS, value)

    def cuInit(self, flags):  # noqa: N802 - the library's own name
        return (Result.CUDA_SUCCESS,)

    def cuDeviceGet(self, ordinal):  # noqa: N802 - the library's own name
        return (Result.CUDA_SUCCESS, 0)

    def cuDevicePrimaryCtxRetain(self, gpu):  # noqa: N802 - the library's own name
        self.retained += 1
        return (Result.CUDA_SUCCESS, 77)

    def cuDevicePrimaryCtxRelease(self, gpu):  # noqa: N802 - the library's own name
        for block in self.gpu.host.values():
            block[:] = 0xDD
        self.gpu.host.clear()
        self.gpu.released = True
        return (Result.CUDA_SUCCESS,)

    def cuCtxSetCurrent(self, context):  # noqa: N802 - the library's own name
        self.gpu.current = bool(context)
        return (Result.CUDA_SUCCESS,)

    def cuDeviceGetAttribute(self, attribute, gpu):  # noqa: N802 - the library's own name
        return (Result.CUDA_SUCCESS, {75: 8, 76: 9}[attribute])

    def cuDeviceGetName(self, size, gpu):  # noqa: N802 - the library's own name
        return (Result.CUDA_SUCCESS, b"Fake GPU" + b"\0" * (size - 8))

    def cuDeviceTotalMem(self, gpu):  # noqa: N802 - the library's own name
        return (Result.CUDA_SUCCESS, self.gpu.total_bytes)

    def cuDriverGetVersion(self):  # noqa: N802 - the library's own name
        return (Result.CUDA_SUCCESS, 12080)

    def cuMemGetInfo(self):  # noqa: N802 - the library's own name
        used = sum(map(len, self.gpu.memory.values()))
        return (Result.CUDA_SUCCESS, self.gpu.total_bytes - used, self.gpu.total_bytes)

    def cuMemHostAlloc(self, size_bytes, flags):  # noqa: N802 - the library's own name
        assert flags == 0
        return self._answer(self.gpu.allocate_host, size_bytes)

    def cuStreamCreate(self, flags):  # noqa: N802 - the library's own name
        assert flags == 1
        return self._answer(self.gpu.create_stream)

    def cuEventCreate(self, flags):  # noqa: N802 - the library's own name
        assert flags == 2
        return self._answer(self.gpu.create_event)

    def cuStreamWaitEvent(self, stream, event, flags):  # noqa: N802 - the library's own name
        assert flags == 0
        return self._answer(self.gpu.wait, stream, event)

    def cuStreamBeginCapture(self, stream, mode):  # noqa: N802 - the library's own name
        assert mode == 1
        return self._answer(self.gpu.begin_capture, stream)

    def cuGraphInstantiate(self, graph, flags):  # noqa: N802 - the library's own name
        assert flags == 0
        return (Result.CUDA_SUCCESS, graph)

    def cuGraphDestroy(self, graph):  # noqa: N802 - the library's own name
        return (Result.CUDA_SUCCESS,)
