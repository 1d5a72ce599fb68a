"""The verdict on every type and every finding of an engine.

A type is judged on all of its cells, at 1 point; a finding on all the cells it applies to, at 2 points. How many of a
type's near ties came out otherwise (cells whose first type leads by 0.1 or less in the original) is told beside it and
excuses nothing: what falls to one side every time shifts a differential, however closely it was decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.parity_gates import leads
from convert.parity_statistics import Loss, Verdict, loss_from_disagreements, verdicts_from_losses
from edge.catalogue import Catalogue
from edge.engines.base import EngineOutputs

TYPE_TOLERANCE = 0.01
FINDING_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class CodeParity:
    """Loss and verdict of one type or finding; `shown` is how many of the views the original says have it.

    `near_ties`: the loss among those of a type's views that the original itself hardly decides, None without any.
    """

    code: str
    shown: int
    loss: Loss | None
    verdict: Verdict
    near_ties: Loss | None = None


def judged_codes(
    original: EngineOutputs,
    found: EngineOutputs,
    cells: NDArray[np.int64],
    catalogue: Catalogue,
    finding_threshold: Mapping[str, float],
) -> list[CodeParity]:
    """Judge every type and then every finding, in the catalogue's order; `cells` [views] says which cell a view shows.

    A finding is asked only on the types it applies to, by the original's type.
    """
    rows = _type_rows(original, found, cells, catalogue)
    rows += _finding_rows(original, found, cells, catalogue, finding_threshold)
    verdicts = verdicts_from_losses([(row.loss, row.tolerance) for row in rows])
    # A finding that the original never saw on these cells was not put to the test, however well nothing agrees.
    return [
        CodeParity(
            row.code,
            row.shown,
            row.loss,
            "NOT PROVEN" if verdict == "PROVEN" and row.shown == 0 else verdict,
            row.near_ties,
        )
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Row:
    """One type or finding before it is judged."""

    code: str
    shown: int
    loss: Loss | None
    tolerance: float
    near_ties: Loss | None = None


def _type_rows(
    original: EngineOutputs, found: EngineOutputs, cells: NDArray[np.int64], catalogue: Catalogue
) -> list[_Row]:
    top, clear = original.cell_type.argmax(axis=1), leads(original)
    otherwise = found.cell_type.argmax(axis=1) != top
    rows = []
    for place, code in enumerate(catalogue.type_codes):
        views = top == place
        loss, near_ties = (
            loss_from_disagreements(otherwise[part], cells[part], tolerance=TYPE_TOLERANCE)
            for part in (views, views & ~clear)
        )
        rows.append(_Row(code, int(views.sum()), loss, TYPE_TOLERANCE, near_ties))
    return rows


def _finding_rows(
    original: EngineOutputs,
    found: EngineOutputs,
    cells: NDArray[np.int64],
    catalogue: Catalogue,
    finding_threshold: Mapping[str, float],
) -> list[_Row]:
    applicable = _applicable(original.cell_type.argmax(axis=1), catalogue)
    rows = []
    for place, code in enumerate(catalogue.finding_codes):
        limit, views = finding_threshold[code], applicable[:, place]
        says, other = original.findings[:, place] >= limit, found.findings[:, place] >= limit
        loss = loss_from_disagreements((says != other)[views], cells[views], tolerance=FINDING_TOLERANCE)
        rows.append(_Row(code, int(says[views].sum()), loss, FINDING_TOLERANCE))
    return rows


def _applicable(top: NDArray[np.intp], catalogue: Catalogue) -> NDArray[np.bool_]:
    table = np.array([[t in finding.applies_to for finding in catalogue.findings] for t in catalogue.type_codes])
    return np.asarray(table[top], np.bool_)
