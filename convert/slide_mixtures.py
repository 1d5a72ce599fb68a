"""Composes slides of known cells, many of them near a threshold: there a small difference could turn the call.

A composed slide takes 200 cells in a random mixture of the types at hand, none of them twice: a cell that stood on a
slide three times would count three times where the networks part, as no cell of a film does. Of fewer than 400 cells
a slide takes half. Scores of boosted trees jump, so a slide near the threshold is searched: cells of a slide above the
threshold give way, one by one, to cells of a slide below it, and the middle one of the steps near the threshold is
kept. (The step nearest to it would always lie beside a jump of the score, where any difference at all shows in full.)
The same cells give the same slides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.catalogue import Catalogue
from edge.findings import CellFindings
from edge.slide_profile import count_cells, parameters_from_counts

CELLS_PER_SLIDE = 200
CANDIDATES = 2000
SLIDES, NEAR_WANTED, MOST_PAIRS = 200, 100, 300
_EVENNESS = (0.3, 1.0, 3.0)
_LEAST_SHARE = 1e-9  # a type is never wanted so little that its waits are beyond all numbers
_SEED = 20190913

Slide = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class CellCounts:
    """What each cell adds to a slide's counts: int64 [cells, types] and int64 [cells, findings]."""

    types: NDArray[np.int64]
    findings: NDArray[np.int64]

    def profiles(self, slides: Sequence[Slide], catalogue: Catalogue) -> NDArray[np.float32]:
        """Return the profile of every slide, float32 [slides, parameters]; a slide names its cells by place."""
        counts = np.stack([self.types[places].sum(axis=0) for places in slides])
        shown = np.stack([self.findings[places].sum(axis=0) for places in slides])
        return np.asarray(parameters_from_counts(counts, shown, catalogue)[2], np.float32)


def counts_of_cells(cells: Sequence[CellFindings], catalogue: Catalogue) -> CellCounts:
    """Count each cell by itself; a slide's counts are their sum."""
    counted = [count_cells([cell], catalogue) for cell in cells]
    return CellCounts(np.stack([types for types, _ in counted]), np.stack([shown for _, shown in counted]))


def compose_slides(
    counts: CellCounts,
    distances: Callable[[Sequence[Slide]], NDArray[np.float64]],
    is_near: Callable[[float], bool],
    advance: Callable[[int], None],
) -> list[Slide]:
    """Return up to 200 slides: as many as 100 near the threshold, the others as they fell.

    `distances` gives each slide's distance from the threshold, above it positive; `is_near` says which distance is
    near; `advance` is told of every search. Where all mixtures lie on one side the nearest of them are taken.
    """
    random = np.random.default_rng(_SEED)
    candidates = _mixtures(counts, random)
    distance = distances(candidates)
    order = np.argsort(np.abs(distance), kind="stable")
    near = [candidates[place] for place in order if is_near(distance[place])][: NEAR_WANTED // 2]
    above, below = np.flatnonzero(distance >= 0), np.flatnonzero(distance < 0)
    for _ in range(MOST_PAIRS if len(above) and len(below) else 0):
        if len(near) >= NEAR_WANTED:
            break
        first, second = candidates[random.choice(above)], candidates[random.choice(below)]
        near += _near_mixture(distances, is_near, random.permutation(first), random.permutation(second))
        advance(1)
    if not near:
        near = [candidates[place] for place in order[:NEAR_WANTED]]
    others = SLIDES - len(near)
    return [*near, *candidates[:: len(candidates) // others][:others]]


def with_one_other_cell(slides: Sequence[Slide], cell_count: int) -> list[Slide]:
    """Return the slides with one cell each exchanged for one not on it: the least that sampling could have changed."""
    random = np.random.default_rng(_SEED)
    changed = [slide.copy() for slide in slides]
    for slide in changed:
        others = np.setdiff1d(np.arange(cell_count), slide)
        if len(others):  # a single test cell has no other
            slide[random.integers(len(slide))] = random.choice(others)
    return changed


def _near_mixture(
    distances: Callable[[Sequence[Slide]], NDArray[np.float64]],
    is_near: Callable[[float], bool],
    first: Slide,
    second: Slide,
) -> list[Slide]:
    mixtures = [_exchanged(first, second, count) for count in range(len(first) + 1)]
    near = [place for place, distance in enumerate(distances(mixtures)) if is_near(distance)]
    return [mixtures[near[len(near) // 2]]] if near else []


def _exchanged(first: Slide, second: Slide, count: int) -> Slide:
    """Return a slide as large as `first` with `count` cells of `second` and else of `first`, no cell twice."""
    taken = second[:count]
    kept = first[~np.isin(first, taken)]
    return np.concatenate([taken, kept[len(kept) - (len(first) - count) :]])


def _mixtures(counts: CellCounts, random: np.random.Generator) -> list[Slide]:
    """Return slides of distinct cells each, the types in random proportions from even to one-sided."""
    places = [np.flatnonzero(column) for column in counts.types.T if column.any()]
    size = min(CELLS_PER_SLIDE, -(-sum(map(len, places)) // 2))
    slides = []
    for _ in range(CANDIDATES):
        mixture = random.dirichlet(np.full(len(places), random.choice(_EVENNESS)))
        # Each cell waits for a random time, the shorter the more its type is wanted; the first ones make the slide.
        waits = [
            random.standard_exponential(len(of_type)) * len(of_type) / max(share, _LEAST_SHARE)
            for of_type, share in zip(places, mixture, strict=True)
        ]
        first = np.argsort(np.concatenate(waits), kind="stable")[:size]
        slides.append(np.sort(np.concatenate(places)[first]).astype(np.intp))
    return slides
