"""Did the builder keep the types that the network asked for? The answer of the engine inspector, layer by layer.

A layer that was to run in int8 or fp8 and does not makes the plan slower and its certificate untrue, in silence. So the
inspector's JSON is read for every plan, and one such layer is enough to refuse it. The inspector needs a deserialized
plan, hence a GPU.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.errors import EdgeError

_FORMAT = "Format/Datatype"


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of a plan: its name, the ONNX nodes it was fused from, kind, and data types of inputs and outputs."""

    name: str
    made_from: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def layers_from_engine(trt: Any, engine: Any, *, where: str) -> tuple[LayerRow, ...]:
    """Ask the inspector of a deserialized engine. Raises EdgeError MDSE-PLAN-004 when it does not answer."""
    try:
        inspector = engine.create_engine_inspector()
        if inspector is None:
            raise EdgeError("MDSE-PLAN-004", where=where, reason="there is no inspector")
        report = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    except (TypeError, RuntimeError) as error:  # pybind11 raises these in place of None
        raise EdgeError("MDSE-PLAN-004", where=where, reason=str(error)) from error
    return layers_from_json(report, where=where)


def layers_from_json(text: str, *, where: str) -> tuple[LayerRow, ...]:
    """Read the inspector's report; raises EdgeError MDSE-PLAN-004 when it is no report with details."""
    try:
        layers = json.loads(text)["Layers"]
        return tuple(
            LayerRow(
                str(layer["Name"]),
                str(layer.get("Metadata", "")),
                str(layer["LayerType"]),
                tuple(str(tensor[_FORMAT]) for tensor in layer["Inputs"]),
                tuple(str(tensor[_FORMAT]) for tensor in layer["Outputs"]),
            )
            for layer in layers
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"the inspector's report has no details ({type(error).__name__})"
        raise EdgeError("MDSE-PLAN-004", where=where, reason=reason) from error


def require_types(layers: tuple[LayerRow, ...], wanted: Mapping[str, str], *, where: str) -> None:
    """Raise EdgeError MDSE-PLAN-005 unless every wanted layer runs in its type.

    `wanted` maps a layer of the network to "int8" or "fp8" (see `tensorrt_plan.quantized_layers`). A fused layer of the
    plan carries the names of those it was made from.
    """
    lost = []
    for name, type_name in wanted.items():
        whole_name = re.compile(rf"(?<![\w./]){re.escape(name)}(?![\w./])")
        holders = [row for row in layers if whole_name.search(row.name) or whole_name.search(row.made_from)]
        if not any(type_name in data_type.lower() for row in holders for data_type in row.inputs):
            lost.append(f"{name} ({type_name})" if holders else f"{name} (not found)")
    if lost:
        raise EdgeError("MDSE-PLAN-005", where=where, count=len(lost), layers=", ".join(lost[:8]))
