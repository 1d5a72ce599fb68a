"""Things that lie in or on a cell: vacuoles, Doehle bodies, Auer rods, giant granules, fragments, attached platelets.

Each is drawn by name with a `Sketch` of the cell at hand. An inclusion looks for room in the cytoplasm; where there is
too little it takes the roomiest place, overlapping the nucleus if it must, because a finding that was asked for must
be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from edge.simulator.cell_plan import AZUROPHIL, DARK_CHROMATIN, PLATELET_BODY, TOXIC_GRANULE
from edge.simulator.raster import (
    Canvas,
    Mask,
    blend,
    blur,
    draw_disc,
    draw_outline,
    draw_stroke,
    polar_outline,
    soft_mask,
    texture,
)


@dataclass(slots=True, eq=False)
class Sketch:
    """A cell being drawn: the canvas, the masks of the cell and its nucleus, and what room is still free (bytes)."""

    canvas: Canvas
    body: Mask
    nucleus: Mask
    centre: tuple[float, float]
    radius_px: float
    px_per_um: float
    room: np.ndarray

    def take_place(self, radius_px: float, rng: np.random.Generator) -> tuple[float, float]:
        """Return a free point with `radius_px` of room round it, or the roomiest one, and mark it taken."""
        distance = cv2.distanceTransform(self.room, cv2.DIST_L2, 3)
        rows, columns = np.nonzero(distance >= min(radius_px, float(distance.max())))
        index = int(rng.integers(0, rows.size))
        x, y = float(columns[index]), float(rows[index])
        cv2.circle(self.room, (round(x), round(y)), round(radius_px * 1.25) + 1, 0, -1)
        return x, y


def paint_inclusion(name: str, sketch: Sketch, rng: np.random.Generator) -> None:
    """Paint one kind of inclusion into the sketch, in place. KeyError when the name is not known."""
    _INCLUSIONS[name](sketch, rng)


def _disc(sketch: Sketch, x: float, y: float, radius_px: float) -> Mask:
    drawn = np.zeros(sketch.body.shape[:2], np.uint8)
    draw_disc(drawn, x, y, radius_px)
    return soft_mask(drawn, 0.0)


def _blob(sketch: Sketch, x: float, y: float, radius_px: float, rng: np.random.Generator, stretch: float = 1.0) -> Mask:
    drawn = np.zeros(sketch.body.shape[:2], np.uint8)
    draw_outline(drawn, polar_outline((x, y), radius_px, rng, wobble=0.04, elongation=stretch))
    return soft_mask(drawn, 0.0)


def _vacuoles_of(sketch: Sketch, rng: np.random.Generator, count: int, low_um: float, high_um: float) -> None:
    for _ in range(count):
        radius = rng.uniform(low_um, high_um) * sketch.px_per_um
        x, y = sketch.take_place(radius, rng)
        hole = _disc(sketch, x, y, radius) * sketch.body
        rim = np.clip(_disc(sketch, x, y, radius + 0.16 * sketch.px_per_um) - hole, 0, 1)
        blend(sketch.canvas, rim * np.float32(0.4), (0.58, 0.48, 0.76))
        blend(sketch.canvas, hole * np.float32(0.94), (0.985, 0.965, 0.985))


def _vacuoles(sketch: Sketch, rng: np.random.Generator) -> None:
    _vacuoles_of(sketch, rng, int(rng.integers(3, 8)), 0.5, 1.0)


def _small_vacuoles(sketch: Sketch, rng: np.random.Generator) -> None:
    _vacuoles_of(sketch, rng, int(rng.integers(1, 5)), 0.25, 0.5)


def _platelet_vacuoles(sketch: Sketch, rng: np.random.Generator) -> None:
    _vacuoles_of(sketch, rng, int(rng.integers(2, 4)), 0.45, 0.62)


def _doehle(sketch: Sketch, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 4))):
        radius = rng.uniform(0.75, 1.0) * sketch.px_per_um
        x, y = sketch.take_place(radius, rng)
        alpha = blur(_blob(sketch, x, y, radius, rng, stretch=rng.uniform(1.3, 1.8)), 0.12 * sketch.px_per_um)
        blend(sketch.canvas, alpha * sketch.body * np.float32(0.9), (0.52, 0.64, 0.88))


def _rods(sketch: Sketch, rng: np.random.Generator, count: int) -> None:
    """Red-purple needles. In bundles they cross at small angles; a single rod lies in the free cytoplasm."""
    x, y = sketch.take_place(1.2 * sketch.px_per_um, rng)
    lean = np.arctan2(y - sketch.centre[1], x - sketch.centre[0]) + np.pi / 2 + rng.normal(0, 0.2)
    drawn = np.zeros(sketch.body.shape[:2], np.uint8)
    for _ in range(count):
        spread = 1.3 if count > 1 else 0.0
        middle = np.array([x, y]) + rng.normal(0, 1, 2) * spread * sketch.px_per_um * 0.7
        angle = lean + (rng.normal(0, 0.35) if count > 1 else 0.0)
        half = rng.uniform(1.5, 2.3) * sketch.px_per_um * np.array([np.cos(angle), np.sin(angle)])
        draw_stroke(drawn, np.stack([middle - half, middle + half]), 0.34 * sketch.px_per_um)
    alpha = soft_mask(drawn, 0.35)
    blend(
        sketch.canvas,
        np.clip(blur(alpha, 0.25 * sketch.px_per_um), 0, 1) * sketch.body * np.float32(0.35),
        (0.93, 0.75, 0.85),
    )
    blend(sketch.canvas, alpha * sketch.body * np.float32(0.95), (0.66, 0.13, 0.42))


def _auer(sketch: Sketch, rng: np.random.Generator) -> None:
    _rods(sketch, rng, int(rng.choice([1, 1, 1, 2])))


def _faggot(sketch: Sketch, rng: np.random.Generator) -> None:
    _rods(sketch, rng, int(rng.integers(9, 14)))


def _giant_granules(sketch: Sketch, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(3, 6))):
        radius = rng.uniform(0.6, 1.0) * sketch.px_per_um
        x, y = sketch.take_place(radius, rng)
        alpha = _blob(sketch, x, y, radius, rng, stretch=rng.uniform(1.0, 1.3)) * sketch.body
        blend(sketch.canvas, alpha * np.float32(0.92), (0.58, 0.22, 0.52))
        core = _disc(sketch, x - 0.2 * radius, y - 0.2 * radius, 0.45 * radius) * sketch.body
        blend(sketch.canvas, core * np.float32(0.35), (0.78, 0.48, 0.70))


def _fragment(sketch: Sketch, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 3))):
        radius = rng.uniform(0.55, 0.75) * sketch.px_per_um
        x, y = sketch.take_place(radius * 1.3, rng)
        blend(sketch.canvas, _disc(sketch, x, y, radius) * sketch.body * np.float32(0.97), DARK_CHROMATIN)


def _phagocytosed(sketch: Sketch, rng: np.random.Generator) -> None:
    """A swallowed nucleus remnant in a clear halo, or a string of cocci."""
    if rng.random() < 0.5:
        radius = rng.uniform(1.15, 1.5) * sketch.px_per_um
        x, y = sketch.take_place(radius, rng)
        blend(sketch.canvas, _disc(sketch, x, y, radius * 1.2) * sketch.body * np.float32(0.9), (0.95, 0.92, 0.96))
        blend(
            sketch.canvas, _blob(sketch, x, y, radius * 0.85, rng) * sketch.body * np.float32(0.9), (0.58, 0.33, 0.62)
        )
        return
    for _ in range(int(rng.integers(5, 9))):
        x, y = sketch.take_place(0.42 * sketch.px_per_um, rng)
        for offset in (-0.28, 0.28):
            spot = _disc(sketch, x + offset * sketch.px_per_um, y, 0.3 * sketch.px_per_um)
            blend(sketch.canvas, spot * sketch.body * np.float32(0.95), (0.18, 0.10, 0.42))


def paint_platelet(
    canvas: Canvas, centre: tuple[float, float], radius_px: float, px_per_um: float, rng: np.random.Generator
) -> None:
    """Paint a small platelet of `radius_px`: pale blue body, purple granules in its middle; in place."""
    shape = canvas.shape[1], canvas.shape[2]
    body, core = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    draw_outline(body, polar_outline(centre, radius_px, rng, wobble=0.09, elongation=rng.uniform(1, 1.3)))
    for _ in range(max(9, round(14 * radius_px / px_per_um))):
        reach, angle = 0.7 * radius_px * np.sqrt(rng.uniform()), rng.uniform(0, 6.28)
        draw_disc(core, centre[0] + reach * np.cos(angle), centre[1] + reach * np.sin(angle), 0.2 * px_per_um, 230)
    blend(canvas, soft_mask(body, 0.4) * np.float32(0.85), PLATELET_BODY)
    blend(canvas, soft_mask(core, 0.0) * np.float32(0.85), AZUROPHIL)


def _satellites(sketch: Sketch, rng: np.random.Generator) -> None:
    count = int(rng.integers(5, 9))
    start = rng.uniform(0, 6.28)
    for k in range(count):
        angle = start + 2 * np.pi * k / count + rng.normal(0, 0.12)
        radius = rng.uniform(1.0, 1.35) * sketch.px_per_um
        reach = sketch.radius_px + 0.75 * radius
        place = (float(sketch.centre[0] + reach * np.cos(angle)), float(sketch.centre[1] + reach * np.sin(angle)))
        paint_platelet(sketch.canvas, place, radius, sketch.px_per_um, rng)


def _stippling(sketch: Sketch, rng: np.random.Generator) -> None:
    drawn = np.zeros(sketch.body.shape[:2], np.uint8)
    for _ in range(int(rng.integers(60, 90))):
        reach, angle = sketch.radius_px * np.sqrt(rng.uniform(0, 0.9)), rng.uniform(0, 6.28)
        draw_disc(drawn, sketch.centre[0] + reach * np.cos(angle), sketch.centre[1] + reach * np.sin(angle),
                  rng.uniform(0.16, 0.25) * sketch.px_per_um)  # fmt: skip
    free = np.clip(sketch.body - sketch.nucleus, 0, 1)
    blend(sketch.canvas, soft_mask(drawn, 0.0) * free * np.float32(0.9), (0.25, 0.22, 0.58))


def _few_azurophil_granules(sketch: Sketch, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(8, 15))):
        radius = rng.uniform(0.26, 0.38) * sketch.px_per_um
        x, y = sketch.take_place(radius, rng)
        blend(sketch.canvas, _disc(sketch, x, y, radius) * sketch.body * np.float32(0.92), (0.62, 0.16, 0.52))


def _dark_granules(sketch: Sketch, rng: np.random.Generator) -> None:
    """Basophilic granules among eosinophilic ones."""
    for _ in range(int(rng.integers(14, 24))):
        radius = rng.uniform(0.38, 0.55) * sketch.px_per_um
        x, y = sketch.take_place(radius, rng)
        blend(sketch.canvas, _disc(sketch, x, y, radius) * sketch.body * np.float32(0.92), TOXIC_GRANULE)


def _clear_centre(sketch: Sketch, rng: np.random.Generator) -> None:
    """Chromatin gaps: clear, sharp clefts between clumps of the nucleus."""
    gaps = texture(sketch.nucleus.shape[:2], 1.15 * sketch.px_per_um, rng)
    alpha = np.clip((gaps - np.float32(0.35)) * np.float32(3.5), 0, 1) * blur(sketch.nucleus, 1.0) * sketch.nucleus
    blend(sketch.canvas, alpha * np.float32(0.85), (0.80, 0.64, 0.84))


_INCLUSIONS: Mapping[str, Callable[[Sketch, np.random.Generator], None]] = {
    "vacuoles": _vacuoles, "small vacuoles": _small_vacuoles, "platelet vacuoles": _platelet_vacuoles,
    "doehle bodies": _doehle, "auer rod": _auer, "faggots": _faggot, "giant granules": _giant_granules,
    "nuclear fragment": _fragment, "phagocytosed body": _phagocytosed, "satellite platelets": _satellites,
    "stippling": _stippling, "azurophil granules": _few_azurophil_granules, "dark granules": _dark_granules,
    "chromatin gaps": _clear_centre,
}  # fmt: skip
