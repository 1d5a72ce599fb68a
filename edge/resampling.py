"""How far counting alone may have moved a slide's profile: the same film, counted again and again.

First the rate behind every count is drawn from what the count leaves open (Jeffreys priors): the shares of leucocytes
together from a Dirichlet distribution, other cells per 100 leucocytes from a gamma, each finding's rate from a beta.
Then as many cells as were counted are counted anew at those rates. So every draw is made of whole cells, like the
slides from which the trees were learned; rates alone would turn each finding that nobody saw into one seen a little,
and push every score to one side. What was missing stays missing. The draws are seeded: same slide, same interval.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.catalogue import Catalogue
from edge.slide_profile import SlideProfile

DRAWS = 1000
SEED = 20190913  # the day the paper was published
_JEFFREYS = 0.5


def resampled_profiles(
    profile: SlideProfile, catalogue: Catalogue, *, draws: int = DRAWS, seed: int = SEED
) -> NDArray[np.float32]:
    """Return `draws` profiles float32 [draws, parameters] that the slide's counts are compatible with.

    Columns are in the order of the profile; a column that is NaN in the profile is NaN in every draw. Analyzer,
    staining and the network's errors are not in it: this is the spread of counting few cells, nothing more.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    shares = sum(1 for cell_type in catalogue.cell_types if cell_type.leucocyte)
    types = len(catalogue.cell_types)
    counts = profile.numerators.astype(np.float64)
    totals = profile.denominators.astype(np.float64)
    rows = np.empty((draws, len(profile.names)), np.float64)
    drawn = random.standard_gamma(counts[:types] + _JEFFREYS, (draws, types))
    leucocytes = int(counts[:shares].sum())
    mixtures = drawn[:, :shares] / drawn[:, :shares].sum(axis=1, keepdims=True)
    rows[:, :shares] = random.multinomial(leucocytes, mixtures) / max(leucocytes, 1)
    rows[:, shares:types] = 100 * random.poisson(drawn[:, shares:]) / np.maximum(totals[shares:types], 1)
    absent = totals[types:] - counts[types:]
    rates = random.beta(counts[types:] + _JEFFREYS, absent + _JEFFREYS, (draws, len(absent)))
    rows[:, types:] = random.binomial(totals[types:].astype(np.int64), rates) / np.maximum(totals[types:], 1)
    rows[:, np.isnan(profile.values)] = np.nan
    return rows.astype(np.float32)
