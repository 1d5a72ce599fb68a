"""The network files of a bundle, derived from the one fp32 graph: int8, float16, and int8 in float16."""

from __future__ import annotations

from typing import Literal, TextIO

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.fp16_from_onnx import fp16_from_onnx
from convert.half_storage import stored_in_half
from convert.onnx_check import Precision, check_onnx
from convert.quantization import Quantized, quantize

Models = dict[Precision, onnx.ModelProto]

FILE_OF: dict[Precision, str] = {
    "int8": "cells.int8.onnx",
    "fp32": "cells.onnx",
    "fp16": "cells.fp16.onnx",
    "int8-fp16": "cells.int8.fp16.onnx",
}


def derive_models(
    graph: onnx.ModelProto,
    *,
    precision: Literal["fp32", "fp16", "int8"],
    for_gpu: bool,
    with_fp32: bool,
    calibration: NDArray[np.uint8] | None,
    judged: NDArray[np.uint8] | None = None,
    float_layers: tuple[str, ...],
    search: bool = True,
    threads: int | None,
    stream: TextIO | None,
) -> tuple[Models, Quantized | None]:
    """Return the models to be shipped, by precision, and what was decided for int8 (None without int8).

    `calibration`: u8 [N,S,S,3] of real cells, needed for int8, where `float_layers` stay in floating point. `judged`:
    cells on which int8 is held to the bars, `search` whether further layers may be taken out of int8 for them; see
    `convert.quantization.quantize`.

    Raises EdgeError MDSE-CONVERT-021, -022, -024.
    """
    models: Models = {}
    made = None
    if precision == "int8" and calibration is not None:
        made = quantize(
            graph, calibration, judged, float_layers=float_layers, search=search, threads=threads, stream=stream
        )
        models["int8"] = stored_in_half(made.model)
    if with_fp32:
        models["fp32"] = graph
    if precision != "fp32":
        models["fp16"] = fp16_from_onnx(graph)
    if made is not None and for_gpu:
        models["int8-fp16"] = fp16_from_onnx(made.model)
    return models, made


def sources_of(graph: onnx.ModelProto, models: Models, made: Quantized | None) -> Models:
    """Return, for each of the models, the float32 network that it was rounded from: for int8 the equalized one."""
    int8 = graph if made is None else made.source
    return {precision: int8 if precision.startswith("int8") else graph for precision in models}


def quantized_model(
    graph: onnx.ModelProto,
    calibration: NDArray[np.uint8],
    *,
    float_layers: tuple[str, ...] = (),
    threads: int | None = None,
    stream: TextIO | None = None,
) -> onnx.ModelProto:
    """Return the network in int8 with the steps of `calibration`, nothing measured and nothing corrected."""
    return quantize(graph, calibration, None, float_layers=float_layers, threads=threads, stream=stream).model


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
