"""int8 with a bar: calibrate, equalize, quantize, correct, and keep the fewest layers in floating point that it takes.

Everything here is measured on calibration and validation cells, never on test cells: those judge the result.
"""

from __future__ import annotations

from typing import TextIO

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.float_layers import FloatLayerSearch, layers_from_beginnings
from convert.int8_agreement import Judge
from convert.int8_trial import Int8Trial, Quantized


def quantize(
    graph: onnx.ModelProto,
    calibration: NDArray[np.uint8],
    judged: NDArray[np.uint8] | None,
    *,
    float_layers: tuple[str, ...] = (),
    search: bool = True,
    threads: int | None = None,
    stream: TextIO | None = None,
) -> tuple[Quantized, FloatLayerSearch | None]:
    """Quantize `graph` with the steps of `calibration`, and hold it to the bars on `judged` (both u8 [n,S,S,3]).

    Layers whose name begins with one of `float_layers` stay in floating point whatever comes out; more are added only
    while a bar is missed, and none without `search`: then the certificate judges int8 as it is. Without `judged`
    nothing is measured and nothing but `float_layers` decided. Returned beside the network: what takes further layers
    out of int8, where the certificate asks for it; None where nothing may be searched. Raises EdgeError
    MDSE-CONVERT-021 to -023, -044.
    """
    float_layers = layers_from_beginnings(graph, float_layers) if float_layers else ()
    trial = Int8Trial(graph, calibration, threads=threads, stream=stream)
    if judged is None or not len(judged):
        return Quantized(trial.model(float_layers), trial.source, float_layers, False, None, {}), None
    judge = Judge(graph, judged, threads, stream)
    plain, better = trial.model(float_layers), trial.model(float_layers, corrected=True)
    before, after = judge.agreement(plain), judge.agreement(better)
    corrected = after.loss < before.loss
    model, found = (better, after) if corrected else (plain, before)
    made = Quantized(model, trial.source, float_layers, corrected, found, {})
    if not search:
        return made, None
    further = FloatLayerSearch(trial, judge, float_layers, stream)
    return further.until_bars_are_met(made), further


def quantized_model(
    graph: onnx.ModelProto,
    calibration: NDArray[np.uint8],
    *,
    float_layers: tuple[str, ...] = (),
    threads: int | None = None,
    stream: TextIO | None = None,
) -> onnx.ModelProto:
    """Return the network in int8 with the steps of `calibration`, nothing measured and nothing corrected."""
    return quantize(graph, calibration, None, float_layers=float_layers, threads=threads, stream=stream)[0].model
