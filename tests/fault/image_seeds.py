"""Sound images to damage: drawn cells and, where they are at hand, real ones, in every variant that is accepted."""

from __future__ import annotations

import io
import os
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.simulator.cells import draw_cell

TYPES = "SNE BNE LY MO EO BA BL ERB PMY LP".split()
JPEG_VARIANTS: tuple[tuple[int, ...], ...] = (
    (cv2.IMWRITE_JPEG_QUALITY, 90),
    (cv2.IMWRITE_JPEG_QUALITY, 75, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    (cv2.IMWRITE_JPEG_QUALITY, 60, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111),
)


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """One sound image: its format, its bytes and, where the format keeps them, its exact pixels (RGB)."""

    format: str
    data: bytes
    pixels: NDArray[np.uint8] | None


def real_cells() -> list[Path]:
    """Return the real cell images of the folder that MDS_EDGE_CELLS names, in order; empty without it."""
    named = os.environ.get("MDS_EDGE_CELLS", "")
    return sorted(Path(named).glob("*/*.jpg")) if named else []


@cache
def pictures(number: int, count: int = 12) -> tuple[NDArray[np.uint8], ...]:
    """Return `count` small RGB pictures of a run: drawn cells of 48 px cut to varied sizes, a third real crops."""
    rng = np.random.default_rng(number)
    chance = random.Random(number)
    real = real_cells()
    made = []
    for index in range(count):
        if real and index % 3 == 2:
            whole = cv2.cvtColor(cv2.imread(str(chance.choice(real))), cv2.COLOR_BGR2RGB)
            side = chance.randint(60, min(whole.shape[:2]))
            picture = cv2.resize(whole[:side, :side], (48, 48), interpolation=cv2.INTER_AREA)
        else:
            picture = draw_cell(chance.choice(TYPES), (), rng, size_px=48)
        height, width = chance.randint(17, 48), chance.randint(17, 48)
        made.append(np.ascontiguousarray(picture[:height, :width]))
    return tuple(made)


def seeds(number: int, count: int = 12) -> list[Seed]:
    """Return the sound images of a run: each picture as JPEG, PNG and BMP, the variants taken in turn."""
    made = []
    for index, rgb in enumerate(pictures(number, count)):
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        made.append(Seed("jpeg", encoded(".jpg", bgr, JPEG_VARIANTS[index % len(JPEG_VARIANTS)]), None))
        made.append(Seed("png", *png_variant(index, bgr, rgb)))
        made.append(Seed("bmp", *bmp_variant(index, bgr, rgb)))
    real = real_cells()
    if real:  # one whole export picture among the small ones
        made.append(Seed("jpeg", real[number % len(real)].read_bytes(), None))
    return made


def encoded(ending: str, picture: NDArray[np.uint8], options: tuple[int, ...] = ()) -> bytes:
    """Return the picture (BGR, BGRA or grey) in the format of `ending`."""
    done, data = cv2.imencode(ending, picture, list(options))
    assert done
    return data.tobytes()


def png_variant(index: int, bgr: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.uint8]]:
    if index % 3 == 0:
        return encoded(".png", bgr), rgb
    if index % 3 == 1:
        grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        return encoded(".png", grey), np.repeat(grey[:, :, None], 3, axis=2)
    opaque = np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)])
    return encoded(".png", opaque), rgb


def bmp_variant(index: int, bgr: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.uint8]]:
    if index % 2:
        return encoded(".bmp", bgr), rgb
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "BMP")
    return buffer.getvalue(), rgb
