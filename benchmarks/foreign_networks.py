"""How exactly networks that this repository did not define are converted: every one against Keras, and in int8.

    python -m benchmarks.foreign_networks     # writes benchmarks/foreign_networks.json

The weights are random (no trained ones are fetched), so nothing is said of accuracy: only that the graph is the
network. An untrained body blows up the last digits of float32; the same graph in two runtimes shows how much of the
difference is that and not the conversion.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from convert.derived_files import check_models, derive_models
from convert.keras_model import load_keras_model
from convert.onnx_from_keras import keras_outputs, onnx_from_keras, origin_from_keras
from convert.onnx_graph import bytes_from_onnx
from convert.parity import outputs_of_engine, outputs_of_onnx
from convert.progress import Progress
from edge.engines.base import EngineOutputs
from edge.engines.openvino import open_openvino

REPOSITORY = Path(__file__).resolve().parent.parent
WRITTEN = REPOSITORY / "benchmarks" / "foreign_networks.json"
QUIET = Progress("", 1, None)
# The networks are those of the tests, which are no package.
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))
BODIES = importlib.import_module("foreign_networks").BODIES
cells = importlib.import_module("keras_models").cells


def differences(first: EngineOutputs, second: EngineOutputs) -> dict[str, float]:
    """Return the largest differences of probabilities, and of the features relative to the largest feature."""
    return {
        "cell_type": float(f"{np.abs(first.cell_type - second.cell_type).max():.2g}"),
        "findings": float(f"{np.abs(first.findings - second.findings).max():.2g}"),
        "embedding_relative": float(
            f"{np.abs(first.embedding - second.embedding).max() / np.abs(first.embedding).max():.2g}"
        ),
    }


def measured(name: str) -> dict[str, Any]:
    """Save, load, write and compare one network, and derive its other files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        BODIES[name]().save(path)
        origin = origin_from_keras(load_keras_model(path))
    images = cells(8, origin.size_px, seed=3)
    graph = onnx_from_keras(origin)
    original = EngineOutputs(**keras_outputs(origin, images))
    written = outputs_of_onnx(graph, images, QUIET, threads=1)
    engine = open_openvino(bytes_from_onnx(graph), precision="fp32", size_px=origin.size_px, cache_dir=None, threads=1)
    other = outputs_of_engine(engine, images, QUIET)
    engine.close()
    models, _ = derive_models(
        graph, precision="int8", for_gpu=True, with_fp32=True, calibration=cells(16, origin.size_px, seed=5),
        float_layers=(), threads=1, stream=None,
    )  # fmt: skip
    check_models(models, size_px=origin.size_px, widths=origin.heads.widths())
    return {
        "layers": len(origin.unrolled.calls),
        "keras_and_onnxruntime": differences(original, written),
        "openvino_and_onnxruntime": differences(other, written),
        "files_checked": sorted(models),
    }


def main() -> None:
    """Measure every network and write."""
    document = {
        "command": "python -m benchmarks.foreign_networks",
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "weights": "random",
        "bars": {"cell_type": 1e-5, "findings": 1e-5, "embedding_relative": 1e-4},
        "networks": {},
    }
    for name in BODIES:
        document["networks"][name] = measured(name)
        print(name, document["networks"][name], flush=True)
    WRITTEN.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
