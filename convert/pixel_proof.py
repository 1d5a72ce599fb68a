"""Are the decoded pixels what `strict-v1` and `area-v1` promise? Asked of an independent decoder and plain arithmetic.

Training, conversion and runtime share one decoder and one resizing; a fault in them (another chroma upsampling, a
reduced decoding, swapped channels, point sampling) would sit on both sides of every other comparison. So a few cells
are decoded by Pillow and averaged over the exact area of each target pixel in float64, and the grey levels compared.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

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

    Files that are smaller than `size_px` are left out: `area-v1` only shrinks. Grey levels 0 to 255. Raises EdgeError
    MDSE-PARITY-008 naming the file, MDSE-IMAGE-* where one cannot be decoded.
    """
    largest = 0.0
    for name, data in files:
        found = decode_image(data, where=name)
        if min(found.shape[:2]) < size_px:
            continue
        with Image.open(io.BytesIO(data)) as picture:
            independent = np.asarray(picture.convert("RGB"))
        expected = area_average(independent, size_px)
        made = tensors_from_cells([CellImage(name, found)], size_px)[0]
        difference = float(np.abs(expected - made).mean())
        if not difference <= TOLERANCE_LEVELS:
            raise EdgeError(
                "MDSE-PARITY-008", where=name, difference=f"{difference:.2f}", tolerance=f"{TOLERANCE_LEVELS:g}"
            )
        largest = max(largest, difference)
    return largest


def jpeg_of_drawn_cell() -> bytes:
    """Return a drawn cell as JPEG, for a conversion without labelled cells; the same bytes every time."""
    drawn = draw_cell("SNE", (), np.random.default_rng(20190913))
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(drawn), quality=90, colorspace="RGB"))


def area_average(pixels: NDArray[np.uint8], size_px: int) -> NDArray[np.float64]:
    """Return u8 [H,W,3] averaged to float64 [size_px,size_px,3], every source pixel by the area it covers."""
    rows = _weights(pixels.shape[0], size_px)
    columns = _weights(pixels.shape[1], size_px)
    return np.asarray(np.einsum("ih,hwc,jw->ijc", rows, pixels.astype(np.float64), columns, optimize=True), np.float64)


def _weights(source: int, target: int) -> NDArray[np.float64]:
    """Share of each source pixel in each target pixel, [target, source]; the rows sum to 1."""
    edges = np.arange(target + 1) * (source / target)
    starts, ends = np.arange(source), np.arange(1, source + 1)
    overlap = np.minimum(edges[1:, np.newaxis], ends) - np.maximum(edges[:-1, np.newaxis], starts)
    return np.asarray(np.clip(overlap, 0, None) * (target / source), np.float64)
