"""Cells of any size become one batch, in order, by averaging when they shrink."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.images import CellImage
from edge.tensors import tensors_from_cells


def cell(pixels: np.ndarray) -> CellImage:
    return CellImage("a", np.ascontiguousarray(pixels, np.uint8))


def test_the_batch_holds_the_cells_in_their_order_at_the_network_size():
    batch = tensors_from_cells([cell(np.full((363, 360, 3), value)) for value in (10, 200, 90)], 96)
    assert (batch.shape, batch.dtype) == ((3, 96, 96, 3), np.uint8)
    assert batch.flags.c_contiguous
    assert [int(image.min()) for image in batch] == [10, 200, 90] == [int(image.max()) for image in batch]


def test_no_cells_make_an_empty_batch():
    assert tensors_from_cells([], 96).shape == (0, 96, 96, 3)


def test_shrinking_averages_the_covered_pixels():
    pixels = np.random.default_rng(1).integers(0, 256, (192, 288, 3), np.uint8)
    expected = pixels.reshape(96, 2, 96, 3, 3).mean(axis=(1, 3))
    got = tensors_from_cells([cell(pixels)], 96)[0]
    assert np.abs(got - expected).max() <= 1


def test_a_single_bright_pixel_is_not_lost_between_samples():
    pixels = np.zeros((384, 384, 3), np.uint8)
    pixels[193, 202] = 255
    assert tensors_from_cells([cell(pixels)], 96)[0].max() == 16


def test_an_image_of_the_network_size_is_copied_unchanged():
    pixels = np.random.default_rng(2).integers(0, 256, (96, 96, 3), np.uint8)
    batch = tensors_from_cells([cell(pixels)], 96)
    np.testing.assert_array_equal(batch[0], pixels)
    batch[...] = 0
    assert pixels.any()


def test_channels_and_orientation_survive():
    pixels = np.zeros((200, 120, 3), np.uint8)
    pixels[:100, :, 0] = 250
    pixels[:, 60:, 2] = 120
    got = tensors_from_cells([cell(pixels)], 64)[0]
    assert got[5, 5].tolist() == [250, 0, 0]
    assert got[60, 60].tolist() == [0, 0, 120]
    assert got[5, 60].tolist() == [250, 0, 120]


@settings(max_examples=40, deadline=None)
@given(st.integers(16, 200), st.integers(16, 200), st.integers(1, 120))
def test_any_size_gives_finite_pixels_within_the_range_of_the_cell(height, width, size_px):
    pixels = np.random.default_rng(height * width).integers(60, 180, (height, width, 3), np.uint8)
    got = tensors_from_cells([cell(pixels)], size_px)
    assert got.shape == (1, size_px, size_px, 3)
    assert got.min() >= 60
    assert got.max() < 180


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_pixels_of_another_kind_are_an_error_of_the_caller(pixels):
    with pytest.raises(ValueError, match="uint8"):
        tensors_from_cells([CellImage("a", pixels)], 96)


def test_a_size_below_one_is_an_error_of_the_caller():
    with pytest.raises(ValueError, match="size_px"):
        tensors_from_cells([], 0)
