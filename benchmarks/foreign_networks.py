"""How exactly networks that this repository did not define are converted: every one against Keras, and in int8.

    python -m benchmarks.foreign_networks     # writes benchmarks/foreign_networks.json

The weights are random (no trained ones are fetched), so nothing is said of accuracy: only that the graph is the
network. An untrained body blows up the last digits of float32. How much of a difference is that and not the conversion,
two other comparisons show: Keras and the graph with Keras in double precision, and the same graph in two runtimes.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from convert.derived_files import check_models, derive_models, sources_of
from convert.keras_equality import TOLERANCES, Outputs, differences_of, require_keras_equality
from convert.keras_float64 import outputs_in_float64
from convert.keras_model import load_keras_model
from convert.onnx_from_keras import keras_outputs, onnx_from_keras, origin_from_keras
from convert.onnx_graph import bytes_from_onnx
from convert.parity import outputs_of_engine, outputs_of_onnx
from convert.progress import Progress
from convert.quantization import quantize
from convert.weight_check import require_equal_network, require_weights
from edge.engines.base import EngineOutputs
from edge.engines.openvino import open_openvino
from edge.errors import EdgeError

REPOSITORY = Path(__file__).resolve().parent.parent
WRITTEN = REPOSITORY / "benchmarks" / "foreign_networks.json"
QUIET = Progress("", 1, None)
SEED = 1
# The networks are those of the tests, which are no package.
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))
BODIES = importlib.import_module("foreign_networks").BODIES
cells = importlib.import_module("keras_models").cells


def differences(first: Outputs, second: Outputs) -> dict[str, float]:
    """Return the largest differences of probabilities, and of the features relative to the largest feature."""
    return {name: float(f"{value:.2g}") for name, value in differences_of(first, second).items()}


def by_name(outputs: EngineOutputs) -> Outputs:
    """Return the outputs of an engine as Keras gives them."""
    return {"cell_type": outputs.cell_type, "findings": outputs.findings, "embedding": outputs.embedding}


def refusal(original: Outputs, written: EngineOutputs, exact: Outputs) -> str | None:
    """Return the words with which edge-convert would refuse the graph, None where it takes it."""
    try:
        require_keras_equality(original, written, exact=lambda: exact)
    except EdgeError as error:
        return str(error)
    return None


def measured(name: str) -> dict[str, Any]:
    """Save, load, write and compare one network, and derive its other files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        keras.utils.set_random_seed(SEED)
        BODIES[name]().save(path)
        origin = origin_from_keras(load_keras_model(path))
    images = cells(8, origin.size_px, seed=3)
    graph = onnx_from_keras(origin)
    original, exact = keras_outputs(origin, images), outputs_in_float64(origin, images)
    written = outputs_of_onnx(graph, images, QUIET, threads=1)
    engine = open_openvino(bytes_from_onnx(graph), precision="fp32", size_px=origin.size_px, cache_dir=None, threads=1)
    other = outputs_of_engine(engine, images, QUIET)
    engine.close()
    made, _ = quantize(graph, cells(16, origin.size_px, seed=5), None, threads=1)
    models = derive_models(graph, made, precision="int8", for_gpu=True, with_fp32=True)
    check_models(models, size_px=origin.size_px, widths=origin.heads.widths())
    sources = sources_of(graph, models, made)
    require_equal_network(graph, sources["int8"], images, threads=1)
    for precision, model in models.items():
        require_weights(precision, model, sources[precision])
    return {
        "layers": len(origin.unrolled.calls),
        "keras_and_graph": differences(original, by_name(written)),
        "keras_and_float64": differences(original, exact),
        "graph_and_float64": differences(by_name(written), exact),
        "graph_in_two_runtimes": differences(by_name(other), by_name(written)),
        "refused": refusal(original, written, exact),
        "files_checked": sorted(models),
    }


def main() -> None:
    """Measure every network and write."""
    document: dict[str, Any] = {
        "command": "python -m benchmarks.foreign_networks",
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "weights": "random",
        "bars": TOLERANCES,
        "seed": SEED,
        "networks": {},
    }
    for name in BODIES:
        document["networks"][name] = measured(name)
        print(name, document["networks"][name], flush=True)
    WRITTEN.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
