"""What a changed stain, focus, scale or compression costs: mean recall of the same cells before and after."""

from __future__ import annotations

from typing import Any, TextIO

from convert.evaluation.image_changes import CHANGES
from convert.evaluation.networks import Network
from convert.evaluation.predictions import Predictions, predict
from convert.evaluation.statistics import cost_with_interval
from convert.evaluation.tables import averaged_types


def robustness_of(plain: Predictions, network: Network, stream: TextIO | None) -> dict[str, Any]:
    """Return for each change the mean recall and its cost (0-1, paired interval) against the unchanged cells.

    The change is made on the decoded pixels at full size. Recall and cost are None where no type has enough cells for
    a mean. Raises EdgeError as `predict`.
    """
    truth = plain.targets.cell_type
    types = averaged_types(truth, plain.catalogue)
    right = plain.called == truth
    rows: dict[str, Any] = {}
    for name, change in CHANGES.items():
        changed = predict(plain.cells, network, f"robustness: {name}", stream, change=change)
        still = changed.called == truth
        cost = cost_with_interval(truth, right, still, types, groups=plain.patients)
        recalls = [float(still[truth == index].mean()) for index in types]
        rows[name] = {
            "macro_recall": None if cost is None else round(sum(recalls) / len(recalls), 4),
            "cost": None if cost is None else round(cost.value, 4),
            "cost_ci95": None if cost is None else cost.ci95,
            "called_alike": round(float((changed.called == plain.called).mean()), 4),
        }
    return {"simulated": plain.cells[0].origin == "drawn", "n": len(truth), "types": len(types), "changes": rows}
