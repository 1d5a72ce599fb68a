"""What stain, focus, scale and compression do to the image of one cell: the changes of the robustness test.

Each takes and returns H x W x 3 uint8 RGB of the same size. They are written apart from the training's augmentation, so
that a mistake there is not repeated by its judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
BLUR_REFERENCE_PX = 360


def turned_hue(pixels: Pixels, degrees: float) -> Pixels:
    """Turn the hue by an angle on the colour circle; saturation and value (HSV) stay."""
    hsv = _hsv(pixels)
    hsv[..., 0] = (hsv[..., 0] + degrees) % 360
    return _rgb(hsv)


def scaled_saturation(pixels: Pixels, factor: float) -> Pixels:
    """Multiply the saturation (HSV)."""
    hsv = _hsv(pixels)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor, 0, 1)
    return _rgb(hsv)


def scaled_brightness(pixels: Pixels, factor: float) -> Pixels:
    """Multiply all three channels; what exceeds white is white."""
    return np.asarray(np.clip(pixels.astype(np.float32) * factor + 0.5, 0, 255), np.uint8)


def blurred(pixels: Pixels, sigma_px: float) -> Pixels:
    """Gaussian blur; `sigma_px` is meant for an image of 360 px and follows the size of others."""
    sigma = sigma_px * pixels.shape[1] / BLUR_REFERENCE_PX
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def scaled_size(pixels: Pixels, factor: float) -> Pixels:
    """Enlarge or shrink the content about the middle; beyond the edge it is mirrored."""
    height, width = pixels.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, 0, factor)
    found = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(found, np.uint8)


def recompressed(pixels: Pixels, quality: int) -> Pixels:
    """Compress as JPEG with halved colour resolution, as cameras do, and decode again."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorsubsampling="420")
    return np.asarray(simplejpeg.decode_jpeg(data), np.uint8)


# The limits of the changes that a network for routine use should not mind.
CHANGES: Mapping[str, Callable[[Pixels], Pixels]] = {
    "hue -8 degrees": lambda pixels: turned_hue(pixels, -8),
    "hue +8 degrees": lambda pixels: turned_hue(pixels, 8),
    "saturation x 0.8": lambda pixels: scaled_saturation(pixels, 0.8),
    "saturation x 1.25": lambda pixels: scaled_saturation(pixels, 1.25),
    "brightness -15 %": lambda pixels: scaled_brightness(pixels, 0.85),
    "brightness +15 %": lambda pixels: scaled_brightness(pixels, 1.15),
    "blur, sigma 1 px at 360 px": lambda pixels: blurred(pixels, 1.0),
    "scale x 0.9": lambda pixels: scaled_size(pixels, 0.9),
    "scale x 1.1": lambda pixels: scaled_size(pixels, 1.1),
    "JPEG quality 70": lambda pixels: recompressed(pixels, 70),
}


def _hsv(pixels: Pixels) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2HSV), np.float32)


def _rgb(hsv: NDArray[np.float32]) -> Pixels:
    return np.asarray(np.clip(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255 + 0.5, 0, 255), np.uint8)
