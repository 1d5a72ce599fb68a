"""CUDA by NVIDIA's cuda-python. The only file that imports cuda. Every call answers a result code, checked here."""

from __future__ import annotations

from typing import Any

from edge.engines.cuda_driver import CudaCallError, DeviceInfo


def open_cuda_python_driver() -> CudaPythonDriver:
    """Open the first GPU; raises ImportError where cuda-python is not installed, CudaCallError where CUDA refuses."""
    from cuda.bindings import driver

    return CudaPythonDriver(driver)


class CudaPythonDriver:
    """A `Driver` over the module `cuda.bindings.driver`."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._call("cuInit", 0)
        self._gpu = self._call("cuDeviceGet", 0)
        self._context = self._call("cuDevicePrimaryCtxRetain", self._gpu)
        self.make_current()

    def info(self) -> DeviceInfo:
        """Which GPU this is."""
        kinds = self._cuda.CUdevice_attribute
        major = self._call("cuDeviceGetAttribute", kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, self._gpu)
        minor = self._call("cuDeviceGetAttribute", kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, self._gpu)
        name = self._call("cuDeviceGetName", 256, self._gpu).split(b"\0")[0].decode("ascii", "replace")
        total = self._call("cuDeviceTotalMem", self._gpu)
        return DeviceInfo(name, f"{major}.{minor}", int(self._call("cuDriverGetVersion")), int(total))

    def make_current(self) -> None:
        """Make the primary context current for this thread."""
        self._call("cuCtxSetCurrent", self._context)

    def memory_info(self) -> tuple[int, int]:
        """Bytes free and in total."""
        free_bytes, total_bytes = self._call("cuMemGetInfo")
        return int(free_bytes), int(total_bytes)

    def allocate(self, size_bytes: int) -> int:
        """Device memory."""
        return int(self._call("cuMemAlloc", size_bytes))

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call("cuMemFree", address)

    def allocate_host(self, size_bytes: int) -> int:
        """Page-locked host memory."""
        return int(self._call("cuMemHostAlloc", size_bytes, 0))

    def free_host(self, address: int) -> None:
        """Give page-locked memory back."""
        self._call("cuMemFreeHost", address)

    def create_stream(self) -> int:
        """A stream that does not wait for the legacy default stream."""
        return int(self._call("cuStreamCreate", int(self._cuda.CUstream_flags.CU_STREAM_NON_BLOCKING)))

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._call("cuStreamDestroy", stream)

    def create_event(self) -> int:
        """An event without a clock."""
        return int(self._call("cuEventCreate", int(self._cuda.CUevent_flags.CU_EVENT_DISABLE_TIMING)))

    def destroy_event(self, event: int) -> None:
        """Give an event back."""
        self._call("cuEventDestroy", event)

    def copy_in(self, address: int, host: int, size_bytes: int, stream: int) -> None:
        """Queue a copy to the device."""
        self._call("cuMemcpyHtoDAsync", address, host, size_bytes, stream)

    def copy_out(self, host: int, address: int, size_bytes: int, stream: int) -> None:
        """Queue a copy from the device."""
        self._call("cuMemcpyDtoHAsync", host, address, size_bytes, stream)

    def record(self, event: int, stream: int) -> None:
        """Queue the mark of an event."""
        self._call("cuEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        """Let a stream wait for an event."""
        self._call("cuStreamWaitEvent", stream, event, 0)

    def synchronize(self, stream: int) -> None:
        """Wait for a stream."""
        self._call("cuStreamSynchronize", stream)

    def synchronize_event(self, event: int) -> None:
        """Wait for an event."""
        self._call("cuEventSynchronize", event)

    def begin_capture(self, stream: int) -> None:
        """Start recording what this thread queues."""
        mode = self._cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        """Stop recording and make the record launchable."""
        graph = self._call("cuStreamEndCapture", stream)
        try:
            return int(self._call("cuGraphInstantiate", graph, 0))
        finally:
            self._call("cuGraphDestroy", graph)

    def launch(self, graph: int, stream: int) -> None:
        """Queue a graph."""
        self._call("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""
        self._call("cuGraphExecDestroy", graph)

    def release(self) -> None:
        """Give the primary context back."""
        self._call("cuCtxSetCurrent", 0)
        self._call("cuDevicePrimaryCtxRelease", self._gpu)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function; its first answer is the result code. Return the rest: nothing, one value or several."""
        status, *values = getattr(self._cuda, name)(*arguments)
        if int(status) != 0:
            raise CudaCallError(name, int(status), getattr(status, "name", str(status)))
        return (values[0] if len(values) == 1 else tuple(values)) if values else None
