"""The life of a plan: built, proved, kept, found again; removed when it is not what it was, never loaded then."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from bundles import (
    SIZE_PX,
    golden_images,
    painted_outputs,
)
from fake_gpu import FakeGpu
from fake_machine import Machine, gpu_bundle
from fake_tensorrt import FakeContext, FakeTensorRt, fake_plan

from edge.daemon.plan_builder import build
from edge.engines.cuda_driver import DeviceInfo
from edge.engines.plan_cache import PlanCache, driver_text
from edge.engines.tensorrt_plan import PlanRequest, build_plan
from edge.errors import EdgeError
from edge.golden import golden_from_bundle, prove_golden
from edge.gpu_plans import build_proved_plan, has_plan, open_gpu_engine, plan_key


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def planned(tmp_path, machine):
    bundle, choice = gpu_bundle(tmp_path / "bundle")
    made = build_proved_plan(bundle, choice, tmp_path / "plans", tools=machine.tools)
    return bundle, choice, tmp_path / "plans", made


def test_a_plan_is_built_proved_kept_and_found_again(planned, machine):
    bundle, choice, plans, made = planned
    assert made.proof.cells == len(golden_images())
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert plans.stat().st_mode & 0o777 == 0o700
    assert has_plan(bundle, choice, plans, tools=machine.tools)
    engine = open_gpu_engine(bundle, choice, plans, tools=machine.tools)
    assert prove_golden(engine, golden_from_bundle(bundle)).flipped == 0
    assert (engine.spec.device, engine.spec.max_batch, engine.spec.name) == ("gpu", 64, "tensorrt")
    engine.close()
    assert machine.gave_everything_back()


def test_where_no_plan_is_yet_the_engine_does_not_open_and_says_what_to_do(tmp_path, machine):
    bundle, choice = gpu_bundle(tmp_path / "bundle")
    with pytest.raises(EdgeError, match="MDSE-PLAN-007") as caught:
        open_gpu_engine(bundle, choice, tmp_path / "plans", tools=machine.tools)
    assert caught.value.exit_status == 75
    assert machine.gave_everything_back()


def test_without_a_folder_a_plan_is_built_for_this_process_alone(tmp_path, machine):
    bundle, choice = gpu_bundle(tmp_path / "bundle")
    engine = open_gpu_engine(bundle, choice, None, tools=machine.tools)
    images = golden_images()
    (outputs,) = engine.infer([images])
    np.testing.assert_array_equal(outputs.embedding, painted_outputs(images)["embedding"])
    engine.close()


def spoil_truncate(path):
    path.write_bytes(path.read_bytes()[:-3])


def spoil_flip(path):
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(bytes(data))


def spoil_facts(path):
    path.with_suffix(".json").write_text("{}")


def spoil_no_facts(path):
    path.with_suffix(".json").unlink()


def spoil_foreign(path):
    facts = json.loads(path.with_suffix(".json").read_text())
    facts["key"]["gpu"] = "Another GPU"
    path.with_suffix(".json").write_text(json.dumps(facts))


def spoil_link(path):
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "spoil", [spoil_truncate, spoil_flip, spoil_facts, spoil_no_facts, spoil_foreign, spoil_link, os.unlink]
)
@pytest.mark.case("H9")
def test_a_broken_or_foreign_plan_is_removed_and_never_reaches_tensorrt(planned, machine, spoil, monkeypatch):
    bundle, choice, plans, made = planned
    spoil(made.path)
    monkeypatch.setattr("edge.gpu_plans.open_tensorrt", lambda *_, **__: pytest.fail("it was loaded"))
    assert not has_plan(bundle, choice, plans, tools=machine.tools)
    with pytest.raises(EdgeError, match="MDSE-PLAN-007"):
        open_gpu_engine(bundle, choice, plans, tools=machine.tools)
    assert not made.path.exists()
    monkeypatch.undo()
    assert build_proved_plan(bundle, choice, plans, tools=machine.tools).path == made.path


def test_a_plan_that_tensorrt_itself_refuses_is_removed(planned, machine):
    bundle, choice, plans, made = planned
    PlanCache(plans).store(made.key, b"sound on disk, but no plan", {}, 1.0)
    with pytest.raises(EdgeError, match="MDSE-PLAN-007"):
        open_gpu_engine(bundle, choice, plans, tools=machine.tools)
    assert not made.path.exists()
    assert machine.gave_everything_back()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bundle_digest", "0" * 64), ("onnx_sha256", "1" * 64), ("precision", "int8-fp16"), ("batch_sizes", (1,)),
        ("library", "rtx"), ("library_version", "11.0"), ("gpu", "Other"), ("compute_capability", "9.0"),
        ("driver", "580"), ("system", "Linux-aarch64"),
    ],
)  # fmt: skip
def test_whatever_a_plan_depends_on_makes_another_plan(planned, field, value):
    _, _, plans, made = planned
    other = replace(made.key, **{field: value})
    assert other.digest != made.key.digest
    cache = PlanCache(plans)
    assert cache.load(other) is None
    assert cache.load(made.key) is not None


def test_a_new_version_of_tensorrt_finds_no_plan_and_its_own_replaces_the_old_one(planned, tmp_path):
    bundle, choice, plans, made = planned
    newer = Machine("11.4.0")
    assert not has_plan(bundle, choice, plans, tools=newer.tools)
    second = build_proved_plan(bundle, choice, plans, tools=newer.tools)
    assert second.path != made.path
    assert [path.name for path in plans.glob("*.plan")] == [second.path.name]


def test_a_plan_for_smaller_batches_that_was_built_by_hand_is_found(planned, machine):
    bundle, choice, plans, _ = planned
    build_proved_plan(bundle, choice, plans, batch_sizes=(1, 8), tools=machine.tools)
    engine = open_gpu_engine(bundle, choice, plans, tools=machine.tools)
    assert engine.spec.max_batch == 8
    engine.close()


def test_a_plan_that_computes_something_else_is_not_kept(tmp_path, machine):
    wrong = {name: values[::-1].copy() for name, values in painted_outputs(golden_images()).items()}
    bundle, choice = gpu_bundle(tmp_path / "bundle", expected=wrong)
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-014"):
        build_proved_plan(bundle, choice, tmp_path / "plans", tools=machine.tools)
    assert list((tmp_path / "plans").glob("*.plan")) == []
    assert machine.gave_everything_back()


class Kernels:
    """Looks at every execution of a fake plan and lets some of them compute another type for every cell."""

    def __init__(self, monkeypatch):
        self.wrong = lambda size, lane, replayed: False
        self.runs = set()
        honest = FakeContext.execute_async_v3

        def execute(context, stream):
            gpu, size = context.engine.trt.gpu, context.shape[0]
            recording, lane = stream in gpu.capturing, sorted(gpu.streams).index(stream)
            done = honest(context, stream)
            queue = gpu.capturing[stream] if recording else gpu.streams[stream]
            queue[-1]["run"] = self._counted(queue[-1]["run"], context, (size, lane, recording))
            return done

        monkeypatch.setattr(FakeContext, "execute_async_v3", execute)

    def _counted(self, run, context, place):
        gpu, address, (size, *_) = context.engine.trt.gpu, context.addresses["cell_type"], place

        def counted():
            run()
            self.runs.add(place)
            if self.wrong(*place):
                types = np.frombuffer(gpu.at(address, size * 17 * 4), np.float32).reshape(size, 17)
                gpu.at(address, types.nbytes)[:] = np.roll(types, 1, axis=1).tobytes()

        return counted


@pytest.fixture
def kernels(monkeypatch):
    return Kernels(monkeypatch)


EVERY_WAY = {(size, lane, replayed) for size in (1, 16, 64) for lane in (0, 1) for replayed in (False, True)}


def test_every_batch_size_lane_and_replay_answers_the_golden_cells_when_a_plan_is_built_and_at_the_site(
    tmp_path, machine, kernels
):
    bundle, choice = gpu_bundle(tmp_path / "bundle")
    build_proved_plan(bundle, choice, tmp_path / "plans", tools=machine.tools)
    assert kernels.runs == EVERY_WAY
    kernels.runs.clear()
    engine = open_gpu_engine(bundle, choice, tmp_path / "plans", tools=machine.tools)
    assert prove_golden(engine, golden_from_bundle(bundle)).flipped == 0
    assert kernels.runs == EVERY_WAY
    engine.close()


@pytest.mark.parametrize("way", sorted(EVERY_WAY))
def test_a_plan_that_is_wrong_in_one_batch_size_and_lane_alone_is_refused_and_the_size_is_named(
    tmp_path, machine, kernels, way
):
    bundle, choice = gpu_bundle(tmp_path / "bundle")
    kernels.wrong = lambda *place: place == way
    with pytest.raises(EdgeError, match=f"MDSE-BUNDLE-014 .*in batches of {way[0]}[^0-9]"):
        build_proved_plan(bundle, choice, tmp_path / "plans", tools=machine.tools)
    assert list((tmp_path / "plans").glob("*.plan")) == []
    assert machine.gave_everything_back()


def test_a_plan_that_is_wrong_in_one_place_of_its_largest_batch_is_refused(tmp_path, machine, monkeypatch):
    bundle, choice = gpu_bundle(tmp_path / "bundle")
    honest = painted_outputs

    def last_of_64_is_wrong(images):
        outputs = honest(images)
        if len(images) == 64:
            outputs["cell_type"][-1] = np.roll(outputs["cell_type"][-1], 1)
        return outputs

    monkeypatch.setattr("fake_tensorrt.painted_outputs", last_of_64_is_wrong)
    with pytest.raises(EdgeError, match=r"MDSE-BUNDLE-014 .*in batches of 64[^0-9]"):
        build_proved_plan(bundle, choice, tmp_path / "plans", tools=machine.tools)


def carrying_bundle(tmp_path, machine, *, signed_for_us, carried=None):
    bundle, choice = gpu_bundle(tmp_path / "first")
    device = machine.device()
    path = plan_key(bundle, choice, machine.binding("tensorrt"), device).bundle_path
    device.close()
    return gpu_bundle(tmp_path / "second", plans={path: carried or fake_plan((1, 16, 64))}, signed_for_us=signed_for_us)


def test_a_plan_in_a_bundle_is_used_when_a_trusted_key_signed_it(tmp_path, machine):
    bundle, choice = carrying_bundle(tmp_path, machine, signed_for_us=True)
    engine = open_gpu_engine(bundle, choice, tmp_path / "plans", tools=machine.tools)
    assert engine.spec.size_px == SIZE_PX
    engine.close()


@pytest.mark.case("H8")
def test_a_plan_in_a_bundle_that_nobody_vouches_for_is_passed_over(tmp_path, machine):
    bundle, choice = carrying_bundle(tmp_path, machine, signed_for_us=False)
    with pytest.raises(EdgeError, match="MDSE-PLAN-007"):
        open_gpu_engine(bundle, choice, tmp_path / "plans", tools=machine.tools)


def test_where_the_plan_in_a_trusted_bundle_is_of_no_use_our_own_is_built_and_used(tmp_path, machine, monkeypatch):
    bundle, choice = carrying_bundle(tmp_path, machine, signed_for_us=True, carried=b"of another release")
    with pytest.raises(EdgeError, match="MDSE-PLAN-007"):
        open_gpu_engine(bundle, choice, tmp_path / "plans", tools=machine.tools)
    monkeypatch.setattr("edge.bundle.reader.open_bundle", lambda path, *, public_key: bundle)
    monkeypatch.setattr("edge.engines.installed.require_gpu", lambda device: None)
    settings = {"device": "tensorrt", "bundle": "", "public_key": None, "plans": str(tmp_path / "plans")}
    facts = build(settings, lambda *_: None, usable={"tensorrt"}, tools=machine.tools)
    assert facts["golden_cells"] == len(golden_images())
    open_gpu_engine(bundle, choice, tmp_path / "plans", tools=machine.tools).close()


def test_a_folder_into_which_others_can_write_is_refused(tmp_path, machine):
    bundle, choice = gpu_bundle(tmp_path / "bundle")
    plans = tmp_path / "plans"
    plans.mkdir()
    plans.chmod(0o777)
    with pytest.raises(EdgeError, match="MDSE-ENGINE-006"):
        build_proved_plan(bundle, choice, plans, tools=machine.tools)
    assert machine.gave_everything_back()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("Builder", "MDSE-PLAN-003"), ("create_network", "MDSE-PLAN-003"), ("OnnxParser", "MDSE-PLAN-003"),
        ("parse", "MDSE-PLAN-002"), ("create_builder_config", "MDSE-PLAN-003"),
        ("create_optimization_profile", "MDSE-PLAN-003"), ("add_optimization_profile", "MDSE-PLAN-003"),
        ("create_timing_cache", "MDSE-PLAN-003"), ("set_timing_cache", "MDSE-PLAN-003"),
        ("build_serialized_network", "MDSE-PLAN-003"),
    ],
)  # fmt: skip
def test_every_call_that_may_refuse_is_checked(tmp_path, machine, call, code):
    bundle, choice = gpu_bundle(tmp_path / "bundle")
    machine.refuses = {call}
    with pytest.raises(EdgeError, match=code):
        build_proved_plan(bundle, choice, tmp_path / "plans", tools=machine.tools)
    assert machine.gave_everything_back()


def test_what_a_build_learnt_is_given_to_the_next_and_a_foreign_cache_is_left_out():
    trt = FakeTensorRt(FakeGpu())
    request = PlanRequest(SIZE_PX)
    first = build_plan(trt, b"onnx", request, where="test")
    assert (first.timing_cache, first.timing_cache_was_used) == (b"learnt", False)
    again = build_plan(trt, b"onnx", replace(request, timing_cache=first.timing_cache), where="test")
    assert again.timing_cache_was_used
    foreign = build_plan(trt, b"onnx", replace(request, timing_cache=b"foreign"), where="test")
    assert not foreign.timing_cache_was_used


def test_the_next_build_can_say_how_long_the_last_one_took(planned):
    _, _, plans, made = planned
    assert PlanCache(plans).last_build_s() == pytest.approx(made.build_s, abs=0.1)
    assert PlanCache(plans).timing_cache() == b"learnt"


def test_a_driver_update_changes_the_key_even_when_cudas_version_stays(tmp_path):
    info = DeviceInfo("GPU", "8.9", 12080, 1)
    version = tmp_path / "version"
    texts = {driver_text(info, version)}
    for number in ("570.86.15", "570.124.06"):
        version.write_text(f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {number}  Wed Nov 26 2025\n")
        texts.add(driver_text(info, version))
    assert texts == {"12080-unknown", "12080-570.86.15", "12080-570.124.06"}
