"""What int8 costs on real cells, and which layers cost it: every figure of docs/conversion.md, part "quantization".

    python -m benchmarks.quantization CELLS     # writes benchmarks/quantization.json and docs/images/int8_layers.png
    python -m benchmarks.quantization CELLS --keep-layers   # all but the layers, whose figures and picture stay

CELLS: the folder of labelled real cells. The network is the demo network rebuilt from its half-precision file
(tests/real/demo_network.py). int8 is calibrated and judged on splits 2-7 and measured on the test split, 0-1, that
nothing was chosen on; the layers are compared on validation cells.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.composed_slides import SLIDE_BARS, changed_cells, composed_slides, parts_of_int8
from benchmarks.quantized_layers import draw, engine_outputs, measured_layers, with_float_layers
from convert.calibration import activation_ranges
from convert.calibration_audit import audit_calibration
from convert.calibration_cells import choose_cells
from convert.cell_pixels import pixels_from_cells
from convert.half_storage import stored_in_half
from convert.int8_agreement import Agreement, agreement_of
from convert.onnx_from_keras import onnx_from_keras, origin_from_keras
from convert.onnx_graph import bytes_from_onnx
from convert.parity import outputs_of_onnx
from convert.progress import Progress
from convert.qdq_from_onnx import qdq_from_onnx, quantized_values
from convert.quantization import quantize
from edge.catalogue import load_catalogue
from edge.demo import DEMO_BUNDLE
from edge.engines.base import EngineOutputs
from tests.real.demo_network import NOTE, demo_network
from tests.real.worsened_network import worsened_network

REPOSITORY = Path(__file__).resolve().parent.parent
WRITTEN = REPOSITORY / "benchmarks" / "quantization.json"
PICTURE = REPOSITORY / "docs" / "images" / "int8_layers.png"
QUIET = Progress("", 1, None)
BARS = {
    "top1_agreement": ">= 0.990",
    "sure_agreement": ">= 0.997",
    "mean_abs_dp_types": "<= 0.002",
    "mean_abs_dp_findings": "<= 0.010",
    "size_ratio": "<= 0.27",
    "openvino_and_onnxruntime_top1": ">= 0.999",
    "worsened_top1_agreement": ">= 0.985",
}


def shown(agreement: Agreement) -> dict[str, Any]:
    """Return an agreement as numbers of the report."""
    return {
        "cells": agreement.cells,
        "top1_agreement": round(agreement.top1_agreement, 5),
        "sure_agreement": round(agreement.sure_agreement, 5),
        "mean_abs_dp_types": round(agreement.mean_abs_dp_types, 6),
        "mean_abs_dp_findings": round(agreement.mean_abs_dp_findings, 6),
    }


def runtimes(model: onnx.ModelProto, images: NDArray[np.uint8]) -> dict[str, Any]:
    """Compare OpenVINO and ONNX Runtime (both as they come, all optimizations on) on the same int8 file."""
    first, second = engine_outputs(bytes_from_onnx(model), images), outputs_of_onnx(model, images, QUIET)
    return {
        "top1": float((first.cell_type.argmax(axis=1) == second.cell_type.argmax(axis=1)).mean()),
        "largest_difference_of_features": float(np.abs(first.embedding - second.embedding).max()),
        "largest_difference_of_probabilities": float(np.abs(first.cell_type - second.cell_type).max()),
    }


def worsened(
    graph: onnx.ModelProto,
    pixels: Mapping[str, NDArray[np.uint8]],
    expected: EngineOutputs,
) -> dict[str, Any]:
    """The same network with depthwise channels rescaled by random powers of two, with and without equalization."""
    harsh = worsened_network(graph)
    calibration = pixels["calibration"]
    batches = (calibration[start : start + 4] for start in range(0, len(calibration), 4))
    unequal = qdq_from_onnx(harsh, activation_ranges(harsh, quantized_values(harsh), batches))
    equal = quantize(harsh, calibration, pixels["judges"])[0].model
    return {
        name: shown(agreement_of(expected, engine_outputs(bytes_from_onnx(stored_in_half(model)), pixels["test"])))
        for name, model in (("as_converted", equal), ("without_equalization", unequal))
    }


def measured(cells: Path, kept_layers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Measure everything; `kept_layers` are earlier figures of the layers, None where they are to be measured."""
    catalogue = load_catalogue()
    chosen = choose_cells(cells, catalogue)
    groups = {"calibration": chosen.calibration, "judges": chosen.judges(), "test": chosen.parity}
    size_px = int(json.loads((DEMO_BUNDLE / "manifest.json").read_bytes())["image"]["size"])
    pixels = {name: pixels_from_cells(group, size_px) for name, group in groups.items()}
    graph = onnx_from_keras(origin_from_keras(demo_network()))
    expected = outputs_of_onnx(graph, pixels["test"], QUIET)
    made, _ = quantize(graph, pixels["calibration"], pixels["judges"])
    model = stored_in_half(made.model)
    found = engine_outputs(bytes_from_onnx(model), pixels["test"])
    committed = engine_outputs((DEMO_BUNDLE / "cells.int8.onnx").read_bytes(), pixels["test"])
    layers = measured_layers(graph, pixels, made) if kept_layers is None else kept_layers
    costliest = sorted(layers["layer_share_of_loss"], key=lambda name: -layers["layer_share_of_loss"][name])
    return {
        "network": NOTE,
        "int8": {
            **shown(agreement_of(expected, found)),
            "size_ratio": round(len(bytes_from_onnx(model)) / len(bytes_from_onnx(graph)), 4),
            "openvino_and_onnxruntime": runtimes(model, pixels["test"]),
            "decided": {key: value for key, value in made.document().items() if key != "layer_losses"},
        },
        "int8_of_the_committed_demo_bundle": {
            **shown(agreement_of(expected, committed)),
            "openvino_and_onnxruntime": runtimes(onnx.load(DEMO_BUNDLE / "cells.int8.onnx"), pixels["test"]),
        },
        "worsened_depthwise": worsened(graph, pixels, expected),
        "composed_slides": {
            "changed_cells": changed_cells(expected, found),
            "bars": SLIDE_BARS,
            **composed_slides(pixels["test"], expected, parts_of_int8(expected, found)),
            "with_the_costliest_in_floating_point": with_float_layers(
                graph, pixels, expected, costliest, corrected=made.corrected
            ),
        },
        **layers,
        "calibration_cells": audit_calibration(
            pixels["calibration"], [cell.cell_type for cell in chosen.calibration], catalogue.type_codes
        ).document(),
    }


def main() -> None:
    """Measure, write and draw."""
    reader = argparse.ArgumentParser(description="What int8 costs on real cells, and which layers cost it.")
    reader.add_argument("cells", type=Path, metavar="CELLS")
    reader.add_argument("--keep-layers", action="store_true", help="keep the figures of the layers: they take long")
    options = reader.parse_args()
    kept = None
    if options.keep_layers:
        before = json.loads(WRITTEN.read_text(encoding="utf-8"))
        kept = {
            "layer_share_of_loss": before["layer_share_of_loss"],
            "layers_measured": before.get("layers_measured", before["measured"]),
        }
    document = {
        "command": "python -m benchmarks.quantization CELLS",
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} processors, {platform.machine()}, load {os.getloadavg()[0]:.1f}",
        "versions": {name: metadata.version(name) for name in ("openvino", "onnxruntime", "onnx", "keras", "numpy")},
        "bars": BARS,
        **measured(options.cells, kept),
    }
    WRITTEN.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if kept is None:
        draw(document["layer_share_of_loss"], PICTURE)
    print(json.dumps({key: document[key] for key in ("int8", "composed_slides", "worsened_depthwise")}, indent=1))


if __name__ == "__main__":
    main()
