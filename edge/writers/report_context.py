"""What a report may show beside its record: pictures, comparisons and the site's own settings.

Every number of the slide itself comes from the record alone.

Plain values, so that writers need no arrays: `edge.report_material` makes them from a model and its outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.catalogue import Catalogue
from edge.writers.strings import ENGLISH

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ReferenceIntervals:
    """The laboratory's adult reference intervals by type code, in the differential's unit, and where they are from.

    Leucocyte types: per cent of the leucocytes; other types: per 100 leucocytes. The product brings none of its own:
    intervals depend on the population and on the method.
    """

    source: str = ""
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)


NO_REFERENCE = ReferenceIntervals()


@dataclass(frozen=True, slots=True)
class AtlasPoints:
    """Places on the plane of the embedding: of reference cells by type code, and of this slide's cells by cell id."""

    references: Mapping[str, tuple[Point, ...]]
    cells: Mapping[str, Point]


@dataclass(frozen=True, slots=True)
class CohortSlide:
    """One slide of the training cohort: its side, its score and its contributions by group, in log-odds."""

    positive: bool
    score: float
    contributions: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CohortRows:
    """The cohort of one target; `groups` names the columns of its slides' contributions."""

    groups: tuple[str, ...]
    slides: tuple[CohortSlide, ...]


@dataclass(frozen=True, slots=True)
class ReportContext:
    """All of it; whatever is missing leaves its section out of the report.

    `cohorts` by target; `catalogue` is the bundle's own, after which types and findings are named (None: the packaged).
    """

    language: str = ENGLISH
    reference: ReferenceIntervals = NO_REFERENCE
    atlas: AtlasPoints | None = None
    cohorts: Mapping[str, CohortRows] = field(default_factory=dict)
    catalogue: Catalogue | None = None


NOTHING_MORE = ReportContext()
