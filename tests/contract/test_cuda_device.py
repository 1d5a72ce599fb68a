"""Every way to CUDA keeps the same contract: counted memory, ordered streams, replayed graphs, errors with numbers.

Here the GPU is a strict fake, once behind a plain driver and once behind the manners of each library. Where a real GPU
and a real library are at hand, the same tests run on them.
"""

from __future__ import annotations

import gc
from importlib.util import find_spec

import numpy as np
import pytest
from fake_cuda_modules import FakeCudaPython, FakeLibcuda, FakePycuda
from fake_gpu import FakeDriver, FakeGpu, GpuMisuseError
from gpu_libraries import library_folder, run_with

from edge.engines.cuda_device import CudaDevice
from edge.engines.cuda_driver import CudaCallError, probe_cuda
from edge.engines.cuda_pycuda import PycudaDriver, open_pycuda_driver
from edge.engines.cuda_python import CudaPythonDriver, open_cuda_python_driver
from edge.errors import EdgeError

FAKES = {
    "plain": FakeDriver,
    "pycuda": lambda gpu: PycudaDriver(FakePycuda(gpu), FakeLibcuda(gpu)),
    "cuda-python": lambda gpu: CudaPythonDriver(FakeCudaPython(gpu)),
}
REAL = {"pycuda": open_pycuda_driver, "cuda-python": open_cuda_python_driver}


@pytest.fixture(params=[*FAKES, "real pycuda", "real cuda-python"])
def device(request):
    if request.param.startswith("real "):
        name = request.param.removeprefix("real ")
        why_not = probe_cuda() or ("" if find_spec(name.replace("-python", "")) else f"{name} is not installed")
        if why_not:
            pytest.skip(f"needs a GPU and {name}: {why_not}")
        opened = CudaDevice(REAL[name]())
    else:
        opened = CudaDevice(FAKES[request.param](FakeGpu()))
    yield opened
    opened.close()


@pytest.fixture(params=FAKES)
def faked(request):
    gpu = FakeGpu()
    return gpu, CudaDevice(FAKES[request.param](gpu))


def round_trip(device, values):
    stream, address = device.stream(), device.allocate(values.nbytes)
    source, target = device.pinned(values.shape, values.dtype), device.pinned(values.shape, values.dtype)
    source[...] = values
    target[...] = 0
    device.copy_in(address, source, stream)
    device.copy_out(target, address, stream)
    device.synchronize(stream)
    device.free(address)
    return target


def test_what_is_copied_in_comes_out_again(device):
    values = np.arange(6000, dtype=np.float32).reshape(60, 100)
    np.testing.assert_array_equal(round_trip(device, values), values)


def test_a_device_says_what_it_is(device):
    assert device.info.name
    assert device.info.total_bytes > 0
    assert float(device.info.compute_capability) >= 5.0
    assert device.info.driver_version >= 11000


def test_memory_is_counted_while_it_is_ours(device):
    before = device.memory()
    address = device.allocate(1 << 20)
    held = device.pinned((1 << 10,), np.uint8)
    during = device.memory()
    assert during.device_bytes == before.device_bytes + (1 << 20)
    assert during.pinned_bytes == before.pinned_bytes + held.nbytes
    assert during.free_bytes <= before.free_bytes
    device.free(address)
    assert device.memory().device_bytes == before.device_bytes


def test_a_stream_waits_for_the_event_of_another(device):
    first, second, event = device.stream(), device.stream(), device.event()
    address = device.allocate(4096)
    source, target = device.pinned((4096,), np.uint8), device.pinned((4096,), np.uint8)
    source[...], target[...] = 7, 0
    device.copy_in(address, source, first)
    device.record(event, first)
    device.wait(second, event)
    device.copy_out(target, address, second)
    device.synchronize(second)
    assert set(target.tolist()) == {7}


def test_waiting_for_an_event_waits_for_the_work_before_it(device):
    stream, event, address = device.stream(), device.event(), device.allocate(64)
    source, target = device.pinned((64,), np.uint8), device.pinned((64,), np.uint8)
    source[...], target[...] = 9, 0
    device.copy_in(address, source, stream)
    device.copy_out(target, address, stream)
    device.record(event, stream)
    device.synchronize_event(event)
    assert set(target.tolist()) == {9}


def test_recorded_work_runs_at_each_launch_and_not_before(device):
    stream, address = device.stream(), device.allocate(64)
    source, target = device.pinned((64,), np.uint8), device.pinned((64,), np.uint8)
    source[...], target[...] = 1, 0
    device.begin_capture(stream)
    device.copy_in(address, source, stream)
    device.copy_out(target, address, stream)
    graph = device.end_capture(stream)
    device.synchronize(stream)
    assert set(target.tolist()) == {0}
    for value in (3, 5):
        source[...] = value
        device.launch(graph, stream)
        device.synchronize(stream)
        assert set(target.tolist()) == {value}


def test_page_locked_memory_is_used_again_when_nobody_holds_it(device):
    first = device.pinned((100, 3), np.float32)
    view = first[10:]
    address = first.ctypes.data
    del first
    gc.collect()
    assert device.pinned((100, 3), np.float32).ctypes.data != address, "a view still holds the first block"
    del view
    gc.collect()
    assert device.pinned((100, 3), np.float32).ctypes.data == address


def test_page_locked_arrays_outlive_the_device_that_lent_them(device):
    values = np.arange(100, dtype=np.float32)
    kept = round_trip(device, values)
    device.close()
    device.close()
    np.testing.assert_array_equal(kept, values)


def test_a_copy_that_does_not_fit_is_an_error_of_ours(device):
    stream, address = device.stream(), device.allocate(64)
    with pytest.raises(ValueError, match="65 bytes"):
        device.copy_in(address, device.pinned((65,), np.uint8), stream)
    with pytest.raises(ValueError, match="contiguous"):
        device.copy_out(device.pinned((8, 8), np.uint8)[:, :4], address, stream)


def test_more_memory_than_there_is_is_an_error_with_the_numbers(device):
    held = device.allocate(1 << 20)
    asked = 1 << 50
    with pytest.raises(EdgeError, match="MDSE-GPU-002") as caught:
        device.allocate(asked)
    assert str(asked) in str(caught.value)
    assert str(device.info.total_bytes) in str(caught.value)
    assert str(1 << 20) in str(caught.value)
    device.free(held)


# ---- what only a fake can show


def test_closing_gives_everything_back_and_the_context_last(faked):
    gpu, device = faked
    kept = round_trip(device, np.ones(10, np.uint8))
    stream = device.stream()
    device.event()
    device.begin_capture(stream)
    device.end_capture(stream)
    device.allocate(100)
    device.close()
    assert gpu.leaks() == {"memory": 0, "host": 1, "streams": 0, "events": 0, "graphs": 0}
    assert not gpu.released, "releasing the context would free the array that somebody holds"
    assert kept.sum() == 10
    del kept
    gc.collect()
    assert gpu.leaks()["host"] == 0
    assert gpu.released


@pytest.mark.parametrize("call", ["copy_in", "synchronize", "record", "launch", "begin_capture"])
def test_every_result_code_is_checked(faked, call):
    gpu, device = faked
    stream, event, address = device.stream(), device.event(), device.allocate(8)
    host = device.pinned((8,), np.uint8)
    device.begin_capture(stream)
    graph = device.end_capture(stream)
    doing = {
        "copy_in": lambda: device.copy_in(address, host, stream),
        "synchronize": lambda: device.synchronize(stream),
        "record": lambda: device.record(event, stream),
        "launch": lambda: device.launch(graph, stream),
        "begin_capture": lambda: device.begin_capture(stream),
    }[call]
    gpu.fail[call] = 719
    with pytest.raises(EdgeError, match="MDSE-GPU-003"):
        doing()


def test_a_failure_while_allocating_that_is_not_want_of_memory_is_not_called_so(faked):
    gpu, device = faked
    gpu.fail["allocate"] = 719
    with pytest.raises(EdgeError, match="MDSE-GPU-003"):
        device.allocate(8)


def test_the_fake_itself_catches_misuse():
    gpu = FakeGpu()
    driver = FakeDriver(gpu)
    stream, address, host = driver.create_stream(), driver.allocate(8), driver.allocate_host(8)
    driver.copy_in(address, host, 8, stream)
    with pytest.raises(GpuMisuseError, match="queued work still uses it"):
        driver.free(address)
    with pytest.raises(GpuMisuseError, match="use after free"):
        driver.synchronize(stream)
    with pytest.raises(GpuMisuseError, match="page-locked"):
        driver.copy_in(driver.allocate(8), np.zeros(8, np.uint8).ctypes.data, 8, stream)
    driver.begin_capture(stream)
    with pytest.raises(CudaCallError, match="capturing"):
        driver.allocate(8)


def test_a_machine_without_a_driver_is_told_and_not_crashed():
    assert "not installed" in probe_cuda("libcuda-that-is-not-there.so.1")


def test_every_call_of_cuda_python_exists_in_the_real_library():
    members = [
        "cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease", "cuDeviceGetAttribute",
        "cuDeviceGetName", "cuDeviceTotalMem", "cuDriverGetVersion", "cuMemGetInfo", "cuCtxSetCurrent",
        "cuStreamBeginCapture", "cuGraphInstantiate", "cuGraphDestroy", "cuMemHostAlloc", "cuStreamCreate",
        "cuEventCreate", "cuStreamWaitEvent", *FakeCudaPython._SAME,
    ]  # fmt: skip
    code = "from cuda.bindings import driver as cuda\n"
    code += f"print([name for name in {members!r} if not hasattr(cuda, name)])\n"
    code += "print(cuda.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR.value,"
    code += " int(cuda.CUstream_flags.CU_STREAM_NON_BLOCKING), int(cuda.CUevent_flags.CU_EVENT_DISABLE_TIMING),"
    code += " int(cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), int(cuda.CUresult(2)))"
    assert run_with(code, library_folder("cuda-python")).split("\n")[:2] == ["[]", "75 1 2 1 2"]
