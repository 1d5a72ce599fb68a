"""int8 with a bar: calibrate, equalize, quantize, correct, and keep the fewest layers in floating point that it takes.

quantize          the network in int8 with what was decided and why
layer_losses      what each layer costs: the loss that goes away when it alone stays in floating point

Everything here is measured on calibration and validation cells, never on test cells: those judge the result.
The loss is the mean difference of probabilities, types and findings each as a share of its bar.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.bias_correction import bias_corrected
from convert.calibration import ChannelRange, activation_ranges
from convert.equalization import equalize
from convert.half_storage import stored_in_half
from convert.head_correction import features_of, heads_corrected
from convert.native_memory import give_back_unused_memory
from convert.onnx_graph import bytes_from_onnx
from convert.onnx_session import batch_of
from convert.parity import outputs_of_engine, outputs_of_onnx
from convert.parity_gates import MEAN_DIFFERENCE_BARS, SURE_BAR, SURE_LEAD, TOP1_BAR
from convert.pixel_steps import exact_pixels
from convert.progress import Progress
from convert.qdq_from_onnx import qdq_from_onnx, quantized_values
from edge.engines.base import EngineOutputs
from edge.engines.openvino import open_openvino

# Few images at a time: memory during calibration is that of one inference, whatever the number of cells.
CALIBRATION_BATCH = 4
BIAS_CELLS = 128
SENSITIVITY_CELLS = 96
# More than this in floating point, and int8 is the wrong precision for the network; the certificate then decides.
MOST_FLOAT_LAYERS, MOST_FLOAT_SHARE = 8, 0.25
# Five times what passes: noise of all layers, or a fault; no few layers in floating point mend either.
MOST_LOSS_WORTH_MENDING = 10.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """How int8 agrees with the original on `cells` cells; `sure_agreement` where the first type leads by 0.1."""

    cells: int
    top1_agreement: float
    sure_agreement: float
    mean_abs_dp_types: float
    mean_abs_dp_findings: float

    @property
    def loss(self) -> float:
        """Mean differences as shares of their bars, types and findings added: 2 is the worst that passes."""
        types, findings = MEAN_DIFFERENCE_BARS["int8"]
        return self.mean_abs_dp_types / types + self.mean_abs_dp_findings / findings

    @property
    def passes(self) -> bool:
        """Whether every bar is met."""
        types, findings = MEAN_DIFFERENCE_BARS["int8"]
        return (
            self.top1_agreement >= TOP1_BAR
            and self.sure_agreement >= SURE_BAR
            and self.mean_abs_dp_types <= types
            and self.mean_abs_dp_findings <= findings
        )


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

    `source`: the equalized network in float32.
    """

    def __init__(
        self, graph: onnx.ModelProto, calibration: NDArray[np.uint8], *, threads: int | None, stream: TextIO | None
    ) -> None:
        self._bias_cells = calibration[:: max(1, len(calibration) // BIAS_CELLS)][:BIAS_CELLS]
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


def quantize(
    graph: onnx.ModelProto,
    calibration: NDArray[np.uint8],
    judged: NDArray[np.uint8] | None,
    *,
    float_layers: tuple[str, ...] = (),
    search: bool = True,
    threads: int | None = None,
    stream: TextIO | None = None,
) -> Quantized:
    """Quantize `graph` with the steps of `calibration`, and hold it to the bars on `judged` (both u8 [n,S,S,3]).

    `float_layers` stay in floating point whatever comes out; more are added only while a bar is missed, and none
    without `search`: then the certificate judges int8 as it is. Without `judged` nothing is measured and nothing but
    `float_layers` decided. Raises EdgeError MDSE-CONVERT-021 to -023.
    """
    trial = Int8Trial(graph, calibration, threads=threads, stream=stream)
    if judged is None or not len(judged):
        return Quantized(trial.model(float_layers), trial.source, float_layers, False, None, {})
    judge = Judge(graph, judged, threads, stream)
    plain, better = trial.model(float_layers), trial.model(float_layers, corrected=True)
    before, after = judge.agreement(plain), judge.agreement(better)
    corrected = after.loss < before.loss
    model, found = (better, after) if corrected else (plain, before)
    made = Quantized(model, trial.source, float_layers, corrected, found, {})
    if made.agreement is None or made.agreement.passes:
        return made
    if not search or made.agreement.loss > MOST_LOSS_WORTH_MENDING:
        return made
    return _with_float_layers(trial, judge, made, stream)


def layer_losses(
    trial: Int8Trial, judge: Judge, float_layers: tuple[str, ...], *, corrected: bool, stream: TextIO | None
) -> dict[str, float]:
    """Return, largest first, how much of the loss goes away when one layer more stays in floating point."""
    layers = layers_of(trial.model(float_layers), float_layers)
    few = judge.on_few()
    whole = few.agreement(trial.model(float_layers, corrected=corrected)).loss
    losses = {}
    with Progress("which layers hurt", len(layers), stream) as progress:
        for layer in layers:
            model = trial.model((*float_layers, layer), corrected=corrected)
            losses[layer] = whole - few.agreement(model).loss
            progress.advance()
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def layers_of(model: onnx.ModelProto, float_layers: tuple[str, ...] = ()) -> list[str]:
    """Return the layers whose convolutions are in int8; a separable convolution is one layer."""
    names = [
        node.name.removesuffix("/depthwise").removesuffix("/linear")
        for node in model.graph.node
        if node.op_type == "Conv" and not node.name.startswith(float_layers or ("\0",))
    ]
    return list(dict.fromkeys(names))


def _with_float_layers(trial: Int8Trial, judge: Judge, made: Quantized, stream: TextIO | None) -> Quantized:
    """Add the layer that hurts most until the bars are met, then take back those that turn out not to be needed."""
    losses = layer_losses(trial, judge, made.float_layers, corrected=made.corrected, stream=stream)
    chosen: list[str] = []
    found = made

    def tried(layers: list[str]) -> Quantized:
        names = (*made.float_layers, *layers)
        model = trial.model(names, corrected=made.corrected)
        return Quantized(model, trial.source, names, made.corrected, judge.agreement(model), losses)

    most = min(MOST_FLOAT_LAYERS, math.ceil(MOST_FLOAT_SHARE * len(losses)))
    for layer in [name for name, loss in losses.items() if loss > 0][:most]:
        chosen.append(layer)
        found = tried(chosen)
        if found.agreement is not None and found.agreement.passes:
            break
    else:
        return found
    for layer in chosen[:-1]:
        fewer = tried([name for name in chosen if name != layer])
        if fewer.agreement is not None and fewer.agreement.passes:
            chosen.remove(layer)
            found = fewer
    return found


class Judge:
    """The original's answers for some cells, and the comparison of int8 with them on the CPU engine."""

    def __init__(
        self,
        graph: onnx.ModelProto,
        images: NDArray[np.uint8],
        threads: int | None,
        stream: TextIO | None,
        expected: EngineOutputs | None = None,
    ) -> None:
        self._graph, self._images, self._threads = graph, images, threads
        if expected is None:
            with Progress("original on validation cells", len(images), stream) as progress:
                expected = outputs_of_onnx(graph, images, progress, threads=threads or 0)
        self._expected = expected

    def on_few(self) -> Judge:
        """Return a judge over an even choice of at most SENSITIVITY_CELLS of the cells."""
        rows = np.linspace(0, len(self._images) - 1, min(SENSITIVITY_CELLS, len(self._images))).astype(int)
        of_few = EngineOutputs(*(part[rows] for part in _parts(self._expected)))
        return Judge(self._graph, self._images[rows], self._threads, None, of_few)

    def agreement(self, model: onnx.ModelProto) -> Agreement:
        """Run the int8 model as it will be stored and compare."""
        data, size_px = bytes_from_onnx(stored_in_half(model)), self._images.shape[1]
        engine = open_openvino(data, precision="int8", size_px=size_px, cache_dir=None, threads=self._threads)
        try:
            found = outputs_of_engine(engine, self._images, Progress("", len(self._images), None))
        finally:
            engine.close()
        return agreement_of(self._expected, found)


def agreement_of(expected: EngineOutputs, found: EngineOutputs) -> Agreement:
    """Compare the outputs for the same cells. Where no cell is sure, `sure_agreement` is 1."""
    same = expected.cell_type.argmax(axis=1) == found.cell_type.argmax(axis=1)
    second, first = np.sort(expected.cell_type, axis=1)[:, -2:].T
    sure = first - second > SURE_LEAD
    return Agreement(
        cells=len(same),
        top1_agreement=float(same.mean()),
        sure_agreement=float(same[sure].mean()) if sure.any() else 1.0,
        mean_abs_dp_types=float(np.abs(expected.cell_type - found.cell_type).mean()),
        mean_abs_dp_findings=float(np.abs(expected.findings - found.findings).mean()),
    )


def _parts(outputs: EngineOutputs) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    return outputs.cell_type, outputs.findings, outputs.embedding


def _batches(images: NDArray[np.uint8], progress: Progress) -> Iterator[NDArray[np.uint8]]:
    size = batch_of(images.shape[1], CALIBRATION_BATCH)
    for start in range(0, len(images), size):
        batch = np.ascontiguousarray(images[start : start + size])
        yield batch
        progress.advance(len(batch))
