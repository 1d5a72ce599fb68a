"""A GPU in plain Python that is as strict as it can be: nothing runs before somebody waits for it.

Work on a stream is queued and carried out only when a wait needs it, in the order of the stream; so a missing
synchronization shows stale or poisoned bytes instead of passing by luck. Device memory lies at invented addresses and
is poisoned when it is made and when it is freed. Touching freed memory, freeing what queued work still needs, host
memory that is not page-locked, and calls that a capture forbids are errors (`GpuMisuseError`).

`FakeDriver` is the `Driver` over it; the skins of pycuda and cuda-python lie in fake_cuda_modules.py.
"""

from __future__ import annotations

import itertools

import numpy as np

from edge.engines.cuda_driver import OUT_OF_MEMORY, CudaCallError, DeviceInfo

POISON = 0xDD


class GpuMisuseError(AssertionError):
    """What would be undefined behaviour on a real GPU."""


class FakeGpu:
    def __init__(self, total_bytes=1 << 30):
        self.total_bytes = total_bytes
        self.current = False
        self.memory: dict[int, bytearray] = {}
        self.freed: list[range] = []
        self.host: dict[int, np.ndarray] = {}
        self.streams: dict[int, list] = {}
        self.events: dict[int, tuple | None] = {}
        self.graphs: dict[int, list] = {}
        self.capturing: dict[int, list] = {}
        self.launches = 0
        self.released = False
        self.fail: dict[str, int] = {}
        self.log: list[str] = []
        self._handles = itertools.count(1000)
        self._next_address = 1 << 40

    # ---- what may go wrong

    def call(self, name, *, during_capture=False):
        self.log.append(name)
        if not self.current:
            raise CudaCallError(name, 201, "no context is current")
        if self.capturing and not during_capture:
            raise CudaCallError(name, 900, "not permitted while a stream is capturing")
        if self.fail.get(name):
            raise CudaCallError(name, self.fail[name], "made to fail by the test")

    def leaks(self):
        return {
            "memory": len(self.memory), "host": len(self.host), "streams": len(self.streams),
            "events": len(self.events), "graphs": len(self.graphs),
        }  # fmt: skip

    # ---- memory

    def allocate(self, size_bytes):
        self.call("allocate")
        if sum(map(len, self.memory.values())) + size_bytes > self.total_bytes:
            raise CudaCallError("allocate", OUT_OF_MEMORY, "out of memory")
        address = self._next_address
        self._next_address += size_bytes + 4096
        self.memory[address] = bytearray([POISON]) * size_bytes
        return address

    def free(self, address):
        self.call("free")
        if address not in self.memory:
            raise GpuMisuseError(f"{address:#x} was never given out or is freed twice")
        size_bytes = len(self.memory.pop(address))
        self.freed.append(range(address, address + size_bytes))
        for queue in self.streams.values():
            for work in queue:
                if any(start in self.freed[-1] for start in work.get("uses", ())):
                    raise GpuMisuseError(f"{address:#x} is freed while queued work still uses it")

    def at(self, address, size_bytes):
        """Return a writable view of device memory."""
        for start, data in self.memory.items():
            if start <= address and address + size_bytes <= start + len(data):
                return memoryview(data)[address - start : address - start + size_bytes]
        if any(address in gone for gone in self.freed):
            raise GpuMisuseError(f"use after free at {address:#x}")
        raise GpuMisuseError(f"{size_bytes} bytes at {address:#x} are not device memory")

    def allocate_host(self, size_bytes):
        self.call("allocate_host")
        block = np.full(size_bytes, POISON, np.uint8)
        self.host[block.ctypes.data] = block
        return block.ctypes.data

    def free_host(self, address):
        self.call("free_host")
        if address not in self.host:
            raise GpuMisuseError("page-locked memory is freed twice")
        self.host.pop(address)[:] = POISON

    def host_at(self, address, size_bytes):
        for start, block in self.host.items():
            if start <= address and address + size_bytes <= start + block.nbytes:
                return block[address - start : address - start + size_bytes]
        raise GpuMisuseError("an asynchronous copy needs page-locked memory that is still held")

    # ---- streams

    def create_stream(self):
        self.call("create_stream")
        self.streams[handle := next(self._handles)] = []
        return handle

    def destroy_stream(self, stream):
        self.call("destroy_stream")
        if self.streams[stream]:
            raise GpuMisuseError("a stream with queued work is destroyed")
        del self.streams[stream]

    def create_event(self):
        self.call("create_event")
        self.events[handle := next(self._handles)] = None
        return handle

    def destroy_event(self, event):
        self.call("destroy_event")
        del self.events[event]

    def queue(self, stream, run, uses=(), **more):
        if stream not in self.streams:
            raise GpuMisuseError(f"{stream} is no stream")
        work = {"run": run, "uses": uses, **more}
        (self.capturing[stream] if stream in self.capturing else self.streams[stream]).append(work)
        return work

    def copy_in(self, address, host, size_bytes, stream):
        self.call("copy_in", during_capture=stream in self.capturing)
        source = self.host_at(host, size_bytes)
        self.at(address, size_bytes)

        def run():
            self.at(address, size_bytes)[:] = source.tobytes()

        self.queue(stream, run, (address,))

    def copy_out(self, host, address, size_bytes, stream):
        self.call("copy_out", during_capture=stream in self.capturing)
        target = self.host_at(host, size_bytes)
        self.at(address, size_bytes)

        def run():
            target[:] = np.frombuffer(self.at(address, size_bytes), np.uint8)

        self.queue(stream, run, (address,))

    def record(self, event, stream):
        self.call("record", during_capture=stream in self.capturing)
        self.events[event] = (stream, self.queue(stream, lambda: None))

    def wait(self, stream, event):
        self.call("wait", during_capture=stream in self.capturing)
        recorded = self.events[event]
        if recorded is not None:
            self.queue(stream, lambda: self.run_until(*recorded))

    def run_until(self, stream, mark):
        """Carry out a stream's work up to and with `mark`; nothing when that is done already."""
        queue = self.streams[stream]
        if any(work is mark for work in queue):
            while queue:
                work = queue.pop(0)
                work["run"]()
                if work is mark:
                    return

    def synchronize(self, stream):
        self.call("synchronize")
        queue = self.streams[stream]
        while queue:
            queue.pop(0)["run"]()

    def synchronize_event(self, event):
        self.call("synchronize_event")
        if self.events[event] is not None:
            self.run_until(*self.events[event])

    # ---- graphs

    def begin_capture(self, stream):
        self.call("begin_capture")
        self.capturing[stream] = []

    def end_capture(self, stream):
        self.call("end_capture", during_capture=True)
        self.graphs[handle := next(self._handles)] = self.capturing.pop(stream)
        return handle

    def launch(self, graph, stream):
        self.call("launch", during_capture=stream in self.capturing)
        self.launches += 1
        for work in self.graphs[graph]:
            self.queue(stream, work["run"], work["uses"])

    def destroy_graph(self, graph):
        self.call("destroy_graph")
        del self.graphs[graph]


class FakeDriver:
    """The `Driver` over a FakeGpu, with nothing in between."""

    def __init__(self, gpu):
        self.gpu = gpu
        gpu.current = True

    def __getattr__(self, name):
        return getattr(self.gpu, name)

    def info(self):
        return DeviceInfo("Fake GPU", "8.9", 12080, self.gpu.total_bytes)

    def make_current(self):
        self.gpu.current = True

    def memory_info(self):
        self.gpu.call("memory_info")
        return self.gpu.total_bytes - sum(map(len, self.gpu.memory.values())), self.gpu.total_bytes

    def release(self):
        """Releasing the last reference of a context frees everything in it, page-locked memory too."""
        for address in list(self.gpu.host):
            self.gpu.free_host(address)
        self.gpu.released = True
        self.gpu.current = False
