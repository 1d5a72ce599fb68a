"""The body of a drawn cell: its outline, cytoplasm and granules."""

from __future__ import annotations

import numpy as np

from edge.simulator.cell_plan import CellPlan, Granules
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


def body_mask(
    shape: tuple[int, int],
    plan: CellPlan,
    centre: tuple[float, float],
    radius_px: float,
    lean: float,
    rng: np.random.Generator,
) -> Mask:
    """Return the mask [H,W] of the whole cell, stretched along `lean` (radians), projections included.

    KeyError when the margin has no such name.
    """
    orders, wobble = _MARGINS[plan.margin]
    outline = polar_outline(centre, radius_px, rng, wobble=plan.wobble, elongation=plan.elongation, angle=lean)
    if orders:
        fine = polar_outline((0.0, 0.0), 1.0, rng, wobble=wobble, orders=orders, angle=0.0)
        outline = (outline - centre) * np.hypot(fine[:, 0], fine[:, 1])[:, None] + centre
    drawn = np.zeros(shape, np.uint8)
    draw_outline(drawn, outline)
    if plan.margin == "hairy":
        _draw_hairs(drawn, outline, centre, radius_px, rng)
    elif plan.margin == "blebs":
        _draw_blebs(drawn, outline, centre, radius_px, rng)
    return soft_mask(drawn, 0.5 if plan.margin == "hairy" else 0.02 * radius_px)


_MARGINS: dict[str, tuple[tuple[int, ...], float]] = {
    "smooth": ((), 0.0),
    "ruffled": ((9, 12, 15, 19), 0.016),
    "hairy": ((9, 12, 15), 0.012),
    "blebs": ((), 0.0),
    "ragged": ((6, 9, 13, 17), 0.035),
    "bizarre": ((3, 4, 5, 7), 0.13),
}


def _draw_hairs(
    drawn: np.ndarray, outline: np.ndarray, centre: tuple[float, float], radius_px: float, rng: np.random.Generator
) -> None:
    roots = outline[:: max(1, len(outline) // int(rng.integers(30, 42)))]
    outwards = (roots - centre) / np.maximum(np.hypot(*(roots - centre).T)[:, None], 1e-6)
    sideways = np.stack([-outwards[:, 1], outwards[:, 0]], axis=1)
    for root, out, side in zip(roots, outwards, sideways, strict=True):
        length = radius_px * rng.uniform(0.16, 0.38)
        tip = root + out * length + side * length * rng.normal(0, 0.35)
        draw_stroke(
            drawn, np.stack([root - out * 2, (root + tip) / 2 + side * rng.normal(0, 1.0), tip]), 0.045 * radius_px
        )


def _draw_blebs(
    drawn: np.ndarray, outline: np.ndarray, centre: tuple[float, float], radius_px: float, rng: np.random.Generator
) -> None:
    count = int(rng.integers(3, 6))
    start = rng.uniform(0, 1)
    for k in range(count):
        x, y = outline[int(len(outline) * (start + (k + rng.normal(0, 0.12)) / count)) % len(outline)]
        reach = 1 + rng.uniform(0.06, 0.14)
        draw_disc(
            drawn, centre[0] + (x - centre[0]) * reach, centre[1] + (y - centre[1]) * reach,
            radius_px * rng.uniform(0.14, 0.22),
        )  # fmt: skip


def paint_body(canvas: Canvas, body: Mask, plan: CellPlan, px_per_um: float, rng: np.random.Generator) -> None:
    """Paint the cytoplasm: colour, darker edge, mottle, and the dust of fine granules; in place."""
    look = plan.cytoplasm
    shape = body.shape[:2]
    depth = blur(body, 0.16 * plan.radius_um * px_per_um)
    edge = np.clip((np.float32(1.0) - depth) * 2, 0, 1)
    shade = np.float32(1.0) - np.float32(look.edge_darkness) * edge
    shade += np.float32(look.mottle) * np.float32(0.5) * texture(shape, 0.9 * px_per_um, rng)
    shade += np.float32(look.mottle) * np.float32(0.5) * texture(shape, 0.35 * px_per_um, rng)
    colour = np.asarray(look.colour, np.float32)
    # Shading follows the dye: what absorbs little in the plain colour absorbs little where it is darker, too.
    tint = np.float32(1.0) - (np.float32(1.0) - shade) * (np.float32(1.55) - colour)[:, None, None]
    opacity = body * np.float32(look.opacity)
    patches = texture(shape, 1.6 * px_per_um, rng)
    if look.patchiness:
        opacity *= np.clip(1 - np.float32(look.patchiness) * (np.float32(0.45) + np.float32(0.75) * patches), 0.05, 1)
    blend(canvas, opacity, colour[:, None, None] * tint)
    dust = texture(shape, 0.3 * px_per_um, rng)
    if look.dust:
        speck = np.clip((dust - np.float32(0.55)) * np.float32(0.9), 0, 1) * np.float32(look.dust)
        blend(canvas, speck * body, look.dust_colour)


def paint_pale_zone(canvas: Canvas, body: Mask, place: tuple[float, float], radius_px: float, strength: float) -> None:
    """Paint the clear Golgi zone beside a nucleus, in place."""
    drawn = np.zeros(body.shape[:2], np.uint8)
    draw_disc(drawn, place[0], place[1], radius_px)
    blend(canvas, blur(soft_mask(drawn, 0), 0.4 * radius_px) * body * np.float32(strength), (0.90, 0.84, 0.93))


def paint_granules(
    canvas: Canvas,
    body: Mask,
    granules: Granules,
    centre: tuple[float, float],
    radius_px: float,
    px_per_um: float,
    rng: np.random.Generator,
    *,
    count: int,
) -> None:
    """Paint `count` round granules within the cell, in place; the nucleus may be painted over them afterwards."""
    drawn = np.zeros(body.shape[:2], np.uint8)
    sizes = np.abs(rng.normal(1.0, granules.radius_spread, count)).clip(0.45, 2.2) * granules.radius_um * px_per_um
    depths = rng.integers(150, 256, count)
    for (x, y), size, value in zip(_positions(granules, count, rng), sizes, depths, strict=True):
        draw_disc(drawn, centre[0] + radius_px * x, centre[1] + radius_px * y, max(size, 0.5), int(value))
    alpha = soft_mask(drawn, 0.0)
    light = texture(body.shape[:2], 0.5 * px_per_um, rng)
    target = np.asarray(granules.colour, np.float32)[:, None, None] * (np.float32(1.0) + np.float32(0.06) * light)
    blend(canvas, alpha * body * np.float32(granules.opacity), target)


def _positions(granules: Granules, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return positions [count,2] in cell radii."""
    if granules.spread == "clumped":
        foci = _disc_points(3, rng) * 0.75
        return foci[rng.integers(0, 3, count)] + rng.normal(0, 0.15, (count, 2))
    points = _disc_points(count, rng)
    return points * 0.72 if granules.spread == "central" else points * 1.02


def _disc_points(count: int, rng: np.random.Generator) -> np.ndarray:
    reach, angle = np.sqrt(rng.uniform(0, 1, count)), rng.uniform(0, 2 * np.pi, count)
    return np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)
