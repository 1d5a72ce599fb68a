"""Everything round the cell: red cells, stray platelets, the lamp, the stain and the focus."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.simulator.inclusions import paint_platelet
from edge.simulator.raster import Canvas, blur, draw_disc, draw_outline, texture

_CELL_SIDE_UM = 36.0  # a crop of the analyzer shows about 36 um of film: a red cell of 7.5 um spans 75 of 360 px


@dataclass(frozen=True, slots=True)
class SceneLook:
    """How one slide looks under one microscope; cells of a slide share it.

    lamp       light of the clear film, 0..1 per channel
    dye        strength of the stain per channel, 1 = as planned
    focus_um   radius of the focus blur
    noise      deviation of the camera's noise, in fractions of full scale
    """

    lamp: tuple[float, float, float]
    dye: tuple[float, float, float]
    focus_um: float
    noise: float
    red_cell_um: float
    red_cells_per_100_um2: float
    pallor: float


def random_look(rng: np.random.Generator) -> SceneLook:
    """Return the look of a random slide: three in four on the warm light of a DM96, the others on a neutral one."""
    warm = rng.random() < 0.75
    lamp = np.array((1.0, 0.905, 0.80) if warm else (0.90, 0.885, 0.93)) + rng.normal(0, 0.012, 3)
    strength = rng.uniform(0.86, 1.12)
    dye = strength * (1 + rng.normal(0, 0.02, 3))
    return SceneLook(
        lamp=(float(min(lamp[0], 1.0)), float(min(lamp[1], 1.0)), float(min(lamp[2], 1.0))),
        dye=(float(dye[0]), float(dye[1]), float(dye[2])),
        focus_um=float(rng.uniform(0.04, 0.13)),
        noise=float(rng.uniform(0.004, 0.012)),
        red_cell_um=float(rng.uniform(3.4, 4.1)),
        red_cells_per_100_um2=float(rng.uniform(0.7, 1.5)),
        pallor=float(rng.uniform(0.35, 0.85)),
    )


def paint_film(size_px: int, look: SceneLook, keep_clear_um: float, rng: np.random.Generator) -> Canvas:
    """Return a canvas [3,size_px,size_px] of film with red cells and stray platelets round a clear centre.

    Drawn at half the resolution and enlarged: red cells are smooth, and this is where most of the time would go.
    """
    half = (size_px + 1) // 2
    px_per_um = half / _CELL_SIDE_UM
    dose = np.zeros((half, half), np.float32)
    pale = np.zeros((half, half), np.uint8)
    places = _red_cell_places(look, keep_clear_um, rng) * px_per_um
    radii = look.red_cell_um * px_per_um * rng.uniform(0.88, 1.1, len(places))
    doses, pallors = rng.uniform(0.9, 1.06, len(places)), rng.uniform(0.38, 0.58, len(places)) * radii
    for outline, strength in zip(_red_cell_outlines(places, radii, rng), doses, strict=True):
        _add_red_cell(dose, outline, float(strength))
    for (x, y), radius in zip(places.tolist(), pallors.tolist(), strict=True):
        draw_disc(pale, x, y, radius)
    dose = np.minimum(dose, 1) + np.float32(0.35) * np.clip(dose - 1, 0, 1)
    pallor = blur(pale.astype(np.float32) * np.float32(1 / 255), 0.55 * px_per_um) * np.float32(look.pallor)
    dose *= 1 - np.where(dose > 1.02, 0, pallor)
    dose += np.float32(0.45) * (dose - blur(dose, 0.5 * px_per_um))
    large = np.clip(cv2.resize(dose, (size_px, size_px), interpolation=cv2.INTER_CUBIC), -0.12, 1.6)
    film = np.float32(1) - large * np.array((0.20, 0.275, 0.215), np.float32)[:, None, None]
    for _ in range(int(rng.poisson(1.2))):
        place = rng.uniform(2, _CELL_SIDE_UM - 2, 2)
        if np.hypot(*(place - _CELL_SIDE_UM / 2)) > keep_clear_um + 2:
            _stray_platelet(film, place, size_px / _CELL_SIDE_UM, rng)
    return np.ascontiguousarray(film, np.float32)


def develop(canvas: Canvas, look: SceneLook, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the photograph [H,W,3] uint8 RGB of a canvas: focus, dye, lamp, vignette and camera noise."""
    size_px = canvas.shape[1]
    focus_px = max(0.35, look.focus_um * size_px / _CELL_SIDE_UM)
    grid = np.linspace(-1, 1, size_px, dtype=np.float32)
    slope = rng.normal(0, 0.012, 2).astype(np.float32)
    gain = (1 + slope[0] * grid)[:, None] + (slope[1] * grid)[None, :] - np.float32(0.012) * grid[:, None] ** 2
    gain += np.float32(look.noise) * texture((size_px, size_px), 1.0, rng)
    photograph = np.empty((size_px, size_px, 3), np.uint8)
    for channel in range(3):
        dye, lamp = np.float32(look.dye[channel]), np.float32(255 * look.lamp[channel])
        seen = blur(canvas[channel], focus_px) * (lamp * dye) + lamp * (1 - dye)
        photograph[..., channel] = np.clip(seen * gain, 0, 255)
    return photograph


def _red_cell_places(look: SceneLook, keep_clear_um: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return centres [n,2] in um: a jittered grid, turned, without those that would lie under the cell."""
    step = 10.0 / np.sqrt(look.red_cells_per_100_um2)
    line = np.arange(-_CELL_SIDE_UM, _CELL_SIDE_UM, step)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2) + rng.uniform(-0.5, 0.5, 2) * step
    grid += rng.normal(0, 0.2 * step, grid.shape)
    turn = rng.uniform(0, np.pi)
    grid = grid @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    grid = grid[rng.random(len(grid)) < 0.85]
    reach = look.red_cell_um * 1.1
    inside = (np.abs(grid) < _CELL_SIDE_UM / 2 + reach).all(axis=1)
    clear = np.hypot(grid[:, 0], grid[:, 1]) > keep_clear_um + 0.75 * reach
    return np.asarray(grid[inside & clear] + _CELL_SIDE_UM / 2, np.float64)


def _red_cell_outlines(
    places: NDArray[np.float64], radii: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return outlines [n,36,2] in pixels: slightly oval and dented discs, all reckoned at once."""
    count = len(places)
    theta = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    orders = np.array([2.0, 3.0, 4.0])
    dents = rng.normal(0, 0.03, (count, 3, 1)) * np.cos(
        orders[:, None] * theta + rng.uniform(0, 2 * np.pi, (count, 3, 1))
    )
    reach = radii[:, None] * (1 + dents.sum(axis=1))
    stretch = np.sqrt(1 + np.abs(rng.normal(0, 0.1, (count, 1))))
    turn = rng.uniform(0, np.pi, (count, 1))
    along, across = reach * np.cos(theta) * stretch, reach * np.sin(theta) / stretch
    x = along * np.cos(turn) - across * np.sin(turn)
    y = along * np.sin(turn) + across * np.cos(turn)
    return np.asarray(np.stack([x, y], axis=2) + places[:, None, :], np.float64)


def _add_red_cell(dose: NDArray[np.float32], outline: NDArray[np.float64], strength: float) -> None:
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 3, dose.shape[0])
    if (high <= low).any():
        return
    drawn = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    draw_outline(drawn, outline - low)
    dose[low[1] : high[1], low[0] : high[0]] += drawn * np.float32(strength / 255)


def _stray_platelet(film: Canvas, place: NDArray[np.float64], px_per_um: float, rng: np.random.Generator) -> None:
    reach = round(3 * px_per_um)
    x, y = float(place[0] * px_per_um), float(place[1] * px_per_um)
    left, top = max(0, round(x) - reach), max(0, round(y) - reach)
    window = film[:, top : round(y) + reach, left : round(x) + reach]
    paint_platelet(window, (x - left, y - top), rng.uniform(0.8, 1.4) * px_per_um, px_per_um, rng)
