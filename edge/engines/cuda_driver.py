"""The raw calls of CUDA's driver interface that a device needs, and the question whether there is a driver at all.

Driver         implemented by cuda_pycuda.py and cuda_python.py, alike down to the error
probe_cuda     does cuInit work here? asked by ctypes, before any library that would crash without a driver
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Protocol

from edge.errors import EdgeError

OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY
LIBCUDA = "libcuda.so.1"
_COMPUTE_CAPABILITY_ATTRIBUTES = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A GPU: name, compute capability such as "8.9", driver's CUDA version (12080 is 12.8), memory in bytes."""

    name: str
    compute_capability: str
    driver_version: int
    total_bytes: int


class Driver(Protocol):
    """The calls of CUDA's driver interface behind a device; each raises `CudaCallError` when it fails."""

    def info(self) -> DeviceInfo:
        """Which GPU this is."""
        ...

    def make_current(self) -> None:
        """Make the primary context current for the calling thread."""
        ...

    def memory_info(self) -> tuple[int, int]:
        """Bytes free and in total."""
        ...

    def allocate(self, size_bytes: int) -> int:
        """Device memory."""
        ...

    def free(self, address: int) -> None:
        """Give device memory back."""
        ...

    def allocate_host(self, size_bytes: int) -> int:
        """Page-locked host memory."""
        ...

    def free_host(self, address: int) -> None:
        """Give page-locked memory back."""
        ...

    def create_stream(self) -> int:
        """Make a stream that does not wait for the default stream."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        ...

    def create_event(self) -> int:
        """Make an event."""
        ...

    def destroy_event(self, event: int) -> None:
        """Give an event back."""
        ...

    def copy_in(self, address: int, host: int, size_bytes: int, stream: int) -> None:
        """Queue a copy to the device."""
        ...

    def copy_out(self, host: int, address: int, size_bytes: int, stream: int) -> None:
        """Queue a copy from the device."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Queue the mark of an event."""
        ...

    def wait(self, stream: int, event: int) -> None:
        """Let a stream wait for an event."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait for a stream."""
        ...

    def synchronize_event(self, event: int) -> None:
        """Wait for an event."""
        ...

    def begin_capture(self, stream: int) -> None:
        """Record what is queued instead of running it."""
        ...

    def end_capture(self, stream: int) -> int:
        """Return the record as a launchable graph."""
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Queue a graph."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""
        ...

    def release(self) -> None:
        """Give the primary context back."""
        ...


class CudaCallError(Exception):
    """A call of the driver interface failed: which, with which result code (0 where none is known), in which words."""

    def __init__(self, call: str, code: int, text: str) -> None:
        super().__init__(f"{call}: {text}")
        self.call, self.code, self.text = call, code, text

    def as_edge_error(self, gpu: str) -> EdgeError:
        """Return the error as people see it."""
        return EdgeError("MDSE-GPU-003", where=gpu, call=self.call, reason=f"{self.text} ({self.code})")


def probe_cuda(library: str = LIBCUDA) -> str:
    """Return "" when the CUDA driver is there with a GPU, else why not. Loads nothing but the driver's own library.

    To be asked before any TensorRT runtime is made: a runtime without a driver ends the whole process.
    """
    try:
        cuda = ctypes.CDLL(library)
    except OSError as error:
        return f"the NVIDIA driver is not installed ({error})"
    status = cuda.cuInit(0)
    if status != 0:
        return f"cuInit failed with CUDA error {status}"
    count = ctypes.c_int(0)
    status = cuda.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value < 1:
        return f"there is no GPU (CUDA error {status}, {count.value} devices)"
    return ""


def first_compute_capability(library: str = LIBCUDA) -> str | None:
    """Return the compute capability of the first GPU, such as "8.9"; None where `probe_cuda` finds no usable one."""
    if probe_cuda(library):
        return None
    cuda = ctypes.CDLL(library)
    gpu, parts = ctypes.c_int(0), []
    for attribute in _COMPUTE_CAPABILITY_ATTRIBUTES:
        value = ctypes.c_int(0)
        if cuda.cuDeviceGet(ctypes.byref(gpu), 0) or cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, gpu):
            return None
        parts.append(str(value.value))
    return ".".join(parts)
