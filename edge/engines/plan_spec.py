"""What a deserialized plan is: its batch sizes, and whether its inputs and outputs are those of the contract."""

from __future__ import annotations

from typing import Any

from edge.engines.base import INPUT_NAME, OUTPUT_NAMES, EngineSpec
from edge.errors import EdgeError


def profile_of_size(engine: Any, name: str, size_px: int) -> dict[int, int]:
    """Return the profile of each batch size; every profile of ours has one shape only (else MDSE-PLAN-006)."""
    sizes = {}
    for profile in range(engine.num_optimization_profiles):
        least, _, most = (tuple(shape) for shape in engine.get_tensor_profile_shape(INPUT_NAME, profile))
        if least != most or most[1:] != (size_px, size_px, 3):
            raise unusable_plan(name, f"profile {profile} takes {least} to {most}, not one batch of {size_px} px")
        sizes[int(most[0])] = profile
    if not sizes:
        raise unusable_plan(name, "it has no optimization profile")
    return sizes


def spec_from_engine(
    trt: Any, engine: Any, name: str, precision: str, size_px: int, sizes: tuple[int, ...], lanes: int
) -> EngineSpec:
    """Return what the plan is, with names, directions, types and shapes checked against the contract (MDSE-PLAN-006).

    `sizes`: its batch sizes, ascending. `lanes`: how many ways through it the engine makes.
    """
    widths: dict[str, int] = {}
    for index in range(engine.num_io_tensors):
        tensor = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(tensor) == trt.TensorIOMode.INPUT
        kind, shape = engine.get_tensor_dtype(tensor), tuple(engine.get_tensor_shape(tensor))
        if is_input:
            if (tensor, kind, shape[1:]) != (INPUT_NAME, trt.DataType.UINT8, (size_px, size_px, 3)):
                raise unusable_plan(name, f"its input {tensor} is {kind} {shape}")
        elif kind != trt.DataType.FLOAT or len(shape) != 2 or shape[1] < 1:
            raise unusable_plan(name, f"its output {tensor} is {kind} {shape}")
        else:
            widths[tensor] = int(shape[1])
    if set(widths) != set(OUTPUT_NAMES):
        raise unusable_plan(name, f"its outputs are {', '.join(sorted(widths))}, not {', '.join(OUTPUT_NAMES)}")
    return EngineSpec(
        name=name,
        device="gpu",
        precision=precision,
        size_px=size_px,
        max_batch=sizes[-1],
        embedding_dim=widths["embedding"],
        type_count=widths["cell_type"],
        finding_count=widths["findings"],
        batch_sizes=sizes,
        lanes=lanes,
    )


def unusable_plan(name: str, reason: str) -> EdgeError:
    """Return the error of a plan that cannot be used."""
    return EdgeError("MDSE-PLAN-006", where=name, reason=reason)
