"""The network files of a bundle, derived from the one fp32 graph: int8, float16, and int8 in float16."""

from __future__ import annotations

from typing import Literal

import onnx

from convert.fp16_from_onnx import fp16_from_onnx
from convert.half_storage import stored_in_half
from convert.int8_trial import Quantized
from convert.onnx_check import Precision, check_onnx

Models = dict[Precision, onnx.ModelProto]

FILE_OF: dict[Precision, str] = {
    "int8": "cells.int8.onnx",
    "fp32": "cells.onnx",
    "fp16": "cells.fp16.onnx",
    "int8-fp16": "cells.int8.fp16.onnx",
}


def derive_models(
    graph: onnx.ModelProto,
    quantized: Quantized | None,
    *,
    precision: Literal["fp32", "fp16", "int8"],
    for_gpu: bool,
    with_fp32: bool,
) -> Models:
    """Return the models to be shipped, by precision, those of int8 from `quantized`. Raises MDSE-CONVERT-024."""
    models: Models = {} if quantized is None else {"int8": stored_in_half(quantized.model)}
    if with_fp32:
        models["fp32"] = graph
    if precision != "fp32":
        models["fp16"] = fp16_from_onnx(graph)
    if quantized is not None and for_gpu:
        models["int8-fp16"] = fp16_from_onnx(quantized.model)
    return models


def sources_of(graph: onnx.ModelProto, models: Models, made: Quantized | None) -> Models:
    """Return, for each of the models, the float32 network that it was rounded from: for int8 the equalized one."""
    int8 = graph if made is None else made.source
    return {precision: int8 if precision.startswith("int8") else graph for precision in models}


def check_models(
    models: Models,
    *,
    size_px: int,
    widths: dict[str, int],
    float_layers: tuple[str, ...] = (),
) -> None:
    """Check every file by our own rules. Raises EdgeError MDSE-CONVERT-025."""
    for precision, model in models.items():
        check_onnx(model, precision, size_px=size_px, widths=widths, float_layers=float_layers)
