"""Compose blood films: which cells, with which findings, a film of a simulated patient holds.

    draw_patient   a random patient of a kind: shares of the types and rates of the findings
    compose_film   a film of a random patient: cells in random order

A patient is a mixture, so that two films of one patient resemble each other more than films of two patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.simulator.cell_findings import drawable_findings, exclude_each_other
from edge.simulator.film_mixtures import (
    BASE_RATE,
    BASE_RATES,
    BLAST_CEILING,
    FULL_RATES,
    INFECTED_SHARE,
    INFECTION_RATES,
    LINEAGES,
    MIXTURES,
    Mixture,
)

FilmKind = Literal["MDS", "AA", "NORMAL"]
FILM_KINDS: tuple[FilmKind, ...] = get_args(FilmKind)

_RATE_CERTAINTY = 25.0  # Beta concentration of a patient's rate round its expectation
_INVOLVED = 0.7  # probability that MDS involves a lineage


@dataclass(frozen=True, slots=True)
class FilmCell:
    """One cell to be found on a film: its type and the findings that it shows, in code order."""

    type_code: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Patient:
    """A simulated patient: shares of the leucocyte types, other cells per 100 leucocytes, rates of the findings."""

    kind: FilmKind
    shares: Mapping[str, float]
    per_100: Mapping[str, float]
    rates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Film:
    """The cells of one film, in the order in which the analyzer meets them, and the truth about the patient."""

    kind: FilmKind
    cells: tuple[FilmCell, ...]


def draw_patient(kind: FilmKind, rng: np.random.Generator) -> Patient:
    """Return a random patient of a kind. Raises EdgeError MDSE-SIM-004 for an unknown kind."""
    if kind not in MIXTURES:
        raise EdgeError("MDSE-SIM-004", where=str(kind), known=" ".join(MIXTURES))
    mixture = MIXTURES[kind]
    infected = bool(rng.random() < INFECTED_SHARE)
    severity = float(rng.beta(*mixture.severity))
    shares = _leucocyte_shares(mixture, infected, rng)
    per_100 = {code: mean * float(rng.gamma(1.6, 1 / 1.6)) for code, mean in mixture.per_100.items()}
    return Patient(kind, shares, per_100, _finding_rates(severity, infected, rng))


def compose_film(kind: FilmKind, cell_count: int, rng: np.random.Generator) -> Film:
    """Return a film of `cell_count` cells of a random patient of a kind.

    Raises EdgeError MDSE-SIM-004 for an unknown kind and MDSE-SIM-005 for a count below one.
    """
    return film_of(draw_patient(kind, rng), cell_count, rng)


def film_of(patient: Patient, cell_count: int, rng: np.random.Generator) -> Film:
    """Return one film of a patient: `cell_count` cells in random order; blasts stay below 20 % of the leucocytes."""
    if cell_count < 1:
        raise EdgeError("MDSE-SIM-005", where=str(cell_count))
    others = {code: int(rng.poisson(mean * cell_count / 100)) for code, mean in patient.per_100.items()}
    leucocytes = max(cell_count - sum(others.values()), 1)
    codes = list(patient.shares)
    counts = dict(zip(codes, rng.multinomial(leucocytes, [patient.shares[c] for c in codes]).tolist(), strict=True))
    surplus = counts.get("BL", 0) - int(BLAST_CEILING * leucocytes)
    if surplus > 0:
        counts["BL"] -= surplus
        counts["LY"] += surplus
    types = [code for code, count in {**counts, **others}.items() for _ in range(count)]
    order = rng.permutation(len(types))[:cell_count]
    return Film(patient.kind, tuple(_film_cell(types[index], patient, rng) for index in order))


def _leucocyte_shares(mixture: Mixture, infected: bool, rng: np.random.Generator) -> dict[str, float]:
    weights = {code: mean for code, mean in mixture.leucocytes.items() if mean > 0}
    if infected:
        weights["BNE"] *= INFECTION_RATES["BNE"]
    total = sum(weights.values())
    drawn = rng.dirichlet([mixture.spread * weight / total for weight in weights.values()])
    blasts = 0.0
    if rng.random() >= mixture.blast_free:
        blasts = min(float(rng.gamma(0.9, mixture.blast_mean / 0.9)), BLAST_CEILING)
    shares = {code: float(share) * (1 - blasts) for code, share in zip(weights, drawn, strict=True)}
    shares["BL"] = blasts
    total = sum(shares.values())
    return {code: share / total for code, share in shares.items()}


def _finding_rates(severity: float, infected: bool, rng: np.random.Generator) -> dict[str, float]:
    """Return the patient's rate of every finding: base, plus severity times what disease of its lineage adds."""
    involved = {lineage: bool(rng.random() < _INVOLVED) for lineage in LINEAGES}
    if not any(involved.values()):
        involved["granulocytes"] = True
    lineage_of = {letters: lineage for lineage, all_letters in LINEAGES.items() for letters in all_letters}
    rates: dict[str, float] = {}
    for finding in load_catalogue().finding_codes:
        base = BASE_RATES.get(finding, BASE_RATE)
        lineage = lineage_of.get(finding[:2])
        rate = base
        if finding in FULL_RATES and lineage is not None and involved[lineage]:
            rate = base + severity * max(FULL_RATES[finding] - base, 0.0)
        if infected and finding in INFECTION_RATES:
            rate = max(rate, INFECTION_RATES[finding])
        spread = (rate * _RATE_CERTAINTY, (1 - rate) * _RATE_CERTAINTY)
        rates[finding] = float(rng.beta(*spread)) if 0 < rate < 1 else rate
    return rates


_DRAWABLE = drawable_findings()


def _film_cell(type_code: str, patient: Patient, rng: np.random.Generator) -> FilmCell:
    """Return a cell with random findings; the rarer of two that exclude each other has the first say."""
    known = _DRAWABLE[type_code]
    hits = [
        finding for finding, luck in zip(known, rng.random(len(known)), strict=True) if luck < patient.rates[finding]
    ]
    chosen: list[str] = []
    for finding in sorted(hits, key=lambda code: patient.rates[code]):
        if not any(exclude_each_other(finding, other) for other in chosen):
            chosen.append(finding)
    return FilmCell(type_code, tuple(sorted(chosen)))
