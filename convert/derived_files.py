"""The network files of a bundle, derived from the one fp32 graph: int8, float16, and int8 in float16."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TextIO

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.calibration import activation_ranges
from convert.equalization import equalize
from convert.fp16_from_onnx import fp16_from_onnx
from convert.half_storage import stored_in_half
from convert.onnx_check import Precision, check_onnx
from convert.pixel_steps import exact_pixels
from convert.progress import Progress
from convert.qdq_from_onnx import qdq_from_onnx, quantized_values

FILE_OF: dict[Precision, str] = {
    "int8": "cells.int8.onnx",
    "fp32": "cells.onnx",
    "fp16": "cells.fp16.onnx",
    "int8-fp16": "cells.int8.fp16.onnx",
}
# Few images at a time: memory during calibration is that of one inference, whatever the number of cells.
_CALIBRATION_BATCH = 4


def derive_models(
    graph: onnx.ModelProto,
    *,
    precision: Literal["fp32", "fp16", "int8"],
    for_gpu: bool,
    with_fp32: bool,
    calibration: NDArray[np.uint8] | None,
    float_layers: tuple[str, ...],
    threads: int | None,
    stream: TextIO | None,
) -> dict[Precision, onnx.ModelProto]:
    """Return the models to be shipped, by precision.

    `calibration`: u8 [N,S,S,3] of real cells, needed for int8, where `float_layers` stay in floating point.

    Raises EdgeError MDSE-CONVERT-021, -022, -024.
    """
    models: dict[Precision, onnx.ModelProto] = {}
    quantized = None
    if precision == "int8" and calibration is not None:
        quantized = quantized_model(graph, calibration, float_layers=float_layers, threads=threads, stream=stream)
        models["int8"] = stored_in_half(quantized)
    if with_fp32:
        models["fp32"] = graph
    if precision != "fp32":
        models["fp16"] = fp16_from_onnx(graph)
    if quantized is not None and for_gpu:
        models["int8-fp16"] = fp16_from_onnx(quantized)
    return models


def quantized_model(
    graph: onnx.ModelProto,
    calibration: NDArray[np.uint8],
    *,
    float_layers: tuple[str, ...] = (),
    threads: int | None = None,
    stream: TextIO | None = None,
) -> onnx.ModelProto:
    """Calibrate, equalize and quantize. The ranges after equalization follow from those before; one pass suffices."""
    with Progress("calibrating", len(calibration), stream) as progress:
        ranges = activation_ranges(
            graph, quantized_values(graph), _batches(calibration, progress), threads=threads or 0
        )
    return qdq_from_onnx(*exact_pixels(*equalize(graph, ranges)), float_layers=float_layers)


def check_models(
    models: dict[Precision, onnx.ModelProto],
    *,
    size_px: int,
    widths: dict[str, int],
    float_layers: tuple[str, ...] = (),
) -> None:
    """Check every file by our own rules. Raises EdgeError MDSE-CONVERT-025."""
    for precision, model in models.items():
        check_onnx(model, precision, size_px=size_px, widths=widths, float_layers=float_layers)


def _batches(images: NDArray[np.uint8], progress: Progress) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), _CALIBRATION_BATCH):
        batch = np.ascontiguousarray(images[start : start + _CALIBRATION_BATCH])
        yield batch
        progress.advance(len(batch))
