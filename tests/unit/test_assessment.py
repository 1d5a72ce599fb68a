"""A call is given only where enough was counted, the film is one the model knows, and counting leaves no doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.assessment import assess_profile
from edge.bundle.manifest import AssessmentSpec, Calibration, Cohort, Gates, Minimum
from edge.catalogue import load_catalogue
from edge.gates import count_film, doubtful_warnings, film_warnings, outside_cohort, parameters_outside
from edge.score import score_from_margin
from edge.slide_profile import profile_from_counts
from edge.trees import TreeModel

CATALOGUE = load_catalogue()
NAMES = CATALOGUE.parameter_names
GATES = Gates(
    blast_review_share=0.01, blast_not_evaluable_share=0.2, infection_rate={"NE07": 0.05, "NE08": 0.1, "NE09": 0.05}
)
SPEC = AssessmentSpec(
    target="mds_aa",
    positive="MDS",
    negative="AA",
    threshold=0.5,
    calibration=Calibration(slope=1.0, intercept=0.0),
    minimum=Minimum(wbc=50, neutrophil=20),
    trees="trees/mds_aa",
)
COHORT = Cohort(
    simulated=True, cases={"MDS": 75, "AA": 36}, range=dict.fromkeys(NAMES, (0.0, 1000.0)), outside_allowed=1
)


def profile(counts=None, shown=None):
    counts = {"SNE": 60, "LY": 30, "MO": 10} if counts is None else counts
    numbers = np.array([counts.get(code, 0) for code in CATALOGUE.type_codes], np.int64)
    findings = np.array([(shown or {}).get(code, 0) for code in CATALOGUE.finding_codes], np.int64)
    return profile_from_counts(numbers, findings, CATALOGUE)


def trees_of(function):
    return TreeModel("mds_aa", "treelite", len(NAMES), lambda rows: np.array([function(row) for row in rows]))


def slope_on(name, slope, middle):
    column = NAMES.index(name)
    return trees_of(lambda row: float(slope * (row[column] - middle)))


def assess(profile, trees, *, requested=True, spec=SPEC, cohort=COHORT, gates=GATES):
    return assess_profile(
        profile, spec=spec, cohort=cohort, gates=gates, trees=trees, catalogue=CATALOGUE, requested=requested
    )


def codes(assessment):
    return [reason.code for reason in assessment.reasons]


@pytest.mark.parametrize(("slope", "call"), [(100, "MDS-SUSPECT"), (-100, "AA-LIKE")])
def test_a_call_is_given_where_the_whole_interval_lies_on_one_side(slope, call):
    found = assess(profile(), slope_on("SNE_share", slope, 0.3))
    assert found.call == call
    assert found.score == pytest.approx(score_from_margin(found.margin, SPEC.calibration))
    assert found.interval[0] <= found.score <= found.interval[1]
    assert (found.interval[0] >= 0.5) is (call == "MDS-SUSPECT")
    assert found.sufficient


@pytest.mark.parametrize("middle", [0.58, 0.62])
def test_an_interval_that_includes_the_threshold_is_indeterminate_whatever_the_score(middle):
    found = assess(profile(), slope_on("SNE_share", 100, middle))
    assert found.call == "INDETERMINATE"
    assert codes(found) == ["INDETERMINATE"]
    assert found.interval[0] < 0.5 <= found.interval[1]
    assert found.score is not None


def test_more_cells_make_the_interval_narrower():
    few = assess(profile({"SNE": 60, "LY": 40}), slope_on("SNE_share", 10, 0.3)).interval
    many = assess(profile({"SNE": 600, "LY": 400}), slope_on("SNE_share", 10, 0.3)).interval
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])


def test_the_same_profile_gives_the_same_assessment():
    trees = slope_on("SNE_share", 10, 0.3)
    assert assess(profile(), trees) == assess(profile(), trees)


def test_an_interval_always_contains_its_own_score():
    # A rate of 0 is drawn above 0 every time, so every draw lies on one side of the score.
    found = assess(profile(), slope_on("NE01_rate", 1000, 0.0))
    assert found.score == 0.5
    assert found.interval[0] <= found.score <= found.interval[1]


def test_the_threshold_of_the_bundle_and_its_calibration_decide():
    spec = SPEC.model_copy(update={"threshold": 0.9, "calibration": Calibration(slope=2.0, intercept=-1.0)})
    found = assess(profile(), trees_of(lambda row: 1.0), spec=spec)
    assert found.score == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert (found.call, found.threshold) == ("AA-LIKE", 0.9)


def test_a_score_at_the_threshold_is_positive():
    assert assess(profile(), trees_of(lambda row: 0.0)).call == "MDS-SUSPECT"


def test_an_interval_that_only_touches_the_threshold_from_below_is_indeterminate():
    column = NAMES.index("SNE_share")
    counted = np.float32(0.6)
    found = assess(profile(), trees_of(lambda row: 0.0 if row[column] == counted else -3.0))
    assert found.interval[1] == found.score == 0.5
    assert found.call == "INDETERMINATE"


def test_huge_margins_give_scores_and_no_overflow():
    assert score_from_margin(1e6, SPEC.calibration) == 1
    assert score_from_margin(-1e6, SPEC.calibration) == 0


def test_nobody_asked_so_nothing_is_said():
    found = assess(profile(), trees_of(lambda row: 1 / 0), requested=False)
    assert (found.call, found.score, found.margin, found.interval) == ("NOT-REQUESTED", None, None, None)
    assert found.contributions == ()
    assert found.sufficient


@pytest.mark.parametrize(
    ("counts", "reason", "text"),
    [
        ({"SNE": 12}, "WBC-TOO-FEW", "counted 12 leucocytes, at least 50 needed"),
        ({"LY": 49, "SNE": 19, "ERB": 500}, "NEUTROPHILS-TOO-FEW", "counted 19 neutrophils, at least 20 needed"),
        ({}, "WBC-TOO-FEW", "counted 0 leucocytes, at least 50 needed"),
        ({"ERB": 400, "SMU": 100}, "WBC-TOO-FEW", "counted 0 leucocytes, at least 50 needed"),
    ],
)
def test_too_few_cells_give_no_score_and_the_reason_in_words(counts, reason, text):
    found = assess(profile(counts), trees_of(lambda row: 1 / 0))
    assert (found.call, found.score, found.sufficient) == ("NOT-EVALUABLE", None, False)
    assert reason in codes(found)
    assert text in [r.text for r in found.reasons]


def test_exactly_the_minimum_is_enough():
    assert assess(profile({"SNE": 15, "BNE": 5, "LY": 30}), trees_of(lambda row: 3.0)).call == "MDS-SUSPECT"


def test_a_film_without_leucocytes_is_never_scored_even_where_the_minimum_is_zero():
    spec = SPEC.model_copy(update={"minimum": Minimum(wbc=0, neutrophil=0)})
    assert assess(profile({"ERB": 30}), trees_of(lambda row: 1 / 0), spec=spec).call == "NOT-EVALUABLE"


@pytest.mark.parametrize(
    ("blasts", "review", "call"),
    [(0, False, "MDS-SUSPECT"), (1, False, "MDS-SUSPECT"), (2, True, "MDS-SUSPECT"), (39, True, "MDS-SUSPECT")],
)
def test_blasts_from_one_per_cent_on_ask_for_review_beside_the_score(blasts, review, call):
    counted = profile({"SNE": 100, "LY": 100 - blasts, "BL": blasts})
    found = assess(counted, trees_of(lambda row: 3.0))
    assert found.call == call
    assert ("BLAST-REVIEW" in codes(found)) is review
    warnings = film_warnings(counted, count_film(counted, CATALOGUE), CATALOGUE, GATES)
    assert [w.code for w in warnings] == (["BLAST-REVIEW"] if review else [])


def test_blasts_from_a_fifth_on_make_the_film_not_evaluable_and_still_ask_for_review():
    counted = profile({"SNE": 100, "LY": 60, "BL": 40})
    found = assess(counted, trees_of(lambda row: 1 / 0))
    assert (found.call, found.score) == ("NOT-EVALUABLE", None)
    assert "BLAST-EXCESS" in codes(found)
    assert found.sufficient
    warnings = film_warnings(counted, count_film(counted, CATALOGUE), CATALOGUE, GATES)
    assert [w.code for w in warnings] == ["BLAST-REVIEW"]
    assert "40 blasts among 200 leucocytes (20.0%)" in warnings[0].text


def cohort_with(outside_allowed=1, **ranges):
    return COHORT.model_copy(update={"range": {**COHORT.range, **ranges}, "outside_allowed": outside_allowed})


def test_a_profile_outside_of_the_cohort_is_not_scored():
    cohort = cohort_with(SNE_share=(0.0, 0.5), LY_share=(0.4, 1.0))
    found = assess(profile(), trees_of(lambda row: 1 / 0), cohort=cohort)
    assert found.call == "NOT-EVALUABLE"
    assert codes(found) == ["PROFILE-OOD"]
    assert "SNE_share, LY_share" in found.reasons[0].text


def test_as_many_parameters_as_allowed_may_lie_outside():
    assert assess(profile(), trees_of(lambda row: 3.0), cohort=cohort_with(SNE_share=(0.0, 0.5))).score is not None


def test_a_parameter_that_the_cohort_never_showed_is_outside_once_it_is_seen():
    ranges = {name: bounds for name, bounds in COHORT.range.items() if not name.startswith("MK")}
    cohort = COHORT.model_copy(update={"range": ranges, "outside_allowed": 0})
    assert assess(profile(), trees_of(lambda row: 3.0), cohort=cohort).score is not None
    with_megakaryocyte = profile({"SNE": 60, "LY": 40, "MEK": 1})
    assert codes(assess(with_megakaryocyte, trees_of(lambda row: 3.0), cohort=cohort)) == ["PROFILE-OOD"]


def warnings_of(shown):
    found = profile({"SNE": 80, "BNE": 20, "LY": 100}, shown)
    return film_warnings(found, count_film(found, CATALOGUE), CATALOGUE, GATES)


def test_toxic_granulation_vacuoles_and_doehle_bodies_together_warn_of_infection():
    found = warnings_of({"NE07": 5, "NE08": 10, "NE09": 5})
    assert [warning.code for warning in found] == ["INFECTION-PATTERN"]
    assert "toxic granulations 10%" in found[0].text


@pytest.mark.parametrize("shown", [{"NE07": 5, "NE08": 10}, {"NE07": 5, "NE08": 9, "NE09": 5}, {}])
def test_two_of_the_three_signs_do_not_warn(shown):
    assert warnings_of(shown) == ()


def test_a_film_without_neutrophils_has_no_infection_pattern():
    lymphocytes = profile({"LY": 100})
    assert film_warnings(lymphocytes, count_film(lymphocytes, CATALOGUE), CATALOGUE, GATES) == ()


def test_one_cell_with_an_auer_rod_is_named_whatever_the_score():
    found = profile({"SNE": 60, "BL": 3, "LY": 137}, {"BL04": 1, "NE17": 2})
    warnings = film_warnings(found, count_film(found, CATALOGUE), CATALOGUE, GATES)
    auer = [warning for warning in warnings if warning.code == "AUER-RODS"]
    assert len(auer) == 1
    assert "Auer rod in neutrophil: 2, Auer rod in blast: 1;" in auer[0].text
    assert "promyelocyte" not in auer[0].text


def test_a_catalogue_without_auer_rods_is_asked_nothing_about_them():
    without = replace(CATALOGUE, findings=tuple(f for f in CATALOGUE.findings if "Auer" not in f.standard_term))
    found = profile({"SNE": 60, "BL": 1, "LY": 139}, {"BL04": 1})
    warnings = film_warnings(found, count_film(found, without), without, GATES)
    assert "AUER-RODS" not in [warning.code for warning in warnings]


class Cell:
    def __init__(self, cell_type):
        self.cell_type = cell_type


@pytest.mark.parametrize(("limit", "warned"), [(None, False), (0.21, False), (0.2, True), (0.0, True), (1.0, False)])
def test_many_cells_without_a_type_are_warned_of_where_the_bundle_states_a_limit(limit, warned):
    cells = [Cell(None)] * 20 + [Cell("SNE")] * 80
    found = doubtful_warnings(cells, GATES.model_copy(update={"doubtful_review_share": limit}))
    assert [warning.code for warning in found] == (["DOUBTFUL-CELLS"] if warned else [])
    assert all("20 of 100 cells (20%)" in warning.text for warning in found)


def test_a_film_whose_every_cell_has_a_type_is_never_doubtful():
    assert doubtful_warnings([Cell("SNE")] * 3, GATES.model_copy(update={"doubtful_review_share": 0.0})) == ()


def test_the_parameters_of_many_films_are_outside_as_those_of_one_are():
    cohort = cohort_with(SNE_share=(0.0, 0.5), LY_share=(0.4, 1.0))
    films = [profile(), profile({"SNE": 10, "LY": 90}), profile({"LY": 50})]
    outside = outside_cohort(np.stack([film.values for film in films]), NAMES, cohort)
    named = [tuple(name for name, is_outside in zip(NAMES, row, strict=True) if is_outside) for row in outside]
    assert named == [parameters_outside(film, cohort) for film in films]
    assert set(named[0]) == {"SNE_share", "LY_share"}
