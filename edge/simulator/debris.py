"""Crops without a whole cell: smudges, clumped platelets and artifacts of smearing and staining."""

from __future__ import annotations

import numpy as np

from edge.simulator.cell_plan import DARK_CHROMATIN, OPEN_CHROMATIN
from edge.simulator.inclusions import paint_platelet
from edge.simulator.raster import (
    Canvas,
    blend,
    blend_between,
    blur,
    draw_disc,
    draw_outline,
    draw_stroke,
    polar_outline,
    soft_mask,
    texture,
)


def paint_smudge(canvas: Canvas, centre: tuple[float, float], px_per_um: float, rng: np.random.Generator) -> None:
    """Paint a smudged nucleus: a spread, frayed, pale purple stain without cytoplasm; in place."""
    drawn = np.zeros(canvas.shape[1:], np.uint8)
    radius = rng.uniform(5.0, 7.0) * px_per_um
    lean = rng.uniform(0, np.pi)
    stretch = rng.uniform(1.1, 1.8)
    outline = polar_outline(centre, radius, rng, wobble=0.13, elongation=stretch, angle=lean, orders=(2, 3, 4, 6, 8))
    draw_outline(drawn, outline)
    for root in outline[:: int(rng.integers(5, 9))]:
        out = (root - centre) / max(float(np.hypot(*(root - centre))), 1e-6)
        length = radius * rng.uniform(0.1, 0.4)
        draw_stroke(drawn, np.stack([root - out * 4, root + out * length]), rng.uniform(0.2, 0.7) * px_per_um, 170)
    smear = blur(soft_mask(drawn, 0.5), rng.uniform(0.35, 0.6) * px_per_um)
    shape = (canvas.shape[1], canvas.shape[2])
    strands = texture(shape, 1.1 * px_per_um, rng) * np.float32(0.26) + texture(
        shape, 0.5 * px_per_um, rng
    ) * np.float32(0.1)
    alpha = smear * np.clip(np.float32(0.7) + strands, 0.12, 0.95)
    blend_between(canvas, alpha, (0.44, 0.20, 0.66), (0.72, 0.52, 0.82), np.clip(np.float32(0.35) + strands, 0, 1))


def paint_platelet_clump(
    canvas: Canvas, centre: tuple[float, float], px_per_um: float, rng: np.random.Generator
) -> None:
    """Paint an aggregate of six or more touching platelets (JAMT: five or more together); in place."""
    places = [np.array(centre)]
    radii = [rng.uniform(1.0, 1.8)]
    for _ in range(int(rng.integers(6, 15))):
        other = int(rng.integers(0, len(places)))
        radius, angle = rng.uniform(0.8, 1.7), rng.uniform(0, 6.28)
        reach = (radius + radii[other]) * rng.uniform(0.72, 0.98) * px_per_um
        places.append(places[other] + reach * np.array([np.cos(angle), np.sin(angle)]))
        radii.append(radius)
    shift = np.array(centre) - np.mean(places, axis=0)
    for place, radius in zip(places, radii, strict=True):
        x, y = place + shift
        paint_platelet(canvas, (float(x), float(y)), radius * px_per_um, px_per_um, rng)


def paint_artifact(canvas: Canvas, centre: tuple[float, float], px_per_um: float, rng: np.random.Generator) -> None:
    """Paint one of: stain precipitate, a refractile crystal, a fibre, a drying bubble; in place."""
    kind = int(rng.integers(0, 4))
    (_precipitate, _crystal, _fibre, _bubble)[kind](canvas, centre, px_per_um, rng)


def _precipitate(canvas: Canvas, centre: tuple[float, float], px_per_um: float, rng: np.random.Generator) -> None:
    drawn = np.zeros(canvas.shape[1:], np.uint8)
    foci = rng.normal(0, 2.4, (4, 2))
    for _ in range(int(rng.integers(60, 150))):
        x, y = np.array(centre) + (foci[int(rng.integers(0, 4))] + rng.normal(0, 1.5, 2)) * px_per_um
        draw_disc(drawn, float(x), float(y), rng.uniform(0.12, 0.5) * px_per_um)
    blend(canvas, soft_mask(drawn, 0.0) * np.float32(0.95), (0.22, 0.06, 0.36))


def _crystal(canvas: Canvas, centre: tuple[float, float], px_per_um: float, rng: np.random.Generator) -> None:
    drawn = np.zeros(canvas.shape[1:], np.uint8)
    angle = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 7))))
    reach = rng.uniform(2.5, 6.0, angle.size) * px_per_um
    draw_outline(drawn, np.stack([centre[0] + reach * np.cos(angle), centre[1] + reach * np.sin(angle)], axis=1))
    body = soft_mask(drawn, 0.4)
    rim = np.clip(blur(body, 0.3 * px_per_um) - blur(body, 0.9 * px_per_um), -1, 1)
    blend(canvas, body * np.float32(0.75), (0.93, 0.96, 0.97))
    blend(canvas, np.clip(np.abs(rim) * np.float32(2.6), 0, 0.9), (0.24, 0.24, 0.30))


def _fibre(canvas: Canvas, centre: tuple[float, float], px_per_um: float, rng: np.random.Generator) -> None:
    drawn = np.zeros(canvas.shape[1:], np.uint8)
    along = np.linspace(-1, 1, 14)
    lean, bend = rng.uniform(0, np.pi), rng.normal(0, 4)
    x, y = along * rng.uniform(7, 12), bend * along**2 + rng.normal(0, 0.4, 14)
    line = np.stack([x * np.cos(lean) - y * np.sin(lean), x * np.sin(lean) + y * np.cos(lean)], axis=1)
    draw_stroke(drawn, line * px_per_um + np.array(centre), rng.uniform(0.5, 1.3) * px_per_um)
    alpha = blur(soft_mask(drawn, 0.5), rng.uniform(0.1, 0.5) * px_per_um)
    blend(canvas, alpha * np.float32(0.8), (0.36, 0.34, 0.46))


def _bubble(canvas: Canvas, centre: tuple[float, float], px_per_um: float, rng: np.random.Generator) -> None:
    drawn = np.zeros(canvas.shape[1:], np.uint8)
    draw_outline(drawn, polar_outline(centre, rng.uniform(3.5, 6.5) * px_per_um, rng, wobble=0.06))
    body = soft_mask(drawn, 0.6)
    stain = blur(body, 0.8 * px_per_um) * np.clip(
        np.float32(0.55) + np.float32(0.25) * texture((canvas.shape[1], canvas.shape[2]), 2.0 * px_per_um, rng), 0, 1
    )
    blend_between(canvas, stain * np.float32(0.7), DARK_CHROMATIN, OPEN_CHROMATIN, np.ones_like(stain))
    blend(canvas, body * np.float32(0.45), (0.98, 0.93, 0.97))
