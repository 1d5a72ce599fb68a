"""The TensorRT engine on a strict fake GPU: what only it has, and mistakes planted into it, each of which is caught."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from bundles import SIZE_PX, painted_outputs
from fake_gpu import FakeDriver, FakeGpu, GpuMisuseError
from fake_tensorrt import (
    FakeBuilder,
    FakeConfig,
    FakeContext,
    FakeEngine,
    FakeInspector,
    FakeNetwork,
    FakeParser,
    FakeProfile,
    FakeRuntime,
    FakeTensorRt,
    FakeTimingCache,
    fake_plan,
)

from edge.engines.cuda_device import CudaDevice
from edge.engines.plan_layers import layers_from_json, require_types
from edge.engines.tensorrt import open_tensorrt
from edge.engines.tensorrt_binding import MEMBERS
from edge.errors import EdgeError


def images_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)


def opened(gpu=None, plan=None, device=None, **changes):
    gpu = gpu or FakeGpu()
    given = {"name": "tensorrt", "precision": "fp16", "size_px": SIZE_PX, **changes}
    return open_tensorrt(
        changes.pop("trt", None) or given.pop("trt", None) or FakeTensorRt(gpu),
        device or CudaDevice(FakeDriver(gpu)),
        fake_plan() if plan is None else plan,
        **{name: value for name, value in given.items() if name != "trt"},
    )


def embeddings(engine, batches):
    return np.concatenate([part.embedding for part in engine.infer(batches)])


def test_a_batch_larger_than_the_plan_is_split_and_comes_back_whole():
    engine = opened(max_batch=40)
    images = images_of(40)
    (outputs,) = engine.infer([images])
    np.testing.assert_array_equal(outputs.embedding, painted_outputs(images)["embedding"])
    batches = [images[:33], images[33:34], images[34:]]
    assert [len(part.findings) for part in engine.infer(batches)] == [33, 1, 6]


def test_after_the_first_use_of_a_size_its_recorded_graph_is_replayed():
    gpu = FakeGpu()
    engine = opened(gpu)
    images = images_of(4)
    for _ in range(3):
        np.testing.assert_array_equal(
            embeddings(engine, [images, images]), painted_outputs(np.tile(images, (2, 1, 1, 1)))["embedding"]
        )
    assert len(gpu.graphs) == 2, "one per lane"
    assert gpu.launches == 4, "the first batch of a size ran plainly in each lane"
    embeddings(engine, [images_of(9)])
    assert len(gpu.graphs) == 3


def test_the_copy_of_the_next_batch_is_queued_before_the_earlier_result_is_waited_for():
    gpu = FakeGpu()
    engine = opened(gpu)
    list(engine.infer([images_of(4), images_of(4), images_of(4)]))
    gpu.log.clear()
    list(engine.infer([images_of(4), images_of(4), images_of(4)]))
    order = [name for name in gpu.log if name in ("copy_in", "synchronize_event")]
    assert order == ["copy_in", "copy_in", *["synchronize_event", "copy_in"], "synchronize_event", "synchronize_event"]


def test_outputs_lie_in_page_locked_memory_of_the_receiver_and_outlive_the_engine():
    gpu = FakeGpu()
    engine = opened(gpu)
    images = images_of(3)
    (outputs,) = engine.infer([images])
    assert any(start <= outputs.embedding.ctypes.data < start + block.nbytes for start, block in gpu.host.items())
    list(engine.infer([images_of(3, seed=1)] * 5))
    engine.close()
    np.testing.assert_array_equal(outputs.embedding, painted_outputs(images)["embedding"])
    del outputs
    gc.collect()
    assert gpu.leaks() == {"memory": 0, "host": 0, "streams": 0, "events": 0, "graphs": 0}


def test_a_consumer_that_stops_early_leaves_no_work_that_still_uses_buffers():
    gpu = FakeGpu()
    results = opened(gpu).infer(images_of(2, seed=n) for n in range(5))
    next(results)
    assert any(gpu.streams.values())
    results.close()
    assert not any(gpu.streams.values())


def test_a_gpu_that_is_lost_in_the_middle_is_an_error_with_its_code():
    gpu = FakeGpu()
    engine = opened(gpu)
    results = engine.infer(images_of(4, seed=n) for n in range(6))
    next(results)
    gpu.fail = dict.fromkeys(("copy_in", "synchronize", "synchronize_event"), 719)
    with pytest.raises(EdgeError, match=r"MDSE-GPU-003 Fake GPU: .*\(719\)"):
        list(results)


def test_want_of_working_memory_is_an_error_with_the_numbers():
    gpu = FakeGpu()
    trt = FakeTensorRt(gpu)
    engine = opened(gpu, trt=trt)
    trt.no_context = True
    with pytest.raises(EdgeError, match="MDSE-GPU-002") as caught:
        list(engine.infer([images_of(1)]))
    assert "123456" in str(caught.value)
    assert str(gpu.total_bytes) in str(caught.value)


def test_a_gpu_too_small_for_the_buffers_is_told_when_the_plan_is_opened_and_everything_is_given_back():
    gpu = FakeGpu(total_bytes=10_000)
    with pytest.raises(EdgeError, match="MDSE-GPU-002"):
        opened(gpu)
    gc.collect()
    assert gpu.leaks() == {"memory": 0, "host": 0, "streams": 0, "events": 0, "graphs": 0}


NOTHING = {"memory": 0, "host": 0, "streams": 0, "events": 0, "graphs": 0}


@pytest.mark.parametrize("failure", [TypeError, RuntimeError])
@pytest.mark.parametrize(
    ("owner", "call", "code"),
    [
        # Without a runtime the plan is not to blame: it must not be removed for that.
        (FakeTensorRt, "Runtime", "MDSE-GPU-003"),
        (FakeRuntime, "deserialize_cuda_engine", "MDSE-PLAN-006"),
        (FakeEngine, "create_engine_inspector", "MDSE-PLAN-004"),
        (FakeInspector, "get_engine_information", "MDSE-PLAN-004"),
    ],
)
def test_a_call_that_raises_in_place_of_none_is_an_error_with_its_code_and_everything_is_given_back(
    monkeypatch, owner, call, code, failure
):
    def fails(*_):
        raise failure("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(owner, call, fails)
    gpu = FakeGpu()
    with pytest.raises(EdgeError, match=rf"{code} tensorrt: .*nullptr"):
        opened(gpu, quantized_layers={"conv": "int8"})
    assert gpu.released
    assert gpu.leaks() == NOTHING


def test_a_runtime_that_is_not_made_is_an_error_of_the_gpu_and_not_of_the_plan(monkeypatch):
    monkeypatch.setattr(FakeTensorRt, "Runtime", lambda *_: None)
    gpu = FakeGpu()
    with pytest.raises(EdgeError, match=r"MDSE-GPU-003 tensorrt: .*Runtime: no reason given"):
        opened(gpu)
    assert gpu.leaks() == NOTHING


def test_whatever_interrupts_the_opening_the_device_is_given_back(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeEngine, "get_tensor_name", interrupted)
    gpu = FakeGpu()
    with pytest.raises(KeyboardInterrupt):
        opened(gpu)
    assert gpu.released
    assert gpu.leaks() == NOTHING


@pytest.mark.parametrize(
    "plan",
    [
        b"",
        b"not a plan",
        fake_plan()[:-5],
        fake_plan(size_px=SIZE_PX + 1),
        fake_plan(sizes=()),
        fake_plan(least=1, sizes=(4,)),
        fake_plan(names=["images", "cell_type", "findings"]),
        fake_plan(names=["pixels", "cell_type", "findings", "embedding"]),
    ],
)
def test_a_plan_that_is_not_ours_is_refused_and_the_device_given_back(plan):
    gpu = FakeGpu()
    with pytest.raises(EdgeError, match="MDSE-PLAN-006"):
        opened(gpu, plan)
    assert gpu.released


# ---- planted mistakes: the suite must see each of them


class Without(CudaDevice):
    """A device on which one kind of waiting does nothing."""

    def __init__(self, gpu, missing):
        super().__init__(FakeDriver(gpu))
        setattr(self, missing, lambda *_: None)


def broken_by(make_engine):
    """Tell whether some batch comes out wrong, by value or by misuse."""
    try:
        engine = make_engine()
        for seed in range(3):
            batches = [images_of(n, seed=seed * 10 + n) for n in (4, 16, 4, 3)]
            expected = painted_outputs(np.concatenate(batches))["embedding"]
            if not np.array_equal(embeddings(engine, batches), expected):
                return True
    except (EdgeError, GpuMisuseError):
        return True
    return False


def test_the_sound_engine_passes_the_same_trial():
    assert not broken_by(opened)


@pytest.mark.parametrize("missing", ["synchronize_event", "copy_in", "copy_out", "launch"])
def test_a_missing_synchronization_or_step_is_caught(missing):
    gpu = FakeGpu()
    assert broken_by(lambda: opened(gpu, device=Without(gpu, missing)))


def test_two_lanes_that_compute_at_once_in_one_context_are_caught():
    """The lanes share TensorRT's working memory: without the event between them two batches would mix."""
    gpu = FakeGpu()
    order = []
    whole = FakeContext.execute_async_v3

    class Device(CudaDevice):
        def wait(self, stream, event):
            order.append(("wait", stream))
            super().wait(stream, event)

        def launch(self, graph, stream):
            order.append(("compute", stream))
            super().launch(graph, stream)

    engine = opened(gpu, device=Device(FakeDriver(gpu)))
    list(engine.infer([images_of(4)] * 4))
    order.clear()
    list(engine.infer([images_of(4)] * 4))
    assert whole is FakeContext.execute_async_v3
    assert [kind for kind, _ in order] == ["wait", "compute"] * 4
    assert all(order[i][1] == order[i + 1][1] for i in range(0, 8, 2))


def test_a_use_after_free_is_caught():
    gpu = FakeGpu()

    class Device(CudaDevice):
        def copy_in(self, address, host, stream):
            super().copy_in(address, host, stream)
            self.free(address)

    with pytest.raises(GpuMisuseError, match="queued work still uses it"):
        list(opened(gpu, device=Device(FakeDriver(gpu))).infer([images_of(2)]))


def test_output_memory_that_is_used_again_while_somebody_holds_it_is_caught():
    class Device(CudaDevice):
        def pinned(self, shape, dtype):
            if len(shape) == 2:
                self._kept = getattr(self, "_kept", {})
                return self._kept.setdefault(shape, super().pinned(shape, dtype))
            return super().pinned(shape, dtype)

    gpu = FakeGpu()
    assert broken_by(lambda: opened(gpu, device=Device(FakeDriver(gpu))))


def test_a_wrong_profile_is_caught(monkeypatch):
    whole = FakeContext.set_optimization_profile_async
    monkeypatch.setattr(
        FakeContext, "set_optimization_profile_async", lambda self, profile, stream: whole(self, 0, stream)
    )
    with pytest.raises(EdgeError, match=r"MDSE-GPU-003 tensorrt: .*set_input_shape to 16 images"):
        list(opened().infer([images_of(5)]))


def test_a_buffer_that_is_too_small_for_its_tensor_is_caught():
    gpu = FakeGpu()

    class Device(CudaDevice):
        def allocate(self, size_bytes):
            return super().allocate(size_bytes - 1)

    with pytest.raises((GpuMisuseError, ValueError)):
        list(opened(gpu, device=Device(FakeDriver(gpu))).infer([images_of(16)]))


def test_the_fakes_offer_nothing_that_the_real_library_is_not_asked_for():
    """Each name of the fakes is in the list that the tests compare with the real bindings."""
    for fake, real in (
        (FakeEngine, "ICudaEngine"), (FakeContext, "IExecutionContext"), (FakeInspector, "EngineInspector"),
        (FakeBuilder, "Builder"), (FakeConfig, "IBuilderConfig"), (FakeNetwork, "INetworkDefinition"),
        (FakeProfile, "IOptimizationProfile"), (FakeTimingCache, "ITimingCache"), (FakeParser, "OnnxParser"),
    ):  # fmt: skip
        offered = {name for name in vars(fake) if not name.startswith("_")}
        assert offered <= set(MEMBERS[real]), real


# ---- the layers of a plan


def layer(name, kinds, metadata=""):
    tensors = [{"Name": "x", "Format/Datatype": kind} for kind in kinds]
    return {"Name": name, "LayerType": "CaskConvolution", "Metadata": metadata, "Inputs": tensors, "Outputs": tensors}


def test_a_layer_that_should_run_in_int8_and_does_not_refuses_the_plan():
    layers = [
        layer("conv1 + relu1", ["Thirty-two wide channel vectorized row major Int8 format"]),
        layer("fused", ["Half"], "[ONNX Layer: conv10]"),
    ]
    plan = fake_plan(layers=layers)
    opened(plan=plan, quantized_layers={"conv1": "int8"})
    for wanted in ({"conv10": "int8"}, {"conv1": "fp8"}, {"conv": "int8"}):
        with pytest.raises(EdgeError, match="MDSE-PLAN-005"):
            opened(plan=plan, quantized_layers=wanted)


@pytest.mark.parametrize("text", ["", "{}", '{"Layers": ["conv1"]}', '{"Layers": [{"Name": "conv1"}]}', None])
def test_a_report_without_details_proves_nothing_and_is_refused(text):
    with pytest.raises(EdgeError, match="MDSE-PLAN-004"):
        layers_from_json(text, where="plan")


def test_nothing_is_asked_of_a_plan_in_floating_point():
    require_types((), {}, where="plan")
