"""Does this engine, on this machine, still give what the bundle's maker saw? The golden cells answer before any slide.

A bundle carries a few images with the outputs of the fp32 original. An engine in fp32 must repeat them; one with fewer
bits may differ as far as its certificate allows in the mean, but hardly ever in the type of a cell that is clear-cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.arrays import ArraySpec, arrays_from_npz
from edge.bundle.reader import Bundle
from edge.engines.base import Engine, EngineOutputs
from edge.errors import EdgeError

_IMAGES = "golden/images.npz"
_EXPECTED = "golden/expected.npz"
_CLEAR_CUT = 0.2  # lead of the most probable type over the next, below which rounding may turn the order


@dataclass(frozen=True, slots=True, eq=False)
class GoldenCells:
    """Golden images uint8 [N, S, S, 3] and the outputs of the fp32 original for them."""

    images: NDArray[np.uint8]
    expected: EngineOutputs


@dataclass(frozen=True, slots=True)
class GoldenProof:
    """How an engine compares with the original on the golden cells.

    Mean absolute differences of probabilities, and how many of the clear-cut cells (lead over the second type of at
    least 0.2) got another type.
    """

    cells: int
    clear_cut: int
    flipped: int
    mean_type_difference: float
    mean_finding_difference: float


@dataclass(frozen=True, slots=True)
class _Allowance:
    types: float
    findings: float
    flipped_share: float


# Measured on a half-width network: int8 differs by 0.0015 and 0.0069 in the mean, fp32 engines by less than 1e-5.
_ALLOWANCES = {
    "fp32": _Allowance(1e-4, 1e-4, 0.0),
    "fp16": _Allowance(2e-3, 4e-3, 0.0),
    "int8": _Allowance(1e-2, 2e-2, 0.05),
    "int8-fp16": _Allowance(1e-2, 2e-2, 0.05),
}


def golden_from_bundle(bundle: Bundle) -> GoldenCells:
    """Return the golden cells of a bundle. Raises EdgeError MDSE-BUNDLE-011 when they do not fit its manifest."""
    manifest = bundle.manifest
    images = arrays_from_npz(bundle.read(_IMAGES), {"images": ArraySpec("uint8", 4)}, where=_IMAGES)["images"]
    widths = {
        "cell_type": len(manifest.types),
        "findings": len(manifest.findings),
        "embedding": manifest.embedding_dim,
    }
    arrays = arrays_from_npz(bundle.read(_EXPECTED), {n: ArraySpec("float32", 2) for n in widths}, where=_EXPECTED)
    side = manifest.image.size
    if not len(images) or images.shape[1:] != (side, side, 3):
        raise EdgeError("MDSE-BUNDLE-011", where=_IMAGES, reason=f"images are {list(images.shape)}")
    for name, width in widths.items():
        if arrays[name].shape != (len(images), width):
            raise EdgeError("MDSE-BUNDLE-011", where=_EXPECTED, reason=f"{name} is {list(arrays[name].shape)}")
    return GoldenCells(images, EngineOutputs(**arrays))


def prove_golden(engine: Engine, golden: GoldenCells) -> GoldenProof:
    """Run the golden cells and compare. Raises EdgeError MDSE-BUNDLE-014 when they differ by more than is allowed.

    Every copy of the network sees every cell and is proved by itself; the proof of the last one is returned.
    """
    step, copies = engine.spec.max_batch, engine.spec.copies
    starts = range(0, len(golden.images), step)
    # Copies take batches in turn: each batch as often as there are copies meets every one of them.
    outputs = list(engine.infer(golden.images[start : start + step] for start in starts for _ in range(copies)))
    return [_proof(outputs[copy::copies], engine, golden) for copy in range(copies)][-1]


def _proof(outputs: Sequence[EngineOutputs], engine: Engine, golden: GoldenCells) -> GoldenProof:
    types = np.concatenate([part.cell_type for part in outputs])
    findings = np.concatenate([part.findings for part in outputs])
    expected = golden.expected.cell_type
    second, first = np.sort(expected, axis=1)[:, -2:].T
    clear_cut = first - second >= _CLEAR_CUT
    proof = GoldenProof(
        cells=len(types),
        clear_cut=int(clear_cut.sum()),
        flipped=int((types.argmax(axis=1) != expected.argmax(axis=1))[clear_cut].sum()),
        mean_type_difference=float(np.abs(types - expected).mean()),
        mean_finding_difference=float(np.abs(findings - golden.expected.findings).mean()),
    )
    _require_allowed(proof, engine)
    return proof


def _require_allowed(proof: GoldenProof, engine: Engine) -> None:
    allowed = _ALLOWANCES[engine.spec.precision]
    where = f"{engine.spec.name}-{engine.spec.precision}"
    reason = ""
    if proof.flipped > allowed.flipped_share * proof.clear_cut:
        reason = f"{proof.flipped} of {proof.clear_cut} clear-cut cells get another type"
    elif not proof.mean_type_difference <= allowed.types:
        reason = f"the types differ by {proof.mean_type_difference:.4f} in the mean"
    elif not proof.mean_finding_difference <= allowed.findings:
        reason = f"the findings differ by {proof.mean_finding_difference:.4f} in the mean"
    if reason:
        raise EdgeError("MDSE-BUNDLE-014", where=where, reason=reason)
