"""What would change the call is the smallest change of one count, found by asking the trees and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bundle.manifest import AssessmentSpec, Calibration, Cohort, Gates, Minimum
from edge.catalogue import load_catalogue
from edge.count_changes import LARGEST_STEP, ROWS_SHOWN, count_changes
from edge.profile_scope import ProfileScope, reasons_out_of_scope
from edge.score import score_from_margin
from edge.slide_profile import profile_from_counts
from edge.trees import TreeModel

CATALOGUE = load_catalogue()
NAMES = CATALOGUE.parameter_names
GATES = Gates(blast_review_share=0.01, blast_not_evaluable_share=0.2, infection_rate={})
SPEC = AssessmentSpec(
    target="mds_aa", positive="MDS", negative="AA", threshold=0.5, calibration=Calibration(slope=1.0, intercept=0.0),
    minimum=Minimum(wbc=50, neutrophil=20), trees="trees/mds_aa",
)  # fmt: skip


def profile(counts=None, shown=None):
    counts = {"SNE": 60, "LY": 40} if counts is None else counts
    numbers = np.array([counts.get(code, 0) for code in CATALOGUE.type_codes], np.int64)
    findings = np.array([(shown or {}).get(code, 0) for code in CATALOGUE.finding_codes], np.int64)
    return profile_from_counts(numbers, findings, CATALOGUE)


EVERYTHING = Cohort(
    simulated=True, cases={"MDS": 1, "AA": 1}, range=dict.fromkeys(NAMES, (0.0, 1000.0)), outside_allowed=0
)


def changes(found, margin_of_row, *, spec=SPEC, used=None, cohort=EVERYTHING, scope=None):
    margins = lambda rows: np.array([margin_of_row(row) for row in rows], np.float64)  # noqa: E731 - one line says it
    trees = TreeModel("mds_aa", "treelite", len(NAMES), margins, used)
    score = score_from_margin(margin_of_row(found.values.astype(np.float32)), spec.calibration)
    return count_changes(
        found, score, spec=spec, gates=GATES, cohort=cohort, trees=trees, catalogue=CATALOGUE, scope=scope
    )


def rising(name, limit):
    place = NAMES.index(name)
    return lambda row: 20.0 * (float(np.nan_to_num(row[place])) - limit)


def test_the_smallest_number_of_cells_with_a_finding_that_turns_the_call_is_named():
    (first, *_) = changes(profile(shown={"NE04": 6}), rising("NE04_rate", 0.2))
    assert (first.name, first.code, first.counted, first.of, first.needed) == ("NE04_rate", "NE04", 6, 60, 12)
    assert first.score == pytest.approx(0.5, abs=1e-4)
    assert first.score >= 0.5


def test_fewer_cells_turn_a_call_back():
    found = {row.name: row for row in changes(profile(shown={"NE04": 15}), rising("NE04_rate", 0.2))}
    assert found["NE04_rate"].needed == 11
    assert found["NE04_rate"].score < 0.5


def test_a_changed_type_changes_every_share_and_the_findings_of_its_cells():
    margin = rising("NE04_rate", 0.2)
    found = {row.name: row for row in changes(profile({"SNE": 60, "LY": 40}, {"NE04": 12}), margin)}
    assert found["SNE_share"].needed == 61  # 12 of 61 neutrophils are less than a fifth
    assert "LY_share" not in found


def test_every_answer_is_the_score_of_the_film_it_describes():
    found = profile({"SNE": 55, "LY": 40, "PMY": 2, "ERB": 3}, {"NE04": 9, "NE01": 2})
    places = [NAMES.index(name) for name in ("NE04_rate", "SNE_share", "PMY_share", "ERB_per_100_wbc")]

    def margin(row):
        return float(np.dot(np.nan_to_num(row[places]), [12.0, -4.0, 30.0, 0.1])) - 0.25

    answers = changes(found, margin)
    assert answers
    for change in answers:
        counts = {"SNE": 55, "LY": 40, "PMY": 2, "ERB": 3}
        shown = {"NE04": 9, "NE01": 2}
        (counts if change.code in CATALOGUE.type_codes else shown)[change.code] = change.needed
        film = profile(counts, shown)
        expected = score_from_margin(margin(film.values.astype(np.float32)), SPEC.calibration)
        assert change.score == pytest.approx(expected, abs=1e-9)
        one_less = change.needed - np.sign(change.needed - change.counted)
        (counts if change.code in CATALOGUE.type_codes else shown)[change.code] = int(one_less)
        nearer = score_from_margin(margin(profile(counts, shown).values.astype(np.float32)), SPEC.calibration)
        start = score_from_margin(margin(found.values.astype(np.float32)), SPEC.calibration)
        assert (nearer >= 0.5) == (start >= 0.5)


def test_the_smallest_change_comes_first_and_each_count_once():
    places = [NAMES.index(f"NE{number:02d}_rate") for number in range(1, 11)]
    weights = np.arange(1, 11)
    answers = changes(profile(), lambda row: float(np.dot(np.nan_to_num(row[places]), weights)) - 0.5)
    steps = [abs(change.needed - change.counted) for change in answers]
    assert steps == sorted(steps)
    assert len(answers) == ROWS_SHOWN
    assert len({change.name for change in answers}) == ROWS_SHOWN
    assert answers[0].name == "NE10_rate"


def test_nothing_is_named_where_no_single_count_turns_the_call():
    assert changes(profile(), lambda row: 3.0) == ()
    assert changes(profile({"SNE": 600, "LY": 400}), rising("NE04_rate", (LARGEST_STEP + 1) / 600)) == ()
    assert changes(profile({"SNE": 600, "LY": 400}), rising("NE04_rate", LARGEST_STEP / 600)) != ()


@pytest.mark.parametrize(("count", "kept"), [(51, True), (50, False)])
def test_a_film_with_too_few_cells_is_no_answer(count, kept):
    place = NAMES.index("LY_share")
    limit = 30 / count - 0.004
    found = changes(profile({"SNE": count - 30, "LY": 30}), lambda row: 5.0 if row[place] < limit else -5.0)
    assert any(row.name == "LY_share" and row.needed == 29 for row in found) is kept


def test_a_film_with_too_few_neutrophils_or_too_many_blasts_is_no_answer():
    sne, blasts = NAMES.index("SNE_share"), NAMES.index("BL_share")
    few = changes(profile({"SNE": 20, "LY": 40}), lambda row: 5.0 if row[sne] < 1 / 3 else -5.0)
    assert "SNE_share" not in {row.name for row in few}
    many = changes(profile({"SNE": 60, "LY": 22, "BL": 18}), lambda row: 5.0 if row[blasts] >= 0.2 else -5.0)
    assert many == ()


def test_findings_that_no_tree_reads_are_not_tried_and_the_answer_is_the_same():
    margin = rising("NE04_rate", 0.2)
    used = np.zeros(len(NAMES), np.bool_)
    used[NAMES.index("NE04_rate")] = True
    found = profile(shown={"NE04": 6})
    assert changes(found, margin, used=used) == changes(found, margin)


def test_a_film_unlike_the_cohort_is_no_answer():
    found = profile(shown={"NE04": 6})
    narrow = EVERYTHING.model_copy(update={"range": {**EVERYTHING.range, "NE04_rate": (0.0, 0.15)}})
    named = {row.name for row in changes(found, rising("NE04_rate", 0.2))}
    assert "NE04_rate" in named
    assert "NE04_rate" not in {row.name for row in changes(found, rising("NE04_rate", 0.2), cohort=narrow)}
    one_may = narrow.model_copy(update={"outside_allowed": 1})
    assert "NE04_rate" in {row.name for row in changes(found, rising("NE04_rate", 0.2), cohort=one_may)}


def scope_of(*names, limit, others=(), others_limit=None):
    """A scope that compares these parameters, its one class at zero: a film lies as far out as their arcsin(sqrt)."""
    columns = np.array([NAMES.index(name) for name in names], np.int32)
    compared = len(columns)
    return ProfileScope(
        columns=columns, fill=np.zeros(compared, np.float32), whitening=np.eye(compared, dtype=np.float32),
        centres=np.zeros((1, compared), np.float32),
        others=np.array(others, np.float32).reshape(-1, compared),
        distance_limit=limit, others_limit=others_limit,
    )  # fmt: skip


def test_a_film_that_the_question_is_not_about_is_no_answer():
    found, margin = profile(shown={"NE04": 6}), rising("NE04_rate", 0.2)
    far = scope_of("NE04_rate", limit=np.arcsin(np.sqrt(0.15)))
    assert reasons_out_of_scope(found, far) == ()
    assert "NE04_rate" in {row.name for row in changes(found, margin)}
    assert "NE04_rate" not in {row.name for row in changes(found, margin, scope=far)}
    wide = scope_of("NE04_rate", limit=np.arcsin(np.sqrt(0.25)))
    assert changes(found, margin, scope=wide) == changes(found, margin)


def test_a_film_more_like_films_of_neither_class_is_no_answer():
    found, margin = profile(shown={"NE04": 6}), rising("NE04_rate", 0.2)
    near_others = scope_of("NE04_rate", limit=9.0, others=[np.arcsin(np.sqrt(0.3))], others_limit=0.1)
    assert reasons_out_of_scope(found, near_others) == ()
    named = {row.name for row in changes(found, margin, scope=near_others)}
    assert "NE04_rate" not in named
    permissive = scope_of("NE04_rate", limit=9.0, others=[np.arcsin(np.sqrt(0.3))], others_limit=9.0)
    assert changes(found, margin, scope=permissive) == changes(found, margin)


def test_every_film_that_is_named_would_have_been_scored():
    counts, shown = {"SNE": 55, "LY": 40, "PMY": 2, "ERB": 3}, {"NE04": 9, "NE01": 2}
    scope = scope_of("SNE_share", "NE04_rate", "PMY_share", limit=0.6, others=[[0.6, 0.7, 0.3]], others_limit=0.32)
    found = profile(counts, shown)
    places = [NAMES.index(name) for name in ("NE04_rate", "SNE_share", "PMY_share", "ERB_per_100_wbc")]
    margin = lambda row: float(np.dot(np.nan_to_num(row[places]), [12.0, -4.0, 30.0, 0.1])) - 0.25  # noqa: E731 - one line says it
    answers = changes(found, margin, scope=scope)
    assert answers
    assert answers != changes(found, margin)
    for change in answers:
        film = [dict(counts), dict(shown)]
        film[change.code not in CATALOGUE.type_codes][change.code] = change.needed
        assert reasons_out_of_scope(profile(*film), scope) == ()
