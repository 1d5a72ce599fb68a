"""Are the decoded pixels what `strict-v1` and `area-v1` promise? Asked of an independent decoder and plain arithmetic.

Training, conversion and runtime share one decoder and one resizing; a fault in them (another chroma upsampling, a
reduced decoding, swapped channels, point sampling) would sit on both sides of every other comparison. So a few cells
are decoded by Pillow and brought to the network's size in float64, by the exact area of each target pixel or, where a
cell is smaller than that, linearly between pixels; the grey levels are compared before and after.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from edge.errors import EdgeError
from edge.images import CellImage, decode_image
from edge.simulator.cells import draw_cell
from edge.tensors import tensors_from_cells

CELLS = 16
# Two correct decoders of JPEG differ by parts of a grey level (seen: 0.03 in the mean of a cell, by rounding).
TOLERANCE_LEVELS = 0.5


def require_pixels(files: Sequence[tuple[str, bytes]], size_px: int) -> float:
    """Compare cells, given by name and the bytes of their files, and return the largest mean difference of one.

    Every file is compared as it is stored and as it is brought to `size_px`, also where it is smaller than that. Grey
    levels 0 to 255. Raises EdgeError MDSE-PARITY-008 naming the file, MDSE-IMAGE-* where one cannot be decoded;
    ValueError without files.
    """
    if not files:
        raise ValueError("no file was given: there is nothing to compare")
    return max(_difference(name, data, size_px) for name, data in files)


def _difference(name: str, data: bytes, size_px: int) -> float:
    found = decode_image(data, where=name)
    with Image.open(io.BytesIO(data)) as picture:
        independent = np.asarray(picture.convert("RGB"))
    resized = area_average if min(independent.shape[:2]) >= size_px else linear_between
    made = tensors_from_cells([CellImage(name, found)], size_px)[0]
    difference = max(_mean_difference(independent, found), _mean_difference(resized(independent, size_px), made))
    if not difference <= TOLERANCE_LEVELS:
        raise EdgeError(
            "MDSE-PARITY-008", where=name, difference=f"{difference:.2f}", tolerance=f"{TOLERANCE_LEVELS:g}"
        )
    return difference


def _mean_difference(expected: NDArray[Any], found: NDArray[np.uint8]) -> float:
    """Return the mean difference; infinite where one is turned or cut, which no mean can say."""
    if expected.shape != found.shape:
        return float("inf")
    return float(np.abs(expected.astype(np.float64) - found).mean())


def jpeg_of_drawn_cell() -> bytes:
    """Return a drawn cell as JPEG, for a conversion without labelled cells; the same bytes every time."""
    drawn = draw_cell("SNE", (), np.random.default_rng(20190913))
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(drawn), quality=90, colorspace="RGB"))


def area_average(pixels: NDArray[np.uint8], size_px: int) -> NDArray[np.float64]:
    """Return u8 [H,W,3] averaged to float64 [size_px,size_px,3], every source pixel by the area it covers."""
    return _weighted(pixels, _area_weights(pixels.shape[0], size_px), _area_weights(pixels.shape[1], size_px))


def linear_between(pixels: NDArray[np.uint8], size_px: int) -> NDArray[np.float64]:
    """Return u8 [H,W,3] as float64 [size_px,size_px,3], read linearly between the centres of the source pixels."""
    return _weighted(pixels, _linear_weights(pixels.shape[0], size_px), _linear_weights(pixels.shape[1], size_px))


def _weighted(
    pixels: NDArray[np.uint8], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ih,hwc,jw->ijc", rows, pixels.astype(np.float64), columns, optimize=True), np.float64)


def _area_weights(source: int, target: int) -> NDArray[np.float64]:
    """Share of each source pixel in each target pixel, [target, source]; the rows sum to 1."""
    edges = np.arange(target + 1) * (source / target)
    starts, ends = np.arange(source), np.arange(1, source + 1)
    overlap = np.minimum(edges[1:, np.newaxis], ends) - np.maximum(edges[:-1, np.newaxis], starts)
    return np.asarray(np.clip(overlap, 0, None) * (target / source), np.float64)


def _linear_weights(source: int, target: int) -> NDArray[np.float64]:
    """Weight of each source pixel at the centre of each target pixel, [target, source]; the border is repeated."""
    centres = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    return np.asarray(np.clip(1 - np.abs(centres[:, np.newaxis] - np.arange(source)), 0, None), np.float64)
