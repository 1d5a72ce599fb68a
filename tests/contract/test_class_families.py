"""Three classes from one training to one record: PV, ET and PMF, each against the rest, asked for by one name."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from bundles import PUBLIC_KEY, TARGET, bundle_contents, manifest_document, write_bundle, write_slide
from cohorts import CATALOGUE, cohort_of
from test_pipeline import JOB, TYPES, analyze, codes, job_with

from convert.assessment_report import save_assessment
from convert.bundle_parts import tree_files
from convert.golden import golden_files
from convert.library_from_xgboost import compile_trees
from convert.train_assessment import AssessmentTraining, train_assessment
from convert.tree_model import read_trained_trees
from edge.bundle.digest import manifest_bytes
from edge.bundle.manifest import manifest_from_bytes
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.model import open_model
from edge.pipeline import Rules
from edge.record_check import first_fault

CLASSES = ("PV", "ET", "PMF")
QUICK = AssessmentTraining(
    "mpn", "PV", "OTHER", depths=(1,), monotone=(True,), penalties=(5.0,), rounds=(20,), folds=3, repeats=1,
    inner_folds=3, minimum_wbc=10, minimum_neutrophil=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """One model a class, trained against the rest on the same slides, through their files."""
    folder = tmp_path_factory.mktemp("trees")
    cohort = cohort_of(patients=36, slides_each=1, effect=3.0, labels=CLASSES)
    read = []
    for label in CLASSES:
        training = replace(QUICK, target=f"mpn_{label}", positive=label, family="mpn")
        trained = train_assessment(cohort.against(label), training, lambda line: None)
        save_assessment(trained, folder / f"{label}.json")
        read.append(read_trained_trees(folder / f"{label}.json", training.target, CATALOGUE))
    return tuple(read)


def families_document(contents, trees, **changes):
    """The manifest; every film is in scope and in range here: painted films are nothing like the cohort."""
    document = manifest_document(contents)
    free = {"distance_limit": 1e6}
    document["assessments"] = [{**t.assessment, "scope": {**t.assessment["scope"], **free}, **changes} for t in trees]
    document["cohort"] = {t.target: {**t.cohort, "outside_allowed": 114} for t in trees}
    return document


@pytest.fixture(scope="module")
def contents(trees):
    made = [(t, compile_trees(t, with_library=False)) for t in trees]
    nothing = EngineOutputs(*(np.zeros((1, 1), np.float32) for _ in range(3)))
    profiles = golden_files(np.zeros((1, 1, 1, 3), np.uint8), nothing, trees, 114)["golden/profiles.npz"]
    old = {name: None for name in bundle_contents() if name.startswith("trees/")}
    files = bundle_contents(**old, **{"golden/profiles.npz": profiles})
    for trained, compiled in made:
        files |= tree_files(trained, compiled)
    return files


@pytest.fixture(scope="module")
def model(contents, trees, tmp_path_factory):
    document = families_document(contents, trees)
    folder = write_bundle(tmp_path_factory.mktemp("bundles") / "mpn", contents, document)
    opened = open_model(folder, public_key=PUBLIC_KEY, threads=1)
    yield opened
    opened.close()


def test_an_order_for_the_family_gets_one_assessment_a_class(tmp_path, model):
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES, targets=["mpn"]), model).record
    found = {row["target"]: row for row in record["assessments"]}
    assert list(found) == ["mpn_PV", "mpn_ET", "mpn_PMF"]
    for label in CLASSES:
        row = found[f"mpn_{label}"]
        assert (row["positive"], row["negative"]) == (label, "OTHER")
        assert row["ci95"][0] <= row["score"] <= row["ci95"][1]
    assert len({row["score"] for row in found.values()}) == 3
    assert "TARGET-UNKNOWN" not in codes(record["warnings"])
    assert first_fault(record) is None


def test_an_order_may_ask_for_one_class_and_a_site_may_use_one(tmp_path, model):
    folder = write_slide(tmp_path / "A1_S1", TYPES, targets=["mpn_ET"])
    calls = {row["target"]: row["call"] for row in analyze(folder, model).record["assessments"]}
    assert calls["mpn_PV"] == calls["mpn_PMF"] == "NOT-REQUESTED"
    assert calls["mpn_ET"] != "NOT-REQUESTED"
    only = analyze(folder, model, job_with(assess_all=True), rules=Rules(targets=("mpn_PMF",))).record
    assert [row["target"] for row in only["assessments"]] == ["mpn_PMF"]
    everything = analyze(folder, model, JOB, rules=Rules(targets=("mpn",))).record
    assert len(everything["assessments"]) == 3


def test_an_order_for_a_family_that_the_site_uses_in_part_is_told_which_questions_are_left_out(tmp_path, model):
    folder = write_slide(tmp_path / "A1_S1", TYPES, targets=["mpn", "mpn_ET"])
    record = analyze(folder, model, JOB, rules=Rules(targets=("mpn_PV",))).record
    assert [(row["target"], row["call"] != "NOT-REQUESTED") for row in record["assessments"]] == [("mpn_PV", True)]
    assert [row["text"] for row in record["warnings"] if row["code"] == "TARGET-UNKNOWN"] == [
        "the order asks for mpn, of which this site does not use mpn_ET, mpn_PMF",
        "the order asks for mpn_ET, which this site does not use",
    ]


def test_where_two_classes_are_suspected_neither_is_said(tmp_path, contents, trees):
    document = families_document(contents, trees, threshold=0.0)  # every class is suspected of every film
    opened = open_model(write_bundle(tmp_path / "mpn", contents, document), public_key=PUBLIC_KEY, threads=1)
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES, targets=["mpn"]), opened).record
    alone = analyze(write_slide(tmp_path / "A1_S2", TYPES, targets=["mpn_ET"]), opened).record
    opened.close()
    assert {row["call"] for row in record["assessments"]} == {"INDETERMINATE"}
    assert [row["call"] for row in alone["assessments"]] == ["NOT-REQUESTED", "ET-SUSPECT", "NOT-REQUESTED"]


def test_the_files_that_travel_with_the_trees_are_opened_with_the_bundle(model, contents):
    assert {name for name in contents if name.startswith("trees/mpn_PV/")} == {
        f"trees/mpn_PV/{name}" for name in ("model.json", "model.treelite", "cohort.npz", "scope.npz")
    }
    assert model.scopes["mpn_PV"].others_limit is None
    assert len(model.scopes["mpn_PV"].columns) > 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"family": "mpn_PV"}, "name of a target"),
        ({"family": "m p n"}, "family"),
        ({"scope": {"file": "trees/mpn_ET/scope.npz", "distance_limit": 1.0}}, "scope file"),
        ({"scope": {"file": "decision/scope.npz", "distance_limit": 1.0}}, "needed but not listed"),
        ({"scope": {"file": "trees/mpn_PV/scope.npz", "distance_limit": 0.0}}, "distance_limit"),
    ],
)
def test_a_manifest_whose_family_or_scope_cannot_be_meant_is_refused(contents, trees, change, words):
    document = families_document(contents, trees)
    document["assessments"][0] |= change
    with pytest.raises(EdgeError, match=words) as raised:
        manifest_from_bytes(manifest_bytes(document))
    assert raised.value.code == "MDSE-BUNDLE-002"


def test_a_scope_file_that_does_not_fit_is_refused_when_the_bundle_is_opened(tmp_path, contents, trees):
    swapped = dict(contents) | {"trees/mpn_PV/scope.npz": contents["trees/mpn_PV/cohort.npz"]}
    folder = write_bundle(tmp_path / "mpn", swapped, families_document(swapped, trees))
    with pytest.raises(EdgeError, match="scope") as raised:
        open_model(folder, public_key=PUBLIC_KEY, threads=1)
    assert raised.value.code == "MDSE-BUNDLE-011"


def test_a_bundle_from_before_families_and_scopes_says_what_it_said(tmp_path):
    opened = open_model(write_bundle(tmp_path / "old"), public_key=PUBLIC_KEY, threads=1)
    assert opened.scopes == {TARGET: None}
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES), opened).record
    opened.close()
    assert record["assessments"][0]["score"] is not None
