"""Drawing primitives: anti-aliased masks, textures and blending on small float canvases.

    mask     float32 [H,W] in 0..1, how much of a pixel a structure covers
    canvas   float32 [3,H,W], light transmitted by the stained film, 1 = clear glass; planes, because NumPy walks
             long rows several times faster than pixels of three

Light transmitted, rather than colour seen, keeps the lamp and the white balance out of the drawing: `scene.py`
multiplies them in at the end, so that one cell may be seen under any microscope.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.float32]
Canvas = NDArray[np.float32]
Colour = tuple[float, float, float]

_SHIFT = 4  # OpenCV draws with this many fractional bits: outlines move by 1/16 px, not by whole pixels
_TEXTURE_SIDE_PX = 768


def polar_outline(
    centre: tuple[float, float],
    radius_px: float,
    rng: np.random.Generator,
    *,
    wobble: float = 0.03,
    elongation: float = 1.0,
    angle: float | None = None,
    orders: Sequence[int] = (2, 3, 4, 5),
    points: int = 96,
) -> NDArray[np.float64]:
    """Return a closed, smooth outline [points,2] around `centre`: a circle stretched by `elongation` and `wobble`d."""
    theta = np.linspace(0.0, 2 * np.pi, points, endpoint=False)
    order = np.asarray(orders, dtype=np.float64)
    amplitude = rng.normal(0.0, wobble, order.size) / np.sqrt(order / order[0])
    phase = rng.uniform(0, 2 * np.pi, order.size)
    turn = rng.uniform(0, np.pi) if angle is None else angle
    radius = radius_px * (1 + (amplitude[:, None] * np.cos(order[:, None] * theta + phase[:, None])).sum(axis=0))
    x, y = radius * np.cos(theta) * np.sqrt(elongation), radius * np.sin(theta) / np.sqrt(elongation)
    return np.stack(
        [centre[0] + x * np.cos(turn) - y * np.sin(turn), centre[1] + x * np.sin(turn) + y * np.cos(turn)], axis=1
    )


def fill_outline(shape: tuple[int, int], outline: NDArray[np.float64]) -> Mask:
    """Return the anti-aliased mask of a filled closed outline [n,2]."""
    drawn = np.zeros(shape, np.uint8)
    draw_outline(drawn, outline)
    return _mask_from_bytes(drawn)


def draw_outline(drawn: NDArray[np.uint8], outline: NDArray[np.float64], value: int = 255) -> None:
    """Fill a closed outline into a byte mask, in place."""
    cv2.fillPoly(drawn, [np.round(outline * (1 << _SHIFT)).astype(np.int32)], value, cv2.LINE_AA, _SHIFT)


def draw_disc(drawn: NDArray[np.uint8], x: float, y: float, radius_px: float, value: int = 255) -> None:
    """Fill a disc into a byte mask, in place; centre and radius need not be whole pixels."""
    scale = 1 << _SHIFT
    cv2.circle(drawn, (round(x * scale), round(y * scale)), max(1, round(radius_px * scale)), value, -1, cv2.LINE_AA, 4)


def draw_stroke(drawn: NDArray[np.uint8], points: NDArray[np.float64], width_px: float, value: int = 255) -> None:
    """Draw an open line of a given width with round ends into a byte mask, in place."""
    fixed = np.round(points * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(drawn, [fixed], False, value, max(1, round(width_px)), cv2.LINE_AA, _SHIFT)


def soft_mask(drawn: NDArray[np.uint8], sigma_px: float) -> Mask:
    """Return a byte mask with its corners rounded by `sigma_px`, its edge about one pixel wide.

    Blurring and then steepening the edge melts touching primitives into one organic outline.
    """
    if sigma_px < 0.3:
        return _mask_from_bytes(drawn)
    blurred = cv2.GaussianBlur(drawn, (0, 0), sigma_px)
    level = blurred.astype(np.float32) * np.float32(1 / 255) - np.float32(0.5)
    return np.asarray(np.clip(level * np.float32(max(1.0, 2.2 * sigma_px)) + np.float32(0.5), 0, 1), np.float32)


def blur(mask: Mask, sigma_px: float) -> Mask:
    """Return a mask (or one plane of a canvas) blurred by a Gaussian of `sigma_px`."""
    if sigma_px < 4:
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(sigma_px, 0.2)), np.float32)
    # A wide blur leaves nothing that a third of the resolution could not carry, at a tenth of the time.
    height, width = mask.shape
    small = cv2.resize(mask, (max(1, width // 3), max(1, height // 3)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / 3)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def blend(canvas: Canvas, alpha: Mask, colour: Colour | NDArray[np.float32]) -> None:
    """Lay `colour` (one colour, or a canvas of them) over the canvas with opacity `alpha`, in place."""
    target = np.asarray(colour, np.float32)
    rows, columns = _touched(alpha)
    inside = alpha[rows, columns]
    for channel in range(3):
        plane = canvas[channel, rows, columns]
        wanted = target[channel] if target.ndim == 1 else target[channel, rows, columns]
        plane += inside * (wanted - plane)


def blend_between(canvas: Canvas, alpha: Mask, dark: Colour, light: Colour, level: Mask) -> None:
    """Lay over the canvas a mixture of two colours: `level` 0 gives `dark`, 1 gives `light`."""
    first, second = np.asarray(dark, np.float32), np.asarray(light, np.float32)
    blend(canvas, alpha, first[:, None, None] + level * (second - first)[:, None, None])


def texture(shape: tuple[int, int], grain_px: float, rng: np.random.Generator) -> Mask:
    """Return band-limited noise [H,W] with mean 0, deviation 1 and spots of about `grain_px`, at a random place."""
    sheet = _texture_sheet(max(1, round(4 * np.log2(max(grain_px, 0.5) / 0.4))))
    height, width = shape
    top = int(rng.integers(0, _TEXTURE_SIDE_PX - height + 1))
    left = int(rng.integers(0, _TEXTURE_SIDE_PX - width + 1))
    patch = sheet[top : top + height, left : left + width]
    return patch[:: 1 if rng.random() < 0.5 else -1, :: 1 if rng.random() < 0.5 else -1]


@lru_cache(maxsize=24)
def _texture_sheet(step: int) -> Mask:
    """One sheet per quarter octave of grain; fixed seeds keep a drawing repeatable from its generator alone."""
    sigma = 0.4 * 2 ** (step / 4) / 2
    noise = np.random.default_rng(1000 + step).standard_normal((_TEXTURE_SIDE_PX, _TEXTURE_SIDE_PX), dtype=np.float32)
    band = cv2.GaussianBlur(noise, (0, 0), sigma) - cv2.GaussianBlur(noise, (0, 0), 2.5 * sigma)
    return np.asarray(band / band.std(), np.float32)


def _touched(alpha: Mask) -> tuple[slice, slice]:
    """Return the rows and columns that a mask touches: most structures are far smaller than their canvas."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _mask_from_bytes(drawn: NDArray[np.uint8]) -> Mask:
    return drawn.astype(np.float32) * np.float32(1 / 255)
