"""One picture of the comparison: bars of cells per second, one panel for each image size, in the document's colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.side_by_side.contestants import ENTRIES, PIPELINE, PLAIN

OURS, PLAIN_WAY, OTHERS, INK = "#0b6e99", "#b3541e", "#9aa5ad", "#222222"
_SHORTER = {"OpenVINO, its default precision, async sample": "OpenVINO, default precision, async"}


def write_picture(results: dict[str, Any], file: Path) -> None:
    """Draw the rate of the network alone for every contestant, slowest to fastest, with lowest and highest."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = sorted(results["sizes"], key=int, reverse=True)
    across = min(2, len(sizes))
    down = -(-len(sizes) // across)
    figure, axes = pyplot.subplots(down, across, figsize=(6.4 * across, 3.9 * down), squeeze=False)
    for place, axis in zip(axes.flat, range(down * across), strict=True):
        if axis >= len(sizes):
            place.set_visible(False)
            continue
        _panel(place, sizes[axis], results["sizes"][sizes[axis]]["contestants"])
    machine = results["machine"]
    figure.suptitle(
        f"Cells per second, network of the paper's size (random weights)\n{machine['cores']} cores of {machine['cpu']}",
        color=INK, fontsize=12,
    )  # fmt: skip
    figure.tight_layout()
    figure.savefig(file, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _panel(axis: Any, size: str, contestants: dict[str, Any]) -> None:
    rows = sorted(
        (facts["images_per_s"]["median"], name, facts["images_per_s"])
        for name, facts in contestants.items()
        if "images_per_s" in facts
    )
    labels = [_label(ENTRIES[name].label) for _, name, _ in rows]
    colours = [{PIPELINE: OURS, PLAIN: PLAIN_WAY}.get(name, OTHERS) for _, name, _ in rows]
    medians = [median for median, _, _ in rows]
    spans = [
        [found["median"] - found["min"] for _, _, found in rows],
        [found["max"] - found["median"] for _, _, found in rows],
    ]
    axis.barh(labels, medians, color=colours, xerr=spans, error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2})
    for place, (median, name, found) in enumerate(rows):
        axis.annotate(
            _figure(median, contestants[name]), (found["max"], place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8, color=INK,
        )  # fmt: skip
    axis.set_title(f"{size} px", loc="left", fontsize=11, color=INK)
    axis.margins(x=0.12)
    axis.tick_params(labelsize=8, colors=INK)
    axis.spines[["top", "right"]].set_visible(False)


def _figure(median: float, facts: dict[str, Any]) -> str:
    """Return the rate as text, with that of whole slides where they were faster than the network that they contain."""
    slides = facts.get("slide_images_per_s", {}).get("median", 0.0)
    return f"{median:.3g}" if slides <= median else f"{median:.3g}, in whole slides {slides:.3g}"


def _label(label: str) -> str:
    plain = label.replace("*", "").replace("`", "")
    return _SHORTER.get(plain, plain)
