"""Paint a nucleus: its shape melted into one outline, its chromatin, membrane and nucleoli."""

from __future__ import annotations

import numpy as np

from edge.simulator.cell_plan import DARK_CHROMATIN, OPEN_CHROMATIN, Nucleus
from edge.simulator.nucleus_shapes import NUCLEUS_SHAPES, Place
from edge.simulator.raster import (
    Canvas,
    Colour,
    Mask,
    blend,
    blend_between,
    blur,
    draw_outline,
    polar_outline,
    soft_mask,
    texture,
)


def nucleus_mask(shape: tuple[int, int], plan: Nucleus, place: Place, rng: np.random.Generator) -> Mask:
    """Return the mask [H,W] of a nucleus. KeyError when no such shape is known."""
    drawn = np.zeros(shape, np.uint8)
    corner = NUCLEUS_SHAPES[plan.shape](drawn, plan, place, rng)
    return soft_mask(drawn, corner * place.cell_px)


def paint_nucleus(
    canvas: Canvas, mask: Mask, plan: Nucleus, place: Place, px_per_um: float, rng: np.random.Generator
) -> None:
    """Paint chromatin, membrane and nucleoli of a nucleus into the canvas, in place."""
    clumps = texture(mask.shape[:2], plan.grain_um * px_per_um, rng)
    fine = texture(mask.shape[:2], 0.34 * px_per_um, rng)
    inside = blur(mask, 0.45 * px_per_um)
    level = (
        np.float32(plan.openness)
        + np.float32(plan.contrast * 0.42) * clumps
        + np.float32(0.05 + 0.16 * plan.contrast) * fine
    )
    # The membrane is seen edge on: a darker rim about half a micrometre wide.
    level -= np.float32(0.75) * np.clip(np.float32(1.0) - inside, 0, 1)
    blend_between(canvas, mask, DARK_CHROMATIN, OPEN_CHROMATIN, np.clip(level, -0.12, 1.15))
    for _ in range(plan.nucleoli):
        _paint_nucleolus(canvas, mask, plan, place, px_per_um, rng)


def _paint_nucleolus(
    canvas: Canvas, mask: Mask, plan: Nucleus, place: Place, px_per_um: float, rng: np.random.Generator
) -> None:
    reach = 0.5 * plan.size * np.sqrt(rng.uniform(0.02, 1))
    angle = rng.uniform(0, 2 * np.pi)
    x, y = place.at(float(reach * np.cos(angle)), float(reach * np.sin(angle)))
    radius = plan.nucleolus_um * px_per_um * rng.uniform(0.85, 1.15)
    drawn = np.zeros(mask.shape[:2], np.uint8)
    draw_outline(drawn, polar_outline((x, y), radius, rng, wobble=0.04, elongation=1.1))
    body = soft_mask(drawn, 0.0)
    halo = np.clip(blur(body, 0.3 * px_per_um) * np.float32(2.0), 0, 1) - body
    pale: Colour = (0.50, 0.40, 0.84)
    blend(canvas, np.clip(halo, 0, 1) * mask * np.float32(0.65), DARK_CHROMATIN)
    blend(canvas, blur(body, 0.14 * px_per_um) * mask * np.float32(0.8), pale)
