"""The pictures of a validation as SVG: drawn with matplotlib's object interface, the same bytes for the same figures.

Colours are told apart by people with any colour vision and by a grey printer: heat maps run monotonously from light to
dark or from dark to light, curves differ in dash and marker as well, and groups of points bear their code.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours without the yellow, which vanishes on white; markers make the rest of the difference.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKERS = ("o", "s", "^", "v", "D", "P", "X")
INK, MUTED, BAND = "#1b1f24", "#5b6570", "#b8c4d0"
_MOST_POINTS = 3000
_COMPONENTS = 50


def confusion_figure(confusion: Mapping[str, Any], title: str) -> bytes:
    """Return Fig. 1: rows are labels, columns what the network called; shade and number are the share of the row."""
    codes = confusion["codes"]
    counts = np.array(confusion["counts"], np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    figure, axes = new_figure(8.4, 7.6)
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1, aspect="equal")
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = 100 * shares[row, column]
        text = f"{share:.0f}" if share >= 0.5 else "<1"
        ink = "white" if shares[row, column] > 0.5 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
    labels = [f"{code} ({int(n)})" for code, n in zip(codes, totals[:, 0], strict=True)]
    axes.set_xticks(range(len(codes)), codes, rotation=90, fontsize=8)
    axes.set_yticks(range(len(codes)), labels, fontsize=8)
    axes.set_xticks(np.arange(-0.5, len(codes)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(codes)), minor=True)
    axes.grid(which="minor", color="#d5dbe1", linewidth=0.6)
    axes.tick_params(which="both", length=0)
    axes.set(xlabel="called by the network", ylabel="label (cells)", title=title)
    return svg_from_figure(figure)


def embedding_figure(
    embedding: NDArray[np.float32], truth: NDArray[np.int64], codes: Sequence[str], title: str, seed: int = 1
) -> bytes:
    """Return Fig. 2: t-SNE of the last hidden layer, a point per cell, each type marked and named at its middle.

    `embedding` float32 [N, D], `truth` int64 [N] (index into `codes`).
    """
    points, kept = embedding_points(embedding, seed)
    figure, axes = new_figure(8.4, 7.0)
    labels = truth[kept]
    for place, index in enumerate(np.unique(labels)):
        members = points[labels == index]
        axes.scatter(
            members[:, 0],
            members[:, 1],
            s=12,
            marker=MARKERS[place % len(MARKERS)],
            color=COLOURS[(place + place // len(COLOURS)) % len(COLOURS)],
            alpha=0.7,
            linewidths=0,
            label=f"{codes[index]} ({len(members)})",
            rasterized=True,
        )
    for index in np.unique(labels):
        _name_group(axes, points[labels == index], codes[index])
    # The axes of a t-SNE map mean nothing.
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set(xticks=[], yticks=[], title=title)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, markerscale=1.6)
    return svg_from_figure(figure)


def embedding_points(embedding: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return t-SNE points float32 [K, 2] and the rows they stand for; at most 3,000, drawn at random."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = np.arange(len(embedding))
    if len(rows) > _MOST_POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_POINTS, replace=False))
    values = embedding[rows]
    components = min(_COMPONENTS, *values.shape)
    reduced = PCA(components, random_state=seed, svd_solver="full").fit_transform(values)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(reduced)
    return np.asarray(points, np.float32), rows


def calibration_figure(bins: Sequence[Mapping[str, Any]], title: str, xlabel: str, ylabel: str) -> bytes:
    """Return the calibration curve: each bin's mean prediction against what came true, with exact intervals."""
    figure, axes = new_figure(5.2, 4.8)
    predicted = np.array([row["confidence"] for row in bins])
    found = np.array([row["accuracy"] for row in bins])
    # Rounding may leave a bound on the wrong side of its value by a last digit.
    spread = np.maximum([[f - row["low"], row["high"] - f] for f, row in zip(found, bins, strict=True)], 0).T
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="perfect")
    axes.errorbar(predicted, found, yerr=spread, color=INK, marker="o", markersize=4, linewidth=1, capsize=2)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel=xlabel, ylabel=ylabel, title=title)
    axes.legend(loc="upper left", frameon=False)
    return svg_from_figure(figure)


def new_figure(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    """Return an empty figure with one pair of axes, without global state."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=150, layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def svg_from_figure(figure: Figure) -> bytes:
    """Return the figure as SVG without date and with fixed ids."""
    import matplotlib

    target = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "mds-edge", "svg.fonttype": "path"}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()


def _name_group(axes: Axes, points: NDArray[np.float32], code: str) -> None:
    from matplotlib.patheffects import withStroke

    x, y = np.median(points, axis=0).tolist()
    outline = [withStroke(linewidth=3, foreground="white")]
    axes.annotate(
        code, (x, y), ha="center", va="center", fontsize=10, fontweight="bold", color=INK, path_effects=outline
    )
