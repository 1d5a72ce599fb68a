"""What int8 does to the scores of composed slides, and by what: the types it changes, or the findings.

Uses the certificate's own comparison (convert.slide_parity) with the trees of the demo bundle, the card of the rebuilt
demo network, and the test cells. Composed slides are no patients.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.conversion_request import ConversionRequest, Preflight, preflight
from convert.engine_proof import ProofMaterial, ProvedEngine
from convert.library_from_xgboost import compile_trees
from convert.parity import compare_outputs
from convert.slide_parity import MEAN_BAR, NEAR_NEEDED, P99_BAR, prove_slides
from edge.demo import DEMO_BUNDLE
from edge.engines.base import EngineOutputs
from tests.real.demo_network import write_demo_network

TREES = DEMO_BUNDLE / "trees" / "mds_aa" / "model.json"
SLIDE_BARS = {
    "mean": f"<= {MEAN_BAR}",
    "p99": f"<= {P99_BAR}",
    "near_threshold": f">= {NEAR_NEEDED}",
    "flipped_unforeseen": 0,
}


def composed_slides(
    images: NDArray[np.uint8], expected: EngineOutputs, found: Mapping[str, EngineOutputs]
) -> dict[str, Any]:
    """Compare the scores of slides composed of `images` as the original reads them with each of `found`, by name."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.keras"
        write_demo_network(model)
        request = ConversionRequest(model=model, out=Path(folder) / "bundle", trees={"mds_aa": TREES})
        ready = preflight(request)
    cells = np.arange(len(images))
    threshold = ready.card.decision["finding_threshold"]
    material = ProofMaterial(images[:1], _first(expected), images, expected, cells, threshold)
    compiled = [(trees, compile_trees(trees, with_library=False)) for trees in ready.trees]
    engines = [_engine(name, ready, expected, outputs, cells) for name, outputs in found.items()]
    return prove_slides(ready, material, engines, compiled)


def parts_of_int8(expected: EngineOutputs, found: EngineOutputs) -> dict[str, EngineOutputs]:
    """Return int8 as it is, and with one part of it exchanged.

    `types_alone` takes the types from int8 and the findings from the original, `findings_alone` the other way round.
    """
    return {
        "as_converted": found,
        "types_alone": EngineOutputs(found.cell_type, expected.findings, expected.embedding),
        "findings_alone": EngineOutputs(expected.cell_type, found.findings, expected.embedding),
    }


def changed_cells(expected: EngineOutputs, found: EngineOutputs) -> int:
    """Return how many cells int8 gives another type."""
    return int((expected.cell_type.argmax(axis=1) != found.cell_type.argmax(axis=1)).sum())


def _engine(
    name: str, ready: Preflight, expected: EngineOutputs, outputs: EngineOutputs, cells: NDArray[np.int64]
) -> ProvedEngine:
    threshold = ready.card.decision["finding_threshold"]
    parity = compare_outputs(name, expected, outputs, cells, ready.catalogue, threshold)
    return ProvedEngine({}, parity, outputs, (0.0, 0.0))


def _first(outputs: EngineOutputs) -> EngineOutputs:
    return EngineOutputs(outputs.cell_type[:1], outputs.findings[:1], outputs.embedding[:1])
