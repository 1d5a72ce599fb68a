"""A bundle's network on this machine's GPU: its plan is found, or built, proved on the golden cells and kept.

    open_gpu_engine     the plan that was built here, or one that a trusted bundle carries for exactly this machine
    build_proved_plan   build, prove, keep: what `edge-plan build` and the daemon's plan builder do
    build_foreign_plan  a plan for GPUs that are not here (TensorRT for RTX alone); nothing can prove it here

Proved means every batch size of the plan, in each lane and as the recorded graph: see `edge/golden.py`.

Custody: a plan is code. It is loaded when it was built here by us and is unchanged, or when the bundle that carries it
bears a trusted signature; any other is passed over or removed, and built again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.bundle.digest import sha256_hex
from edge.bundle.reader import Bundle
from edge.engines.choose import EngineChoice
from edge.engines.cuda_device import Device, open_device
from edge.engines.plan_cache import CachedPlan, PlanCache, PlanKey, driver_text, system_text
from edge.engines.tensorrt import TensorRtEngine, open_tensorrt
from edge.engines.tensorrt_binding import load_binding
from edge.engines.tensorrt_plan import BATCH_SIZES, BuiltPlan, PlanRequest, ProgressReport, build_plan
from edge.errors import EdgeError
from edge.golden import GoldenProof, golden_from_bundle, prove_golden


@dataclass(frozen=True, slots=True)
class GpuTools:
    """How to get at TensorRT and the GPU; tests hand in others."""

    binding: Callable[[str], Any] = load_binding
    device: Callable[[], Device] = open_device


TOOLS = GpuTools()


@dataclass(frozen=True, slots=True, eq=False)
class PlanMade:
    """A plan that was built and proved here: where it lies (None: not kept), its key, its proof, seconds and bytes."""

    path: Path | None
    key: PlanKey
    proof: GoldenProof
    build_s: float
    plan_bytes: int
    removed: tuple[str, ...]


def plan_key(
    bundle: Bundle, choice: EngineChoice, trt: Any, device: Device, batch_sizes: tuple[int, ...] = BATCH_SIZES
) -> PlanKey:
    """Return what the plan for this machine depends on."""
    return PlanKey(
        bundle_digest=bundle.digest,
        onnx_sha256=sha256_hex(bundle.read(choice.file)),
        precision=choice.precision,
        batch_sizes=batch_sizes,
        library=choice.library,
        library_version=str(trt.__version__),
        gpu=device.info.name,
        compute_capability=device.info.compute_capability,
        driver=driver_text(device.info),
        system=system_text(),
    )


def open_gpu_engine(
    bundle: Bundle, choice: EngineChoice, plans_dir: Path | None, *, tools: GpuTools = TOOLS
) -> TensorRtEngine:
    """Open the plan of `choice` on the first GPU. Nothing is proved here; see `Model.prove_golden`.

    `plans_dir`: the private folder of plans. None: a plan is built now and not kept, which may take minutes. Raises
    EdgeError MDSE-PLAN-007 where there is no plan yet, MDSE-PLAN-* and MDSE-GPU-* otherwise.
    """
    trt, device = tools.binding(choice.library), tools.device()
    try:
        found, cache, key = _plan_for(bundle, choice, trt, device, plans_dir)
    except BaseException:
        device.close()
        raise
    try:
        return _opened(trt, device, found, bundle, choice)
    except EdgeError as error:
        if cache is not None and error.code == "MDSE-PLAN-006":
            cache.remove(key, error.text)
            raise EdgeError("MDSE-PLAN-007", where=key.digest, folder=str(plans_dir)) from error
        raise


def build_proved_plan(
    bundle: Bundle,
    choice: EngineChoice,
    plans_dir: Path,
    *,
    batch_sizes: tuple[int, ...] = BATCH_SIZES,
    report: ProgressReport = lambda *_: None,
    tools: GpuTools = TOOLS,
) -> PlanMade:
    """Build the plan for this machine, prove it on the golden cells, and only then keep it.

    Raises EdgeError MDSE-PLAN-*, MDSE-GPU-*, MDSE-ENGINE-006 and MDSE-BUNDLE-014 (it computes something else; nothing
    is kept), OSError where the folder cannot be written.
    """
    trt, device = tools.binding(choice.library), tools.device()
    try:
        cache = PlanCache(plans_dir)
        key = plan_key(bundle, choice, trt, device, batch_sizes)
        built = _build(bundle, choice, trt, batch_sizes, cache, report)
    except BaseException:
        device.close()
        raise
    engine = _opened(trt, device, CachedPlan(built.plan, built.quantized_layers), bundle, choice)
    try:
        proof = prove_golden(engine, golden_from_bundle(bundle))
    finally:
        engine.close()
    cache.store_timing_cache(built.timing_cache)
    path = cache.store(key, built.plan, built.quantized_layers, built.build_s)
    return PlanMade(path, key, proof, built.build_s, len(built.plan), tuple(cache.discarded))


def build_foreign_plan(
    bundle: Bundle,
    choice: EngineChoice,
    targets: tuple[str, ...],
    *,
    batch_sizes: tuple[int, ...] = BATCH_SIZES,
    report: ProgressReport = lambda *_: None,
    tools: GpuTools = TOOLS,
) -> BuiltPlan:
    """Build a plan for compute capabilities such as "SM89", on any machine. It is unproved until it has run there."""
    request = PlanRequest(bundle.manifest.image.size, batch_sizes, compute_capabilities=targets)
    return build_plan(
        tools.binding(choice.library), bundle.read(choice.file), request, where=choice.file, report=report
    )


def has_plan(
    bundle: Bundle, choice: EngineChoice, plans_dir: Path, *, carried: bool = True, tools: GpuTools = TOOLS
) -> bool:
    """Tell whether a sound plan for this machine is there; a broken one is removed. Raises EdgeError as the others.

    `carried`: whether one inside the bundle counts, too. Where a plan is wanted although the bundle carries one, that
    one has been tried and is of no use here.
    """
    trt, device = tools.binding(choice.library), tools.device()
    try:
        _plan_for(bundle, choice, trt, device, plans_dir, carried=carried)
    except EdgeError as error:
        if error.code != "MDSE-PLAN-007":
            raise
        return False
    finally:
        device.close()
    return True


def _plan_for(
    bundle: Bundle, choice: EngineChoice, trt: Any, device: Device, plans_dir: Path | None, *, carried: bool = True
) -> tuple[CachedPlan, PlanCache | None, PlanKey]:
    key = plan_key(bundle, choice, trt, device)
    inside = bundle.contents.get(key.bundle_path) if carried and bundle.signed_by_trusted_key else None
    if plans_dir is None:
        if inside is not None:
            return CachedPlan(inside, {}), None, key
        built = _build(bundle, choice, trt, BATCH_SIZES, None, lambda *_: None)
        return CachedPlan(built.plan, built.quantized_layers), None, key
    cache = PlanCache(plans_dir)
    sizes = cache.kept_sizes(key)
    if sizes is not None:
        key = replace(key, batch_sizes=sizes)
    found = cache.load(key)
    if found is None and inside is not None:
        found = CachedPlan(inside, {})
    if found is None:
        raise EdgeError("MDSE-PLAN-007", where=key.digest, folder=str(plans_dir))
    return found, cache, key


def _build(
    bundle: Bundle,
    choice: EngineChoice,
    trt: Any,
    batch_sizes: tuple[int, ...],
    cache: PlanCache | None,
    report: ProgressReport,
) -> BuiltPlan:
    known = cache.timing_cache() if cache else b""
    return build_plan(
        trt,
        bundle.read(choice.file),
        PlanRequest(bundle.manifest.image.size, batch_sizes, timing_cache=known),
        where=choice.file,
        report=report,
        last_build_s=cache.last_build_s() if cache else None,
    )


def _opened(trt: Any, device: Device, plan: CachedPlan, bundle: Bundle, choice: EngineChoice) -> TensorRtEngine:
    return open_tensorrt(
        trt,
        device,
        plan.plan,
        name=choice.library,
        precision=choice.precision,
        size_px=bundle.manifest.image.size,
        quantized_layers=plan.quantized_layers,
    )
