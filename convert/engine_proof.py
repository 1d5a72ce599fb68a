"""Opens every engine that this machine has from the very bytes that go into the bundle, and proves each.

First on the golden cells (does it compute the network at all), then, where labelled cells were given, by the parity
certificate. A file for a GPU cannot be opened here; it says so, and is proved on the machine that runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.onnx_graph import onnx_from_bytes
from convert.parity import EngineParity, compare_outputs, outputs_of_engine, outputs_of_onnx, views_of_cells
from convert.progress import Progress
from edge.catalogue import Catalogue
from edge.engines.base import Engine, EngineOutputs
from edge.engines.openvino import open_openvino
from edge.errors import EdgeError
from edge.golden import GoldenCells, prove_golden


@dataclass(frozen=True, slots=True, eq=False)
class ProofMaterial:
    """What engines are compared on: golden cells, and test cells with the original's outputs where there are some."""

    golden_images: NDArray[np.uint8]
    golden_expected: EngineOutputs
    parity_images: NDArray[np.uint8] | None
    parity_expected: EngineOutputs | None
    parity_cells: NDArray[np.int64] | None
    finding_threshold: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class ProvedEngine:
    """The manifest's entry of an engine, its parity, and its outputs on the test cells (for composed slides).

    `golden_fault`: why, where the golden cells came out otherwise; such an engine must not be shipped.
    """

    entry: dict[str, str]
    parity: EngineParity | None
    outputs: EngineOutputs | None
    golden_difference: tuple[float, float]
    golden_fault: EdgeError | None = None


def prove_cpu_engine(
    file: str,
    precision: str,
    data: bytes,
    material: ProofMaterial,
    catalogue: Catalogue,
    *,
    threads: int | None,
    stream: TextIO | None,
) -> ProvedEngine:
    """Open `data` with OpenVINO and prove it; an int8 file is also run by ONNX Runtime, as the independent reference.

    Nothing that was found is raised here: the caller shows the proofs of all engines before it refuses one.
    """
    engine = open_openvino(
        data, precision=precision, size_px=material.golden_images.shape[1], cache_dir=None, threads=threads
    )
    fault, difference = None, (0.0, 0.0)
    try:
        try:
            difference = require_golden(engine, GoldenCells(material.golden_images, material.golden_expected))
        except EdgeError as error:
            fault = error
        if material.parity_images is None or material.parity_expected is None or material.parity_cells is None:
            entry = _entry(file, "cpu", precision, f"golden: {len(material.golden_images)} cells; no test cells")
            return ProvedEngine(entry, None, None, difference, fault)
        with Progress(f"parity, cpu {precision}", len(material.parity_images), stream) as progress:
            outputs = outputs_of_engine(engine, material.parity_images, progress)
    finally:
        engine.close()
    parity = compare_outputs(
        f"openvino cpu {precision}",
        material.parity_expected,
        outputs,
        material.parity_cells,
        catalogue,
        material.finding_threshold,
        precision=precision,
        reference=_reference(data, precision, material.parity_images, threads, stream),
    )
    proof = f"{parity.verdict}: {parity.cells} cells, {100 * parity.top1_agreement:.2f} % agree; see parity.json"
    return ProvedEngine(_entry(file, "cpu", precision, proof), parity, outputs, difference, fault)


def _reference(
    data: bytes, precision: str, images: NDArray[np.uint8], threads: int | None, stream: TextIO | None
) -> EngineOutputs | None:
    """What ONNX Runtime says of the very same int8 file: the two must not read its numbers differently."""
    if precision != "int8":
        return None
    with Progress("parity, ONNX Runtime int8", len(images), stream) as progress:
        return outputs_of_onnx(onnx_from_bytes(data), images, progress, threads=threads or 0, as_written=True)


def gpu_entry(file: str, precision: str) -> dict[str, str]:
    """Return the manifest's entry of a file for a GPU, which is proved where it runs."""
    return _entry(file, "gpu", precision, "none yet: a plan built from it is proved on its own machine")


def require_golden(engine: Engine, cells: GoldenCells) -> tuple[float, float]:
    """Apply the runtime's own golden proof: a bundle must not leave here that a site would refuse.

    Returns the mean differences of types and findings. Raises EdgeError MDSE-BUNDLE-014.
    """
    proof = prove_golden(engine, cells)
    return proof.mean_type_difference, proof.mean_finding_difference


def with_views(images: NDArray[np.uint8], views: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the test cells in `views` orientations each (1 to 8)."""
    if views == 1:
        return images, np.arange(len(images))
    return views_of_cells(images, views)


def _entry(file: str, device: str, precision: str, proof: str) -> dict[str, Any]:
    return {"file": file, "device": device, "precision": precision, "proof": proof}
