"""When a score may be given, and what must be said about a film whatever its score.

A two-class model says something about every film it is shown. These rules keep it silent where its answer would mean
nothing, and name what a person must look at. Their limits come from the bundle (`decision.gates`, `minimum`, `cohort`);
the infection pattern is limitation 4 of Kimura et al., Sci Rep 2019;9:13385.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import AssessmentSpec, Cohort, Gates
from edge.catalogue import Catalogue
from edge.slide import SlideWarning
from edge.slide_profile import SlideProfile

if TYPE_CHECKING:
    from edge.findings import CellFindings

WBC_TOO_FEW = "WBC-TOO-FEW"
NEUTROPHILS_TOO_FEW = "NEUTROPHILS-TOO-FEW"
BLAST_EXCESS = "BLAST-EXCESS"
BLAST_REVIEW = "BLAST-REVIEW"
PROFILE_OOD = "PROFILE-OOD"
INFECTION_PATTERN = "INFECTION-PATTERN"
DOUBTFUL_CELLS = "DOUBTFUL-CELLS"
AUER_RODS = "AUER-RODS"

_NEUTROPHIL_GROUP = "GN"  # groups of Fig. 3 of the paper, as the catalogue names them
_BLAST_GROUP = "BL"
# Auer rods of neutrophils, promyelocytes and blasts, and faggot cells: one such cell is a sign of a myeloid neoplasm
# (WHO classification), whatever the score. A catalogue may leave these codes out; it cannot give them another meaning.
_AUER_ROD_FINDINGS = ("NE17", "PM04", "PM05", "BL04")
_ROUNDING = 1e-9  # 2 blasts of 200 are 1 %, whatever binary fractions make of it
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an assessment says what it says: a stable code and a sentence."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted on the film: cells identified as leucocytes, neutrophils and blasts."""

    leucocytes: int
    neutrophils: int
    blasts: int

    @property
    def blast_share(self) -> float:
        """Blasts of all leucocytes, 0 where there are none."""
        return self.blasts / self.leucocytes if self.leucocytes else 0.0


@dataclass(frozen=True, slots=True)
class Sufficiency:
    """How many cells a target was judged on, how many it needs, and how many more would halve its interval.

    `more_cells_to_halve_interval` counts further leucocytes; None where there is no interval or no sensible number.
    """

    leucocytes: int
    neutrophils: int
    minimum_leucocytes: int
    minimum_neutrophils: int
    more_cells_to_halve_interval: int | None
    text: str

    @property
    def enough(self) -> bool:
        """Whether a score may be given as far as counting is concerned."""
        return self.leucocytes >= self.minimum_leucocytes and self.neutrophils >= self.minimum_neutrophils


def count_film(profile: SlideProfile, catalogue: Catalogue) -> Counted:
    """Return the counts that the gates rest on, from the numerators of the leucocyte shares."""
    counted = dict(zip(profile.names, profile.numerators.tolist(), strict=True))
    groups = {t.code: t.group for t in catalogue.cell_types if t.leucocyte}
    by_code = {code: int(counted[f"{code}_share"]) for code in groups}
    return Counted(
        leucocytes=sum(by_code.values()),
        neutrophils=sum(count for code, count in by_code.items() if groups[code] == _NEUTROPHIL_GROUP),
        blasts=sum(count for code, count in by_code.items() if groups[code] == _BLAST_GROUP),
    )


def reasons_against_score(
    profile: SlideProfile, counted: Counted, spec: AssessmentSpec, cohort: Cohort, gates: Gates
) -> tuple[Reason, ...]:
    """Return every reason why no score may be given for this target; empty when one may."""
    needed_leucocytes, needed_neutrophils = _minimum(spec)
    reasons = []
    for found, needed, code, kind in (
        (counted.leucocytes, needed_leucocytes, WBC_TOO_FEW, "leucocytes"),
        (counted.neutrophils, needed_neutrophils, NEUTROPHILS_TOO_FEW, "neutrophils"),
    ):
        if found < needed:
            reasons.append(Reason(code, f"counted {found} {kind}, at least {needed} needed"))
    if counted.blasts and counted.blast_share >= gates.blast_not_evaluable_share - _ROUNDING:
        limit = f"{gates.blast_not_evaluable_share:.0%}"
        reasons.append(Reason(BLAST_EXCESS, f"{_blasts(counted)}; from {limit} on, this assessment does not apply"))
    outside = parameters_outside(profile, cohort)
    if len(outside) > cohort.outside_allowed:
        shown = ", ".join(outside[:_NAMES_SHOWN]) + (" and more" if len(outside) > _NAMES_SHOWN else "")
        text = (
            f"{len(outside)} parameters lie outside the training cohort, at most {cohort.outside_allowed} may: {shown}"
        )
        reasons.append(Reason(PROFILE_OOD, text))
    return tuple(reasons)


def sufficiency_of(counted: Counted, spec: AssessmentSpec) -> Sufficiency:
    """Return how many cells were counted and how many a target needs."""
    wbc, neutrophil = _minimum(spec)
    text = (
        f"counted {counted.leucocytes} leucocytes (at least {wbc} needed) and {counted.neutrophils} neutrophils "
        f"(at least {neutrophil} needed)"
    )
    return Sufficiency(counted.leucocytes, counted.neutrophils, wbc, neutrophil, None, text)


def _minimum(spec: AssessmentSpec) -> tuple[int, int]:
    return max(spec.minimum.wbc, 1), spec.minimum.neutrophil  # without leucocytes nothing can be said


def film_warnings(
    profile: SlideProfile, counted: Counted, catalogue: Catalogue, gates: Gates
) -> tuple[SlideWarning, ...]:
    """Return what a person must look at on this film, whether or not any score is given."""
    warnings = []
    if counted.blasts and counted.blast_share >= gates.blast_review_share - _ROUNDING:
        warnings.append(SlideWarning(BLAST_REVIEW, f"{_blasts(counted)}; look at them on the smear"))
    warnings.extend(_auer_rod_warnings(profile, catalogue))
    rates = dict(zip(profile.names, profile.values.tolist(), strict=True))
    limits = gates.infection_rate
    if limits and all(rates[f"{code}_rate"] >= limit - _ROUNDING for code, limit in limits.items()):
        names = {finding.code: finding.name for finding in catalogue.findings}
        seen = ", ".join(f"{names[code]} {rates[f'{code}_rate']:.0%}" for code in limits)
        text = f"{seen} together suggest infection, in which dysplasia-like changes may be reactive"
        warnings.append(SlideWarning(INFECTION_PATTERN, text))
    return tuple(warnings)


def _auer_rod_warnings(profile: SlideProfile, catalogue: Catalogue) -> tuple[SlideWarning, ...]:
    """Return one warning that counts the cells with Auer rods by finding; none where there are none."""
    counted = dict(zip(profile.names, profile.numerators.tolist(), strict=True))
    named = {finding.code: finding.standard_term for finding in catalogue.findings}
    seen = {named[code]: int(counted[f"{code}_rate"]) for code in _AUER_ROD_FINDINGS if code in named}
    shown = ", ".join(f"{name}: {count}" for name, count in seen.items() if count)
    if not shown:
        return ()
    return (SlideWarning(AUER_RODS, f"{shown}; look at these cells on the smear, one true Auer rod is enough"),)


def parameters_outside(profile: SlideProfile, cohort: Cohort) -> tuple[str, ...]:
    """Return the parameters whose value lies outside the cohort's range, in the profile's order."""
    outside = outside_cohort(profile.values[None], profile.names, cohort)[0]
    return tuple(name for name, is_outside in zip(profile.names, outside.tolist(), strict=True) if is_outside)


def outside_cohort(values: NDArray[np.float64], names: Sequence[str], cohort: Cohort) -> NDArray[np.bool_]:
    """Tell for each film and parameter whether its value lies outside the cohort's range, bool [N, parameters].

    `values` float64 [N, parameters], columns as `names`. A missing value (NaN) is inside. A value of a parameter that
    was never observed in the cohort is outside.
    """
    bounds = np.array([cohort.range.get(name, (np.inf, -np.inf)) for name in names], np.float64)
    inside = (values >= bounds[:, 0] - _ROUNDING) & (values <= bounds[:, 1] + _ROUNDING)
    return np.asarray(~np.isnan(values) & ~inside, np.bool_)


def doubtful_warnings(cells: Sequence[CellFindings], gates: Gates) -> tuple[SlideWarning, ...]:
    """Return a warning when too large a share of the film's cells has no type: every count rests on the others alone.

    `gates.doubtful_review_share` None (a bundle from before it, or one that states no limit) warns of nothing.
    """
    doubtful = sum(cell.cell_type is None for cell in cells)
    limit = gates.doubtful_review_share
    if limit is None or not doubtful or doubtful / len(cells) < limit - _ROUNDING:
        return ()
    share = doubtful / len(cells)
    text = f"{doubtful} of {len(cells)} cells ({share:.0%}) are unidentified or unlike the training cells"
    return (SlideWarning(DOUBTFUL_CELLS, f"{text}; the counts rest on the others alone"),)


def _blasts(counted: Counted) -> str:
    kind = "blast" if counted.blasts == 1 else "blasts"
    return f"{counted.blasts} {kind} among {counted.leucocytes} leucocytes ({counted.blast_share:.1%})"
