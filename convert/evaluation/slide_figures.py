"""The pictures of the slide level: ROC with its bootstrap band (Fig. 4) and the SHAP heat map (Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convert.evaluation.figures import BAND, INK, MUTED, new_figure, svg_from_figure
from convert.evaluation.shap_values import ShapValues
from convert.evaluation.slides import Case
from convert.evaluation.statistics import curve_with_band

_MOST_NAMED_CASES = 60


def roc_figure(cases: Sequence[Case], section: dict[str, Any], title: str) -> bytes:
    """Return Fig. 4: sensitivity against false positives of the scored cases, with the 95 % bootstrap band.

    Too few patients of a class have no band, as their area has no interval.
    """
    scored = [case for case in cases if case.scored]
    scores = np.array([case.score for case in scored], np.float64)
    positive = np.array([case.positive for case in scored], np.bool_)
    false_rate, true_rate, band = curve_with_band(scores, positive, groups=[case.patient for case in scored])
    figure, axes = new_figure(5.4, 5.0)
    if band is not None:
        grid = np.linspace(0, 1, band.shape[1])
        axes.fill_between(grid, *band, color=BAND, linewidth=0, label="95 % bootstrap band")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="chance")
    bounds = section["auc_ci95"]
    interval = "too few for an interval" if bounds is None else f"{bounds[0]:.3f}-{bounds[1]:.3f}"
    axes.plot(false_rate, true_rate, color=INK, linewidth=1.8, label=f"AUC {section['auc']:.3f} ({interval})")
    point = (1 - section["specificity"], section["sensitivity"])
    axes.plot(
        *point, marker="o", markersize=7, color=INK, linestyle="none", label=f"threshold {section['threshold']:.3f}"
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="1 - specificity", ylabel="sensitivity", title=title)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return svg_from_figure(figure)


def shap_figure(cases: Sequence[Case], shap: ShapValues, section: dict[str, Any], title: str) -> bytes:
    """Return Fig. 3: a column per scored case in the order of its margin, a row per cell group; log-odds.

    Dark is towards the negative class, light towards the positive one; that order stays in grey.
    """
    scored = [case for case in cases if case.scored]
    margins = np.array([case.assessment["margin"] for case in scored])
    order = np.argsort(-margins, kind="stable")
    values = shap.grouped[order].T
    limit = max(float(np.abs(values).max()), 1e-9)
    figure, axes = new_figure(max(7.5, min(14.0, 0.19 * len(order) + 3)), 5.2)
    shown = axes.imshow(values, cmap="cividis", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(shap.group_names)), shap.group_names)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    signs = ["+" if scored[index].positive else "-" for index in order]
    if len(order) <= _MOST_NAMED_CASES:
        axes.set_xticks(range(len(order)), signs, fontsize=9)
    else:
        axes.set_xticks([])
    axes.set_xlabel(f"scored slides, highest margin first; label: + {section['positive']}, - {section['negative']}")
    axes.set_title(title)
    bar = figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.02)
    bar.set_label(f"SHAP, log-odds: light towards {section['positive']}, dark towards {section['negative']}")
    return svg_from_figure(figure)
