"""What the report shows beside the record, from a model and what it gave: atlas and cohort as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.atlas import Atlas
from edge.cohort import CohortSlides
from edge.contributions import GROUPS
from edge.findings import CellFindings
from edge.model import Model
from edge.writers.report_context import AtlasPoints, CohortRows, CohortSlide, Point, ReferenceIntervals, ReportContext


def report_context(
    model: Model, cells: Sequence[CellFindings], *, language: str, reference: ReferenceIntervals
) -> ReportContext:
    """Return everything that the report of a slide may show beside its record."""
    return ReportContext(
        language=language,
        reference=reference,
        atlas=atlas_points(model.atlas, cells, model.manifest.types),
        cohorts={target: cohort_rows(slides) for target, slides in model.cohorts.items() if slides is not None},
        catalogue=model.catalogue,
    )


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


def cohort_rows(cohort: CohortSlides) -> CohortRows:
    """Return the slides of a cohort, their contributions named by group."""
    rows = zip(cohort.positive.tolist(), cohort.score.tolist(), cohort.group_contributions.tolist(), strict=True)
    return CohortRows(GROUPS, tuple(CohortSlide(side, score, tuple(parts)) for side, score, parts in rows))


def limits_from_words(entries: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    """Return reference intervals by type code from entries such as `SNE 38 58.5`, as the configuration checked them."""
    limits = {}
    for entry in entries:
        code, low, high = entry.split()
        limits[code] = (float(low), float(high))
    return limits


def _points(places: NDArray[np.float32]) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in places)
