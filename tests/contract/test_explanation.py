"""A score arrives with its reasons: what added up to it, how sure counting is, what is typical, what would turn it."""

from __future__ import annotations

import numpy as np
import pytest
from bundles import CATALOGUE, PUBLIC_KEY, TARGET, bundle_contents, manifest_document, npz, write_bundle, write_slide

from edge.bundle.manifest import Calibration
from edge.model import open_model
from edge.pipeline import Job, analyze_slide
from edge.score import score_from_margin
from edge.slide import read_slide
from edge.slide_profile import profile_from_counts

NAMES = CATALOGUE.parameter_names
FILM = ["SNE"] * 60 + ["BNE"] * 5 + ["LY"] * 31 + ["MO"] * 4 + ["ERB"] * 3
JOB = Job(
    source="di60", revision=1, message_id="9F3C21AA04B7.R1", supersedes=None, reason=None, status="P",
    analysed_at="2026-11-23T18:00:00+09:00", assess_all=False, manifest_sha256="4e" * 32, site="HEMLAB",
    degraded=False, warnings=(),
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The painted bundle with a cohort file; its threshold lies between the film with a blast and without."""
    medians = np.arange(len(NAMES), dtype=np.float32) / 1000
    cohort = npz(
        typical_positive=medians,
        typical_negative=np.full(len(NAMES), np.nan, np.float32),
        group_contributions=np.zeros((2, 13), np.float32),
        positive=np.array([1, 0], np.uint8),
        score=np.array([0.9, 0.1], np.float32),
    )
    name = f"trees/{TARGET}/cohort.npz"
    contents = {**bundle_contents(), name: cohort}
    document = manifest_document(contents)
    document["assessments"][0]["cohort_file"] = name
    document["assessments"][0]["threshold"] = 0.005
    opened = open_model(
        write_bundle(tmp_path_factory.mktemp("bundles") / "painted", contents, document),
        public_key=PUBLIC_KEY,
        threads=1,
    )
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def record(model, tmp_path_factory):
    slide = write_slide(tmp_path_factory.mktemp("slides") / "A1_S1", FILM)
    return analyze_slide(read_slide(slide), model, JOB).record


def test_contributions_groups_and_a_bias_of_the_trees_make_the_margin(model, record):
    (assessment,) = record["assessments"]
    total = sum(row["value"] for row in assessment["contributions"])
    assert [row["group"] for row in assessment["groups"]] == "GN LY EO BA MY MMY EB BL PMY PLT VLY MK OTHER".split()
    assert sum(row["value"] for row in assessment["groups"]) == pytest.approx(total, abs=1e-4)
    counts = np.array([FILM.count(code) for code in CATALOGUE.type_codes], np.int64)
    profile = profile_from_counts(counts, np.zeros(len(CATALOGUE.findings), np.int64), CATALOGUE)
    bias = model.explainers[TARGET].explain(profile, assessment["margin"]).bias
    assert total + bias == pytest.approx(assessment["margin"], abs=2e-5 + 1e-6 * len(assessment["contributions"]))


def test_the_strongest_contributions_name_the_very_cells_that_made_them_most_certain_first(record):
    by_name = {row["name"]: row["cells"] for row in record["assessments"][0]["contributions"][:12]}
    certainty = {cell["id"]: cell["p"] for cell in record["cells"]}
    kinds = {cell["id"]: cell["type"] for cell in record["cells"]}
    named = {name: cells for name, cells in by_name.items() if cells}
    assert named
    for name, cells in named.items():
        assert {kinds[cell] for cell in cells} == {name.partition("_")[0]}
        assert [certainty[cell] for cell in cells] == sorted((certainty[cell] for cell in cells), reverse=True)


def test_the_sufficiency_counts_the_film_and_says_what_more_cells_would_do(record):
    found = record["assessments"][0]["sufficiency"]
    assert (found["leucocytes"], found["neutrophils"]) == (100, 65)
    assert found["minimum"] == {"wbc": 10, "neutrophil": 4}
    assert "counted 100 leucocytes (at least 10 needed)" in found["text"]
    more = found["more_cells_to_halve_interval"]
    assert (more is None) == ("to halve the counting interval" not in found["text"])
    assert more is None or (more % 10 == 0 and f"count about {more} more leucocytes" in found["text"])


def test_the_strongest_parameters_stand_beside_the_cohort(record):
    rows = {row["name"]: row for row in record["profile"]}
    (assessment,) = record["assessments"]
    assert [row["name"] for row in assessment["contrast"]] == [
        row["name"] for row in assessment["contributions"][: len(assessment["contrast"])]
    ]
    for row in assessment["contrast"]:
        assert row["value"] == rows[row["name"]]["value"]
        assert row["positive_median"] == pytest.approx(NAMES.index(row["name"]) / 1000, abs=1e-6)
        assert row["negative_median"] is None


def test_what_would_change_the_call_is_the_score_of_that_film(model, record):
    (assessment,) = record["assessments"]
    assert assessment["what_would_change"], "the threshold was put where one count turns the call"
    for change in assessment["what_would_change"]:
        counts = dict.fromkeys(CATALOGUE.type_codes, 0) | {code: FILM.count(code) for code in set(FILM)}
        shown = dict.fromkeys(CATALOGUE.finding_codes, 0)
        (counts if change["code"] in counts else shown)[change["code"]] = change["needed"]
        film = profile_from_counts(
            np.array(list(counts.values()), np.int64), np.array(list(shown.values()), np.int64), CATALOGUE
        )
        margin = float(model.trees[TARGET].predict_margin(film.values.astype(np.float32)[None])[0])
        assert change["score"] == pytest.approx(score_from_margin(margin, Calibration(slope=1, intercept=0)), abs=1e-4)
        assert (change["score"] >= assessment["threshold"]) != (assessment["score"] >= assessment["threshold"])


def test_a_film_without_a_score_is_counted_and_not_explained(model, tmp_path):
    record = analyze_slide(read_slide(write_slide(tmp_path / "A1_S1", ["SNE"] * 9)), model, JOB).record
    (assessment,) = record["assessments"]
    assert assessment["sufficiency"]["leucocytes"] == 9
    assert assessment["sufficiency"]["more_cells_to_halve_interval"] is None
    for field in ("contributions", "groups", "contrast", "what_would_change"):
        assert assessment[field] == []
