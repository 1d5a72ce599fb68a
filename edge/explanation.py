"""Everything that explains a score, put beside it: contributions, groups, cells, contrast, what would change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge.assessment import Assessment
from edge.bundle.manifest import AssessmentSpec, Cohort, Gates
from edge.catalogue import Catalogue
from edge.cohort import CohortSlides, contrast_rows
from edge.contributions import Explainer, groups_from_contributions, rows_from_contributions
from edge.count_changes import count_changes
from edge.counting_interval import more_cells_to_halve
from edge.findings import CellFindings
from edge.gates import Sufficiency
from edge.profile_scope import ProfileScope
from edge.slide_profile import SlideProfile
from edge.trees import TreeModel


def explain_assessment(
    assessment: Assessment,
    profile: SlideProfile,
    cells: Sequence[CellFindings],
    *,
    spec: AssessmentSpec,
    gates: Gates,
    trees: TreeModel,
    explainer: Explainer,
    cohort: CohortSlides | None,
    ranges: Cohort,
    scope: ProfileScope | None,
    catalogue: Catalogue,
) -> Assessment:
    """Return the assessment with its explanation; one without a score is returned as it is.

    Raises EdgeError MDSE-ASSESS-001 when the contributions do not add up to the margin that made the score.
    """
    if assessment.margin is None or assessment.score is None or assessment.interval is None:
        return assessment
    contributions = explainer.explain(profile, assessment.margin)
    rows = rows_from_contributions(contributions, profile, cells, catalogue)
    more = more_cells_to_halve(
        profile, assessment.interval, trees=trees, calibration=spec.calibration, catalogue=catalogue
    )
    changed = count_changes(
        profile, assessment.score, spec=spec, gates=gates, cohort=ranges, trees=trees, catalogue=catalogue, scope=scope
    )
    return replace(
        assessment,
        contributions=rows,
        groups=groups_from_contributions(contributions, catalogue),
        sufficiency=with_more_cells(assessment.sufficiency, more),
        contrast=contrast_rows(rows, profile, cohort),
        what_would_change=changed,
    )


def with_more_cells(sufficiency: Sufficiency, more: int | None) -> Sufficiency:
    """Return the sufficiency with the number of further leucocytes that would halve the interval, in words, too."""
    if more is None:
        return sufficiency
    text = f"{sufficiency.text}; count about {more} more leucocytes to halve the counting interval"
    return replace(sufficiency, more_cells_to_halve_interval=more, text=text)
