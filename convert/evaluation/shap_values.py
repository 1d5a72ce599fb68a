"""SHAP values of scored slides by the shap library (Fig. 3), checked against the contributions of the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.catalogue import Catalogue
from edge.errors import EdgeError

# Records carry six decimals, the library adds up in another order.
TOLERANCE = 1e-4
# The groups of the paper's Fig. 3, in its order; what belongs to none of them comes last.
FIGURE_GROUPS = tuple("GN LY EO BA MY MMY EB BL PMY PLT VLY MK".split())
OTHER = "OTHER"


@dataclass(frozen=True, slots=True, eq=False)
class ShapValues:
    """`values` float64 [cases, parameters] in log-odds; `largest_difference` to the contributions of the runtime."""

    values: NDArray[np.float64]
    group_names: tuple[str, ...]
    grouped: NDArray[np.float64]
    largest_difference: float
    library: str

    def facts(self) -> dict[str, Any]:
        """Return what the report says about the check."""
        return {
            "library": self.library,
            "cases": len(self.values),
            "largest_difference": float(f"{self.largest_difference:.2g}"),
            "tolerance": TOLERANCE,
            "groups": list(self.group_names),
        }


def shap_from_profiles(
    model_json: bytes,
    profiles: NDArray[np.float64],
    runtime: NDArray[np.float64],
    catalogue: Catalogue,
    *,
    where: str,
) -> ShapValues:
    """Return the library's values for profiles float64 [N, P] (NaN = missing).

    `runtime` float64 [N, P] is what the runtime said. Raises EdgeError MDSE-VALIDATE-009 when both differ.
    """
    import shap
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(model_json))
    explainer = shap.TreeExplainer(booster)
    values = np.asarray(explainer.shap_values(profiles.astype(np.float32)), np.float64)
    difference = float(np.abs(values - runtime).max())
    if not difference <= TOLERANCE:
        raise EdgeError("MDSE-VALIDATE-009", where=where, difference=f"{difference:.3g}", tolerance=TOLERANCE)
    names, grouped = grouped_values(values, catalogue)
    return ShapValues(values, names, grouped, difference, f"shap {shap.__version__}")


def grouped_values(values: NDArray[np.float64], catalogue: Catalogue) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the names of the groups and the values summed over each, float64 [N, groups]."""
    group_of = {cell_type.code: cell_type.group for cell_type in catalogue.cell_types}
    group_of |= {finding.code: finding.group for finding in catalogue.findings}
    groups = [group_of[name.partition("_")[0]] for name in catalogue.parameter_names]
    names = (*FIGURE_GROUPS, OTHER)
    column = np.array([names.index(group) if group in FIGURE_GROUPS else len(FIGURE_GROUPS) for group in groups])
    grouped = np.zeros((len(values), len(names)))
    np.add.at(grouped.T, column, values.T)
    return names, grouped
