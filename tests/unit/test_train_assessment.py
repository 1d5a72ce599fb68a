"""The assessment is judged on patients it did not see, and leaves trees that say what they are."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

xgboost = pytest.importorskip("xgboost")

from cohorts import CATALOGUE, NAMES, changed, cohort_of  # noqa: E402

from convert.assessment_figures import roc_from_scores  # noqa: E402
from convert.assessment_report import save_assessment, write_out_of_fold  # noqa: E402
from convert.cohort_arrays import GROUPS, sums_by_group  # noqa: E402
from convert.nested_validation import choose, nested, patient_folds  # noqa: E402
from convert.score_fit import (  # noqa: E402
    area_with_interval,
    calibration_from_margins,
    scores_from_calibration,
    threshold_from_scores,
)
from convert.slide_cohort import write_profiles  # noqa: E402
from convert.train_assessment import AssessmentTraining, outside_allowed, train_assessment  # noqa: E402
from convert.tree_fit import Candidate, candidate_grid, directions_from_profiles, fit_trees  # noqa: E402
from convert.tree_model import read_trained_trees  # noqa: E402
from edge.bundle.manifest import AssessmentSpec  # noqa: E402
from edge.bundle.manifest import Cohort as ManifestCohort  # noqa: E402
from edge.errors import EdgeError  # noqa: E402

QUICK = AssessmentTraining(
    "mds_aa", "MDS", "AA", depths=(1,), monotone=(True,), penalties=(5.0,), rounds=(20,), folds=3, repeats=2,
    inner_folds=3,
)  # fmt: skip
SETTINGS = QUICK.nested_settings()


def silent(line):
    pass


@pytest.fixture(scope="module")
def trained():
    return train_assessment(cohort_of(), QUICK, silent)


@pytest.fixture
def trees_path(trained, tmp_path):
    trained.booster.save_model(tmp_path / "trees.json")
    return tmp_path / "trees.json"


def test_a_patient_is_never_on_both_sides_of_a_fold():
    cohort = cohort_of()
    folds = patient_folds(cohort, 3, [1])
    for patient in set(cohort.patients):
        assert len({fold for fold, own in zip(folds, cohort.patients, strict=True) if own == patient}) == 1
    assert sorted(np.bincount(folds)) == [20, 20, 20]


def test_folds_change_with_the_seed_and_both_classes_are_spread():
    cohort = cohort_of()
    first, second = patient_folds(cohort, 3, [1, 0]), patient_folds(cohort, 3, [1, 1])
    assert not np.array_equal(first, second)
    assert all(cohort.positive[first == f].any() and not cohort.positive[first == f].all() for f in range(3))


def test_values_that_only_give_a_patient_away_do_not_look_like_a_finding():
    cohort = cohort_of(effect=0.0, seed=3)
    judged = nested(cohort, SETTINGS, lambda: None)
    area, low, high = area_with_interval(judged.logits, cohort.positive, cohort.patients, 1)
    assert low <= area <= high
    assert area < 0.8  # slides of one patient in both halves would give nearly 1


def test_no_choice_is_made_with_a_look_at_the_slides_held_out(monkeypatch):
    cohort = cohort_of()
    seen = []

    def watched(training, settings, seeds):
        seen.append(set(training.patients))
        return choose(training, settings, seeds)

    monkeypatch.setattr("convert.nested_validation.choose", watched)
    judged = nested(cohort, SETTINGS, lambda: None)
    assert len(seen) == 6  # 3 outer folds, 2 repeats
    for number, patients in enumerate(seen):
        held = judged.folds[number // 3] == number % 3
        assert not patients & {p for p, out in zip(cohort.patients, held, strict=True) if out}
        assert len(set(judged.thresholds[number // 3, held])) == 1  # the threshold is that of the other folds


def test_labels_of_the_slides_held_out_change_nothing_about_their_scores():
    cohort = cohort_of()
    judged = nested(cohort, SETTINGS, lambda: None)
    held = judged.folds[0] == 0
    turned = cohort.positive.copy()
    turned[held] = ~turned[held]
    again = nested(
        changed(cohort, positive=turned), SETTINGS, lambda: None
    )  # labels, by which folds are dealt, are the same
    assert np.array_equal(judged.scores[0, held], again.scores[0, held])
    assert not np.array_equal(judged.scores[0, ~held], again.scores[0, ~held])


def test_the_simplest_settings_win_unless_others_are_clearly_better():
    cohort = cohort_of(patients=40, slides_each=1)
    many = AssessmentTraining("mds_aa", "MDS", "AA", depths=(1, 2), rounds=(40,), penalties=(5.0,), inner_folds=3)
    chosen = choose(cohort, many.nested_settings(), [1])
    assert chosen.candidate == Candidate(1, True, 5.0, 40)
    assert len(chosen.losses) == 4
    # Only a deeper tree can tell an exclusive-or of what one half of the parameters says and the other half.
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (120, 2))
    profiles = bits.repeat(len(NAMES) // 2, axis=1) + random.normal(0, 0.01, (120, len(NAMES)))
    puzzle = changed(cohort_of(patients=120, slides_each=1), profiles=profiles, positive=bits[:, 0] != bits[:, 1])
    depths = AssessmentTraining(
        "mds_aa", "MDS", "AA", depths=(1, 2), monotone=(False,), rounds=(200,), penalties=(1.0,), inner_folds=4
    )
    assert choose(puzzle, depths.nested_settings(), [1]).candidate.depth == 2


def test_the_grid_goes_from_simple_to_free():
    grid = candidate_grid((2, 1), (False, True), (1.0, 5.0), (200, 100))
    assert grid[0] == Candidate(1, True, 5.0, 100)
    assert grid[-1] == Candidate(2, False, 1.0, 200)
    assert len(set(grid)) == 16


def test_monotone_trees_never_go_against_the_direction_of_their_training_slides():
    cohort = cohort_of(effect=3.0)
    directions = directions_from_profiles(cohort.profiles, cohort.positive)
    assert directions[0] == 1
    assert directions[50] == 0  # never observed
    booster = fit_trees(cohort.profiles, cohort.positive, Candidate(2, True, 1.0, 60), NAMES, 1)
    column = int(np.argmax([booster.get_score().get(name, 0) for name in NAMES]))
    rows = np.repeat(cohort.profiles[:1], 50, axis=0).astype(np.float32)
    rows[:, column] = np.linspace(0, 6, 50)
    margins = booster.predict(xgboost.DMatrix(rows, feature_names=list(NAMES)), output_margin=True)
    steps = np.diff(margins) * directions[column]
    assert steps.max() > 0.01
    assert steps.min() > -1e-6


def test_trees_leave_with_everything_a_bundle_needs(trained, tmp_path):
    save_assessment(trained, tmp_path / "trees.json")
    booster = xgboost.Booster(model_file=tmp_path / "trees.json")
    spec = json.loads(booster.attr("mds_edge"))
    assert (spec["target"], spec["positive"], spec["negative"]) == ("mds_aa", "MDS", "AA")
    assert spec["parameters"] == list(NAMES) == booster.feature_names
    assert spec["cohort"]["cases"] == {"MDS": 15, "AA": 15}
    assert spec["cohort"]["simulated"] is True
    assert NAMES[50] not in spec["cohort"]["range"]  # never observed
    ManifestCohort.model_validate_json(json.dumps(spec["cohort"]))
    assert spec["cohort_arrays"]["positive"] == [1, 1, 0, 0] * 15
    keys = ("target", "positive", "negative", "threshold", "calibration", "minimum")
    AssessmentSpec.model_validate_json(json.dumps({**{k: spec[k] for k in keys}, "trees": "trees/mds_aa"}))
    assert json.loads((tmp_path / "trees.report.json").read_text())["cross_validation"]["patients"] == 30


def test_a_positive_margin_means_the_positive_class(trained):
    cohort = cohort_of()
    rows = xgboost.DMatrix(cohort.profiles.astype(np.float32), feature_names=list(NAMES))
    margins = trained.booster.predict(rows, output_margin=True)
    assert margins[cohort.positive].mean() > 0 > margins[~cohort.positive].mean()
    assert trained.report["calibration"]["slope"] > 0


def test_the_same_cohort_gives_the_same_bytes(tmp_path):
    for name in ("a.json", "b.json"):
        save_assessment(train_assessment(cohort_of(), QUICK, silent), tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_slides_with_too_few_cells_are_left_out_and_named():
    cohort = cohort_of()
    cohort.leucocytes[3] = 12
    said = []
    trained = train_assessment(cohort, QUICK, said.append)
    assert trained.report["cross_validation"]["slides"] == 59
    assert any("S3" in line and "12 leucocytes" in line for line in said)


def test_one_simulated_slide_makes_the_cohort_simulated():
    cohort = cohort_of(simulated=False)
    assert train_assessment(cohort, QUICK, silent).report["cohort"]["simulated"] is False
    cohort.simulated[0] = True
    assert train_assessment(cohort, QUICK, silent).report["cohort"]["simulated"] is True


def test_too_few_patients_are_refused():
    with pytest.raises(EdgeError) as raised:
        train_assessment(cohort_of(patients=18), QUICK, silent)
    assert raised.value.code == "MDSE-TRAIN-015"


def test_trees_that_rank_unseen_patients_the_wrong_way_are_refused(monkeypatch):
    monkeypatch.setattr("convert.nested_validation.calibration_from_margins", lambda *_: (-1.0, 0.0))
    with pytest.raises(EdgeError) as raised:
        train_assessment(cohort_of(), QUICK, silent)
    assert raised.value.code == "MDSE-TRAIN-016"


def test_trees_that_are_no_better_than_a_coin_on_unseen_patients_are_refused():
    with pytest.raises(EdgeError) as raised:
        train_assessment(cohort_of(effect=0.0, seed=5), QUICK, silent)
    assert raised.value.code == "MDSE-TRAIN-016"


def test_films_of_neither_class_must_be_enough_and_of_other_patients():
    with pytest.raises(EdgeError) as raised:
        train_assessment(cohort_of(), QUICK, silent, others=[cohort_of(patients=6, prefix="N")])
    assert raised.value.code == "MDSE-TRAIN-020"
    with pytest.raises(EdgeError, match="among the classes and the others"):
        train_assessment(cohort_of(), QUICK, silent, others=[cohort_of()])


def test_slides_like_the_cohort_stay_inside_and_others_do_not():
    cohort = cohort_of(patients=60, slides_each=1, effect=0.0)
    allowed = outside_allowed(cohort)
    assert 0 <= allowed < 20
    strange = cohort.profiles[0] + 10
    assert int((strange > np.fmax.reduce(cohort.profiles)).sum()) > allowed


def test_calibration_recovers_the_slope_that_made_the_labels():
    random = np.random.default_rng(0)
    margins = random.normal(0, 2, 20_000)
    positive = random.random(20_000) < 1 / (1 + np.exp(-(0.5 * margins - 1)))
    slope, intercept = calibration_from_margins(margins, positive)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(-1, abs=0.05)


def test_calibration_of_separated_classes_stays_finite():
    margins = np.concatenate([np.full(20, 3.0), np.full(20, -3.0)])
    positive = margins > 0
    slope, intercept = calibration_from_margins(margins, positive)
    scores = scores_from_calibration(margins, (slope, intercept))
    assert 0 < slope < 5
    assert scores[positive].max() < 1
    assert scores[~positive].min() > 0


def test_a_threshold_is_rounded_only_as_far_as_no_slide_changes_its_call(monkeypatch):
    cohort = cohort_of()
    # Scores that differ in the fifth decimal only, and scores that three decimals tell apart.
    crowded = 0.50041 + np.where(cohort.positive, 3e-5, 0.0) + np.linspace(0, 1e-5, len(cohort.slides))
    apart = np.where(cohort.positive, 0.8, 0.2)
    for scores, decimals in ((crowded, 6), (apart, 3)):
        monkeypatch.setattr("convert.nested_validation.scores_from_calibration", lambda *_, kept=scores: kept)
        chosen = choose(cohort, replace(SETTINGS, specificity=0.95), [1])
        assert np.mean(scores[~cohort.positive] < chosen.threshold) >= 0.95
        exact = threshold_from_scores(scores, cohort.positive, specificity=0.95)
        assert np.array_equal(scores >= chosen.threshold, scores >= exact)
        assert chosen.threshold == round(chosen.threshold, decimals)


def test_the_threshold_lies_between_the_classes_or_keeps_the_specificity():
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    positive = np.array([False, False, False, True, True, True])
    assert threshold_from_scores(scores, positive) == pytest.approx(0.5)
    skewed = np.array([False, True, True, True, True, True])
    assert threshold_from_scores(scores, skewed) == pytest.approx(0.15)
    mixed = np.array([False, False, True, False, True, True])
    fixed = threshold_from_scores(scores, mixed, specificity=1.0)
    assert fixed == pytest.approx(0.75)
    assert (scores[~mixed] < fixed).all()


def test_the_cohort_travels_as_out_of_fold_contributions_scores_and_medians(trees_path):
    cohort = cohort_of()
    trees = read_trained_trees(trees_path, "mds_aa", CATALOGUE)
    assert trees.assessment["cohort_file"] == "trees/mds_aa/cohort.npz"
    with np.load(io.BytesIO(trees.files["cohort.npz"])) as arrays:
        assert {name: (str(arrays[name].dtype), arrays[name].shape) for name in arrays.files} == {
            "typical_positive": ("float32", (114,)), "typical_negative": ("float32", (114,)),
            "group_contributions": ("float32", (60, 13)), "positive": ("uint8", (60,)), "score": ("float32", (60,)),
        }  # fmt: skip
        assert np.isnan(arrays["typical_positive"][50])
        median = np.median(cohort.profiles[~cohort.positive, 0])
        assert arrays["typical_negative"][0] == pytest.approx(median, abs=1e-4)
        assert np.array_equal(arrays["positive"], cohort.positive)
        # Out of fold: a slide's contributions add up to its margin by trees that did not see it, so not to the score
        # of the trees that leave.
        booster = trees.booster
        seen = booster.predict(xgboost.DMatrix(cohort.profiles.astype(np.float32), feature_names=list(NAMES)))
        assert np.abs(arrays["score"] - seen).max() > 0.01
        added = arrays["group_contributions"].sum(axis=1)
        assert np.corrcoef(added, np.log(arrays["score"] / (1 - arrays["score"])))[0, 1] > 0.9


def test_contributions_are_summed_by_the_groups_of_the_paper():
    values = np.arange(12.0).reshape(2, 6)
    sums = sums_by_group(values, ("GN", "GN", "MK", "MO", "TAG", "LY"))
    assert len(GROUPS) == 13
    assert sums[0].tolist() == [1.0, 5.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2.0, 7.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score": [0.5]}, "score"),
        ({"typical_positive": [0.1] * 3}, "typical_positive"),
        ({"score": [1.5] * 60}, "between 0 and 1"),
        ({"positive": None}, "cohort"),
    ],
)
def test_trees_whose_cohort_does_not_fit_are_refused(trees_path, change, words):
    booster = xgboost.Booster(model_file=trees_path)
    spec = json.loads(booster.attr("mds_edge"))
    spec["cohort_arrays"] |= change
    booster.set_attr(mds_edge=json.dumps(spec))
    booster.save_model(trees_path)
    with pytest.raises(EdgeError, match=words) as raised:
        read_trained_trees(trees_path, "mds_aa", CATALOGUE)
    assert raised.value.code == "MDSE-CONVERT-031"


def test_the_out_of_fold_table_repeats_every_figure_of_the_report(trained, tmp_path):
    save_assessment(trained, tmp_path / "trees.json")
    with (tmp_path / "trees.out-of-fold.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 60
    first = [row for row in rows if row["repeat"] == "1"]
    hits = [row["called"] == "MDS" for row in first if row["class"] == "MDS"]
    figures = trained.report["cross_validation"]
    assert sum(hits) / len(hits) == pytest.approx(figures["sensitivity"], abs=1e-4)
    for row in first:
        assert (float(row["score"]) >= float(row["threshold"])) == (row["called"] == "MDS")
    assert (tmp_path / "trees.report.png").read_bytes().startswith(b"\x89PNG")


def test_a_score_at_a_threshold_of_many_decimals_stands_on_the_side_of_its_call(trained, tmp_path):
    judged = trained.nested
    at_once = replace(judged, thresholds=judged.scores)
    write_out_of_fold(tmp_path / "table.csv", replace(trained, nested=at_once))
    with (tmp_path / "table.csv").open() as stream:
        assert all(float(row["score"]) >= float(row["threshold"]) for row in csv.DictReader(stream))


def test_everything_that_was_considered_is_reported():
    training = AssessmentTraining(
        "mds_aa", "MDS", "AA", rounds=(10, 20), penalties=(5.0,), folds=3, repeats=1, inner_folds=3
    )
    selection = train_assessment(cohort_of(), training, silent).report["selection"]
    settings = [row["settings"] for row in selection["candidates"]]
    assert len(settings) == 8
    assert {"depth 1, monotone, penalty 5, 10 trees", "depth 2, free, penalty 5, 20 trees"} <= set(settings)
    assert selection["chosen"] in settings
    assert sum(row["chosen_in_outer_folds"] for row in selection["candidates"]) == 3


def test_a_curve_climbs_from_corner_to_corner():
    curve = roc_from_scores(np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, True, False, True]))
    assert (curve[0], curve[-1]) == (0.5, 1.0)
    assert (np.diff(curve) >= 0).all()


def test_profiles_are_written_with_blanks_for_missing_values(tmp_path):
    cohort = cohort_of(patients=2, slides_each=1)
    write_profiles(tmp_path / "p.csv", cohort)
    header, first, _ = (tmp_path / "p.csv").read_text().splitlines()
    assert header.startswith("slide,patient,class,simulated,leucocytes,neutrophils,SNE_share")
    assert first.split(",")[6 + 50] == ""
    assert float(first.split(",")[6]) == cohort.profiles[0, 0]
