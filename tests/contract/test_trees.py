"""Compiled and interpreted trees give XGBoost's margins, native code only where a trusted key vouches for it."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest
import xgboost
from bundles import (
    CATALOGUE,
    PUBLIC_KEY,
    TARGET,
    bundle_contents,
    manifest_document,
    npz,
    random_trees,
    write_bundle,
)

from edge.bundle.reader import open_bundle
from edge.errors import EdgeError
from edge.trees import open_trees, platform_library_name, trees_from_checkpoint, trees_from_library

COUNT = len(CATALOGUE.parameter_names)
LIBRARY = f"trees/{TARGET}/{platform_library_name()}"
CHECKPOINT = f"trees/{TARGET}/model.treelite"


@pytest.fixture(params=["compiled", "treelite"])
def trees(request):
    made = random_trees()
    if request.param == "compiled":
        return trees_from_library(made.library, TARGET, COUNT, where="library")
    return trees_from_checkpoint(made.checkpoint, TARGET, COUNT, where="checkpoint")


def rows_of(count, seed=5):
    random = np.random.default_rng(seed)
    rows = random.gamma(0.7, 0.3, (count, COUNT)).astype(np.float32)
    rows[random.random(rows.shape) < 0.3] = np.nan
    rows[0], rows[1], rows[2] = np.nan, 0, -0.0
    return rows


def test_margins_are_those_of_xgboost_with_and_without_missing_values(trees):
    rows = rows_of(2000)
    names = list(CATALOGUE.parameter_names)
    expected = random_trees().booster.predict(xgboost.DMatrix(rows, feature_names=names), output_margin=True)
    np.testing.assert_allclose(trees.predict_margin(rows), expected, atol=1e-5)
    assert trees.predict_margin(rows).dtype == np.float64


def test_a_row_alone_gives_what_it_gives_among_others_and_every_time(trees):
    rows = rows_of(20)
    together = trees.predict_margin(rows)
    alone = [trees.predict_margin(rows[i : i + 1])[0] for i in range(20)]
    assert together.tolist() == alone == trees.predict_margin(rows).tolist()


def test_rows_are_left_as_they_were(trees):
    rows = rows_of(5)
    before = rows.tobytes()
    trees.predict_margin(rows)
    assert rows.tobytes() == before


def test_any_kind_of_nan_is_a_missing_value(trees):
    rows = rows_of(3)
    other = rows.copy()
    other.view(np.int32)[np.isnan(rows)] = 0x7FC12345
    assert trees.predict_margin(other).tolist() == trees.predict_margin(rows).tolist()


def test_no_rows_give_no_margins(trees):
    assert trees.predict_margin(rows_of(3)[:0]).shape == (0,)


@pytest.mark.parametrize("change", ["float64", "narrow", "flat", "infinite"])
def test_rows_of_another_kind_are_refused(trees, change):
    rows = rows_of(3)
    if change == "infinite":
        rows[1, 1] = np.inf
    changed = {"float64": rows.astype(np.float64), "narrow": rows[:, :-1], "flat": rows[0], "infinite": rows}[change]
    with pytest.raises(EdgeError, match="MDSE-TREES-004"):
        trees.predict_margin(changed)


def test_two_libraries_in_one_process_are_never_taken_for_each_other():
    first, second = (trees_from_library(random_trees(n).library, TARGET, COUNT, where="x") for n in (1, 2))
    rows = rows_of(50)
    names = list(CATALOGUE.parameter_names)
    for number, model in ((1, first), (2, second)):
        expected = random_trees(number).booster.predict(xgboost.DMatrix(rows, feature_names=names), output_margin=True)
        np.testing.assert_allclose(model.predict_margin(rows), expected, atol=1e-5)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"no trees at all" * 10])
def test_bytes_that_are_no_trees_are_refused(data):
    with pytest.raises(EdgeError, match="MDSE-TREES-001"):
        trees_from_library(data, TARGET, COUNT, where="x")
    with pytest.raises(EdgeError, match="MDSE-TREES-002"):
        trees_from_checkpoint(data, TARGET, COUNT, where="x")


def test_trees_for_other_parameters_are_refused():
    made = random_trees()
    with pytest.raises(EdgeError, match="MDSE-TREES-001"):
        trees_from_library(made.library, TARGET, COUNT + 1, where="x")
    with pytest.raises(EdgeError, match="MDSE-TREES-002"):
        trees_from_checkpoint(made.checkpoint, TARGET, COUNT + 1, where="x")


def opened(folder, contents=None, public_key=PUBLIC_KEY):
    return open_trees(open_bundle(write_bundle(folder, contents), public_key=public_key), TARGET)


def test_a_bundle_signed_by_the_trusted_key_runs_its_library(tmp_path):
    assert opened(tmp_path / "b").kind == "compiled"


@pytest.mark.case("H5")
def test_without_a_trusted_signature_no_native_code_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", None)
    monkeypatch.setattr(os, "memfd_create", None)
    assert opened(tmp_path / "b", public_key=None).kind == "treelite"


def test_without_a_library_for_this_platform_the_checkpoint_is_interpreted(tmp_path):
    contents = bundle_contents()
    contents[f"trees/{TARGET}/plan9-vax.so"] = contents.pop(LIBRARY)
    assert opened(tmp_path / "b", contents).kind == "treelite"


def test_a_signed_library_that_cannot_be_loaded_is_an_error_and_not_a_silent_fallback(tmp_path):
    with pytest.raises(EdgeError, match="MDSE-TREES-001"):
        opened(tmp_path / "b", bundle_contents(**{LIBRARY: b"\x7fELF"}))


@pytest.mark.parametrize("public_key", [PUBLIC_KEY, None])
def test_trees_that_do_not_give_the_golden_margins_are_refused(tmp_path, public_key):
    other = random_trees(2)
    contents = bundle_contents(**{LIBRARY: other.library, CHECKPOINT: other.checkpoint})
    with pytest.raises(EdgeError, match="MDSE-TREES-003"):
        opened(tmp_path / "b", contents, public_key)


def test_golden_profiles_must_be_there_and_fit(tmp_path):
    trees = random_trees()
    margins = trees.margins.astype(np.float64)
    for number, arrays in enumerate(
        (
            {"profile": trees.profiles[:0], "margin": margins[:0, None]},
            {"profile": trees.profiles, "margin": np.stack([margins, margins], axis=1)},
            {"profile": trees.profiles, "margin": margins[:-1, None]},
        )
    ):
        contents = bundle_contents(**{"golden/profiles.npz": npz(**arrays)})
        with pytest.raises(EdgeError, match="MDSE-BUNDLE-011"):
            opened(tmp_path / str(number), contents)


def test_the_manifest_lists_what_the_trees_need(tmp_path):
    contents = bundle_contents(**{CHECKPOINT: None})
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-002"):
        open_bundle(write_bundle(tmp_path / "b", contents, manifest_document(contents)), public_key=None)
