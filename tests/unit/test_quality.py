"""Focus and stain are measured from the pictures themselves, compared with the bundle's reference and warned of."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle.manifest import QualityLimits
from edge.image_measures import MEASURES, SHARPNESS, STAIN, measures_from_tensors
from edge.quality import document_from_quality, quality_from_measures, quality_warnings
from edge.simulator.cells import draw_cell

SIZE_PX = 112


def cells(count: int = 6, size_px: int = SIZE_PX) -> np.ndarray:
    draw = np.random.default_rng(3)
    types = ("SNE", "LY", "MO", "EO")
    return np.stack([draw_cell(types[n % 4], (), draw, size_px=size_px) for n in range(count)])


def column(name: str, measures: np.ndarray) -> np.ndarray:
    return measures[:, MEASURES.index(name)]


def test_blur_lowers_the_sharpness_of_every_cell_and_more_blur_lowers_it_further():
    sharp = cells()
    levels = [sharp] + [np.stack([cv2.GaussianBlur(c, (0, 0), sigma) for c in sharp]) for sigma in (1.2, 2.5)]
    falling = [measures_from_tensors(level)[:, SHARPNESS] for level in levels]
    assert (falling[0] > falling[1] + 0.3).all()
    assert (falling[1] > falling[2] + 0.3).all()


def test_colours_are_those_of_the_cie():
    grey, red = np.full((32, 32, 3), 119, np.uint8), np.full((32, 32, 3), (255, 0, 0), np.uint8)
    measures = measures_from_tensors(np.stack([grey, red]))
    for place in ("mean", "ring", "middle", "dark"):
        found = np.stack([column(f"{place}_{axis}", measures) for axis in "lab"], axis=1)
        # CIE 1976: L* 50 of grey 119; 53.2, 80.1, 67.2 of sRGB red. OpenCV works in bytes.
        np.testing.assert_allclose(found, [[50, 0, 0], [53.2, 80.1, 67.2]], atol=1.0)
    np.testing.assert_allclose(measures[:, [MEASURES.index(f"spread_{axis}") for axis in "lab"]], 0, atol=0.02)


def test_a_dark_spot_gives_its_colour_its_size_and_its_place():
    field = np.full((2, 64, 64, 3), 235, np.uint8)
    cv2.circle(field[0], (32, 32), 8, (80, 20, 120), -1)
    cv2.circle(field[1], (48, 32), 16, (80, 20, 120), -1)
    measures = measures_from_tensors(field)
    np.testing.assert_allclose(column("dark_offset", measures), [0.0, 0.5], atol=0.05)
    # The root mean square radius of a disk is its radius over the square root of two.
    np.testing.assert_allclose(column("dark_radius", measures), np.array([8, 16]) / 32 / np.sqrt(2), atol=0.04)
    assert (column("dark_b", measures) < -20).all()


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 5), side=st.sampled_from([16, 33, 62, 112]), seed=st.integers(0, 1000), place=st.integers(0, 4)
)
def test_a_cell_measures_the_same_alone_as_in_any_batch(count, side, seed, place):
    batch = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    together = measures_from_tensors(batch)
    assert together.shape == (count, len(MEASURES))
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    one = place % count
    np.testing.assert_allclose(measures_from_tensors(batch[one : one + 1])[0], together[one], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("value", [0, 255])
def test_a_flat_picture_has_finite_measures(value):
    assert np.isfinite(measures_from_tensors(np.full((1, 64, 64, 3), value, np.uint8))).all()


def test_no_cells_give_no_measures():
    assert measures_from_tensors(np.empty((0, 64, 64, 3), np.uint8)).shape == (0, len(MEASURES))
    assert quality_from_measures(np.empty((0, len(MEASURES)), np.float32), None) is None
    assert document_from_quality(None) is None
    assert quality_warnings(None) == ()


@pytest.mark.parametrize("shape", [(2, 64, 64), (2, 64, 60, 3), (2, 64, 64, 4), (2, 12, 12, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"batch|small"):
        measures_from_tensors(np.zeros(shape, np.uint8))


def limits(**changes) -> QualityLimits:
    stated = {
        "focus_limit": 5.0,
        "stain_centre": (40.0, 30.0, -30.0),
        "stain_whitening": ((0.5, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        "stain_limit": 3.0,
    }
    return QualityLimits(**{**stated, **changes})


def measured(sharpness: list[float], stain=(40.0, 30.0, -30.0)) -> np.ndarray:
    measures = np.zeros((len(sharpness), len(MEASURES)), np.float32)
    measures[:, SHARPNESS] = np.log(sharpness)
    measures[:, STAIN] = stain
    return measures


def codes(measures: np.ndarray, stated: QualityLimits | None) -> list[str]:
    return [warning.code for warning in quality_warnings(quality_from_measures(measures, stated))]


def test_a_sharp_film_of_the_usual_stain_raises_nothing():
    assert codes(measured([8.0] * 30), limits()) == []


@pytest.mark.parametrize(("blurred", "warned"), [(25, []), (26, ["FOCUS"])])
def test_focus_is_warned_of_when_more_than_a_quarter_of_the_cells_lie_below_the_limit(blurred, warned):
    assert codes(measured([4.9] * blurred + [5.1] * (100 - blurred)), limits()) == warned


@pytest.mark.parametrize(
    ("stain", "warned"),
    [((40, 32.9, -30), []), ((40, 33.1, -30), ["STAIN-OOD"]), ((45.9, 30, -30), []), ((46.1, 30, -30), ["STAIN-OOD"])],
)
def test_stain_is_warned_of_beyond_its_distance_in_the_reference_s_own_spread(stain, warned):
    assert codes(measured([8.0] * 30, stain), limits()) == warned


def test_few_cells_or_a_bundle_without_reference_raise_nothing():
    assert codes(measured([1.0] * 19, (0, 0, 0)), limits()) == []
    assert codes(measured([1.0] * 20, (0, 0, 0)), limits()) == ["FOCUS", "STAIN-OOD"]
    assert codes(measured([1.0] * 50, (0, 0, 0)), None) == []


def test_the_record_tells_the_measures_with_and_without_a_reference():
    measures = measured([4.0, 8.0, 16.0], (40.0, 30.0, -40.0))
    with_reference = document_from_quality(quality_from_measures(measures, limits()))
    assert with_reference == {
        "focus": {"median": 8.0, "low_share": 0.3333, "limit": 5.0},
        "stain": {"hue_degrees": 306.9, "saturation": 50.0, "lightness": 40.0, "distance": 10.0, "limit": 3.0},
    }
    without = document_from_quality(quality_from_measures(measures, None))
    assert without["focus"] == {"median": 8.0, "low_share": 0.0, "limit": None}
    assert (without["stain"]["distance"], without["stain"]["limit"]) == (None, None)
