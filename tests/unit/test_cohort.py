"""A score is shown against its cohort only where the bundle carries a sound one; old bundles show none."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest

from convert.cohort_arrays import file_from_document
from edge.assessment import ContributionRow
from edge.catalogue import load_catalogue
from edge.cohort import CONTRAST_ROWS, cohort_from_bundle, contrast_rows
from edge.errors import EdgeError
from edge.slide_profile import profile_from_counts

CATALOGUE = load_catalogue()
NAMES = CATALOGUE.parameter_names
SPEC = SimpleNamespace(cohort_file="trees/mds_aa/cohort.npz")


def arrays(**changes):
    made = {
        "typical_positive": np.full(len(NAMES), 0.3, np.float32),
        "typical_negative": np.full(len(NAMES), 0.1, np.float32),
        "group_contributions": np.zeros((4, 13), np.float32),
        "positive": np.array([1, 1, 0, 0], np.uint8),
        "score": np.array([0.9, 0.8, 0.2, 0.0], np.float32),
    }
    return {**made, **changes}


def opened(content):
    stream = io.BytesIO()
    np.savez(stream, **content)
    bundle = SimpleNamespace(manifest=SimpleNamespace(parameters=NAMES), read=lambda name: stream.getvalue())
    return cohort_from_bundle(bundle, SPEC)


def profile():
    counts = np.array([{"SNE": 60, "LY": 40}.get(code, 0) for code in CATALOGUE.type_codes], np.int64)
    return profile_from_counts(counts, np.zeros(len(CATALOGUE.findings), np.int64), CATALOGUE)


def rows(*names):
    return tuple(ContributionRow(name, 0.1, ()) for name in names)


def test_a_sound_cohort_is_read():
    cohort = opened(arrays())
    assert cohort.positive.tolist() == [True, True, False, False]
    assert cohort.group_contributions.shape == (4, 13)


def test_a_bundle_without_a_cohort_file_has_none_and_shows_no_contrast():
    assert cohort_from_bundle(SimpleNamespace(), SimpleNamespace(cohort_file=None)) is None
    assert contrast_rows(rows("SNE_share"), profile(), None) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"typical_positive": np.zeros(113, np.float32)},
        {"typical_negative": np.zeros(115, np.float32)},
        {"group_contributions": np.zeros((4, 12), np.float32)},
        {"group_contributions": np.zeros((3, 13), np.float32)},
        {"group_contributions": np.full((4, 13), np.nan, np.float32)},
        {"score": np.zeros(3, np.float32)},
        {"score": np.array([0.9, 1.1, 0, 0], np.float32)},
        {"score": np.array([0.9, np.nan, 0, 0], np.float32)},
        {"positive": np.array([2, 0, 0, 0], np.uint8)},
        {"positive": np.array([1, 0, 0, 0], np.int64)},
    ],
)
def test_a_cohort_that_does_not_fit_is_refused_by_name(change):
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-011") as caught:
        opened(arrays(**change))
    assert "trees/mds_aa/cohort.npz" in str(caught.value)


def test_the_strongest_parameters_stand_beside_what_is_typical():
    typical = np.full(len(NAMES), np.nan, np.float32)
    typical[NAMES.index("SNE_share")] = 0.5
    found = contrast_rows(rows("SNE_share", "PM01_rate"), profile(), opened(arrays(typical_negative=typical)))
    assert [row.name for row in found] == ["SNE_share", "PM01_rate"]
    assert (found[0].value, found[0].negative_median) == (0.6, 0.5)
    assert found[0].positive_median == pytest.approx(0.3)
    assert (found[1].value, found[1].negative_median) == (None, None)


def test_only_the_strongest_are_contrasted():
    assert len(contrast_rows(rows(*NAMES), profile(), opened(arrays()))) == CONTRAST_ROWS


def test_what_the_converter_writes_is_what_the_runtime_reads():
    document = {
        "typical_positive": [0.25] * len(NAMES),
        "typical_negative": [None] * len(NAMES),
        "group_contributions": [[0.5] * 13, [-0.5] * 13],
        "positive": [1, 0],
        "score": [0.75, 0.25],
    }
    data = file_from_document(document, len(NAMES))
    bundle = SimpleNamespace(manifest=SimpleNamespace(parameters=NAMES), read=lambda name: data)
    cohort = cohort_from_bundle(bundle, SPEC)
    assert cohort.positive.tolist() == [True, False]
    assert cohort.score.tolist() == [0.75, 0.25]
    assert set(cohort.typical_positive.tolist()) == {0.25}
    assert np.isnan(cohort.typical_negative).all()
    assert cohort.group_contributions[1].tolist() == [-0.5] * 13
