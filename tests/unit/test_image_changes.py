"""The changes of the robustness test do what their names say, each by the amount that is printed."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from convert.evaluation.image_changes import (
    CHANGES,
    blurred,
    recompressed,
    scaled_brightness,
    scaled_saturation,
    scaled_size,
    turned_hue,
)


def plain(red: int, green: int, blue: int, size_px: int = 64) -> np.ndarray:
    return np.full((size_px, size_px, 3), (red, green, blue), np.uint8)


def hsv_of(pixels: np.ndarray) -> tuple[float, float, float]:
    return colorsys.rgb_to_hsv(*(pixels[5, 5] / 255))


def noisy(size_px: int = 180) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size_px, size_px, 3), np.uint8)


@pytest.mark.parametrize("degrees", [8, -8])
def test_hue_turns_by_the_angle_and_leaves_saturation_and_value(degrees):
    before, after = hsv_of(plain(150, 90, 180)), hsv_of(turned_hue(plain(150, 90, 180), degrees))
    assert (after[0] - before[0]) * 360 == pytest.approx(degrees, abs=0.7)
    assert after[1:] == pytest.approx(before[1:], abs=0.01)


def test_hue_wraps_round_at_red():
    assert hsv_of(turned_hue(plain(200, 60, 60), -8))[0] * 360 == pytest.approx(352, abs=0.7)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_saturation_is_multiplied(factor):
    before, after = hsv_of(plain(150, 100, 180)), hsv_of(scaled_saturation(plain(150, 100, 180), factor))
    assert after[1] == pytest.approx(before[1] * factor, abs=0.01)
    assert after[2] == pytest.approx(before[2], abs=0.01)


def test_brightness_is_multiplied_and_stops_at_white():
    assert scaled_brightness(plain(100, 200, 250), 1.15)[0, 0].tolist() == [115, 230, 255]
    assert scaled_brightness(plain(100, 200, 240), 0.85)[0, 0].tolist() == [85, 170, 204]


def test_blur_spreads_a_point_as_a_gaussian_of_one_pixel_at_360_px():
    point = np.zeros((360, 360, 3), np.uint8)
    point[180, 180] = 255
    spread = blurred(point, 1.0)[..., 0].astype(float)
    assert spread[180, 180] == pytest.approx(255 / (2 * np.pi), rel=0.05)
    assert spread[180, 181] / spread[180, 180] == pytest.approx(np.exp(-0.5), rel=0.05)


def test_scale_moves_the_content_about_the_middle_by_the_factor():
    image = plain(255, 255, 255, 201)
    image[:, 100 + 50 - 1 : 100 + 50 + 2] = 0
    for factor in (0.9, 1.1):
        columns = np.flatnonzero(scaled_size(image, factor)[100, :, 0] < 128)
        assert columns.mean() == pytest.approx(100 + 50 * factor, abs=0.6)


def test_compression_changes_pixels_a_little_and_more_at_lower_quality():
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    errors = [float(np.abs(recompressed(smooth, q).astype(int) - smooth).mean()) for q in (30, 70, 95)]
    assert errors[0] > errors[1] > errors[2] >= 0


def test_every_change_keeps_size_and_type_and_changes_something():
    image = noisy()
    for name, change in CHANGES.items():
        changed = change(image)
        assert (changed.shape, changed.dtype) == (image.shape, np.uint8), name
        assert (changed != image).any(), name
        assert (image == noisy()).all(), f"{name} wrote into its input"
