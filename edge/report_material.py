"""What the report shows beside the record, from a model and what it gave: atlas and cohort as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.atlas import Atlas
from edge.findings import CellFindings
from edge.writers.report_context import AtlasPoints, CohortRows, CohortSlide, Point


def atlas_points(atlas: Atlas | None, cells: Sequence[CellFindings], type_codes: Sequence[str]) -> AtlasPoints | None:
    """Return the reference cells by type and this slide's cells by id on the atlas; None where nothing can be shown.

    `type_codes` are the bundle's types, which the atlas's numbers index. Raises ValueError when the embeddings do not
    have the atlas's width.
    """
    if atlas is None or not cells:
        return None
    references = {code: _points(atlas.points[atlas.types == number]) for number, code in enumerate(type_codes)}
    placed = _points(atlas.placed_cells(np.stack([cell.embedding for cell in cells])))
    return AtlasPoints(references, dict(zip((cell.cell_id for cell in cells), placed, strict=True)))


def cohort_rows(
    groups: Sequence[str],
    contributions: NDArray[np.float32],
    positive: NDArray[np.uint8],
    score: NDArray[np.float32],
) -> CohortRows:
    """Return a cohort's slides.

    `contributions` float32 [S, G] in log-odds, G as `groups` names them; `positive` uint8 [S]; `score` float32 [S].
    """
    rows = zip(positive.tolist(), score.tolist(), contributions.tolist(), strict=True)
    return CohortRows(tuple(groups), tuple(CohortSlide(bool(side), value, tuple(parts)) for side, value, parts in rows))


def limits_from_words(entries: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    """Return reference intervals by type code from entries such as `SNE 38 58.5`, as the configuration checked them."""
    limits = {}
    for entry in entries:
        code, low, high = entry.split()
        limits[code] = (float(low), float(high))
    return limits


def _points(places: NDArray[np.float32]) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in places)
