"""Cells of any size become one batch of the network's size ("area-v1"). The same call serves training and run time.

Both sides are brought to `size_px` without cropping and without keeping the aspect ratio: the known export is
360 x 363 px, where the stretch is under 1 %. Shrinking averages the covered pixels (INTER_AREA), which loses no granule
between samples as point sampling would; anything else is bilinear.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.images import CellImage

RESIZE_VERSION = "area-v1"


def tensors_from_cells(cells: Sequence[CellImage], size_px: int) -> NDArray[np.uint8]:
    """Return N x size_px x size_px x 3 uint8 RGB, C-contiguous, in the order of `cells`; N may be 0.

    Raises ValueError when a cell's pixels are not H x W x 3 uint8 or the size is below 1: errors of the caller.
    """
    if size_px < 1:
        raise ValueError(f"size_px must be positive, not {size_px}")
    batch = np.empty((len(cells), size_px, size_px, 3), dtype=np.uint8)
    for row, cell in zip(batch, cells, strict=True):
        resize_into(row, cell.pixels)
    return batch


def resize_into(target: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
    """Fill `target` (S x S x 3 uint8) with `pixels` (H x W x 3 uint8) brought to its size.

    Raises ValueError when `pixels` has another shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"a cell must be H x W x 3 uint8, not {pixels.shape} {pixels.dtype}")
    height_px, width_px = target.shape[:2]
    if pixels.shape == target.shape:
        target[...] = pixels
        return
    shrinks = pixels.shape[0] >= height_px and pixels.shape[1] >= width_px
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    target[...] = cv2.resize(pixels, (width_px, height_px), interpolation=interpolation)
