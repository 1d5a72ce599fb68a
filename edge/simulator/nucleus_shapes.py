"""The shapes of nuclei, by name: drawn from discs, outlines and strokes into a byte mask, inside a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.simulator.cell_plan import Nucleus
from edge.simulator.raster import draw_disc, draw_outline, draw_stroke, polar_outline

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a nucleus lies: its centre and the cell's radius, both in pixels of the canvas, and its turn in radians."""

    x: float
    y: float
    cell_px: float
    turn: float

    def at(self, along: float, across: float) -> tuple[float, float]:
        """Return the canvas point at (along, across), given in cell radii and turned with the nucleus."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return (
            float(self.x + self.cell_px * (along * cosine - across * sine)),
            float(self.y + self.cell_px * (along * sine + across * cosine)),
        )


def _round(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    draw_outline(drawn, polar_outline((place.x, place.y), plan.size * place.cell_px, rng, wobble=0.016))
    return 0.02


def _oval(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    stretch = rng.uniform(1.12, 1.3)
    draw_outline(
        drawn,
        polar_outline(
            (place.x, place.y), plan.size * place.cell_px, rng, wobble=0.02, elongation=stretch, angle=place.turn
        ),
    )
    return 0.02


def _dented(
    drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator, dents: list[tuple[float, float, float]]
) -> float:
    """An oval outline with dents (angle, depth, width in radians); the outline is drawn in the nucleus' own frame."""
    theta = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    radius = np.full(theta.shape, plan.size)
    for angle, depth, width in dents:
        away = np.angle(np.exp(1j * (theta - angle)))
        radius *= 1 - depth * np.exp(-0.5 * (away / width) ** 2)
    radius *= 1 + rng.normal(0, 0.02) * np.cos(3 * theta + rng.uniform(0, 6))
    along, across = radius * np.cos(theta) * 0.92, radius * np.sin(theta) * 1.12
    draw_outline(drawn, np.array([place.at(a, b) for a, b in zip(along, across, strict=True)]))
    return 0.035


def _kidney(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    return _dented(drawn, plan, place, rng, [(0.0, rng.uniform(0.48, 0.64), rng.uniform(0.38, 0.55))])


def _folded(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    dents = [(0.0, rng.uniform(0.25, 0.55), rng.uniform(0.22, 0.5))]
    dents += [(rng.uniform(1.8, 4.4), rng.uniform(0.1, 0.3), rng.uniform(0.2, 0.35))]
    return _dented(drawn, plan, place, rng, dents)


def _irregular(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    first = rng.uniform(0, 6)
    count = int(rng.integers(3, 5))
    dents = [(first + 6.28 * k / count + rng.normal(0, 0.2), rng.uniform(0.26, 0.42), rng.uniform(0.2, 0.3))
             for k in range(count)]  # fmt: skip
    return _dented(drawn, plan, place, rng, dents)


def _band(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    """A thick bent rod of nearly one width: length to width 3:1 or more, no filament (JSLH)."""
    bend, reach = rng.uniform(2.7, 4.3), rng.uniform(0.44, 0.52)
    theta = np.linspace(-bend / 2, bend / 2, 40) + np.pi
    twist = rng.normal(0, 0.08)
    centre = reach * 0.35
    points = [(centre + reach * np.cos(t), reach * np.sin(t) * 1.08 + twist * t) for t in theta]
    phase, thick = rng.uniform(0, 6), rng.uniform(0.185, 0.225) * plan.size
    for index, (along, across) in enumerate(points):
        x, y = place.at(along, across)
        draw_disc(drawn, x, y, place.cell_px * thick * (1 + 0.13 * np.cos(0.33 * index + phase)))
    return 0.045


def _chain(
    drawn: Bytes, place: Place, rng: np.random.Generator, lobes: int, lobe: float, filament: float, bend: float
) -> None:
    """Lobes along an arc, joined by filaments: `lobe` is a lobe's radius in cell radii."""
    reach = 0.5 if lobes > 2 else 0.40
    theta = np.linspace(-bend / 2, bend / 2, lobes) * rng.uniform(0.85, 1.05) + rng.normal(0, 0.09, lobes)
    radial = reach * (1 + rng.normal(0, 0.13, lobes))
    centres = np.array(
        [place.at(float(r * np.cos(t)) - 0.05, float(r * np.sin(t))) for r, t in zip(radial, theta, strict=True)]
    )
    draw_stroke(drawn, centres, max(1.0, filament * place.cell_px))
    for (x, y), angle in zip(centres, theta, strict=True):
        size = lobe * place.cell_px * rng.uniform(0.88, 1.16)
        turn = place.turn + angle + np.pi / 2 + rng.normal(0, 0.3)
        draw_outline(
            drawn, polar_outline((x, y), size, rng, wobble=0.045, elongation=rng.uniform(1.1, 1.45), angle=turn)
        )


def _lobed(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    lobes = plan.lobes
    bend = {2: 2.9, 3: 3.6, 4: 4.6, 5: 5.1}.get(lobes, 5.5)
    size = {2: 0.345, 3: 0.29, 4: 0.245, 5: 0.215}.get(lobes, 1.15 / lobes)
    _chain(drawn, place, rng, lobes, size * plan.size, 0.085, bend)
    return 0.02


def _oversegmented(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    """Six to eight small lobes: a ring of them with one in the middle keeps every lobe countable."""
    outer = plan.lobes - 1
    theta = np.arange(outer) * (2 * np.pi / outer) + rng.normal(0, 0.04, outer)
    centres = np.array([place.at(0.56 * float(np.cos(t)), 0.56 * float(np.sin(t))) for t in theta])
    middle = np.array([place.at(rng.normal(0, 0.04), rng.normal(0, 0.04))])
    draw_stroke(drawn, np.concatenate([centres, middle]), max(1.0, 0.06 * place.cell_px))
    for x, y in np.concatenate([centres, middle]):
        size = place.cell_px * rng.uniform(0.165, 0.195)
        draw_outline(drawn, polar_outline((x, y), size, rng, wobble=0.04, elongation=rng.uniform(1.0, 1.15)))
    return 0.012


def _spectacles(drawn: Bytes, _: Nucleus, place: Place, rng: np.random.Generator) -> float:
    """Pelger-Huet: two round lobes and one thin filament (pince-nez)."""
    gap = rng.uniform(0.42, 0.46)
    ends = np.array([place.at(0, -gap), place.at(0, gap)])
    draw_stroke(drawn, ends, max(1.0, 0.07 * place.cell_px))
    for x, y in ends:
        draw_outline(drawn, polar_outline((x, y), place.cell_px * rng.uniform(0.32, 0.35), rng, wobble=0.012))
    return 0.012


def _dumbbell(drawn: Bytes, _: Nucleus, place: Place, rng: np.random.Generator) -> float:
    """Reduced lobulation, not Pelger: a short thick rod or heart that never thins to a filament."""
    gap = rng.uniform(0.2, 0.28)
    ends = np.array([place.at(0.05, -gap), place.at(-0.04, 0), place.at(0.05, gap)])
    draw_stroke(drawn, ends, 0.42 * place.cell_px)
    for x, y in ends[[0, 2]]:
        draw_outline(drawn, polar_outline((x, y), place.cell_px * rng.uniform(0.3, 0.36), rng, wobble=0.04))
    return 0.05


def _ring(drawn: Bytes, _: Nucleus, place: Place, rng: np.random.Generator) -> float:
    reach, thick = rng.uniform(0.46, 0.52), rng.uniform(0.17, 0.2)
    phase = rng.uniform(0, 6)
    for t in np.linspace(0, 2 * np.pi, 44, endpoint=False):
        x, y = place.at(reach * float(np.cos(t)), 0.94 * reach * float(np.sin(t)))
        draw_disc(drawn, x, y, place.cell_px * thick * (1 + 0.22 * np.cos(2 * t + phase)))
    return 0.03


def _separate(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    """Complete nuclei with clear space between them; `lobes` of them, `size` the radius of one in cell radii."""
    count = max(2, plan.lobes)
    reach = max(plan.size * 1.12 / np.sin(np.pi / count), 0.3) if count > 1 else 0.0
    for k in range(count):
        t = 2 * np.pi * k / count + rng.normal(0, 0.04)
        x, y = place.at(float(reach * np.cos(t)), float(reach * np.sin(t)))
        draw_outline(
            drawn,
            polar_outline(
                (x, y), place.cell_px * plan.size * rng.uniform(0.93, 1.05), rng, wobble=0.02, elongation=1.05
            ),
        )
    return 0.012


def _botryoid(drawn: Bytes, _: Nucleus, place: Place, rng: np.random.Generator) -> float:
    """A bunch of grapes: small lobes packed round one short stalk."""
    count = int(rng.integers(5, 8))
    draw_disc(drawn, place.x, place.y, 0.24 * place.cell_px)
    for k in range(count):
        t = 2 * np.pi * k / count + rng.normal(0, 0.1)
        reach = rng.uniform(0.36, 0.46)
        ends = np.array([(place.x, place.y), place.at(float(reach * np.cos(t)), float(reach * np.sin(t)))])
        draw_stroke(drawn, ends, 0.10 * place.cell_px)
        draw_disc(drawn, float(ends[1, 0]), float(ends[1, 1]), place.cell_px * rng.uniform(0.13, 0.18))
    return 0.015


def _balls(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    """Pyknotic balls or fragments with no filament between them; sizes differ."""
    start = rng.uniform(0, 6)
    for k in range(plan.lobes):
        t = start + 2 * np.pi * k / plan.lobes + rng.normal(0, 0.12)
        reach = plan.size * rng.uniform(0.85, 1.1)
        x, y = place.at(float(reach * np.cos(t)), float(reach * np.sin(t)))
        draw_disc(drawn, x, y, place.cell_px * rng.uniform(0.5, 0.85) * plan.size * np.sin(np.pi / plan.lobes))
    return 0.01


def _cleaved(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    _round(drawn, plan, place, rng)
    depth = rng.uniform(-0.25, 0.05) * plan.size
    lean = rng.normal(0, 0.12)
    tip, mouth = place.at(depth, lean), (place.at(plan.size * 1.25, -0.11), place.at(plan.size * 1.25, 0.11))
    draw_outline(drawn, np.array([tip, mouth[0], mouth[1]]), 0)
    return 0.012


def _petal(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    count = int(rng.integers(5, 7))
    draw_disc(drawn, place.x, place.y, 0.3 * plan.size * place.cell_px)
    for k in range(count):
        t = 2 * np.pi * k / count + rng.normal(0, 0.06)
        reach = 0.62 * plan.size
        x, y = place.at(float(reach * np.cos(t)), float(reach * np.sin(t)))
        size = 0.345 * plan.size * place.cell_px * 5.4 / (count + 0.4)
        draw_outline(drawn, polar_outline((x, y), size, rng, wobble=0.02, elongation=1.45, angle=place.turn + t))
    return 0.012


def _cerebriform(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    """A convoluted outline with narrow grooves running inwards."""
    outline = polar_outline((place.x, place.y), plan.size * place.cell_px, rng, wobble=0.05, orders=(5, 7, 9, 11))
    draw_outline(drawn, outline)
    for k in range(int(rng.integers(5, 7))):
        t = 1.1 * k + rng.normal(0, 0.2)
        radii = np.linspace(1.05, rng.uniform(0.15, 0.4), 6) * plan.size
        sway = t + 0.5 * np.sin(np.linspace(0, 3, 6) + rng.uniform(0, 6))
        line = np.array(
            [place.at(float(r * np.cos(s)), float(r * np.sin(s))) for r, s in zip(radii, sway, strict=True)]
        )
        draw_stroke(drawn, line, max(1.0, 0.045 * place.cell_px), 40)
    return 0.01


def _budding(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    _round(drawn, plan, place, rng)
    for k in range(int(rng.integers(1, 3))):
        t = rng.uniform(-0.5, 0.5) + 2.2 * k
        reach = plan.size * 1.12
        x, y = place.at(float(reach * np.cos(t)), float(reach * np.sin(t)))
        draw_disc(drawn, x, y, 0.38 * plan.size * place.cell_px)
    return 0.015


def _bridged(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    ends = np.array([place.at(-0.78, 0), place.at(0.78, 0)])
    middle = np.array([place.at(0, rng.normal(0, 0.08))])
    draw_stroke(drawn, np.stack([ends[0], middle[0], ends[1]]), max(1.0, 0.085 * place.cell_px))
    for x, y in ends:
        draw_outline(drawn, polar_outline((x, y), place.cell_px * plan.size, rng, wobble=0.02))
    return 0.015


def _multilobed(drawn: Bytes, plan: Nucleus, place: Place, rng: np.random.Generator) -> float:
    """The heaped lobes of a mature megakaryocyte."""
    draw_disc(drawn, place.x, place.y, 0.5 * plan.size * place.cell_px)
    count = int(rng.integers(6, 9))
    for k in range(count):
        t = 2 * np.pi * k / count + rng.normal(0, 0.15)
        reach = plan.size * rng.uniform(0.55, 0.72)
        x, y = place.at(float(reach * np.cos(t)), float(0.8 * reach * np.sin(t)))
        size = place.cell_px * plan.size * rng.uniform(0.3, 0.4)
        draw_outline(drawn, polar_outline((x, y), size, rng, wobble=0.04, elongation=1.1))
    return 0.015


NUCLEUS_SHAPES: Mapping[str, Callable[[Bytes, Nucleus, Place, np.random.Generator], float]] = {
    "round": _round, "oval": _oval, "kidney": _kidney, "folded": _folded, "irregular": _irregular, "band": _band,
    "lobed": _lobed, "oversegmented": _oversegmented, "spectacles": _spectacles, "dumbbell": _dumbbell,
    "ring": _ring, "separate": _separate, "botryoid": _botryoid, "balls": _balls, "cleaved": _cleaved,
    "petal": _petal, "cerebriform": _cerebriform, "budding": _budding, "bridged": _bridged, "multilobed": _multilobed,
}  # fmt: skip
"""Drawing functions by shape name; each returns how far to round corners, in cell radii."""
