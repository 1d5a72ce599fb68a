"""The log of a training: one CSV row per epoch, and the curves as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path


def write_training_csv(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the rows as CSV; the columns are the keys of the first row."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def draw_training_curves(path: Path, rows: Sequence[Mapping[str, float]], best_epoch: int) -> None:
    """Draw loss, macro recall and accuracy over the epochs; mark the change of image size and the epoch kept."""
    # matplotlib's object interface: no global state, no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.0), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    left.plot(epochs, [row["loss"] for row in rows], marker=".", color="#33658a")
    left.set(xlabel="epoch", ylabel="training loss")
    right.plot(
        epochs, [row["validation_macro_recall"] for row in rows], marker=".", color="#33658a", label="macro recall"
    )
    right.plot(epochs, [row["validation_accuracy"] for row in rows], marker=".", color="#f26419", label="accuracy")
    right.axvline(best_epoch, color="#555555", linewidth=0.8, linestyle="--", label="epoch kept")
    right.set(xlabel="epoch", ylabel="validation cells", ylim=(0, 1))
    for before, after in pairwise(rows):
        if before["size_px"] != after["size_px"]:
            for axis in (left, right):
                axis.axvline((before["epoch"] + after["epoch"]) / 2, color="#aaaaaa", linewidth=0.8)
    right.legend(frameon=False)
    figure.savefig(path)
