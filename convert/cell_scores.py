"""What a trained network reaches on cells that nothing was fitted on: the `validation` part of a model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]  # scipy ships no type information

from convert.decision_fit import area_under_curve
from convert.training_batches import Targets
from edge.catalogue import Catalogue

# The eight groups in which the Barcelona set was published (Acevedo et al., Data in Brief 2020;30:105474).
PUBLISHED_GROUPS: Mapping[str, tuple[str, ...]] = {
    "neutrophil": ("SNE", "BNE"),
    "eosinophil": ("EO",),
    "basophil": ("BA",),
    "lymphocyte": ("LY", "VLY"),
    "monocyte": ("MO",),
    "immature granulocyte": ("MMY", "MY", "PMY"),
    "erythroblast": ("ERB",),
    "platelet": ("LP", "TAG"),
}


# The recall of a type with fewer test cells is an accident; it is shown with its interval, but not averaged.
FEWEST_TEST_CELLS = 10


def scores_from_predictions(
    predicted: Mapping[str, NDArray[np.float32]],
    targets: Targets,
    catalogue: Catalogue,
    thresholds: Mapping[str, float],
    *,
    note: str,
    simulated: bool,
) -> dict[str, Any]:
    """Return the scores: accuracy, macro recall, the published groups, per type and per finding; fractions 0-1.

    The macro recall is over types with at least FEWEST_TEST_CELLS cells.

    `predicted` has `cell_type` float32 [N, T] and `findings` float32 [N, F] for the N cells of `targets`. Findings are
    judged on annotated cells of the types they apply to, whatever type the network gave.
    """
    called = predicted["cell_type"].argmax(axis=1)
    truth = targets.cell_type
    types = {
        code: _type_scores(truth == index, called == index)
        for index, code in enumerate(catalogue.type_codes)
        if np.any(truth == index)
    }
    group_of = group_indices(catalogue)
    findings = {
        code: _finding_scores(predicted["findings"][:, column], targets.findings[:, column], thresholds[code])
        for column, code in enumerate(catalogue.finding_codes)
        if np.any(targets.findings[:, column] == 1)
    }
    areas = [row["auc"] for row in findings.values() if row["auc"] is not None]
    averaged = [row["sensitivity"] for row in types.values() if row["n"] >= FEWEST_TEST_CELLS]
    grouped = group_of[truth] >= 0
    return {
        "note": note,
        "simulated": simulated,
        "split": "test",
        "n": len(truth),
        "accuracy": _rounded(np.mean(called == truth)),
        "macro_recall": _rounded(np.mean(averaged)) if averaged else None,
        "macro_recall_types": len(averaged),
        "groups": {
            "accuracy": _ratio(int((group_of[called] == group_of[truth])[grouped].sum()), int(grouped.sum())),
            "n": int(grouped.sum()),
        },
        "cell_types": types,
        "findings": findings,
        "mean_finding_auc": _rounded(np.mean(areas)) if areas else None,
    }


def exact_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) 95 % interval of a proportion."""
    low = float(special.betaincinv(hits, count - hits + 1, 0.025)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, count - hits, 0.975)) if hits < count else 1.0
    return low, high


def _type_scores(is_type: NDArray[np.bool_], called: NDArray[np.bool_]) -> dict[str, Any]:
    hits, count = int((is_type & called).sum()), int(is_type.sum())
    return {
        "n": count,
        "sensitivity": _rounded(hits / count),
        "specificity": _ratio(int((~is_type & ~called).sum()), int((~is_type).sum())),
        "precision": _ratio(hits, int(called.sum())),
        "ci95": [_rounded(bound) for bound in exact_interval(hits, count)],
    }


def _finding_scores(
    probabilities: NDArray[np.float32], target: NDArray[np.float32], threshold: float
) -> dict[str, Any]:
    annotated = target >= 0
    values, shown = probabilities[annotated], target[annotated] == 1
    called = values >= threshold
    hits, count = int((shown & called).sum()), int(shown.sum())
    area = area_under_curve(values, shown)
    return {
        "n": len(values),
        "positives": count,
        "sensitivity": _rounded(hits / count),
        "specificity": _ratio(int((~shown & ~called).sum()), int((~shown).sum())),
        "ci95": [_rounded(bound) for bound in exact_interval(hits, count)],
        "auc": None if area is None else _rounded(area),
    }


def group_indices(catalogue: Catalogue) -> NDArray[np.int64]:
    """Return for every type index the index of its published group, -1 for a type that was in none."""
    members = {code: index for index, codes in enumerate(PUBLISHED_GROUPS.values()) for code in codes}
    return np.array([members.get(code, -1) for code in catalogue.type_codes], np.int64)


def _ratio(hits: int, count: int) -> float | None:
    return _rounded(hits / count) if count else None


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)
