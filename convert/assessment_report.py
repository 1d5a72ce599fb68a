"""What a training of slides leaves beside its trees: the report, the out-of-fold table and the picture of its ROC."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xgboost.core import XGBoostError

from convert.assessment_figures import CURVE_POINTS, roc_from_scores
from convert.train_assessment import TrainedAssessment

_BOOTSTRAPS = 500
_BLUE, _GREY, _ORANGE = "#0072b2", "#777777", "#d55e00"  # told apart by colour-blind eyes, and in grey by their shade


def save_assessment(trained: TrainedAssessment, out: Path) -> None:
    """Write the trees (JSON) and, beside them, .report.json, .out-of-fold.csv and .report.png.

    Raises OSError where the disk refuses.
    """
    try:
        trained.booster.save_model(out)
    except XGBoostError as error:
        raise OSError(str(error).splitlines()[0]) from error
    out.with_suffix(".report.json").write_text(json.dumps(trained.report, indent=1) + "\n", encoding="utf-8")
    write_out_of_fold(out.with_suffix(".out-of-fold.csv"), trained)
    draw_assessment(out.with_suffix(".report.png"), trained)


def write_out_of_fold(path: Path, trained: TrainedAssessment) -> None:
    """Write one row per slide and repeat: which fold held it out, what was chosen without it, and what it got."""
    cohort, judged = trained.cohort, trained.nested
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            ["repeat", "fold", "slide", "patient", "class", "settings", "margin", "score", "threshold", "called"]
        )
        for repeat in range(len(judged.margins)):
            for row, slide in enumerate(cohort.slides):
                fold = int(judged.folds[repeat, row])
                called = trained.report["positive" if judged.called[repeat, row] else "negative"]
                # Score and threshold in full: rounded, they could lie to each other otherwise than the call says.
                numbers = [f"{judged.margins[repeat, row]:.6f}", repr(float(judged.scores[repeat, row]))]
                settings = judged.chosen[repeat][fold].text()
                given = [repeat + 1, fold + 1, slide, cohort.patients[row], cohort.labels[row], settings, *numbers]
                writer.writerow([*given, repr(float(judged.thresholds[repeat, row])), called])


def draw_assessment(path: Path, trained: TrainedAssessment) -> None:
    """Draw the ROC of the outer folds with its 95 % band, and the calibration of the outer scores."""
    # matplotlib's object interface: no global state, no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cohort, judged, report = trained.cohort, trained.nested, trained.report
    figures = report["cross_validation"]
    figure = Figure(figsize=(9.0, 4.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    rate = np.linspace(0, 1, CURVE_POINTS)
    low, high = _band(judged.logits, cohort.positive, cohort.patients)
    left.fill_between(rate, low, high, color=_BLUE, alpha=0.2, linewidth=0, label="95 %, patients resampled")
    for repeat, logits in enumerate(judged.logits):
        label = "outer folds, one line a repeat" if repeat == 0 else None
        left.plot(rate, roc_from_scores(logits, cohort.positive), color=_BLUE, linewidth=1.2, label=label)
    left.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":")
    point = (1 - figures["specificity"], figures["sensitivity"])
    left.plot(*point, marker="o", color=_ORANGE, linestyle="none", label="calls at thresholds of the training folds")
    interval = f"{figures['auc_ci95'][0]:.3f}-{figures['auc_ci95'][1]:.3f}"
    left.set(xlabel="1 - specificity", ylabel="sensitivity", title=f"AUC {figures['auc']:.3f} ({interval})")
    left.legend(frameon=False, loc="lower right", fontsize=8)
    _draw_calibration(right, judged.scores, cohort.positive)
    right.set_title(f"calibration slope {figures['calibration_slope']:.2f}, Brier {figures['brier']:.3f}")
    kind = "SIMULATED slides" if figures["simulated"] else "slides"
    figure.suptitle(
        f"{report['target']}: {report['positive']} against {report['negative']}, {figures['slides']} {kind} of "
        f"{figures['patients']} patients, nested by patient"
    )
    figure.savefig(path, metadata={"Software": None})  # no version in the bytes


def _draw_calibration(axis: Any, scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> None:
    pooled, truth = scores.ravel(), np.tile(positive, len(scores))
    bins = np.array_split(np.argsort(pooled, kind="stable"), 8)
    x, y = [float(pooled[b].mean()) for b in bins], [float(truth[b].mean()) for b in bins]
    axis.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":")
    axis.plot(x, y, marker="s", color=_BLUE, linewidth=1.0)
    axis.set(xlabel="score", ylabel="share of the positive class", xlim=(0, 1), ylim=(0, 1))


def _band(
    logits: NDArray[np.float64], positive: NDArray[np.bool_], patients: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95 % band of the mean curve, patients resampled within each class with all their slides."""
    random = np.random.default_rng(20190913)
    rows_of: dict[str, list[int]] = {}
    for row, patient in enumerate(patients):
        rows_of.setdefault(patient, []).append(row)
    groups = [[rows for rows in rows_of.values() if positive[rows[0]] == kind] for kind in (True, False)]
    curves = []
    for _ in range(_BOOTSTRAPS):
        chosen = [row for g in groups for index in random.integers(0, len(g), len(g)) for row in g[index]]
        repeat = logits[int(random.integers(0, len(logits)))]
        curves.append(roc_from_scores(repeat[chosen], positive[chosen]))
    low, high = np.quantile(np.stack(curves), (0.025, 0.975), axis=0)
    return low, high
