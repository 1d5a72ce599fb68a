"""Changes of a cell image that leave its meaning: what a scanner, a stain and a position do to the same cell.

Every function takes uint8 RGB and a random generator and returns uint8 RGB. The strength is chosen so that neither the
background of one scanner nor the drawing style of simulated cells is worth learning: rotation by any angle and mirror
images, size within 15 %, stain colour and contrast, the colour statistics of another cell, blur, noise, compression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far each change may go. Probabilities are per image; ranges are drawn from uniformly."""

    scale: tuple[float, float] = (0.85, 1.15)
    shift: float = 0.06
    hue_degrees: float = 12.0
    saturation: tuple[float, float] = (0.7, 1.3)
    contrast: tuple[float, float] = (0.8, 1.2)
    brightness: float = 30.0  # 15 % of a bright background: what lamps of two microscopes differ by
    channel_gain: tuple[float, float] = (0.95, 1.05)
    style_probability: float = 0.30
    blur_probability: float = 0.25
    noise_probability: float = 0.20
    jpeg_probability: float = 0.20


def augmented_cell(
    pixels: Pixels, size_px: int, style_of: Pixels, augmentation: Augmentation, random: np.random.Generator
) -> Pixels:
    """Return one changed view of a cell, uint8 [size_px, size_px, 3].

    `style_of` is another cell, from which the colour statistics may be taken.
    """
    image = placed_cell(pixels, size_px, augmentation, random)
    values = image.astype(np.float32)
    if random.random() < augmentation.style_probability:
        values = styled_as(values, style_of, blend=random.uniform(0.3, 0.8))
    values = recoloured(values, augmentation, random)
    if random.random() < augmentation.blur_probability:
        values = cv2.GaussianBlur(values, (0, 0), random.uniform(0.3, 0.011 * size_px))
    if random.random() < augmentation.noise_probability:
        noise = random.standard_normal(values.shape, dtype=np.float32)
        values = values + noise * random.uniform(1.0, 7.0)
    image = np.clip(values + 0.5, 0, 255).astype(np.uint8)
    if random.random() < augmentation.jpeg_probability:
        image = recompressed(image, quality=int(random.integers(40, 96)))
    return image


def placed_cell(pixels: Pixels, size_px: int, augmentation: Augmentation, random: np.random.Generator) -> Pixels:
    """Rotate by any angle, mirror, scale and shift, then shrink as the runtime does (area mean).

    What comes into view at the corners is the mirrored image: a black corner would be a mark of augmentation.
    """
    side = pixels.shape[0]
    angle = random.uniform(0, 2 * math.pi)
    scale = random.uniform(*augmentation.scale)
    cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
    mirror = 1.0 if random.random() < 0.5 else -1.0
    shift = random.uniform(-augmentation.shift, augmentation.shift, 2) * side
    matrix = np.array([[cosine * mirror, -sine, 0.0], [sine * mirror, cosine, 0.0]])
    centre = (side - 1) / 2
    matrix[:, 2] = centre + shift - matrix[:, :2] @ (centre, centre)
    placed = cv2.warpAffine(
        np.ascontiguousarray(pixels), matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    if side == size_px:
        return np.asarray(placed)
    filter_ = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(placed, (size_px, size_px), interpolation=filter_))


def recoloured(
    values: NDArray[np.float32], augmentation: Augmentation, random: np.random.Generator
) -> NDArray[np.float32]:
    """Change hue, saturation, contrast, brightness and the gain of each channel: another stain, another lamp."""
    grey = np.full((3, 3), 1 / 3)
    saturation = random.uniform(*augmentation.saturation)
    hue = math.radians(random.uniform(-augmentation.hue_degrees, augmentation.hue_degrees))
    # A rotation about the grey axis (Rodrigues' formula with the unit vector (1, 1, 1) / sqrt 3).
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    rotation = math.cos(hue) * np.eye(3) + math.sin(hue) * across + (1 - math.cos(hue)) * grey
    matrix = (saturation * np.eye(3) + (1 - saturation) * grey) @ rotation
    contrast = random.uniform(*augmentation.contrast)
    gains = random.uniform(*augmentation.channel_gain, 3) * contrast
    mean = float(values.mean())
    offset = mean * (1 - contrast) + random.uniform(-augmentation.brightness, augmentation.brightness)
    affine = np.concatenate([gains[:, None] * matrix, np.full((3, 1), offset)], axis=1)
    return np.asarray(cv2.transform(values, affine.astype(np.float32)))


def styled_as(values: NDArray[np.float32], other: Pixels, *, blend: float) -> NDArray[np.float32]:
    """Move each channel's mean and spread towards those of another cell (Reinhard's transfer, in RGB)."""
    mean, spread = _statistics(values)
    other_mean, other_spread = _statistics(other)
    ratio = np.clip(other_spread / np.maximum(spread, 4.0), 0.5, 2.0)
    moved = (values - mean) * ratio + other_mean
    return np.asarray(values + blend * (moved - values), np.float32)


def recompressed(image: Pixels, *, quality: int) -> Pixels:
    """Compress as JPEG and decode again. The channel order does not matter for a round trip through one codec."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _statistics(values: NDArray[np.float32] | Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, spread = cv2.meanStdDev(values)
    return mean.ravel().astype(np.float32), spread.ravel().astype(np.float32)
