"""CUDA by pycuda. The only file that imports pycuda. Graphs, which pycuda lacks, go to the driver's library itself.

The GPU's primary context is used, never one of our own: TensorRT uses the primary one, and two contexts in a process
are the usual cause of failures. `pycuda.autoinit` is never imported.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

from edge.engines.cuda_driver import OUT_OF_MEMORY, CudaCallError, DeviceInfo

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the legacy default stream
_CAPTURE_OF_THIS_THREAD = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL


def open_pycuda_driver() -> PycudaDriver:
    """Open the first GPU; raises ImportError where pycuda is not installed, CudaCallError where CUDA refuses."""
    import pycuda.driver

    return PycudaDriver(pycuda.driver, ctypes.CDLL("libcuda.so.1"))


class PycudaDriver:
    """A `Driver` over the module `pycuda.driver` and, for graphs, the driver's library."""

    def __init__(self, cuda: Any, library: Any) -> None:
        self._cuda = cuda
        self._library = library
        self._kept: dict[int, Any] = {}  # pycuda frees an object when its last reference goes
        self._pushed_in: set[int] = set()
        self._checked("cuInit", cuda.init)
        self._gpu = self._checked("cuDeviceGet", lambda: cuda.Device(0))
        self._context = self._checked("cuDevicePrimaryCtxRetain", self._gpu.retain_primary_context)
        self.make_current()

    def info(self) -> DeviceInfo:
        """Which GPU this is."""
        major, minor = self._checked("cuDeviceGetAttribute", self._gpu.compute_capability)
        version = self._checked("cuDriverGetVersion", self._cuda.get_driver_version)
        return DeviceInfo(str(self._gpu.name()), f"{major}.{minor}", int(version), int(self._gpu.total_memory()))

    def make_current(self) -> None:
        """Push the primary context, once in every thread that uses the GPU."""
        if threading.get_ident() not in self._pushed_in:
            self._checked("cuCtxPushCurrent", self._context.push)
            self._pushed_in.add(threading.get_ident())

    def memory_info(self) -> tuple[int, int]:
        """Bytes free and in total."""
        free_bytes, total_bytes = self._checked("cuMemGetInfo", self._cuda.mem_get_info)
        return int(free_bytes), int(total_bytes)

    def allocate(self, size_bytes: int) -> int:
        """Device memory."""
        block = self._checked("cuMemAlloc", lambda: self._cuda.mem_alloc(size_bytes))
        self._kept[int(block)] = block
        return int(block)

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._checked("cuMemFree", self._kept.pop(address).free)

    def allocate_host(self, size_bytes: int) -> int:
        """Page-locked host memory."""
        array = self._checked("cuMemHostAlloc", lambda: self._cuda.pagelocked_empty(size_bytes, "uint8"))
        self._kept[array.ctypes.data] = array
        return int(array.ctypes.data)

    def free_host(self, address: int) -> None:
        """Give page-locked memory back."""
        self._checked("cuMemFreeHost", self._kept.pop(address).base.free)

    def create_stream(self) -> int:
        """A stream, named by CUDA's own handle."""
        stream = self._checked("cuStreamCreate", lambda: self._cuda.Stream(_NON_BLOCKING))
        self._kept[int(stream.handle)] = stream
        return int(stream.handle)

    def destroy_stream(self, stream: int) -> None:
        """Let a stream go; pycuda destroys it."""
        del self._kept[stream]

    def create_event(self) -> int:
        """An event, named by its object's id."""
        event = self._checked("cuEventCreate", lambda: self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING))
        self._kept[id(event)] = event
        return id(event)

    def destroy_event(self, event: int) -> None:
        """Let an event go; pycuda destroys it."""
        del self._kept[event]

    def copy_in(self, address: int, host: int, size_bytes: int, stream: int) -> None:
        """Queue a copy to the device."""
        source = _bytes_at(host, size_bytes)
        self._checked("cuMemcpyHtoDAsync", lambda: self._cuda.memcpy_htod_async(address, source, self._kept[stream]))

    def copy_out(self, host: int, address: int, size_bytes: int, stream: int) -> None:
        """Queue a copy from the device."""
        target = _bytes_at(host, size_bytes)
        self._checked("cuMemcpyDtoHAsync", lambda: self._cuda.memcpy_dtoh_async(target, address, self._kept[stream]))

    def record(self, event: int, stream: int) -> None:
        """Queue the mark of an event."""
        self._checked("cuEventRecord", lambda: self._kept[event].record(self._kept[stream]))

    def wait(self, stream: int, event: int) -> None:
        """Let a stream wait for an event."""
        self._checked("cuStreamWaitEvent", lambda: self._kept[stream].wait_for_event(self._kept[event]))

    def synchronize(self, stream: int) -> None:
        """Wait for a stream."""
        self._checked("cuStreamSynchronize", self._kept[stream].synchronize)

    def synchronize_event(self, event: int) -> None:
        """Wait for an event."""
        self._checked("cuEventSynchronize", self._kept[event].synchronize)

    def begin_capture(self, stream: int) -> None:
        """Start recording."""
        self._raw("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), _CAPTURE_OF_THIS_THREAD)

    def end_capture(self, stream: int) -> int:
        """Stop recording and make the record launchable."""
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self._raw("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        try:
            self._raw("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        finally:
            self._raw("cuGraphDestroy", graph)
        return int(executable.value or 0)

    def launch(self, graph: int, stream: int) -> None:
        """Queue a graph."""
        self._raw("cuGraphLaunch", ctypes.c_void_p(graph), ctypes.c_void_p(stream))

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""
        self._raw("cuGraphExecDestroy", ctypes.c_void_p(graph))

    def release(self) -> None:
        """Take the context off this thread; pycuda releases it with its last reference."""
        self._kept.clear()
        if threading.get_ident() in self._pushed_in:
            self._pushed_in.discard(threading.get_ident())
            self._checked("cuCtxPopCurrent", self._context.pop)
        self._context = None

    def _checked(self, call: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except self._cuda.MemoryError as error:
            raise CudaCallError(call, OUT_OF_MEMORY, str(error)) from error
        except self._cuda.Error as error:
            raise CudaCallError(call, 0, str(error)) from error

    def _raw(self, call: str, *arguments: Any) -> None:
        status = int(getattr(self._library, call)(*arguments))
        if status != 0:
            raise CudaCallError(call, status, "CUDA refused")


def _bytes_at(address: int, size_bytes: int) -> Any:
    return (ctypes.c_ubyte * size_bytes).from_address(address)
