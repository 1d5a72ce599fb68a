"""The deployed engine beside the Keras original on the same cells: what the conversion cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.evaluation.networks import Network
from convert.evaluation.predictions import Predictions
from convert.evaluation.statistics import cost_with_interval, recall_with_interval
from convert.evaluation.tables import averaged_types, type_rows
from edge.errors import EdgeError


def require_same_catalogue(deployed: Network, original: Network, where: str) -> None:
    """Raise EdgeError MDSE-VALIDATE-005 unless both have the same types and findings in the same order."""
    ours, theirs = deployed.catalogue, original.catalogue
    if (ours.type_codes, ours.finding_codes) != (theirs.type_codes, theirs.finding_codes):
        raise EdgeError("MDSE-VALIDATE-005", where=where)


def comparison_of(deployed: Predictions, original: Predictions, network: Network) -> dict[str, Any]:
    """Return recall and accuracy of the original, agreement of both, and what the deployed engine loses (paired)."""
    truth = deployed.targets.cell_type
    types = averaged_types(truth, deployed.catalogue)
    right, original_right = deployed.called == truth, original.called == truth
    recall = recall_with_interval(truth, original_right, types, groups=deployed.patients)
    cost = cost_with_interval(truth, original_right, right, types, groups=deployed.patients)
    return {
        "model": dict(network.facts),
        "n": len(truth),
        "top1_agreement": round(float((deployed.called == original.called).mean()), 4),
        "mean_abs_dp": {
            "types": _mean_difference(deployed.outputs.cell_type, original.outputs.cell_type),
            "findings": _mean_difference(deployed.outputs.findings, original.outputs.findings),
        },
        "accuracy": round(float(original_right.mean()), 4),
        "macro_recall": None if recall is None else round(recall.value, 4),
        "macro_recall_ci95": None if recall is None else recall.ci95,
        "macro_recall_lost": None if cost is None else round(cost.value, 4),
        "macro_recall_lost_ci95": None if cost is None else cost.ci95,
        "cell_types": type_rows(original, network.evidence, beside_paper=False),
    }


def _mean_difference(first: np.ndarray, second: np.ndarray) -> float:
    return round(float(np.abs(first.astype(np.float64) - second.astype(np.float64)).mean()), 6)
