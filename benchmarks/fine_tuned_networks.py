"""Twenty networks made from the demo network in minutes each: other sizes, widths, seeds, data and learning rates.

Training twenty from nothing takes a day of a processor. These start from tests/real/demo_network.py and become others:

normalization  the demo network's is folded into its kernels; `network_widths.restore_normalization` takes it out again
size           the network is convolutional to its last hidden layer: its weights fit images of any size
width          narrower or wider by `network_widths.at_width`
fine-tuning    by the steps of edge-train (PyTorch, bfloat16 where the processor has it): for each network its own seed,
               random part of the training cells, learning rate and augmentation

Each card says what came of it on the real test cells (split by image, no patient identity: optimistic).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from benchmarks.network_widths import at_width, restore_normalization
from convert.augmentation import Augmentation
from convert.cell_pixels import pixels_from_cells
from convert.cell_training import CellTraining, network_for
from convert.dataset import LabelledCell, LabelledCells, read_labelled_cells
from convert.train_cells import train_network
from convert.trained_model import CardHead, save_trained
from edge.catalogue import load_catalogue
from edge.engines.processors import instructions
from tests.real.demo_network import demo_network

CATALOGUE = load_catalogue()
STATISTICS_CELLS = 512
MILD = Augmentation(
    hue_degrees=6.0, saturation=(0.85, 1.15), contrast=(0.9, 1.1), brightness=15.0, style_probability=0.1
)
STRONG = Augmentation(scale=(0.8, 1.2), hue_degrees=18.0, style_probability=0.5, blur_probability=0.4)
AUGMENTATIONS = {"mild": MILD, "usual": Augmentation(), "strong": STRONG}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one network differs from the demo network; `cells` real and `drawn` drawn cells train it.

    Fewer than 2,000 are too few for one epoch: 800 (600 of them real) left 71 % accuracy of 84 %.
    """

    name: str
    size_px: int
    width: float
    seed: int
    cells: int
    drawn: int
    epochs: int
    rate: float
    augmentation: str


RECIPES = (
    Recipe("01", 80, 0.5, 101, 1400, 1514, 1, 0.0005, "usual"),
    Recipe("02", 80, 0.4375, 102, 2200, 1514, 2, 0.0012, "mild"),
    Recipe("03", 80, 0.5625, 103, 2200, 733, 1, 0.0006, "mild"),
    Recipe("04", 96, 0.5, 104, 2500, 833, 1, 0.0004, "mild"),
    Recipe("05", 96, 0.4375, 105, 2100, 700, 1, 0.0012, "mild"),
    Recipe("06", 96, 0.5625, 106, 2400, 800, 1, 0.0006, "usual"),
    Recipe("07", 88, 0.5, 107, 2000, 666, 1, 0.0012, "usual"),
    Recipe("08", 88, 0.375, 108, 2300, 766, 1, 0.0012, "mild"),
    Recipe("09", 88, 0.625, 109, 2600, 866, 1, 0.0006, "mild"),
    Recipe("10", 104, 0.5, 110, 2200, 733, 1, 0.0004, "mild"),
    Recipe("11", 104, 0.4375, 111, 2500, 833, 1, 0.0012, "mild"),
    Recipe("12", 80, 0.5, 112, 2100, 700, 1, 0.0012, "mild"),
    Recipe("13", 96, 0.5, 113, 2400, 800, 1, 0.0012, "strong"),
    Recipe("14", 88, 0.5625, 114, 2000, 666, 1, 0.001, "usual"),
    Recipe("15", 104, 0.5625, 115, 2300, 766, 1, 0.0008, "mild"),
    Recipe("16", 88, 0.4375, 116, 2600, 866, 1, 0.0012, "usual"),
    Recipe("17", 80, 0.625, 117, 2200, 733, 1, 0.001, "usual"),
    Recipe("18", 96, 0.375, 118, 2500, 833, 1, 0.0012, "mild"),
    Recipe("19", 88, 0.5, 119, 2100, 700, 1, 0.001, "strong"),
    Recipe("20", 104, 0.5, 120, 2400, 800, 1, 0.0012, "usual"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Maker:
    """The demo network, able to learn again, and the cells that it learns from."""

    start: keras.Model
    labelled: LabelledCells
    cache: Path


def open_maker(cells: Path, drawn: Path, cache: Path) -> Maker:
    """Read real and drawn cells; `cache` keeps decoded pixels."""
    labelled = read_labelled_cells([(cells, "real"), (drawn, "drawn")], CATALOGUE)
    # Drawn test cells judge nothing here.
    kept = tuple(cell for cell in labelled.cells if (cell.origin, cell.split) != ("drawn", "test"))
    labelled, start = replace(labelled, cells=kept), demo_network()
    real = labelled.of("training", "real")
    restore_normalization(start, pixels_from_cells(real[:: len(real) // STATISTICS_CELLS], start.input_shape[1], cache))
    return Maker(start, labelled, cache)


def make_network(recipe: Recipe, maker: Maker, out: Path) -> None:
    """Fine-tune one network and write `out` (.keras) with its card."""
    random = np.random.default_rng(recipe.seed)
    training = CellTraining(
        size_px=recipe.size_px, width=recipe.width, epochs=recipe.epochs, seed=recipe.seed, peak_rate=recipe.rate,
        real_share=0.9, learner="torch", mixed_precision=has_bfloat16(),
        augmentation=AUGMENTATIONS[recipe.augmentation],
    )  # fmt: skip
    initial = out.with_suffix(".start.keras")
    at_width(maker.start, network_for(training, CATALOGUE, recipe.size_px), random).save(initial)
    labelled = maker.labelled
    real, drawn = labelled.of("training", "real"), labelled.of("training", "drawn")
    chosen = _some(real, recipe.cells, random) + _some(drawn, recipe.drawn, random)
    trained = train_network(
        training, chosen, labelled.of("validation"), CATALOGUE,
        cache_folder=maker.cache, checkpoint=out.with_suffix(".checkpoint.npz"), resume=False,
        initial=initial, say=_say,
    )  # fmt: skip
    origin = f"the demo network at width {recipe.width} and {recipe.size_px} px, fine-tuned"
    head = CardHead(f"good-{recipe.name}", "1", "demo", {"origin": {"name": origin, "licence": "", "attribution": ""}})
    save_trained(trained, labelled, CATALOGUE, head, out, cache_folder=maker.cache, say=_say)
    for suffix in (".start.keras", ".checkpoint.npz"):
        out.with_suffix(suffix).unlink()


def has_bfloat16() -> bool:
    """Tell whether this processor computes in bfloat16 itself: imitated, it takes ten times as long as float32."""
    return not instructions().isdisjoint({"avx512_bf16", "amx_bf16"})


def _some(cells: Sequence[LabelledCell], count: int, random: np.random.Generator) -> list[LabelledCell]:
    return [cells[place] for place in np.sort(random.permutation(len(cells))[:count])]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
