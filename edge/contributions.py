"""Why a slide got its score: exact SHAP contributions of every parameter, and the cells behind them.

XGBoost computes them itself (`pred_contribs`, the TreeSHAP algorithm): contributions and bias add up to the raw margin
that the compiled trees gave, and that is checked on every slide. The only file of the runtime that imports xgboost; it
does so when the first explainer is opened, and the network is compiled meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.assessment import ContributionRow, GroupRow
from edge.catalogue import Catalogue
from edge.errors import EdgeError
from edge.findings import CellFindings
from edge.slide_profile import SlideProfile

if TYPE_CHECKING:
    import xgboost

SUM_TOLERANCE = 2e-5
ROWS_WITH_CELLS = 12
CELLS_PER_ROW = 24
_FINDING_SUFFIX = "_rate"
OTHER_GROUP = "OTHER"
GROUPS = (*"GN LY EO BA MY MMY EB BL PMY PLT VLY MK".split(), OTHER_GROUP)
"""The groups of Fig. 3 of the paper in the order of its legend, and OTHER for what it does not name."""


@dataclass(frozen=True, slots=True, eq=False)
class Contributions:
    """Contributions to one target's margin, in log-odds: `values` float64 [parameters] and the bias of the trees."""

    target: str
    bias: float
    values: NDArray[np.float64]


class Explainer:
    """XGBoost's trees of one target, kept only to explain margins."""

    def __init__(self, target: str, booster: xgboost.Booster, parameter_count: int) -> None:
        self.target = target
        self._booster = booster
        self._parameter_count = parameter_count

    def explain(self, profile: SlideProfile, margin: float) -> Contributions:
        """Return the contributions to `margin`, the raw margin that the tree model gave for this profile.

        Raises EdgeError MDSE-ASSESS-001 when they do not add up to it: then the two forms of the trees differ.
        """
        import xgboost

        row = profile.values.astype(np.float32).reshape(1, -1)
        matrix = xgboost.DMatrix(row, missing=np.nan, feature_names=self._booster.feature_names, nthread=1)
        found = np.asarray(self._booster.predict(matrix, pred_contribs=True), np.float64)
        if found.shape != (1, self._parameter_count + 1):
            raise EdgeError("MDSE-ASSESS-002", where=self.target, reason=f"contributions are {list(found.shape)}")
        difference = abs(float(found.sum()) - margin)
        if not difference <= SUM_TOLERANCE * max(1.0, abs(margin)):
            raise EdgeError("MDSE-ASSESS-001", where=self.target, difference=f"{difference:.3g}")
        return Contributions(self.target, float(found[0, -1]), found[0, :-1])


def explainer_from_json(data: bytes, target: str, parameter_names: Sequence[str], *, where: str) -> Explainer:
    """Return the explainer of a target from its XGBoost JSON. Raises EdgeError MDSE-ASSESS-002."""
    import xgboost

    _require_model_json(data, where)
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(data))
    except xgboost.core.XGBoostError as error:
        reason = str(error).strip().splitlines()[0]
        raise EdgeError("MDSE-ASSESS-002", where=where, reason=reason) from error
    names = booster.feature_names
    if booster.num_features() != len(parameter_names) or (names is not None and names != list(parameter_names)):
        raise EdgeError("MDSE-ASSESS-002", where=where, reason="its parameters are not those of the bundle")
    return Explainer(target, booster, len(parameter_names))


def _require_model_json(data: bytes, where: str) -> None:
    """Refuse what is plainly no model: XGBoost 3 ends the whole process on an empty document."""
    try:
        learner = json.loads(data)["learner"]
        complete = {"gradient_booster", "learner_model_param", "objective"} <= set(learner)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise EdgeError("MDSE-ASSESS-002", where=where, reason="it is not an XGBoost model in JSON") from error
    if not complete:
        raise EdgeError("MDSE-ASSESS-002", where=where, reason="it is not a whole XGBoost model")


def rows_from_contributions(
    contributions: Contributions, profile: SlideProfile, cells: Sequence[CellFindings], catalogue: Catalogue
) -> tuple[ContributionRow, ...]:
    """Return every parameter that moved the margin, the strongest first; the first twelve with their cells.

    For the rate of a finding these are the cells that show it, for a type those of the type, the most certain first,
    at most 24. Margin minus the sum of the values is the bias of the trees.
    """
    order = np.argsort(-np.abs(contributions.values), kind="stable")
    moved = [int(index) for index in order if contributions.values[index] != 0]
    return tuple(
        ContributionRow(
            name=profile.names[index],
            value=float(contributions.values[index]),
            cells=cells_behind(profile.names[index], cells, catalogue) if place < ROWS_WITH_CELLS else (),
        )
        for place, index in enumerate(moved)
    )


def cells_behind(parameter: str, cells: Sequence[CellFindings], catalogue: Catalogue) -> tuple[str, ...]:
    """Return the ids of the cells that a parameter counts, the most certain first, at most 24."""
    code = parameter.partition("_")[0]
    if parameter.endswith(_FINDING_SUFFIX):
        column = catalogue.finding_codes.index(code)
        ranked = [(float(cell.finding_probabilities[column]), cell) for cell in cells if code in cell.present]
    else:
        ranked = [(cell.probability, cell) for cell in cells if cell.cell_type == code]
    ranked.sort(key=lambda pair: -pair[0])  # stable: equal probabilities keep the order of the slide
    return tuple(cell.cell_id for _, cell in ranked[:CELLS_PER_ROW])


def groups_from_contributions(contributions: Contributions, catalogue: Catalogue) -> tuple[GroupRow, ...]:
    """Return the summed contributions per cell group of Fig. 3 of the paper, in the order of its legend, then OTHER.

    OTHER holds the types that the legend does not name (monocytes, aggregates, smudges, artifacts) and whatever groups
    a laboratory's own catalogue adds. The rows add up to the sum of all contributions.
    """
    group_of = {cell_type.code: cell_type.group for cell_type in catalogue.cell_types}
    group_of |= {finding.code: finding.group for finding in catalogue.findings}
    sums = dict.fromkeys(GROUPS, 0.0)
    for name, value in zip(catalogue.parameter_names, contributions.values.tolist(), strict=True):
        group = group_of[name.partition("_")[0]]
        sums[group if group in sums else OTHER_GROUP] += value
    return tuple(GroupRow(group, value) for group, value in sums.items())
