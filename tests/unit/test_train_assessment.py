"""The assessment is judged on patients it did not see, and leaves trees that say what they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

xgboost = pytest.importorskip("xgboost")

from convert.score_fit import (  # noqa: E402
    area_with_interval,
    calibration_from_margins,
    scores_from_calibration,
    threshold_from_scores,
)
from convert.slide_cohort import Cohort, read_slide_labels, write_profiles  # noqa: E402
from convert.train_assessment import (  # noqa: E402
    AssessmentTraining,
    out_of_fold_margins,
    outside_allowed,
    patient_folds,
    save_assessment,
    train_assessment,
)
from edge.bundle.manifest import AssessmentSpec  # noqa: E402
from edge.bundle.manifest import Cohort as ManifestCohort  # noqa: E402
from edge.catalogue import load_catalogue  # noqa: E402
from edge.errors import EdgeError  # noqa: E402

NAMES = load_catalogue().parameter_names
QUICK = AssessmentTraining("mds_aa", "MDS", "AA", rounds=20, repeats=2)


def cohort_of(patients=30, slides_each=2, *, effect=2.0, seed=0, simulated=True, leucocytes=200):
    """Half of the patients are positive; every patient has a value of his own, which gives him away in any split."""
    random = np.random.default_rng(seed)
    rows, names, positive = [], [], []
    for patient in range(patients):
        kind = patient % 2 == 0
        own = random.normal(0, 1, len(NAMES))
        own[:5] += effect * kind
        for _ in range(slides_each):
            rows.append(np.abs(own + random.normal(0, 0.05, len(NAMES))))
            names.append(f"P{patient}")
            positive.append(kind)
    profiles = np.array(rows)
    profiles[:, 50] = np.nan
    profiles[::3, 51] = np.nan
    count = len(rows)
    return Cohort(
        NAMES,
        tuple(f"S{index}" for index in range(count)),
        tuple(names),
        np.array(positive),
        profiles,
        np.full(count, leucocytes),
        np.full(count, 100),
        np.full(count, simulated),
    )


def test_a_patient_is_never_on_both_sides_of_a_fold():
    cohort = cohort_of()
    for repeat in range(2):
        held = list(patient_folds(cohort, QUICK, repeat))
        assert np.array_equal(np.sum(held, axis=0), np.ones(60))  # every slide is held out once
        for fold in held:
            inside = {p for p, out in zip(cohort.patients, fold, strict=True) if out}
            outside = {p for p, out in zip(cohort.patients, fold, strict=True) if not out}
            assert not inside & outside


def test_repeats_use_other_folds_and_both_classes_are_spread():
    cohort = cohort_of()
    first, second = (list(patient_folds(cohort, QUICK, repeat)) for repeat in (0, 1))
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(cohort.positive[fold].any() and not cohort.positive[fold].all() for fold in first)


def test_values_that_only_give_a_patient_away_do_not_look_like_a_finding():
    cohort = cohort_of(effect=0.0, seed=3)
    margins = out_of_fold_margins(cohort, QUICK)
    area, low, high = area_with_interval(margins, cohort.positive, cohort.patients, 1)
    assert low <= area <= high
    assert area < 0.8  # slides of one patient in both halves would give nearly 1


def test_trees_leave_with_everything_a_bundle_needs(tmp_path):
    trained = train_assessment(cohort_of(), QUICK, lambda line: None)
    save_assessment(trained, tmp_path / "trees.json")
    booster = xgboost.Booster(model_file=tmp_path / "trees.json")
    spec = json.loads(booster.attr("mds_edge"))
    assert (spec["target"], spec["positive"], spec["negative"]) == ("mds_aa", "MDS", "AA")
    assert spec["parameters"] == list(NAMES) == booster.feature_names
    assert spec["cohort"]["cases"] == {"MDS": 15, "AA": 15}
    assert spec["cohort"]["simulated"] is True
    assert NAMES[50] not in spec["cohort"]["range"]  # never observed
    ManifestCohort.model_validate_json(json.dumps(spec["cohort"]))
    keys = ("target", "positive", "negative", "threshold", "calibration", "minimum")
    AssessmentSpec.model_validate_json(json.dumps({**{k: spec[k] for k in keys}, "trees": "trees/mds_aa"}))
    assert json.loads((tmp_path / "trees.report.json").read_text())["cross_validation"]["patients"] == 30


def test_a_positive_margin_means_the_positive_class():
    cohort = cohort_of()
    trained = train_assessment(cohort, QUICK, lambda line: None)
    rows = xgboost.DMatrix(cohort.profiles.astype(np.float32), feature_names=list(NAMES))
    margins = trained.booster.predict(rows, output_margin=True)
    assert margins[cohort.positive].mean() > 0 > margins[~cohort.positive].mean()
    assert trained.report["calibration"]["slope"] > 0


def test_the_same_cohort_gives_the_same_bytes(tmp_path):
    for name in ("a.json", "b.json"):
        save_assessment(train_assessment(cohort_of(), QUICK, lambda line: None), tmp_path / name)
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
    assert train_assessment(cohort, QUICK, lambda line: None).report["cohort"]["simulated"] is False
    cohort.simulated[0] = True
    assert train_assessment(cohort, QUICK, lambda line: None).report["cohort"]["simulated"] is True


def test_too_few_patients_are_refused():
    with pytest.raises(EdgeError) as raised:
        train_assessment(cohort_of(patients=18), QUICK, lambda line: None)
    assert raised.value.code == "MDSE-TRAIN-015"


def test_trees_that_rank_unseen_patients_the_wrong_way_are_refused(monkeypatch):
    cohort = cohort_of()
    wrong = np.where(cohort.positive, -1.0, 1.0) + np.linspace(0, 0.5, len(cohort.slides))
    monkeypatch.setattr("convert.train_assessment.out_of_fold_margins", lambda *_: np.stack([wrong, wrong]))
    with pytest.raises(EdgeError) as raised:
        train_assessment(cohort, QUICK, lambda line: None)
    assert raised.value.code == "MDSE-TRAIN-016"


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


def write_table(folder, text):
    path = folder / "slides.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_slides_without_the_target_are_left_out_with_a_notice(tmp_path):
    said = []
    table = write_table(tmp_path, "slide,patient,mds_aa\nA,P1,MDS\nB,P2,\nC,P3,AA\nD,P4,CML\n")
    slides = read_slide_labels(table, "mds_aa", "MDS", "AA", said.append)
    assert [(s.slide, s.positive) for s in slides] == [("A", True), ("C", False)]
    assert any("blank" in line for line in said)
    assert any("CML" in line for line in said)


@pytest.mark.parametrize(
    "text",
    [
        "slide,patient\nA,P1\n",
        "slide,patient,mds_aa\nA,P1,MDS\nA,P1,MDS\n",
        "slide,patient,mds_aa\nA,P1,MDS\nB,P1,AA\n",
        "slide,patient,mds_aa\n../A,P1,MDS\n",
        "slide,patient,mds_aa\n,P1,MDS\n",
    ],
)
def test_a_table_that_contradicts_itself_is_refused(tmp_path, text):
    with pytest.raises(EdgeError) as raised:
        read_slide_labels(write_table(tmp_path, text), "mds_aa", "MDS", "AA", lambda line: None)
    assert raised.value.code == "MDSE-TRAIN-014"


def test_profiles_are_written_with_blanks_for_missing_values(tmp_path):
    cohort = cohort_of(patients=2, slides_each=1)
    write_profiles(tmp_path / "p.csv", cohort, "MDS", "AA")
    header, first, _ = (tmp_path / "p.csv").read_text().splitlines()
    assert header.startswith("slide,patient,class,simulated,leucocytes,neutrophils,SNE_share")
    assert first.split(",")[6 + 50] == ""
    assert float(first.split(",")[6]) == cohort.profiles[0, 0]
