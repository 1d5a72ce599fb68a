"""What blood films of MDS, aplastic anaemia and healthy people are mixed from: numbers for a simulation, with sources.

None of these tables is a measurement of patients. The directions are published, the sizes are chosen so that the
groups overlap and the task is not trivial:
  - Kimura et al., Sci Rep 2019;9:13385: neutrophil degranulation, pseudo-Pelger-Huet anomaly and giant platelets are
    found more often in MDS than in aplastic anaemia; MDS is graded by blasts below 20 % (WHO 2016);
  - dysplasia of a lineage counts from 10 % of its cells (WHO), and 46 % of 120 healthy marrow donors exceed that for
    the granulocytes (PMC3342975): hence a base rate in everyone and a wide spread between patients;
  - aplastic anaemia: few neutrophils, relative lymphocytosis, few platelets, little dysplasia (general haematology).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Shares = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Mixture:
    """One kind of film.

    leucocytes    mean share of each leucocyte type but blasts; `spread` is the Dirichlet concentration (small = wild)
    per_100       mean number of each other type per 100 leucocytes
    blast_free    probability that a patient has no blasts at all; else their share is about `blast_mean`
    severity      Beta parameters of how far a patient lies from the base rates (0) to the full rates of MDS (1)
    """

    leucocytes: Shares
    spread: float
    per_100: Shares
    blast_free: float
    blast_mean: float
    severity: tuple[float, float]


BLAST_CEILING = 0.19
"""Largest share of blasts in a simulated film: 20 % and more is leukaemia, which no film of these kinds shows."""

MIXTURES: Mapping[str, Mixture] = {
    "NORMAL": Mixture(
        {"SNE": 0.56, "BNE": 0.03, "LY": 0.305, "MO": 0.065, "EO": 0.028, "BA": 0.007, "VLY": 0.005},
        60.0,
        {"LP": 2.0, "SMU": 1.5, "ART": 1.5, "TAG": 0.3},
        1.0, 0.0, (1.2, 14.0),
    ),
    "AA": Mixture(
        {"SNE": 0.30, "BNE": 0.018, "LY": 0.585, "MO": 0.052, "EO": 0.016, "BA": 0.005, "VLY": 0.014, "MY": 0.005,
         "MMY": 0.005},
        22.0,
        {"LP": 2.2, "SMU": 3.0, "ART": 2.0, "TAG": 0.2, "ERB": 0.25},
        0.94, 0.006, (1.1, 6.0),
    ),
    "MDS": Mixture(
        {"SNE": 0.445, "BNE": 0.05, "LY": 0.335, "MO": 0.085, "EO": 0.026, "BA": 0.010, "VLY": 0.010, "MMY": 0.015,
         "MY": 0.016, "PMY": 0.008},
        18.0,
        {"LP": 4.0, "SMU": 3.0, "ART": 2.0, "TAG": 0.3, "ERB": 1.6, "MEK": 0.2},
        0.45, 0.035, (1.6, 1.5),
    ),
}  # fmt: skip

LINEAGES: Mapping[str, tuple[str, ...]] = {
    "granulocytes": ("NE", "MM", "MY", "PM", "BL", "EO", "BA"),
    "erythroblasts": ("EB",),
    "megakaryocytes": ("PL", "MK"),
}
"""Which findings (by the letters of their codes) tell of dysplasia in which lineage; a patient need not show all."""

BASE_RATE = 0.006
"""Rate of a finding that no table names, in everyone: misprinted, reactive or chance."""

BASE_RATES: Shares = {
    "NE01": 0.012, "NE02": 0.006, "NE03": 0.016, "NE04": 0.035, "NE05": 0.012, "NE07": 0.012, "NE08": 0.018,
    "NE09": 0.008, "NE10": 0.015, "NE12": 0.008, "NE15": 0.006, "NE17": 0.0, "NE18": 0.0, "LY02": 0.04, "LY03": 0.02,
    "LY04": 0.02, "LY05": 0.04, "LY01": 0.015, "LY06": 0.015, "VL04": 0.35, "VL02": 0.06, "VL06": 0.10, "PL01": 0.05,
    "PL02": 0.03, "PL04": 0.04, "BL04": 0.0, "BL10": 0.0, "PM04": 0.0, "PM05": 0.0, "EB01": 0.05, "EB06": 0.03,
}  # fmt: skip
"""Rates in everyone, shares of the cells of the group."""

FULL_RATES: Shares = {
    # Higher in MDS than in aplastic anaemia in the paper.
    "NE01": 0.22, "NE02": 0.09, "NE04": 0.48, "PL01": 0.36,
    # WHO-type dysplasia; sizes chosen.
    "NE03": 0.08, "NE05": 0.09, "NE06": 0.05, "NE10": 0.12, "NE11": 0.04, "NE12": 0.10, "NE13": 0.03, "NE15": 0.035,
    "NE18": 0.02, "NE19": 0.03, "MM01": 0.40, "MM05": 0.15, "MY01": 0.40, "MY05": 0.15, "PM03": 0.30, "PM01": 0.15,
    "BL01": 0.30, "BL02": 0.20, "BL04": 0.05, "BL05": 0.25, "BL10": 0.04, "EO01": 0.15, "EO03": 0.12, "BA01": 0.15,
    "EB01": 0.25, "EB02": 0.10, "EB03": 0.14, "EB04": 0.05, "EB05": 0.08, "EB06": 0.28, "EB07": 0.12, "EB08": 0.12,
    "EB09": 0.08, "EB10": 0.15, "PL02": 0.30, "PL03": 0.12, "PL04": 0.12, "MK01": 0.60, "MK03": 0.25, "MK04": 0.25,
    "MK02": 0.20,
}  # fmt: skip
"""Rates at severity 1 in a lineage that the patient's disease involves."""

INFECTION_RATES: Shares = {"NE07": 0.16, "NE08": 0.38, "NE09": 0.16, "BNE": 3.0}
"""Rates of a patient with an infection, of any kind; `BNE` multiplies the share of bands (left shift)."""

INFECTED_SHARE = 0.07
"""Share of patients of each kind who have an infection as well: the paper's limitation 4."""
