"""The 114 numbers of a slide: shares of cell types, counts per 100 leucocytes and rates of findings.

The paper says "rates" and gives no formula; this reading (design page, section 2; docs/record.md) is ours:

    <TYPE>_share         leucocyte types: cells of the type / all leucocytes
    <TYPE>_per_100_wbc   the other types: 100 x objects of the type / all leucocytes (the analyzer's own convention)
    <FINDING>_rate       cells of the finding's types that show it / all cells of these types

Where nothing could be counted the value is missing (NaN), never 0. Unidentified and out-of-distribution cells are in
no numerator and no denominator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.catalogue import Catalogue
from edge.findings import CellFindings, applicability_from_catalogue
from edge.intervals import clopper_pearson, ratio_interval

PER_100_SUFFIX = "_per_100_wbc"


@dataclass(frozen=True, slots=True, eq=False)
class SlideProfile:
    """Names, values (float64, NaN = missing) and the counts they rest on (int64), in the catalogue's order."""

    names: tuple[str, ...]
    values: NDArray[np.float64]
    numerators: NDArray[np.int64]
    denominators: NDArray[np.int64]


def profile_slide(cells: Sequence[CellFindings], catalogue: Catalogue) -> SlideProfile:
    """Return the profile of a slide's cells; any number of cells, also none.

    Raises ValueError when a cell bears a type or a finding that the catalogue does not know or does not allow for its
    type: such cells do not come from `decode_findings`.
    """
    counts, shown = count_cells(cells, catalogue)
    return profile_from_counts(counts, shown, catalogue)


def count_cells(cells: Sequence[CellFindings], catalogue: Catalogue) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return cells per type (int64 [types]) and cells showing each finding (int64 [findings]).

    Raises ValueError as `profile_slide`.
    """
    row_of = {code: row for row, code in enumerate(catalogue.type_codes)}
    column_of = {code: column for column, code in enumerate(catalogue.finding_codes)}
    try:
        rows = np.array([row_of[c.cell_type] for c in cells if c.cell_type is not None], dtype=np.intp)
        pairs = np.array(
            [(row_of[c.cell_type], column_of[code]) for c in cells if c.cell_type is not None for code in c.present],
            dtype=np.intp,
        ).reshape(-1, 2)
    except KeyError as error:
        raise ValueError(f"the catalogue does not know {error}") from error
    if not applicability_from_catalogue(catalogue)[pairs[:, 0], pairs[:, 1]].all():
        raise ValueError("a cell shows a finding that does not apply to its type")
    if any(c.present for c in cells if c.cell_type is None):
        raise ValueError("a cell without a type shows a finding")
    counts = np.bincount(rows, minlength=len(row_of)).astype(np.int64)
    shown = np.bincount(pairs[:, 1], minlength=len(column_of)).astype(np.int64)
    return counts, shown


def profile_from_counts(counts: NDArray[np.int64], shown: NDArray[np.int64], catalogue: Catalogue) -> SlideProfile:
    """Return the profile of counted cells: `counts` int64 [types], `shown` int64 [findings], catalogue order.

    Raises ValueError for negative counts or more cells showing a finding than there are of its types.
    """
    numerators, denominators, values = parameters_from_counts(counts, shown, catalogue)
    return SlideProfile(catalogue.parameter_names, values, numerators, denominators)


def parameters_from_counts(
    counts: NDArray[np.int64], shown: NDArray[np.int64], catalogue: Catalogue
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return numerators, denominators (int64) and values (float64, NaN = missing), each [..., parameters].

    For many slides at once: `counts` int64 [..., types], `shown` int64 [..., findings]. Raises ValueError as
    `profile_from_counts`.
    """
    leucocyte = np.array([cell_type.leucocyte for cell_type in catalogue.cell_types], dtype=np.bool_)
    leucocytes = counts[..., leucocyte].sum(axis=-1, keepdims=True)
    of_types = counts @ applicability_from_catalogue(catalogue).astype(np.int64)
    if (counts < 0).any() or (shown < 0).any() or (shown > of_types).any():
        raise ValueError("the counts contradict each other")
    numerators = np.concatenate([counts[..., leucocyte], counts[..., ~leucocyte], shown], axis=-1).astype(np.int64)
    of_leucocytes = np.broadcast_to(leucocytes, counts.shape)
    denominators = np.concatenate([of_leucocytes, of_types], axis=-1).astype(np.int64)
    factors = np.ones(numerators.shape[-1])
    factors[leucocyte.sum() : len(leucocyte)] = 100.0
    values = np.full(numerators.shape, np.nan)
    np.divide(factors * numerators, denominators, out=values, where=denominators > 0)
    return numerators, denominators, values


def intervals_from_profile(profile: SlideProfile) -> NDArray[np.float64]:
    """Return the exact 95 % interval of every value in its own unit, float64 [parameters, 2], NaN where missing.

    Shares and rates: Clopper-Pearson. Counts per 100 leucocytes: the exact interval of a ratio of two counts, because
    objects that are no leucocytes are no part of the denominator. Sampling of cells only; the network's own errors are
    not in it.
    """
    per_100 = np.array([name.endswith(PER_100_SUFFIX) for name in profile.names], dtype=np.bool_)
    bounds = np.empty((len(profile.names), 2))
    bounds[~per_100] = clopper_pearson(profile.numerators[~per_100], profile.denominators[~per_100])
    bounds[per_100] = 100.0 * ratio_interval(profile.numerators[per_100], profile.denominators[per_100])
    return bounds
