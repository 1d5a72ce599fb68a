"""The narrow door to CUDA: memory, streams, events, copies and graphs of one GPU, counted and freed in order.

    Device             what the TensorRT engine needs; nothing else of CUDA is used anywhere
    CudaDevice         the Device over any Driver (cuda_driver.py): accounting, page-locked arrays, closing
    open_device        the first GPU of this machine

Page-locked arrays belong to whoever holds them: the memory goes back when the last view of it is gone, even after
`close`, because releasing the context would pull it away from under the holder.
"""

from __future__ import annotations

import math
import weakref
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge.engines.cuda_driver import LIBCUDA, OUT_OF_MEMORY, CudaCallError, DeviceInfo, Driver, probe_cuda
from edge.errors import EdgeError


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes: ours on the device, ours page-locked on the host, free and total on the device."""

    device_bytes: int
    pinned_bytes: int
    free_bytes: int
    total_bytes: int


class Device(Protocol):
    """One GPU. Addresses, streams, events and graphs are numbers. Every method raises EdgeError MDSE-GPU-*.

    Work on a stream runs in the order it was given; nothing on the host waits for it but `synchronize` and
    `synchronize_event`. A host array given to a copy must be page-locked and stay untouched until the copy is done.
    """

    @property
    def info(self) -> DeviceInfo:
        """Which GPU this is."""
        ...

    def make_current(self) -> None:
        """Make the GPU's primary context current for the calling thread."""
        ...

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new device memory."""
        ...

    def free(self, address: int) -> None:
        """Give device memory back. No queued work may still use it."""
        ...

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Return a page-locked host array, contents undefined; it is given back when its last view is gone."""
        ...

    def stream(self) -> int:
        """Return a new stream."""
        ...

    def event(self) -> int:
        """Return a new event."""
        ...

    def copy_in(self, address: int, host: NDArray[Any], stream: int) -> None:
        """Queue a copy of a contiguous page-locked array to the device."""
        ...

    def copy_out(self, host: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy from the device into a contiguous page-locked array."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Queue the mark of an event."""
        ...

    def wait(self, stream: int, event: int) -> None:
        """Let a stream wait, on the device, for the event as it was last recorded."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait until all work of a stream is done."""
        ...

    def synchronize_event(self, event: int) -> None:
        """Wait until the event as it was last recorded has happened."""
        ...

    def begin_capture(self, stream: int) -> None:
        """Record what is queued on the stream from now on instead of running it."""
        ...

    def end_capture(self, stream: int) -> int:
        """Return the recorded work as a graph that can be launched."""
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Queue a graph."""
        ...

    def memory(self) -> DeviceMemory:
        """Return what is in use."""
        ...

    def close(self) -> None:
        """Wait for all streams and give everything back. Closing twice is harmless."""
        ...


class _Pinned:
    """Page-locked memory in use. NumPy's views keep this object alive; its end gives the memory back."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.__array_interface__ = {
            "data": (address, False), "shape": shape, "typestr": dtype.str, "version": 3,
        }  # fmt: skip


class CudaDevice:
    """A `Device` over a `Driver`. Counts what it gave out; gives it back in an order that CUDA allows."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        try:
            self._info = driver.info()
        except CudaCallError as error:
            raise error.as_edge_error("GPU") from error
        self._sizes: dict[int, int] = {}
        self._streams: list[int] = []
        self._events: list[int] = []
        self._graphs: list[int] = []
        self._idle: defaultdict[int, list[int]] = defaultdict(list)  # page-locked blocks that nobody holds, by size
        self._lent: dict[int, int] = {}
        self._closed = False

    @property
    def info(self) -> DeviceInfo:
        """Which GPU this is."""
        return self._info

    def make_current(self) -> None:
        """See `Device`."""
        self._call(self._driver.make_current)

    def allocate(self, size_bytes: int) -> int:
        """See `Device`. Raises EdgeError MDSE-GPU-002 with the numbers when memory is short."""
        address = self._allocated(self._driver.allocate, size_bytes, "the GPU")
        self._sizes[address] = size_bytes
        return address

    def free(self, address: int) -> None:
        """See `Device`."""
        del self._sizes[address]
        self._call(self._driver.free, address)

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """See `Device`. Raises EdgeError MDSE-GPU-002 with the numbers when memory is short."""
        kind = np.dtype(dtype)
        size_bytes = max(1, math.prod(shape) * kind.itemsize)
        idle = self._idle[size_bytes]
        address = idle.pop() if idle else self._allocated(self._driver.allocate_host, size_bytes, "page-locked memory")
        self._lent[address] = size_bytes
        holder = _Pinned(address, tuple(shape), kind)
        weakref.finalize(holder, self._take_back, address).atexit = False  # the process takes it all at its end
        return np.asarray(holder)

    def stream(self) -> int:
        """See `Device`."""
        self._streams.append(self._call(self._driver.create_stream))
        return self._streams[-1]

    def event(self) -> int:
        """See `Device`."""
        self._events.append(self._call(self._driver.create_event))
        return self._events[-1]

    def copy_in(self, address: int, host: NDArray[Any], stream: int) -> None:
        """See `Device`."""
        self._require_room(address, host)
        self._call(self._driver.copy_in, address, host.ctypes.data, host.nbytes, stream)

    def copy_out(self, host: NDArray[Any], address: int, stream: int) -> None:
        """See `Device`."""
        self._require_room(address, host)
        self._call(self._driver.copy_out, host.ctypes.data, address, host.nbytes, stream)

    def record(self, event: int, stream: int) -> None:
        """See `Device`."""
        self._call(self._driver.record, event, stream)

    def wait(self, stream: int, event: int) -> None:
        """See `Device`."""
        self._call(self._driver.wait, stream, event)

    def synchronize(self, stream: int) -> None:
        """See `Device`."""
        self._call(self._driver.synchronize, stream)

    def synchronize_event(self, event: int) -> None:
        """See `Device`."""
        self._call(self._driver.synchronize_event, event)

    def begin_capture(self, stream: int) -> None:
        """See `Device`."""
        self._call(self._driver.begin_capture, stream)

    def end_capture(self, stream: int) -> int:
        """See `Device`."""
        self._graphs.append(self._call(self._driver.end_capture, stream))
        return self._graphs[-1]

    def launch(self, graph: int, stream: int) -> None:
        """See `Device`."""
        self._call(self._driver.launch, graph, stream)

    def memory(self) -> DeviceMemory:
        """See `Device`."""
        free_bytes, total_bytes = self._call(self._driver.memory_info)
        idle_bytes = sum(size * len(blocks) for size, blocks in self._idle.items())
        pinned_bytes = sum(self._lent.values()) + idle_bytes
        return DeviceMemory(sum(self._sizes.values()), pinned_bytes, free_bytes, total_bytes)

    def close(self) -> None:
        """See `Device`. Page-locked arrays that somebody still holds keep the context until they are let go."""
        if self._closed:
            return
        self._closed = True
        for stream in self._streams:
            self._call(self._driver.synchronize, stream)
        for destroy, handles in (
            (self._driver.destroy_graph, self._graphs),
            (self._driver.destroy_event, self._events),
            (self._driver.destroy_stream, self._streams),
            (self._driver.free, list(self._sizes)),
            (self._driver.free_host, [address for blocks in self._idle.values() for address in blocks]),
        ):
            for handle in handles:
                self._call(destroy, handle)
        self._sizes.clear()
        self._idle.clear()
        self._release_when_unused()

    def _take_back(self, address: int) -> None:
        size_bytes = self._lent.pop(address)
        if not self._closed:
            self._idle[size_bytes].append(address)
            return
        self._call(self._driver.free_host, address)
        self._release_when_unused()

    def _release_when_unused(self) -> None:
        if not self._lent:
            self._call(self._driver.release)

    def _require_room(self, address: int, host: NDArray[Any]) -> None:
        """A copy past the end of a buffer is an error of ours, found here and not in another buffer's contents."""
        if not host.flags.c_contiguous:
            raise ValueError("a copy needs a contiguous array")
        if host.nbytes > self._sizes[address]:
            raise ValueError(f"a copy of {host.nbytes} bytes does not fit a buffer of {self._sizes[address]}")

    def _allocated(self, allocate: Any, size_bytes: int, place: str) -> int:
        try:
            return int(allocate(size_bytes))
        except CudaCallError as error:
            if error.code != OUT_OF_MEMORY:
                raise error.as_edge_error(self._info.name) from error
            now = self.memory()
            raise EdgeError(
                "MDSE-GPU-002",
                where=self._info.name,
                place=place,
                asked_bytes=size_bytes,
                free_bytes=now.free_bytes,
                total_bytes=now.total_bytes,
                ours_bytes=now.device_bytes,
                pinned_bytes=now.pinned_bytes,
            ) from error

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except CudaCallError as error:
            raise error.as_edge_error(self._info.name) from error


def open_device() -> CudaDevice:
    """Open the first GPU: by pycuda where it is installed, else by cuda-python.

    Raises EdgeError MDSE-GPU-001 where there is no usable GPU, -004 where neither library is installed.
    """
    reason = probe_cuda()
    if reason:
        raise EdgeError("MDSE-GPU-001", where=LIBCUDA, reason=reason)
    from edge.engines.cuda_pycuda import open_pycuda_driver
    from edge.engines.cuda_python import open_cuda_python_driver

    refusals = []
    for opening in (open_pycuda_driver, open_cuda_python_driver):
        try:
            return CudaDevice(opening())
        except ImportError as error:
            refusals.append(str(error))
        except CudaCallError as error:
            raise error.as_edge_error(LIBCUDA) from error
    raise EdgeError("MDSE-GPU-004", where="pycuda, cuda-python", reason="; ".join(refusals))
