"""The network's numbers become statements about cells: a type or "unidentified", and the findings shown.

A finding counts only on a cell of a type that the catalogue names for it, and only at or above its own threshold. A
cell whose best type falls below that type's limit is unidentified; one that is unlike all training cells is out of
distribution. Neither carries a type or a finding, so that neither enters a count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.catalogue import Catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.outliers import OutlierRule, distances_from_cells

UNIDENTIFIED = "UNIDENTIFIED"
OUT_OF_DISTRIBUTION = "OOD"
_ROW_SUM_TOLERANCE = 1e-3


class FindingDecision(Protocol):
    """What is needed of the manifest's `decision`: a limit for every finding and for every type."""

    @property
    def finding_threshold(self) -> Mapping[str, float]:
        """Probability from which a finding counts, by finding code."""
        ...

    @property
    def unidentified_below(self) -> Mapping[str, float]:
        """Probability of the best type below which the cell is unidentified, by type code."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CellFindings:
    """What was found on one cell.

    `cell_type` is None when `flags` holds UNIDENTIFIED or OOD (one of them, OOD first). `probability` is that of the
    best type in any case. `type_probabilities` float32 [types], `finding_probabilities` float32 [findings] and
    `embedding` float32 [D] are the network's raw outputs. `present` lists the findings that count, in catalogue order.
    `distance` is that of edge/outliers.py, None without an outlier rule.
    """

    cell_id: str
    cell_type: str | None
    probability: float
    type_probabilities: NDArray[np.float32]
    finding_probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]
    present: tuple[str, ...]
    flags: tuple[str, ...]
    distance: float | None = None


def applicability_from_catalogue(catalogue: Catalogue) -> NDArray[np.bool_]:
    """Return bool [types, findings]: whether the finding may be reported on a cell of the type."""
    row_of = {code: row for row, code in enumerate(catalogue.type_codes)}
    applies = np.zeros((len(catalogue.cell_types), len(catalogue.findings)), dtype=np.bool_)
    for column, finding in enumerate(catalogue.findings):
        for code in finding.applies_to:
            applies[row_of[code], column] = True
    return applies


def decode_findings(
    outputs: EngineOutputs,
    cell_ids: Sequence[str],
    catalogue: Catalogue,
    decision: FindingDecision,
    *,
    outlier_rule: OutlierRule | None = None,
    measures: NDArray[np.float32] | None = None,
) -> tuple[CellFindings, ...]:
    """Return one `CellFindings` per row of `outputs`, in order.

    `outlier_rule` is the bundle's, or None when its manifest has no `decision.ood`; it needs the cells' `measures`
    (edge/image_measures.py, float32 [N, M]). Raises EdgeError MDSE-ENGINE-004 when the outputs do not fit the cells and
    the catalogue, hold a value that is not a number or a probability outside 0..1, or when the types of a cell do not
    add up to 1; ValueError when there is a rule and no measures.
    """
    check_outputs(outputs, len(cell_ids), catalogue)
    best = outputs.cell_type.argmax(axis=1)
    probability = outputs.cell_type[np.arange(len(cell_ids)), best].astype(np.float64)
    type_limits = np.array([decision.unidentified_below[code] for code in catalogue.type_codes], dtype=np.float64)
    # 1.0: never named, also where the network is entirely sure.
    unidentified = (probability < type_limits[best]) | (type_limits[best] >= 1.0)
    distances = _distances(outputs.embedding, measures, outlier_rule)
    outlying = _outlying(distances, outlier_rule, len(cell_ids))
    typed = ~(unidentified | outlying)
    shown = _shown(outputs, best, catalogue, decision) & typed[:, None]
    codes = np.array(catalogue.finding_codes, dtype=object)
    return tuple(
        CellFindings(
            cell_id=cell_id,
            cell_type=catalogue.type_codes[best[row]] if typed[row] else None,
            probability=float(probability[row]),
            type_probabilities=outputs.cell_type[row],
            finding_probabilities=outputs.findings[row],
            embedding=outputs.embedding[row],
            present=tuple(codes[shown[row]]),
            flags=() if typed[row] else ((OUT_OF_DISTRIBUTION,) if outlying[row] else (UNIDENTIFIED,)),
            distance=None if distances is None else float(distances[row]),
        )
        for row, cell_id in enumerate(cell_ids)
    )


def _shown(
    outputs: EngineOutputs, best: NDArray[np.int64], catalogue: Catalogue, decision: FindingDecision
) -> NDArray[np.bool_]:
    """Return bool [N, findings]: at or above its threshold, on a cell of a type that it applies to."""
    limits = np.array([decision.finding_threshold[code] for code in catalogue.finding_codes], dtype=np.float64)
    return (outputs.findings >= limits) & applicability_from_catalogue(catalogue)[best]


def _outlying(distances: NDArray[np.float64] | None, rule: OutlierRule | None, cells: int) -> NDArray[np.bool_]:
    if distances is None or rule is None:
        return np.zeros(cells, dtype=np.bool_)
    return distances > rule.threshold


def _distances(
    embedding: NDArray[np.float32], measures: NDArray[np.float32] | None, rule: OutlierRule | None
) -> NDArray[np.float64] | None:
    if rule is None:
        return None
    if measures is None:
        raise ValueError("an outlier rule needs the measures of the cells")
    return distances_from_cells(embedding, measures, rule)


def check_outputs(outputs: EngineOutputs, cell_count: int, catalogue: Catalogue) -> None:
    """Raise EdgeError MDSE-ENGINE-004 unless the outputs fit the cells and the catalogue and are probabilities.

    Engines check their own outputs too; this is the last door before a person's result, whoever made the arrays.
    """
    widths = (len(catalogue.cell_types), len(catalogue.findings), None)
    named = (("cell_type", outputs.cell_type), ("findings", outputs.findings), ("embedding", outputs.embedding))
    for (name, array), width in zip(named, widths, strict=True):
        if array.ndim != 2 or array.shape[0] != cell_count or (width is not None and array.shape[1] != width):
            raise _broken(f"{name} is {list(array.shape)} for {cell_count} cells and {width} columns")
        if not np.isfinite(array).all():
            raise _broken(f"{name} holds a value that is not a number")
    for name, array in named[:2]:
        if array.size and (array.min() < -_ROW_SUM_TOLERANCE or array.max() > 1 + _ROW_SUM_TOLERANCE):
            raise _broken(f"{name} holds a probability outside 0..1")
    if cell_count and np.abs(outputs.cell_type.sum(axis=1, dtype=np.float64) - 1).max() > _ROW_SUM_TOLERANCE:
        raise _broken("the probabilities of a cell's types do not add up to 1")


def _broken(reason: str) -> EdgeError:
    return EdgeError("MDSE-ENGINE-004", where="findings", reason=reason)
