"""Does this engine, on this machine, still give what the bundle's maker saw? The golden cells answer before any slide.

A bundle carries a few images with the outputs of the fp32 original. An engine in fp32 must repeat them; one with fewer
bits may differ as far as its certificate allows in the mean, but hardly ever in the type of a cell that is clear-cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.arrays import ArraySpec, arrays_from_npz
from edge.bundle.reader import Bundle
from edge.engines.base import Engine, EngineOutputs, EngineSpec
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

    Every way that a cell of a slide may take is proved by itself: each batch size that has kernels of its own, each
    copy and lane, each place in a batch, and the replay of what was recorded. The error names the batch size; the proof
    of the largest batches in the last copy or lane is returned.
    """
    sizes = engine.spec.batch_sizes or (engine.spec.max_batch,)
    return [_prove_size(engine, golden, size) for size in sizes][-1]


def _prove_size(engine: Engine, golden: GoldenCells, size: int) -> GoldenProof:
    """Prove every copy and lane with whole batches of one size, filled up with the golden cells from the first on."""
    spec, cells = engine.spec, len(golden.images)
    # Kernels of one size run plainly once in each lane, while they are recorded: one batch more, to see all replayed.
    batches = math.ceil(cells / size) + bool(spec.batch_sizes)
    order = np.arange(batches * size) % cells
    # Copies and lanes take batches in turn: each batch as often as there are of them meets every one.
    turns = spec.copies * spec.lanes
    given = (golden.images[rows] for rows in order.reshape(batches, size) for _ in range(turns))
    # Copied, because outputs may lie in page-locked memory, of which there should not be more than one slide needs.
    outputs = [(part.cell_type.copy(), part.findings.copy()) for part in engine.infer(given)]
    proofs = [_prove_rows(outputs[turn::turns], order, engine, golden, size) for turn in range(turns)]
    return proofs[-1]


def _prove_rows(
    outputs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    order: NDArray[np.int64],
    engine: Engine,
    golden: GoldenCells,
    size: int,
) -> GoldenProof:
    """Hold every row to the allowance; `order` [rows] says which cell each of them is. Returns the first proof."""
    types, findings = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
    # As many rows as there are cells hold every cell once, wherever they start: no row counts more than it should.
    cells = len(golden.images)
    starts = [*range(0, len(order) - cells, cells), len(order) - cells]
    proofs = []
    for start in starts:
        rows = slice(start, start + cells)
        proofs.append(_proof(types[rows], findings[rows], order[rows], golden.expected))
        _require_allowed(proofs[-1], engine.spec, size)
    return proofs[0]


def _proof(
    types: NDArray[np.float32], findings: NDArray[np.float32], order: NDArray[np.int64], original: EngineOutputs
) -> GoldenProof:
    expected = original.cell_type[order]
    second, first = np.sort(expected, axis=1)[:, -2:].T
    clear_cut = first - second >= _CLEAR_CUT
    return GoldenProof(
        cells=len(types),
        clear_cut=int(clear_cut.sum()),
        flipped=int((types.argmax(axis=1) != expected.argmax(axis=1))[clear_cut].sum()),
        mean_type_difference=float(np.abs(types - expected).mean()),
        mean_finding_difference=float(np.abs(findings - original.findings[order]).mean()),
    )


def _require_allowed(proof: GoldenProof, spec: EngineSpec, size: int) -> None:
    allowed = _ALLOWANCES[spec.precision]
    reason = ""
    if proof.flipped > allowed.flipped_share * proof.clear_cut:
        reason = f"{proof.flipped} of {proof.clear_cut} clear-cut cells get another type"
    elif not proof.mean_type_difference <= allowed.types:
        reason = f"the types differ by {proof.mean_type_difference:.4f} in the mean"
    elif not proof.mean_finding_difference <= allowed.findings:
        reason = f"the findings differ by {proof.mean_finding_difference:.4f} in the mean"
    if reason:
        where = f"{spec.name}-{spec.precision}"
        raise EdgeError("MDSE-BUNDLE-014", where=where, reason=f"{reason}, in batches of {size}")
