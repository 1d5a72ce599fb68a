"""The parity certificate: the built engine, from JPEG bytes on, against the Keras original, type by type.

Agreement needs no truth label: both sides look at the same cells, decoded and resized by the runtime's own functions.
The loss of a type is the share of the cells the original calls so and the engine does not; of a finding, the share of
the cells it applies to on which one says yes and the other no. Tolerances: 1 point and 2 points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.code_parity import CodeParity, judged_codes
from convert.onnx_graph import INPUT_NAME, OUTPUT_NAMES
from convert.onnx_session import batch_of, reference_session
from convert.parity_gates import Gate, gates_from_outputs
from convert.parity_statistics import Loss, Verdict, overall_verdict
from convert.progress import Progress
from edge.catalogue import Catalogue
from edge.engines.base import Engine, EngineOutputs
from edge.errors import EdgeError


@dataclass(frozen=True, slots=True)
class EngineParity:
    """Everything that the comparison of one engine with the original gave."""

    engine: str
    views: int
    cells: int
    top1_agreement: float
    reference_agreement: float | None
    mean_abs_dp_types: float
    mean_abs_dp_findings: float
    types: tuple[CodeParity, ...]
    findings: tuple[CodeParity, ...]
    gates: tuple[Gate, ...]
    verdict: Verdict

    def missed(self) -> tuple[Gate, ...]:
        """Return the gates that refuse."""
        return tuple(gate for gate in self.gates if gate.verdict == "REFUSED")

    def worst(self, count: int = 3) -> tuple[CodeParity, ...]:
        """Return the refused codes with the largest losses; where none is refused, the codes that lose most."""
        judged = [code for code in (*self.types, *self.findings) if code.loss is not None and code.loss.value > 0]
        # Where only a gate refuses, the codes that lose most say where to look.
        refused = [code for code in judged if code.verdict == "REFUSED"] or judged
        return tuple(sorted(refused, key=lambda code: -(code.loss.value if code.loss else 0))[:count])


def compare_outputs(
    engine: str,
    original: EngineOutputs,
    found: EngineOutputs,
    cells: NDArray[np.int64],
    catalogue: Catalogue,
    finding_threshold: Mapping[str, float],
    *,
    precision: str = "int8",
    reference: EngineOutputs | None = None,
) -> EngineParity:
    """Compare two sets of outputs for the same views; `cells` [views] says which cell each view shows.

    `reference`: what ONNX Runtime says of the same file, where it was run.

    A finding is asked only on the types it applies to, by the original's type. Raises EdgeError MDSE-PARITY-003 where
    there is nothing to compare.
    """
    if len(cells) == 0:
        raise EdgeError("MDSE-PARITY-003", where=engine)
    top, found_top = original.cell_type.argmax(axis=1), found.cell_type.argmax(axis=1)
    judged = judged_codes(original, found, cells, catalogue, finding_threshold)
    gates = gates_from_outputs(precision, original, found, reference, cells)
    return EngineParity(
        engine=engine,
        views=len(cells),
        cells=len(np.unique(cells)),
        top1_agreement=float((top == found_top).mean()),
        reference_agreement=None
        if reference is None
        else float((reference.cell_type.argmax(axis=1) == found_top).mean()),
        mean_abs_dp_types=float(np.abs(original.cell_type - found.cell_type).mean()),
        mean_abs_dp_findings=float(np.abs(original.findings - found.findings).mean()),
        types=tuple(judged[: len(catalogue.type_codes)]),
        findings=tuple(judged[len(catalogue.type_codes) :]),
        gates=gates,
        verdict=overall_verdict([*(code.verdict for code in judged), *(gate.verdict for gate in gates)]),
    )


def rows_of(outputs: EngineOutputs, rows: NDArray[np.intp]) -> EngineOutputs:
    """Return the outputs of some views."""
    return EngineOutputs(outputs.cell_type[rows], outputs.findings[rows], outputs.embedding[rows])


def outputs_of_engine(
    engine: Engine, images: NDArray[np.uint8], progress: Progress, *, batch: int = 8
) -> EngineOutputs:
    """Run u8 [N,S,S,3] through an opened engine of the runtime."""
    size = min(batch, engine.spec.max_batch)
    return _joined(engine.infer(_batches(images, size)), progress)


def outputs_of_onnx(
    model: onnx.ModelProto,
    images: NDArray[np.uint8],
    progress: Progress,
    *,
    batch: int = 8,
    threads: int = 0,
    as_written: bool = False,
) -> EngineOutputs:
    """Run u8 [N,S,S,3] through ONNX Runtime, our reference; `as_written` leaves its graph optimizations off."""
    session = reference_session(model, threads=threads, as_written=as_written)
    size = batch_of(images.shape[1], batch)
    results = (
        EngineOutputs(*session.run(list(OUTPUT_NAMES), {INPUT_NAME: pixels})) for pixels in _batches(images, size)
    )
    return _joined(results, progress)


def views_of_cells(images: NDArray[np.uint8], views: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `views` mirrorings and quarter turns of each cell, and the number of the cell each one shows."""
    turned = [np.rot90(images if k < 4 else images[:, :, ::-1], k % 4, axes=(1, 2)) for k in range(views)]
    return np.ascontiguousarray(np.concatenate(turned)), np.tile(np.arange(len(images)), views)


def document_from_parity(parity: EngineParity) -> dict[str, Any]:
    """Return the certificate of one engine as it stands in parity.json; numbers to 6 decimals."""
    return {
        "engine": parity.engine,
        "n": parity.views,
        "cells": parity.cells,
        "top1_agreement": round(parity.top1_agreement, 6),
        **(
            {}
            if parity.reference_agreement is None
            else {"reference_top1_agreement": round(parity.reference_agreement, 6)}
        ),
        "mean_abs_dp": {
            "types": round(parity.mean_abs_dp_types, 6),
            "findings": round(parity.mean_abs_dp_findings, 6),
        },
        "gates": {gate.name: _document_from_gate(gate) for gate in parity.gates},
        "types": _document_from_codes(parity.types),
        "findings": _document_from_codes(parity.findings),
        "verdict": parity.verdict,
    }


def _document_from_gate(gate: Gate) -> dict[str, Any]:
    interval = {"lo": gate.lowest, "hi": gate.highest} if gate.lowest is not None else {}
    numbers = {"value": gate.value, "bar": gate.bar, **interval}
    return {**{k: round(v, 6) for k, v in numbers.items() if v is not None}, "n": gate.views, "verdict": gate.verdict}


def _document_from_codes(codes: Sequence[CodeParity]) -> dict[str, Any]:
    return {
        code.code: {
            "n": code.loss.views if code.loss else 0,
            "shown": code.shown,
            "loss": round(code.loss.value, 6) if code.loss else None,
            "lo": round(code.loss.lowest, 6) if code.loss else None,
            "hi": round(code.loss.highest, 6) if code.loss else None,
            "verdict": code.verdict,
            **({} if code.near_ties is None else {"near_ties": _document_from_near_ties(code.near_ties)}),
        }
        for code in codes
    }


def _document_from_near_ties(loss: Loss) -> dict[str, Any]:
    return {"n": loss.views, "loss": round(loss.value, 6)}


def _batches(images: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), size):
        yield np.ascontiguousarray(images[start : start + size])


def _joined(results: Iterable[EngineOutputs], progress: Progress) -> EngineOutputs:
    parts = []
    for outputs in results:
        parts.append(outputs)
        progress.advance(len(outputs.cell_type))
    return EngineOutputs(
        np.concatenate([part.cell_type for part in parts]),
        np.concatenate([part.findings for part in parts]),
        np.concatenate([part.embedding for part in parts]),
    )
