"""Statistics of known cells from which a site tells unknown ones: made once at conversion, used by edge/outliers.py.

Principal components of the deployed engine's embedding; per family one centre per type and one covariance, in two
blocks of equal weight: embedding and picture measures. Each family is scaled so that one in a hundred of its own
held-out cells lies beyond 1, which is the threshold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.reference_cells import DRAWN, REAL, ReferenceCells
from edge.image_measures import MEASURES
from edge.outliers import OutlierRule, distances_from_cells

FALSE_ALARM_RATE = 0.01
COMPONENTS = 48
THRESHOLD = 1.0
_FEWEST_OF_A_TYPE = 5
_SHRINKAGE = 0.05  # towards the diagonal: some hundreds of cells do not fix the covariance of 48 numbers
_FLOOR = 1e-3  # of the mean variance: a direction in which no known cell varies must not decide alone


def outlier_rule_from_reference(reference: ReferenceCells) -> OutlierRule:
    """Return the rule fitted to known cells. Raises ValueError where a family has no type of at least five cells."""
    fitted = ~reference.held_out
    mean = reference.embedding[fitted].mean(axis=0, dtype=np.float64)
    rank = min(COMPONENTS, reference.embedding.shape[1])
    components = principal_components(reference.embedding[fitted], mean, rank)
    features = np.concatenate([(reference.embedding - mean) @ components, reference.measures], axis=1)
    families = [family for family in (REAL, DRAWN) if (reference.family == family).any()]
    fits = [_family(features, reference, family, rank) for family in families]
    centres = [centre for centre, _ in fits]
    rule = OutlierRule(
        mean=mean.astype(np.float32),
        components=components.astype(np.float32),
        centres=np.concatenate(centres).astype(np.float32),
        whitening=np.stack([whitening for _, whitening in fits]).astype(np.float32),
        family=np.repeat(np.arange(len(fits), dtype=np.uint8), [len(centre) for centre in centres]),
        threshold=THRESHOLD,
    )
    return _scaled(rule, reference, families)


def principal_components(embedding: NDArray[np.float32], mean: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """Return the first `rank` principal components as columns, float64 [D, rank], the largest entry positive."""
    centred = embedding.astype(np.float64) - mean
    _, vectors = np.linalg.eigh(centred.T @ centred / max(len(centred) - 1, 1))
    components = vectors[:, ::-1][:, :rank]
    # The sign of an eigenvector is the solver's accident, and the bundle's bytes must not depend on it.
    largest = np.abs(components).argmax(axis=0)
    return np.asarray(components * np.sign(components[largest, np.arange(rank)]))


def arrays_from_rule(rule: OutlierRule) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of `decision/ood.npz`, with the names, shapes and dtypes of `OutlierRule`."""
    return {name: getattr(rule, name) for name in ("mean", "components", "centres", "whitening", "family")}


def _family(
    features: NDArray[np.float64], reference: ReferenceCells, family: int, rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres [C, K] of the family's types and its whitening [K, K]."""
    own = (reference.family == family) & ~reference.held_out
    types, counts = np.unique(reference.cell_type[own], return_counts=True)
    known = types[counts >= _FEWEST_OF_A_TYPE]
    if not len(known):
        raise ValueError(f"no type has {_FEWEST_OF_A_TYPE} training cells")
    centres = np.stack([features[own & (reference.cell_type == code)].mean(axis=0) for code in known])
    used = own & np.isin(reference.cell_type, known)
    within = features[used] - centres[np.searchsorted(known, reference.cell_type[used])]
    whitening = np.zeros((features.shape[1],) * 2)
    for block in (slice(0, rank), slice(rank, rank + len(MEASURES))):
        size = block.stop - block.start
        whitening[block, block] = _whitening(within[:, block]) / np.sqrt(2 * size)
    return centres, whitening


def _whitening(within: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance = within.T @ within / max(len(within) - 1, 1)
    variances = np.diag(covariance)
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.diag(variances)
    # Columns of different units (grey levels, degrees, shares) are made alike before the floor is applied.
    unit = np.sqrt(np.maximum(variances, 1e-12))
    values, vectors = np.linalg.eigh(covariance / np.outer(unit, unit))
    return np.asarray((vectors / np.sqrt(np.maximum(values, _FLOOR))) / unit[:, None])


def _scaled(rule: OutlierRule, reference: ReferenceCells, families: list[int]) -> OutlierRule:
    """Divide each family's whitening so that the stated share of its own held-out cells lies beyond the threshold."""
    whitening = rule.whitening.copy()
    for place, family in enumerate(families):
        own = (reference.family == family) & reference.held_out
        alone = OutlierRule(
            rule.mean,
            rule.components,
            rule.centres[rule.family == place],
            rule.whitening[place : place + 1],
            np.zeros(int((rule.family == place).sum()), np.uint8),
            THRESHOLD,
        )
        distances = distances_from_cells(reference.embedding[own], reference.measures[own], alone)
        whitening[place] /= np.quantile(distances, 1 - FALSE_ALARM_RATE)
    return OutlierRule(rule.mean, rule.components, rule.centres, whitening, rule.family, THRESHOLD)
