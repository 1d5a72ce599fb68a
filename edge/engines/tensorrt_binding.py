"""The two TensorRT libraries, behind one door. The only file that imports tensorrt or tensorrt_rtx.

    load_binding("tensorrt" | "rtx")   the module, when every member that we use is there
    installed_libraries()              which of the two this installation has; nothing is imported

`tensorrt` (10.13 to 11.x) builds plans for one GPU model on that GPU. `tensorrt_rtx` (1.7 on) builds without a GPU, for
the RTX generations it knows. Both offer the same calls; whoever needs them takes the module as a parameter.

The network's types stand in the ONNX file (strongly typed networks), so neither precision flags nor calibrators are
used: those were removed in TensorRT 11.0.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

from edge.errors import EdgeError

LibraryName = Literal["tensorrt", "rtx"]
MODULE_OF: dict[str, str] = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
EXTRA_OF: dict[str, str] = {"tensorrt": "gpu", "rtx": "rtx"}

MEMBERS: dict[str, tuple[str, ...]] = {
    "": ("__version__",),
    "ILogger": ("log", "ERROR", "WARNING"),
    "Builder": ("create_network", "create_builder_config", "create_optimization_profile", "build_serialized_network"),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
    "INetworkDefinition": ("num_inputs", "get_input", "num_outputs", "get_output", "num_layers", "get_layer"),
    "ILayer": ("name", "type", "get_input", "num_outputs", "get_output"),
    "ITensor": ("name", "dtype", "shape"),
    "LayerType": ("CONVOLUTION", "MATRIX_MULTIPLY", "DEQUANTIZE"),
    "DataType": ("UINT8", "FLOAT", "INT8", "FP8"),
    "OnnxParser": ("parse", "num_errors", "get_error"),
    "ParserError": ("desc", "node_name"),
    "IBuilderConfig": (
        "set_memory_pool_limit",
        "profiling_verbosity",
        "builder_optimization_level",
        "add_optimization_profile",
        "create_timing_cache",
        "set_timing_cache",
        "get_timing_cache",
    ),
    "ITimingCache": ("serialize",),
    "MemoryPoolType": ("WORKSPACE",),
    "ProfilingVerbosity": ("DETAILED",),
    "IOptimizationProfile": ("set_shape",),
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": (
        "num_io_tensors",
        "get_tensor_name",
        "get_tensor_mode",
        "get_tensor_dtype",
        "get_tensor_shape",
        "num_optimization_profiles",
        "get_tensor_profile_shape",
        "device_memory_size_v2",
        "create_execution_context",
        "create_engine_inspector",
    ),
    "TensorIOMode": ("INPUT", "OUTPUT"),
    "IExecutionContext": (
        "set_optimization_profile_async",
        "set_input_shape",
        "set_tensor_address",
        "execute_async_v3",
    ),
    "EngineInspector": ("get_engine_information",),
    "LayerInformationFormat": ("JSON",),
}
"""Every member of the libraries that this product uses, by class; "" is the module itself."""

RTX_MEMBERS: dict[str, tuple[str, ...]] = {
    "IBuilderConfig": ("num_compute_capabilities", "set_compute_capability"),
    "ComputeCapability": ("SM80", "SM86", "SM89", "SM120"),
}
"""What only TensorRT for RTX offers: plans for GPUs that are not there."""


def installed_libraries() -> tuple[str, ...]:
    """Return which of "tensorrt" and "rtx" are installed, in the order of preference."""
    return tuple(name for name, module in MODULE_OF.items() if find_spec(module) is not None)


def load_binding(library: str) -> Any:
    """Import a library and check that it offers what we use.

    Raises EdgeError MDSE-PLAN-001 where it is not installed, cannot be loaded, or lacks a member.
    """
    try:
        if library == "rtx":
            import tensorrt_rtx as binding
        else:
            import tensorrt as binding
    except (ImportError, OSError) as error:
        raise EdgeError("MDSE-PLAN-001", where=library, reason=str(error), extra=EXTRA_OF[library]) from error
    missing = missing_members(binding, MEMBERS)
    if missing:
        reason = f"version {binding.__version__} lacks {', '.join(missing)}"
        raise EdgeError("MDSE-PLAN-001", where=library, reason=reason, extra=EXTRA_OF[library])
    return binding


def missing_members(binding: Any, members: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the members that a binding lacks, as `Class.member`."""
    missing = []
    for owner, names in members.items():
        holder = getattr(binding, owner, None) if owner else binding
        missing += [f"{owner}.{name}".strip(".") for name in names if not hasattr(holder, name)]
    return missing
