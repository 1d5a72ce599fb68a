"""The slide level of a validation, from cases that can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import shap
import xgboost

from convert.evaluation import slides
from convert.evaluation.html_slides import slides_part
from convert.evaluation.question_labels import column_of, labels_of, read_slide_tables
from convert.evaluation.shap_values import shap_from_profiles
from convert.evaluation.slides import Case, evaluate_slides, exact_score, profile_from_record, section_from_cases
from edge.bundle.manifest import AssessmentSpec
from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.score import score_from_margin
from edge.trees import TreeModel

CATALOGUE = load_catalogue()


def question(target: str = "mds_aa", positive: str = "MDS", negative: str = "AA", family=None) -> AssessmentSpec:
    return AssessmentSpec(
        target=target,
        positive=positive,
        negative=negative,
        threshold=0.6,
        calibration=dict(slope=1.0, intercept=0.0),
        minimum=dict(wbc=1, neutrophil=1),
        trees=f"trees/{target}",
        family=family,
    )


def case(number: int, positive: bool, score: float | None, call: str, *, simulated=False) -> Case:
    """A case whose record holds the score as the runtime rounds it."""
    reasons = [] if score is not None else [{"code": "PROFILE-OOD", "text": "unlike the cohort"}]
    rounded = None if score is None else round(score, 4)
    assessment = dict(score=rounded, ci95=None, margin=score, call=call, reasons=reasons, contributions=[])
    return Case(f"S{number}", f"P{number}", positive, simulated, assessment, [], score)


def cases(*, simulated=False) -> list[Case]:
    """8 MDS: 6 above the threshold, 1 below, 1 without a score; 5 AA: 1 above, 4 below."""
    scores = [(True, 0.9, "MDS-SUSPECT")] * 6 + [(True, 0.5, "INDETERMINATE"), (True, None, "NOT-EVALUABLE")]
    scores += [(False, 0.7, "INDETERMINATE")] + [(False, 0.1, "AA-LIKE")] * 4
    return [case(i, *row, simulated=simulated) for i, row in enumerate(scores)]


def test_rates_are_over_scored_slides_and_calls_over_all():
    found = section_from_cases(cases(), question(), None, Path("slides.csv"), None)
    assert (found["n"], found["n_positive"], found["n_negative"], found["scored"]) == (13, 8, 5, 12)
    assert found["sensitivity"] == pytest.approx(6 / 7, abs=1e-4)
    assert found["specificity"] == pytest.approx(4 / 5)
    # 6 x 5 pairs are right, the seventh MDS beats 4 of 5.
    assert found["auc"] == pytest.approx(34 / 35, abs=1e-4)
    assert found["ci95"] == found["auc_ci95"]
    assert found["calls"]["MDS"] == {"MDS-SUSPECT": 6, "INDETERMINATE": 1, "NOT-EVALUABLE": 1}
    assert found["not_scored"] == {"PROFILE-OOD": 1}


def test_figures_come_from_full_scores_where_the_rounded_ones_tie_or_reach_the_threshold():
    scores = [(False, value) for value in (0.1, 0.2, 0.30002, 0.59996)] + [(True, v) for v in (0.60004, 0.8, 0.9, 0.95)]
    found = section_from_cases(
        [case(i, *row, "INDETERMINATE") for i, row in enumerate(scores)], question(), None, Path("slides.csv"), None
    )
    assert (found["sensitivity"], found["specificity"], found["auc"]) == (1.0, 1.0, 1.0)
    row = found["cases"][3]
    assert (row["score"], row["called_positive"]) == (0.6, False), "the table shows the record's number"
    page = str(slides_part("mds_aa", {**found, "rejected": {}}, {}))
    assert "On the wrong side of the threshold" not in page


def test_the_full_score_is_the_one_that_the_runtime_rounds_into_the_record():
    spec = question()
    profile = [dict(name="SNE_share", numerator=1, denominator=3), dict(name="MK01_rate", numerator=0, denominator=0)]
    seen = []

    def margins(profiles):
        seen.append(profiles)
        return np.array([0.123456789])

    score = exact_score(profile, TreeModel("mds_aa", "treelite", 2, margins), spec)
    assert score == score_from_margin(0.123456789, spec.calibration)
    np.testing.assert_array_equal(seen[0], np.array([[1 / 3, np.nan]], np.float32))


def test_slides_of_which_none_was_scored_are_counted_without_rates():
    unscored = [case(i, positive, None, "NOT-EVALUABLE") for i, positive in enumerate((True, True, False))]
    found = section_from_cases(unscored, question(), None, Path("slides.csv"), None)
    assert (found["n"], found["scored"], found["not_scored"]) == (3, 0, {"PROFILE-OOD": 3})
    assert (found["sensitivity"], found["auc"], found["brier"], found["calibration"]) == (None, None, None, [])
    assert "PROFILE-OOD: 3" in str(slides_part("mds_aa", {**found, "rejected": {}}, {}))


def test_the_paper_stands_beside_real_slides_and_never_beside_simulated_ones():
    real = section_from_cases(cases(), question(), None, Path("slides.csv"), None)
    drawn = section_from_cases(cases(simulated=True), question(), None, Path("slides.csv"), None)
    assert real["paper"]["auc"] == 0.99
    assert "paper" not in drawn
    assert "SIMULATED" in drawn["note"]


def test_the_note_says_whether_the_patients_were_compared_with_those_of_the_training():
    unchecked = section_from_cases(cases(), question(), None, Path("slides.csv"), None)
    checked = section_from_cases(cases(), question(), None, Path("slides.csv"), Path("training.csv"))
    assert "not checked" in unchecked["note"]
    assert "not in the training" in checked["note"]


def test_questions_of_a_family_share_its_column_and_its_classes():
    family = [question(f"mpn_{kind}", kind, "REST", "mpn") for kind in ("PV", "ET", "PMF")]
    assert column_of(family[1]) == "mpn"
    assert labels_of(family[1], [*family, question()]) == ["PV", "ET", "PMF"]
    assert (column_of(question()), labels_of(question(), family)) == ("mds_aa", ["MDS", "AA"])


@pytest.fixture
def one_of_a_family(monkeypatch):
    """A bundle that asks for PV of the family alone; every slide is read, and none is scored."""
    spec = question("mpn_PV", "PV", "OTHER", "mpn")
    unscored = dict(target="mpn_PV", score=None, ci95=None, call="NOT-EVALUABLE", reasons=[])
    record = dict(assessments=[unscored], slide=dict(analyzer=dict(model="DI-60")), profile=[])
    monkeypatch.setattr(slides, "_records", lambda root, names, model, stream: (dict.fromkeys(names, record), {}))
    return SimpleNamespace(assessments=(spec,), trees={"mpn_PV": None}, catalogue=CATALOGUE)


def family_table(folder: Path) -> Path:
    labels = ["PV"] * 3 + ["ET"] * 2 + ["PMF"]
    rows = [f"S{number},P{number},{label}" for number, label in enumerate(labels)]
    for number in range(len(rows)):
        (folder / f"S{number}").mkdir()
    (folder / "slides.csv").write_text("\n".join(["slide,patient,mpn", *rows]) + "\n", encoding="utf-8")
    return folder / "slides.csv"


def test_a_part_of_a_family_is_judged_on_the_slides_of_the_whole_one_and_says_what_the_negatives_are(
    one_of_a_family, tmp_path
):
    table, model = family_table(tmp_path), one_of_a_family

    def judged(**options) -> dict:
        tables = read_slide_tables(tmp_path, table, model.assessments, print, **options)
        return evaluate_slides(tables, model, lambda _: b"", None)["mpn_PV"].section

    with pytest.raises(EdgeError, match="MDSE-TRAIN-018"):
        judged()
    found = judged(rest=["ET", "PMF"])
    assert (found["n_positive"], found["n_negative"]) == (3, 3)
    assert found["negatives"] == {"ET": 2, "PMF": 1}
    assert "OTHER is 2 of ET, 1 of PMF." in found["note"]
    assert judged(rest=["ET"], leave_out=["PMF"])["note"].endswith("OTHER is 2 of ET.")


def test_a_rest_without_a_family_is_refused(tmp_path):
    (tmp_path / "slides.csv").write_text("slide,patient,mds_aa\nS1,P1,MDS\n", encoding="utf-8")
    with pytest.raises(EdgeError, match=r"MDSE-VALIDATE-013 .*mds_aa"):
        read_slide_tables(tmp_path, tmp_path / "slides.csv", [question()], print, rest=["ET"])


def test_a_profile_is_computed_from_the_counts_of_the_record_and_not_from_its_rounded_values():
    rows = [
        dict(name="SNE_share", numerator=1, denominator=3, value=0.333333),
        dict(name="ERB_per_100_wbc", numerator=2, denominator=3, value=66.666667),
        dict(name="MK01_rate", numerator=0, denominator=0, value=None),
    ]
    np.testing.assert_array_equal(profile_from_record(rows), [1 / 3, 200 / 3, np.nan])


def trees_and_profiles() -> tuple[bytes, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    names = list(CATALOGUE.parameter_names)
    profiles = random.random((40, len(names)))
    profiles[random.random(profiles.shape) < 0.3] = np.nan
    matrix = xgboost.DMatrix(profiles.astype(np.float32), label=random.integers(0, 2, 40), feature_names=names)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, matrix, num_boost_round=20)
    return bytes(booster.save_raw("json")), profiles, booster.predict(matrix, pred_contribs=True)[:, :-1]


def test_the_shap_library_agrees_with_the_contributions_of_the_runtime_where_values_are_missing():
    model, profiles, runtime = trees_and_profiles()
    found = shap_from_profiles(model, profiles, runtime.astype(np.float64), CATALOGUE, where="mds_aa")
    assert np.abs(runtime).max() > 0.05
    assert found.largest_difference < 1e-5
    assert found.library == f"shap {shap.__version__}"
    np.testing.assert_allclose(found.grouped.sum(1), runtime.sum(1), atol=1e-4)


def test_contributions_that_the_shap_library_does_not_confirm_end_the_validation():
    model, profiles, runtime = trees_and_profiles()
    wrong = runtime.astype(np.float64)
    wrong[3, 7] += 0.001
    with pytest.raises(EdgeError, match="MDSE-VALIDATE-009"):
        shap_from_profiles(model, profiles, wrong, CATALOGUE, where="mds_aa")
