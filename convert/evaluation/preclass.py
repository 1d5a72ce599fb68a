"""The network beside the analyzer's own class: both against the label, on the same cells (supplemental Table S1).

The column `preclass` of the labels holds what the analyzer called each cell before a person looked, in the words that
the runtime knows (edge/preclass.py). A class that stands for several types (NEUT) is right on each of them; one that
names none of ours ("unidentified", "plasma cell") is wrong everywhere, and listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no type information

from convert.evaluation.predictions import Predictions
from convert.evaluation.statistics import proportion, recall_with_interval
from convert.evaluation.tables import averaged_types
from edge.errors import EdgeError
from edge.preclass import types_from_preclass

_OUTSIDE = -1


def preclass_of(predictions: Predictions) -> dict[str, Any]:
    """Return the comparison. Raises EdgeError MDSE-VALIDATE-004 where no cell has an analyzer's class."""
    codes = predictions.catalogue.type_codes
    named = np.array([cell.preclass is not None for cell in predictions.cells], np.bool_)
    if not named.any():
        raise EdgeError("MDSE-VALIDATE-004", where=str(predictions.cells[0].labels))
    said = [cell.preclass for cell in predictions.cells if cell.preclass is not None]
    outside = Counter(text for text in said if not types_from_preclass(text))
    truth, network = predictions.targets.cell_type[named], predictions.called[named]
    analyzer = np.array([_read_as(text, codes, label) for text, label in zip(said, truth, strict=True)], np.int64)
    beside_network = [_read_as(text, codes, called) for text, called in zip(said, network, strict=True)]
    patients = predictions.patients
    groups = None if patients is None else [patients[row] for row in np.flatnonzero(named)]
    averaged = averaged_types(truth, predictions.catalogue)
    rows = {
        code: {"n": int((truth == index).sum()), **_pair(network, analyzer, truth, index)}
        for index, code in enumerate(codes)
        if (truth == index).any()
    }
    only_network = int(((network == truth) & (analyzer != truth)).sum())
    only_analyzer = int(((network != truth) & (analyzer == truth)).sum())
    return {
        "n": len(truth),
        "agreement": round(float((network == beside_network).mean()), 4),
        "kappa": kappa(network, np.array(beside_network, np.int64)),
        "network": _judged(network, truth, averaged, groups),
        "analyzer": _judged(analyzer, truth, averaged, groups),
        "only_network_right": only_network,
        "only_analyzer_right": only_analyzer,
        "mcnemar_p": _mcnemar(only_network, only_analyzer),
        "outside_catalogue": dict(outside.most_common()),
        "cell_types": rows,
    }


def _judged(
    called: NDArray[np.int64], truth: NDArray[np.int64], averaged: Sequence[int], groups: Sequence[str] | None
) -> dict[str, Any]:
    accuracy = proportion(int((called == truth).sum()), len(truth))
    recall = recall_with_interval(truth, called == truth, averaged, groups=groups)
    return {
        "accuracy": None if accuracy is None else round(accuracy.value, 4),
        "accuracy_ci95": None if accuracy is None else accuracy.ci95,
        "macro_recall": None if recall is None else round(recall.value, 4),
        "macro_recall_ci95": None if recall is None else recall.ci95,
    }


def _read_as(preclass: str, codes: Sequence[str], wanted: int) -> int:
    """Return the type index that a pre-class stands for: the wanted one where it may, else its first, else outside."""
    may_be = types_from_preclass(preclass)
    known = [index for index, code in enumerate(codes) if code in may_be]
    return wanted if wanted in known else (known[0] if known else _OUTSIDE)


def _pair(
    network: NDArray[np.int64], analyzer: NDArray[np.int64], truth: NDArray[np.int64], index: int
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, called in (("network", network), ("analyzer", analyzer)):
        hits = proportion(int((called[truth == index] == index).sum()), int((truth == index).sum()))
        spared = proportion(int((called[truth != index] != index).sum()), int((truth != index).sum()))
        found[name] = {
            "sensitivity": None if hits is None else round(hits.value, 4),
            "ci95": None if hits is None else hits.ci95,
            "specificity": None if spared is None else round(spared.value, 4),
        }
    return found


def kappa(first: NDArray[np.int64], second: NDArray[np.int64]) -> float | None:
    """Return Cohen's kappa of two int64 [N] of type indices, None where chance alone explains everything."""
    values = np.union1d(first, second)
    chance = sum(float((first == v).mean()) * float((second == v).mean()) for v in values)
    return None if chance >= 1 else round((float((first == second).mean()) - chance) / (1 - chance), 4)


def _mcnemar(first: int, second: int) -> float | None:
    """Return the exact p-value of McNemar's test, None where the two never differ."""
    if first + second == 0:
        return None
    return round(float(stats.binomtest(first, first + second, 0.5).pvalue), 4)
