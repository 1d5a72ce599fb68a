"""The network prepared for int8 once, and what came of quantizing it.

Int8Trial    calibrated and equalized: gives the model with any layers left in floating point
Quantized    a model that was decided on, with what was measured and why
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.bias_correction import bias_corrected
from convert.calibration import ChannelRange, activation_ranges
from convert.equalization import equalize
from convert.head_correction import features_of, heads_corrected
from convert.int8_agreement import Agreement
from convert.native_memory import give_back_unused_memory
from convert.onnx_session import batch_of
from convert.pixel_steps import exact_pixels
from convert.progress import Progress
from convert.qdq_from_onnx import qdq_from_onnx, quantized_values

# Few images at a time: memory during calibration is that of one inference, whatever the number of cells.
CALIBRATION_BATCH = 4
BIAS_CELLS = 128


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """The network in int8. `layer_losses`: what each layer costs, empty where no layer had to be looked at.

    `source`: the same network in float32 with the channels as int8 has them; what `model` was rounded from.
    """

    model: onnx.ModelProto
    source: onnx.ModelProto
    float_layers: tuple[str, ...]
    corrected: bool
    agreement: Agreement | None
    layer_losses: Mapping[str, float]

    def passes(self) -> bool:
        """Whether every bar of the cells that judged it is met; False where none did."""
        return self.agreement is not None and self.agreement.passes

    def notices(self) -> tuple[str, ...]:
        """Return what a person must know: layers that int8 does without, bars that it misses on validation cells."""
        found, said = self.agreement, []
        if self.float_layers:
            said.append(f"int8 leaves in floating point: {', '.join(self.float_layers)}")
        if found is not None and not found.passes:
            said.append(
                f"int8 misses a bar on {found.cells} validation and calibration cells: top-1 "
                f"{100 * found.top1_agreement:.2f} %, sure {100 * found.sure_agreement:.2f} %, mean difference "
                f"{found.mean_abs_dp_types:.4f} (types) and {found.mean_abs_dp_findings:.4f} (findings)"
            )
        return tuple(said)

    def document(self) -> dict[str, Any]:
        """Return what the certificate says of it; numbers to 6 decimals."""
        found = self.agreement
        return {
            "float_layers": list(self.float_layers),
            "bias_corrected": self.corrected,
            "validation": None
            if found is None
            else {
                "cells": found.cells,
                "top1_agreement": round(found.top1_agreement, 6),
                "sure_agreement": round(found.sure_agreement, 6),
                "mean_abs_dp": {
                    "types": round(found.mean_abs_dp_types, 6),
                    "findings": round(found.mean_abs_dp_findings, 6),
                },
                "passes": found.passes,
            },
            "layer_losses": {name: round(value, 4) for name, value in self.layer_losses.items()},
        }


class Int8Trial:
    """The network prepared for int8 once, so that it can be quantized again with other layers in floating point.

    `calibration`: u8 [N,S,S,3], the types in turn, so that its first cells, by which biases are corrected, are of all.
    `source`: the equalized network in float32.
    """

    def __init__(
        self, graph: onnx.ModelProto, calibration: NDArray[np.uint8], *, threads: int | None, stream: TextIO | None
    ) -> None:
        self._bias_cells = calibration[:BIAS_CELLS]
        self._threads = threads
        self._features: NDArray[np.float64] | None = None
        with Progress("calibrating", len(calibration), stream) as progress:
            found = activation_ranges(
                graph, quantized_values(graph), _batches(calibration, progress), threads=threads or 0
            )
        self.source: onnx.ModelProto
        self._ranges: dict[str, ChannelRange]
        self.source, self._ranges = exact_pixels(*equalize(graph, found))
        give_back_unused_memory()

    def model(self, float_layers: tuple[str, ...] = (), *, corrected: bool = False) -> onnx.ModelProto:
        """Return the explicitly quantized model, with corrected biases where asked."""
        quantized = qdq_from_onnx(self.source, self._ranges, float_layers=float_layers)
        if not corrected:
            return quantized
        cells, threads = self._bias_cells, self._threads or 0
        batches = _batches(cells, Progress("", len(cells), None))
        layers = bias_corrected(self.source, quantized, batches, threads=threads)
        if self._features is None:
            self._features = features_of(self.source, cells, threads=threads)
        return heads_corrected(layers, cells, self._features, threads=threads)


def _batches(images: NDArray[np.uint8], progress: Progress) -> Iterator[NDArray[np.uint8]]:
    size = batch_of(images.shape[1], CALIBRATION_BATCH)
    for start in range(0, len(images), size):
        batch = np.ascontiguousarray(images[start : start + size])
        yield batch
        progress.advance(len(batch))
