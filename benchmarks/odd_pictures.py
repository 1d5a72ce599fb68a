"""Pictures that are no known cells, made from known cells or from nothing: other focus, stain and scale, and non-cells.

Every function takes a cell (uint8 [H, W, 3] RGB at the analyzer's size, about 360 px) and a random generator. They are
stand-ins for what a scanner can deliver, not photographs of it: what they cannot show is another scanner.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]


def bytes_of(values: NDArray[Any]) -> Pixels:
    """Round and clip to bytes."""
    return np.asarray(np.clip(values + 0.5, 0, 255), np.uint8)


def bytes_from_cv(pixels: Any) -> Pixels:
    """Return what OpenCV, which has no types of its own here, made of bytes: bytes."""
    return np.asarray(pixels, np.uint8)


def blurred(sigma_px: float) -> Change:
    """Blur with a Gaussian of so many pixels."""
    return lambda cell, _: bytes_from_cv(cv2.GaussianBlur(cell, (0, 0), sigma_px))


def hue_turned(degrees: float) -> Change:
    """Turn the hue in HSV: grey stays grey, as a filter or another dye would not do."""

    def change(cell: Pixels, _: np.random.Generator) -> Pixels:
        turned = cv2.cvtColor(cell, cv2.COLOR_RGB2HSV_FULL).astype(np.int32)
        turned[..., 0] = (turned[..., 0] + round(degrees / 360 * 256)) % 256
        return bytes_from_cv(cv2.cvtColor(turned.astype(np.uint8), cv2.COLOR_HSV2RGB_FULL))

    return change


def colours_turned(degrees: float) -> Change:
    """Turn all colours about the grey axis (Rodrigues' formula)."""
    angle = math.radians(degrees)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    matrix = math.cos(angle) * np.eye(3) + math.sin(angle) * across + (1 - math.cos(angle)) * np.full((3, 3), 1 / 3)
    return lambda cell, _: bytes_of(cell.astype(np.float64) @ matrix.T)


def halved(border: int) -> Change:
    """Half the size, the rest filled by mirroring or repeating the border."""

    def change(cell: Pixels, _: np.random.Generator) -> Pixels:
        height, width = cell.shape[:2]
        small = cv2.resize(cell, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
        below, right = height - small.shape[0] - top, width - small.shape[1] - left
        return bytes_from_cv(cv2.copyMakeBorder(small, top, below, left, right, border))

    return change


def halved_on_film(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Half the size, on a film as empty as the brightest of the border."""
    small = cv2.resize(cell, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    field = empty_film(cell, random)
    top, left = (field.shape[0] - small.shape[0]) // 2, (field.shape[1] - small.shape[1]) // 2
    field[top : top + small.shape[0], left : left + small.shape[1]] = small
    return field


def doubled(cell: Pixels, _: np.random.Generator) -> Pixels:
    """Return the middle at twice its size."""
    height, width = cell.shape[:2]
    middle = cell[height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2]
    return bytes_from_cv(cv2.resize(middle, (width, height), interpolation=cv2.INTER_CUBIC))


def film_colour(cell: Pixels) -> NDArray[np.float64]:
    """Return the colour of the empty film: the brightest of the border."""
    border = np.concatenate([cell[0], cell[-1], cell[:, 0], cell[:, -1]])
    return np.asarray(np.percentile(border, 90, axis=0), np.float64)


def empty_film(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Return the film alone, with grain."""
    grain = cv2.GaussianBlur(random.standard_normal(cell.shape, dtype=np.float32), (0, 0), 1.0) * 4
    return bytes_of(film_colour(cell) + grain)


def corner_of(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Return one corner, a third of the side: mostly red cells and film."""
    side = cell.shape[0] // 3
    top = 0 if random.random() < 0.5 else cell.shape[0] - side
    left = 0 if random.random() < 0.5 else cell.shape[1] - side
    return cell[top : top + side, left : left + side]


def red_cells_enlarged(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Return one corner, brought to the size of the picture."""
    return bytes_from_cv(cv2.resize(corner_of(cell, random), cell.shape[1::-1], interpolation=cv2.INTER_CUBIC))


def red_cells_alone(cell: Pixels, random: np.random.Generator) -> Pixels:
    """The film between the cells at its own scale: one corner, mirrored over the whole picture."""
    corner = corner_of(cell, random)
    row = np.concatenate([corner, corner[:, ::-1], corner], axis=1)
    return bytes_from_cv(cv2.resize(np.concatenate([row, row[::-1], row]), cell.shape[1::-1]))


def noise(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Return random bytes."""
    return random.integers(0, 256, cell.shape, dtype=np.uint8)


def noise_of_its_colours(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Return the cell's own pixels in random order."""
    pixels = cell.reshape(-1, 3)
    return pixels[random.permutation(len(pixels))].reshape(cell.shape)


def clouds(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Soft blobs with the cell's own colours: a picture far out of focus, of nothing."""
    field = cv2.GaussianBlur(random.standard_normal(cell.shape, dtype=np.float32), (0, 0), random.uniform(4, 25))
    field = (field - field.mean(axis=(0, 1))) / field.std(axis=(0, 1))
    return bytes_of(cell.reshape(-1, 3).mean(axis=0) + field * cell.reshape(-1, 3).std(axis=0))


def natural_texture(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Random phases with the 1/f spectrum of natural scenes."""
    height, width = cell.shape[:2]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    planes = []
    for _ in range(3):
        waves = random.standard_normal(frequency.shape) + 1j * random.standard_normal(frequency.shape)
        plane = np.fft.irfft2(waves / frequency, s=(height, width))
        planes.append((plane - plane.mean()) / plane.std() * 40 + random.uniform(90, 200))
    return bytes_of(np.stack(planes, axis=-1))


def text_page(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Return words on paper."""
    page = np.full_like(cell, random.integers(200, 256, 3, dtype=np.uint8))
    for _ in range(int(random.integers(3, 9))):
        word = "".join(chr(c) for c in random.integers(48, 91, 12))
        place = (int(random.integers(0, 60)), int(random.integers(30, cell.shape[0])))
        ink = [int(value) for value in random.integers(0, 120, 3)]
        cv2.putText(page, word, place, int(random.integers(0, 5)), random.uniform(0.6, 2), ink, 3)
    return page


def flat_colour(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Return one random colour."""
    return np.full_like(cell, random.integers(0, 256, 3, dtype=np.uint8))


def flat_film(cell: Pixels, _: np.random.Generator) -> Pixels:
    """Return one colour, that of the cell's film."""
    return np.full_like(cell, film_colour(cell).astype(np.uint8))


def chequers(cell: Pixels, random: np.random.Generator) -> Pixels:
    """Return squares of two random colours."""
    step = int(random.integers(6, 50))
    rows, columns = (places // step for places in np.mgrid[: cell.shape[0], : cell.shape[1]])
    first, second = random.integers(0, 256, (2, 3), dtype=np.uint8)
    return np.asarray(np.where(((rows + columns) % 2)[..., None], first, second), np.uint8)


KINDS: dict[str, dict[str, Change]] = {
    "blur": {"sigma 4 px": blurred(4), "sigma 6 px": blurred(6), "sigma 10 px": blurred(10)},
    "stain": {
        "hue +60": hue_turned(60),
        "hue -60": hue_turned(-60),
        "hue 120": hue_turned(120),
        "hue 180": hue_turned(180),
        "colours +60": colours_turned(60),
        "colours -60": colours_turned(-60),
    },
    "scale": {
        "x0.5, mirrored border": halved(cv2.BORDER_REFLECT_101),
        "x0.5, repeated border": halved(cv2.BORDER_REPLICATE),
        "x0.5, empty film": halved_on_film,
        "x2": doubled,
    },
    "no cell": {
        "empty film": empty_film,
        "red cells enlarged": red_cells_enlarged,
        "red cells alone": red_cells_alone,
        "noise": noise,
        "noise of a cell's colours": noise_of_its_colours,
        "clouds of a cell's colours": clouds,
        "natural texture": natural_texture,
        "text": text_page,
        "flat colour": flat_colour,
        "flat film": flat_film,
        "chequers": chequers,
    },
}
