"""Which layers cost int8 most, and what composed slides gain when the costliest of them stay in floating point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.composed_slides import changed_cells, composed_slides
from convert.float_layers import layer_losses
from convert.half_storage import stored_in_half
from convert.int8_agreement import Judge
from convert.int8_trial import Int8Trial, Quantized
from convert.onnx_graph import bytes_from_onnx
from convert.parity import outputs_of_engine
from convert.progress import Progress
from edge.engines.base import EngineOutputs
from edge.engines.openvino import open_openvino

FLOAT_LAYER_COUNTS = (4, 8, 12)


def engine_outputs(data: bytes, images: NDArray[np.uint8], precision: str = "int8") -> EngineOutputs:
    """Run a network file in OpenVINO."""
    engine = open_openvino(data, precision=precision, size_px=images.shape[1], cache_dir=None, threads=None)
    try:
        return outputs_of_engine(engine, images, Progress("", len(images), None))
    finally:
        engine.close()


def measured_layers(graph: onnx.ModelProto, pixels: Mapping[str, NDArray[np.uint8]], made: Quantized) -> dict[str, Any]:
    """Measure what each layer costs, in the order of the network."""
    trial = Int8Trial(graph, pixels["calibration"], threads=None, stream=None)
    judge = Judge(graph, pixels["judges"], None, None)
    losses = layer_losses(trial, judge, made.float_layers, corrected=made.corrected, stream=None)
    whole = judge.on_few().agreement(trial.model(made.float_layers, corrected=made.corrected)).loss
    layers = sorted(losses, key=[node.name for node in graph.graph.node].index)
    return {
        "layer_share_of_loss": {name: round(losses[name] / whole, 4) for name in layers},
        "layers_measured": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def with_float_layers(
    graph: onnx.ModelProto,
    pixels: Mapping[str, NDArray[np.uint8]],
    expected: EngineOutputs,
    costliest: Sequence[str],
    *,
    corrected: bool,
) -> dict[str, Any]:
    """Compare composed slides with the first 4, 8 and 12 of the `costliest` layers in floating point."""
    trial, whole = Int8Trial(graph, pixels["calibration"], threads=None, stream=None), len(bytes_from_onnx(graph))
    files = {
        f"{count}_layers": bytes_from_onnx(stored_in_half(trial.model(tuple(costliest[:count]), corrected=corrected)))
        for count in FLOAT_LAYER_COUNTS
    }
    outputs = {name: engine_outputs(data, pixels["test"]) for name, data in files.items()}
    slides = composed_slides(pixels["test"], expected, outputs)
    return {
        name: {
            "size_ratio": round(len(files[name]) / whole, 4),
            "changed_cells": changed_cells(expected, found),
            **slides[name],
        }
        for name, found in outputs.items()
    }


def draw(losses: Mapping[str, float], path: Path) -> None:
    """Draw what each layer costs, in the order of the network."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 3.6), layout="constrained")
    axes.bar(range(len(losses)), [100 * value for value in losses.values()], color="#1f5f8b")
    axes.set_xticks(range(len(losses)), list(losses), rotation=90, fontsize=7)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_ylabel("share of the int8 loss that goes away\nwhen this layer alone stays float (%)", fontsize=8)
    axes.margins(x=0.01)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
