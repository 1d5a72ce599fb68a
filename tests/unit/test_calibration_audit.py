"""Cells calibrate int8, and nothing else does: noise is refused, and what the cells are is said."""

from __future__ import annotations

import numpy as np
import pytest

from convert.calibration_audit import audit_calibration
from convert.calibration_cells import choose_cells
from convert.cell_pixels import pixels_from_cells
from convert.golden import drawn_golden_images
from edge.catalogue import load_catalogue
from edge.errors import EdgeError

CATALOGUE = load_catalogue()
SIZE_PX = 64


def drawn(count=34):
    return drawn_golden_images(CATALOGUE, SIZE_PX)[:count]


def audit(images, types=None):
    return audit_calibration(images, types or ["SNE"] * len(images), CATALOGUE.type_codes)


def uniform(random):
    return random.integers(0, 256, (40, SIZE_PX, SIZE_PX, 3)).astype(np.uint8)


def gaussian(random):
    return np.clip(random.normal(128, 40, (40, SIZE_PX, SIZE_PX, 3)), 0, 255).astype(np.uint8)


def cells_with_shuffled_pixels(random):
    images = drawn().reshape(-1, SIZE_PX * SIZE_PX, 3).copy()
    for image in images:
        random.shuffle(image)
    return images.reshape(-1, SIZE_PX, SIZE_PX, 3)


def even_areas(random):
    colours = random.integers(0, 256, (40, 1, 1, 3)).astype(np.uint8)
    return colours.repeat(SIZE_PX, axis=1).repeat(SIZE_PX, axis=2)


@pytest.mark.parametrize("made", [uniform, gaussian, cells_with_shuffled_pixels, even_areas])
def test_noise_shuffled_pixels_and_even_areas_are_refused(made):
    with pytest.raises(EdgeError) as error:
        audit(made(np.random.default_rng(1)))
    assert error.value.code == "MDSE-CONVERT-027"


def test_a_tenth_of_noise_among_cells_is_refused_and_one_empty_crop_is_said():
    random = np.random.default_rng(2)
    mixed = np.concatenate([drawn(), uniform(random)[:4]])
    with pytest.raises(EdgeError) as error:
        audit(mixed)
    assert "4 of 38" in str(error.value)
    many = np.concatenate([drawn(), drawn(), even_areas(random)[:1]])
    found = audit(many)
    assert found.strange == 1
    assert any("1 of 69 images are empty or noise" in notice for notice in found.notices())


def test_drawn_cells_pass_blurred_and_noisy_too():
    import cv2

    images = drawn()
    audit(images)
    audit(np.stack([cv2.GaussianBlur(image, (0, 0), 2.0) for image in images]))
    noisy = images + np.random.default_rng(3).normal(0, 8, images.shape)
    audit(np.clip(noisy, 0, 255).astype(np.uint8))


def test_real_cells_pass_and_their_types_and_stains_are_counted(real_cells_dir):
    chosen = choose_cells(real_cells_dir, CATALOGUE, calibration_count=120)
    types = [cell.cell_type for cell in chosen.calibration]
    found = audit(pixels_from_cells(chosen.calibration, SIZE_PX), types)
    assert sum(found.types.values()) == sum(found.stains.values()) == 120
    assert "violet" in next(iter(found.stains)), "May-Gruenwald-Giemsa stains nuclei violet"
    assert set(found.document()["too_few"]) == {code for code in found.types if types.count(code) < 20}
    assert "VLY" in found.missing


def test_too_few_of_a_type_are_named_with_their_stain_counted():
    found = audit(drawn(30), ["SNE"] * 25 + ["BL"] * 5)
    assert found.few() == {"BL": 5}
    document = found.document()
    assert document["too_few"] == ["BL"]
    assert "LY" in document["missing"]
    assert sum(document["stains"].values()) == 30
