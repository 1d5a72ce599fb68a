"""How far counting alone may have moved a slide's score: profiles of films that the counts are compatible with.

The mixture of cells behind the film is drawn from what the counts leave open: the leucocytes together and the other
types per 100 leucocytes from gammas (together a Dirichlet distribution), each finding's rate from a beta, all with
Jeffreys' priors. Every draw is the profile of such a mixture counted without end, so the spread of the draws' scores is
where the score of an endless count of the same blood would lie.

Trees ask whether a type occurs at all, and that a type was not met among 100 cells does not say that it is absent. In
each draw an unseen type is absent (its findings missing, as counted) with a chance that is itself unknown, Beta(1/2,
1/2), or present at a low share with findings about which nothing is known. Without this step simulated films were
covered too rarely (benchmarks/score_honesty.json). The draws are seeded: same slide, same interval.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.catalogue import Catalogue
from edge.findings import applicability_from_catalogue
from edge.slide_profile import SlideProfile

DRAWS = 2000
SEED = 20190913  # the day the paper was published
_JEFFREYS = 0.5


def resampled_profiles(
    profile: SlideProfile,
    catalogue: Catalogue,
    *,
    used: NDArray[np.bool_] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> NDArray[np.float32]:
    """Return `draws` profiles float32 [draws, parameters] that the slide's counts are compatible with.

    Columns are in the order of the profile. `used` bool [parameters]: rates of other findings are left as counted,
    because no tree reads them; None draws all. Analyzer, staining and the network's errors are not in it: this is the
    spread of counting few cells, nothing more.
    """
    rows = np.repeat(profile.values[None, :], draws, axis=0)
    types, shares = len(catalogue.cell_types), len(catalogue.leucocyte_codes)
    counts = profile.numerators[:types]
    if not counts[:shares].any():
        return rows.astype(np.float32)  # without leucocytes every value is missing, however often one counts
    random = np.random.Generator(np.random.PCG64(seed))
    abundance = _drawn_abundance(counts, draws, random)
    leucocytes = abundance[:, :shares].sum(axis=1, keepdims=True)
    rows[:, :shares] = abundance[:, :shares] / leucocytes
    rows[:, shares:types] = 100 * abundance[:, shares:] / leucocytes
    columns = np.arange(types, len(profile.names)) if used is None else types + np.flatnonzero(used[types:])
    shown = profile.numerators[columns]
    absent = profile.denominators[columns] - shown
    rates = random.beta(shown + _JEFFREYS, absent + _JEFFREYS, (draws, len(columns)))
    present = (abundance > 0) @ _applies_in_parameter_order(catalogue)[:, columns - types]
    rows[:, columns] = np.where(present, rates, np.nan)
    return rows.astype(np.float32)


def _drawn_abundance(counts: NDArray[np.int64], draws: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return how common each type is in each draw, float64 [draws, types], in arbitrary units; 0 where it is absent."""
    abundance = random.standard_gamma(counts + _JEFFREYS, (draws, len(counts)))
    chance_absent = random.beta(_JEFFREYS, _JEFFREYS, (draws, 1))
    absent = random.random((draws, len(counts))) < chance_absent
    abundance[absent & (counts == 0)] = 0.0
    return abundance


def _applies_in_parameter_order(catalogue: Catalogue) -> NDArray[np.bool_]:
    """Return bool [types, findings] with the types in the order of the parameters: leucocytes first."""
    leucocyte = np.array([cell_type.leucocyte for cell_type in catalogue.cell_types], np.bool_)
    applies = applicability_from_catalogue(catalogue)
    return np.concatenate([applies[leucocyte], applies[~leucocyte]])
