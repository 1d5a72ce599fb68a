"""A film that the question is not about gets no score: films far from the cohort, and films like known other films."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("xgboost")

from cohorts import CATALOGUE, NAMES, changed, cohort_of, films_of

from convert.scope_fit import _without_each_fold, document_from_scope, file_from_document, fit_scope
from edge.assessment import assess_profile
from edge.bundle.manifest import AssessmentSpec, Calibration, Gates, Minimum
from edge.bundle.manifest import Cohort as ManifestCohort
from edge.profile_scope import ProfileScope, measures_from_profiles, reasons_out_of_scope
from edge.slide_profile import profile_from_counts
from edge.trees import TreeModel


@pytest.fixture(scope="module")
def cohort():
    return films_of({"MDS": 75, "AA": 36}, 1)


@pytest.fixture(scope="module")
def healthy():
    return films_of({"NORMAL": 40}, 2)


@pytest.fixture(scope="module")
def fitted(cohort, healthy):
    return fit_scope(cohort, [healthy], 1)


def flagged(cohort, scope):
    distance, nearness = measures_from_profiles(cohort.profiles, cohort.names, scope)
    limit = np.inf if scope.others_limit is None else scope.others_limit
    return float(((distance > scope.distance_limit) | (nearness > limit)).mean())


def test_healthy_films_are_told_from_the_cohort_once_such_films_were_shown(fitted):
    scope, shares = fitted
    assert flagged(films_of({"NORMAL": 60}, 3), scope) >= 0.85
    assert flagged(films_of({"MDS": 60, "AA": 60}, 4), scope) <= 0.08
    assert shares["cohort_flagged"] <= 0.12
    assert shares["others_flagged"] >= 0.7
    assert (shares["cohort_slides"], shares["other_slides"]) == (111, 40)


def test_what_the_scope_costs_is_counted_on_patients_who_set_no_limit():
    """The farthest of sixty films sets the limit that one in a hundred may pass: counted on itself it never would."""
    cohort = films_of({"MDS": 40, "AA": 20}, 1)
    profiles = cohort.profiles.copy()
    profiles[0] = films_of({"MDS": 1}, 5, invented=0.3).profiles[0]
    _, shares = fit_scope(changed(cohort, profiles=profiles), [], 1)
    assert shares["cohort_flagged"] >= 1 / 60 - 1e-4


def test_a_patient_with_films_in_two_folders_of_others_is_held_out_of_both_at_once():
    """Held out of one and kept in the other, the films would be judged by statistics that hold their own patient."""
    healthy = films_of({"NORMAL": 20}, 2)
    again = films_of({"NORMAL": 22}, 3)
    again = changed(again, patients=(*healthy.patients[8:], *again.patients[12:]))
    seen = [0, 0]

    def fit(kept, kept_others, fold):
        return {patient for group in kept_others for patient in group.patients}

    for kept, _, others_out in _without_each_fold(films_of({"MDS": 20}, 1), [healthy, again], [1], fit):
        for number, (group, out) in enumerate(zip((healthy, again), others_out, strict=True)):
            assert not kept & set(group.taken(out).patients)
            seen[number] += int(out.sum())
    assert seen == [20, 22]


def test_without_other_films_only_what_lies_far_out_is_flagged(cohort):
    scope, shares = fit_scope(cohort, [], 1)
    assert (scope.others_limit, shares["others_flagged"]) == (None, None)
    assert flagged(films_of({"MDS": 60, "AA": 60}, 4), scope) <= 0.08
    strange = films_of({"MDS": 20}, 5, invented=0.3)  # a recognizer that sees findings everywhere
    assert flagged(strange, scope) == 1.0


def test_only_parameters_that_films_have_on_enough_cells_are_compared(cohort, fitted):
    columns = fitted[0].columns
    assert np.isnan(cohort.profiles[:, columns]).mean(axis=0).max() <= 0.05
    assert np.median(cohort.denominators[:, columns], axis=0).min() >= 20
    assert NAMES.index("SNE_share") in columns
    assert NAMES.index("MK01_rate") not in columns


def test_a_missing_value_counts_as_the_cohorts_mean(cohort, fitted):
    scope = fitted[0]
    profiles = cohort.profiles[:1].copy()
    column = int(scope.columns[0])
    mean = float(np.sin(scope.fill[0]) ** 2)
    profiles[0, column] = mean
    absent = profiles.copy()
    absent[0, column] = np.nan
    given = measures_from_profiles(profiles, NAMES, scope)
    assert np.allclose(measures_from_profiles(absent, NAMES, scope), given, atol=1e-5)
    profiles[0, column] = 1.0
    assert not np.allclose(measures_from_profiles(profiles, NAMES, scope), given, atol=1e-2)


def test_a_scope_survives_its_file(cohort, fitted):
    scope = fitted[0]
    data = file_from_document(document_from_scope(scope, NAMES), NAMES)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        again = ProfileScope(
            **{name: arrays[name] for name in arrays.files},
            distance_limit=scope.distance_limit,
            others_limit=scope.others_limit,
        )
    for one, other in zip(
        measures_from_profiles(cohort.profiles, NAMES, scope),
        measures_from_profiles(cohort.profiles, NAMES, again),
        strict=True,
    ):
        assert np.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": ["SNE_share"]},
        {"parameters": ["no_such"] * 3},
        {"fill": [float("nan")]},
        {"whitening": [[1.0, 2.0]]},
        {"centres": []},
        {"others": []},
        {"others_limit": None},
        {"distance_limit": None, "whitening": "text"},
    ],
)
def test_a_scope_that_does_not_fit_itself_is_refused(fitted, change):
    with pytest.raises(ValueError, match=r"."):
        file_from_document(document_from_scope(fitted[0], NAMES) | change, NAMES)


def film(kind, seed):
    return films_of({kind: 1}, seed)


def assess(found, scope):
    spec = AssessmentSpec(
        target="mds_aa", positive="MDS", negative="AA", threshold=0.5, trees="trees/mds_aa",
        calibration=Calibration(slope=1.0, intercept=0.0), minimum=Minimum(wbc=50, neutrophil=20),
    )  # fmt: skip
    everything = ManifestCohort(
        simulated=True, cases={"MDS": 75, "AA": 36}, range=dict.fromkeys(NAMES, (0.0, 1000.0)), outside_allowed=1
    )
    return assess_profile(
        found,
        spec=spec,
        cohort=everything,
        gates=Gates(blast_review_share=0.01, blast_not_evaluable_share=0.2, infection_rate={}),
        trees=TreeModel("mds_aa", "treelite", len(NAMES), lambda rows: np.full(len(rows), 5.0)),
        catalogue=CATALOGUE,
        requested=True,
        scope=scope,
    )


def test_a_film_out_of_scope_is_not_evaluable_and_says_why(fitted):
    counts = np.zeros(len(CATALOGUE.type_codes), np.int64)
    counts[[CATALOGUE.type_codes.index(code) for code in ("SNE", "LY", "MO", "EO", "LP")]] = 90, 45, 9, 4, 3
    healthy_film = profile_from_counts(counts, np.zeros(len(CATALOGUE.finding_codes), np.int64), CATALOGUE)
    without = assess(healthy_film, None)
    assert without.call == "MDS-SUSPECT"  # what the trees say of every film
    held_back = assess(healthy_film, fitted[0])
    assert (held_back.call, held_back.score) == ("NOT-EVALUABLE", None)
    assert [reason.code for reason in held_back.reasons] == ["PROFILE-OOD"]
    assert "neither class" in held_back.reasons[0].text
    assert held_back.sufficient


def test_a_film_too_far_from_both_classes_says_how_far(cohort):
    scope, _ = fit_scope(cohort, [], 1)
    counts = np.full(len(CATALOGUE.type_codes), 12, np.int64)
    counts[CATALOGUE.type_codes.index("BL")] = 0
    far = profile_from_counts(counts, np.zeros(len(CATALOGUE.finding_codes), np.int64), CATALOGUE)
    (reason,) = reasons_out_of_scope(far, scope)
    assert reason.code == "PROFILE-OOD"
    assert f"at most {scope.distance_limit:.2f}" in reason.text
    assert assess(far, scope).call == "NOT-EVALUABLE"


def test_no_limit_is_set_by_slides_that_the_fit_has_seen():
    # One patient far from all others: seen by the fit he would stand close to his own mean.
    cohort = cohort_of(patients=40, slides_each=1)
    _, shares = fit_scope(cohort, [], 1)
    again = fit_scope(cohort, [], 1)[1]
    assert shares == again
    assert shares["cohort_flagged"] <= 0.12
