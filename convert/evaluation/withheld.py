"""What the runtime would not say: cells that the bundle's limits leave unidentified or out of distribution.

The tables count the highest probability of every cell. At run time a cell below its type's limit, or unlike all that
the network learned, has no type; how often that happens to labelled cells, and how good the rest is, is told here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.evaluation.predictions import Predictions
from convert.evaluation.statistics import proportion
from edge.findings import OUT_OF_DISTRIBUTION, UNIDENTIFIED, decode_findings
from edge.model import Model


def withheld_of(predictions: Predictions, model: Model) -> dict[str, Any]:
    """Return the numbers of withheld cells, per type as well, and the accuracy over the cells that got a type."""
    decided = decode_findings(
        predictions.outputs,
        [cell.cell_id for cell in predictions.cells],
        predictions.catalogue,
        model.manifest.decision,
        outlier_rule=model.outlier_rule,
        measures=predictions.measures,
    )
    typed = np.array([cell.cell_type is not None for cell in decided], np.bool_)
    right = predictions.called == predictions.targets.cell_type
    kept = proportion(int(right[typed].sum()), int(typed.sum()))
    of_types = {}
    for index, code in enumerate(predictions.catalogue.type_codes):
        own = predictions.targets.cell_type == index
        if (own & ~typed).any():
            of_types[code] = {"n": int(own.sum()), "withheld": int((own & ~typed).sum())}
    return {
        "n": len(decided),
        "unidentified": sum(UNIDENTIFIED in cell.flags for cell in decided),
        "out_of_distribution": sum(OUT_OF_DISTRIBUTION in cell.flags for cell in decided),
        "accuracy_of_the_rest": None if kept is None else round(kept.value, 4),
        "accuracy_of_the_rest_ci95": None if kept is None else kept.ci95,
        "cell_types": of_types,
    }
