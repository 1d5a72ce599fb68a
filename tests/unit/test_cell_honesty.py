"""What conversion fits so that a bundle can doubt its cells: temperature, limits, statistics, references, atlas."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convert.atlas import atlas_arrays
from convert.cell_calibration import BINS, calibration_document, debiased_error, reliability_bins
from convert.decision_fit import calibration_from_validation, temperature_from_validation, tempered
from convert.outlier_fit import arrays_from_rule, outlier_rule_from_reference
from convert.quality_fit import quality_limits
from convert.reference_cells import DRAWN, REAL, ReferenceCells, enough_reference
from convert.unidentified_fit import UNIDENTIFIED_SHARE, unidentified_limits
from edge.atlas import Atlas
from edge.bundle.manifest import QualityLimits
from edge.catalogue import load_catalogue
from edge.image_measures import MEASURES, SHARPNESS, STAIN
from edge.outliers import distances_from_cells
from edge.quality import quality_from_measures, quality_warnings

CATALOGUE = load_catalogue()
TYPES = len(CATALOGUE.cell_types)
EVIDENCE = dict.fromkeys(CATALOGUE.type_codes, "real")


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def honest_cells(count: int, seed: int = 1, spread: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the very chance of each type, and types drawn from it."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=spread, size=(count, TYPES))
    chances = softmax(logits).astype(np.float64)
    truth = np.array([draw.choice(TYPES, p=row / row.sum()) for row in chances])
    return logits, truth


# ---- temperature and calibration


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.8])
def test_the_temperature_undoes_doubt_that_is_too_small_or_too_large(factor):
    logits, truth = honest_cells(6000)
    said = softmax(logits * factor)
    temperature = temperature_from_validation(said, truth)
    assert temperature == pytest.approx(factor, rel=0.06)
    np.testing.assert_allclose(tempered(said, factor), softmax(logits), atol=2e-3)


def test_a_type_that_is_named_too_often_gets_an_offset_that_undoes_it():
    logits, truth = honest_cells(6000)
    shift = np.zeros(TYPES)
    shift[1], shift[4] = 1.2, -0.8
    said = softmax(1.5 * logits + shift)
    temperature, offsets = calibration_from_validation(np.tile(said, (2, 1)), np.tile(truth, 2), copies=2)
    assert temperature == pytest.approx(1.5, rel=0.06)
    # Offsets mean something only against each other.
    against = offsets - np.delete(offsets, [1, 4]).mean()
    assert against[1] == pytest.approx(-1.2 / 1.5, abs=0.15)
    assert against[4] == pytest.approx(0.8 / 1.5, abs=0.15)
    before = reliability_bins(said.max(axis=1), said.argmax(axis=1) == truth)
    calibrated = tempered(said, temperature, offsets)
    after = reliability_bins(calibrated.max(axis=1), calibrated.argmax(axis=1) == truth)
    assert debiased_error(after) < 0.02 < debiased_error(before)


def test_a_type_of_few_cells_keeps_its_place():
    logits, truth = honest_cells(3000)
    kept = (truth != 5) | (np.arange(3000) % 20 == 0)
    _, offsets = calibration_from_validation(softmax(logits)[kept], truth[kept], copies=1)
    assert (truth[kept] == 5).sum() < 20
    assert offsets[5] == 0
    assert (offsets != 0).sum() == TYPES - 1


def test_a_common_type_weighs_as_often_as_it_is_seen():
    # Nine cells of ten are type 0 and said with too much doubt, the tenth of type 1 with too little.
    logits = np.zeros((1000, TYPES))
    truth = (np.arange(1000) % 10 == 0).astype(np.int64)
    logits[:, 0] = 1.0
    assert temperature_from_validation(softmax(logits), truth) < 0.6


def test_an_honest_network_has_no_calibration_error_and_an_overconfident_one_has():
    logits, truth = honest_cells(20_000)
    honest = calibration_document(softmax(logits), truth, temperature=1.0, split="test")
    boasting = calibration_document(softmax(2.5 * logits), truth, temperature=1.0, split="test")
    assert honest["ece_debiased"] < 0.01
    assert boasting["ece_debiased"] > 0.1
    assert len(honest["reliability"]) == BINS
    assert sum(row["n"] for row in honest["reliability"]) == honest["n"] == 20_000
    confidences = [row["confidence"] for row in honest["reliability"]]
    assert confidences == sorted(confidences)


def test_what_chance_adds_to_small_bins_is_taken_off():
    logits, truth = honest_cells(600, seed=5)
    probabilities = softmax(logits)
    bins = reliability_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)
    plain = np.sqrt(sum(n / 600 * (c - a) ** 2 for n, c, a in bins))
    assert debiased_error(bins) < plain


def test_the_debiased_error_is_that_of_its_formula():
    bins = [(10, 0.9, 0.6), (10, 0.5, 0.5)]
    expected = 0.5 * (0.3**2 - 0.24 / 9) + 0.5 * (0 - 0.25 / 9)
    assert debiased_error(bins) == pytest.approx(np.sqrt(expected))
    assert debiased_error([(10, 0.5, 0.5)]) == 0.0


def test_too_few_cells_for_the_bins_are_refused():
    with pytest.raises(ValueError, match="too few"):
        reliability_bins(np.full(29, 0.5, np.float32), np.ones(29, np.bool_))


# ---- cells without a name


def named_cells(count: int = 4000, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Lymphocytes called monocytes at 0.7 are wrong every second time; at 0.7 all others are right."""
    draw = np.random.default_rng(seed)
    monocyte, lymphocyte = CATALOGUE.type_codes.index("MO"), CATALOGUE.type_codes.index("LY")
    called = draw.choice(TYPES, count)
    best = draw.uniform(0.5, 0.999, count)
    truth = called.copy()
    doubtful = (called == monocyte) & (best < 0.75)
    truth[doubtful & (draw.random(count) < 0.6)] = lymphocyte
    probabilities = np.repeat(((1 - best) / (TYPES - 1))[:, None], TYPES, axis=1).astype(np.float32)
    probabilities[np.arange(count), called] = best
    return probabilities, truth


def test_the_type_that_is_named_wrongly_gets_the_highest_limit():
    limits = unidentified_limits(*named_cells(), CATALOGUE, EVIDENCE)
    assert set(limits) == set(CATALOGUE.type_codes)
    assert max(limits, key=limits.get) == "MO"
    assert limits["MO"] > 0.6


def test_about_the_stated_share_of_cells_loses_its_name_and_the_wrong_names_go_first():
    probabilities, truth = named_cells()
    limits = unidentified_limits(probabilities, truth, CATALOGUE, EVIDENCE)
    called = probabilities.argmax(axis=1)
    unnamed = probabilities.max(axis=1) < np.array([limits[code] for code in CATALOGUE.type_codes])[called]
    assert unnamed.mean() == pytest.approx(UNIDENTIFIED_SHARE, abs=0.006)
    wrong = called != truth
    assert unnamed[wrong].mean() > 0.6


def test_a_wrong_group_weighs_more_than_a_wrong_type_of_the_same_group():
    draw = np.random.default_rng(4)
    codes = CATALOGUE.type_codes
    segmented, band, monocyte, lymphocyte = (codes.index(code) for code in ("SNE", "BNE", "MO", "LY"))
    called = np.repeat([segmented, monocyte], 1500)
    best = np.tile(np.linspace(0.5, 0.99, 1500), 2)
    wrong = draw.random(3000) < 0.8 * (1 - best)
    truth = np.where(wrong, np.where(called == segmented, band, lymphocyte), called)
    probabilities = np.repeat(((1 - best) / (TYPES - 1))[:, None], TYPES, axis=1).astype(np.float32)
    probabilities[np.arange(3000), called] = best
    limits = unidentified_limits(probabilities, truth, CATALOGUE, EVIDENCE)
    assert limits["MO"] > limits["SNE"] + 0.01


def test_a_type_that_was_never_learned_is_never_named():
    limits = unidentified_limits(*named_cells(), CATALOGUE, {**EVIDENCE, "BL": "none"})
    assert limits["BL"] == 1.0
    assert limits["SNE"] < 1.0


def test_where_nobody_said_what_was_learned_a_type_without_a_cell_is_never_named():
    probabilities, truth = named_cells()
    blast = CATALOGUE.type_codes.index("BL")
    others = truth != blast
    limits = unidentified_limits(probabilities[others], truth[others], CATALOGUE, dict.fromkeys(EVIDENCE, "none"))
    assert {code for code, limit in limits.items() if limit == 1.0} == {"BL"}


# ---- out of distribution


def reference(seed: int = 3, per_type: int = 60, *, drawn: bool = True) -> ReferenceCells:
    """Real and drawn cells of five types: own places in the embedding, own colours, some held out."""
    draw = np.random.default_rng(seed)
    families = (REAL, DRAWN) if drawn else (REAL,)
    types = np.tile(np.repeat(np.arange(5), per_type), len(families))
    family = np.repeat(np.array(families, np.uint8), 5 * per_type)
    embedding = draw.normal(size=(len(types), 30)) * np.linspace(2, 0.1, 30)
    embedding[np.arange(len(types)), types] += 12
    embedding[family == DRAWN, 10] += 15
    measures = draw.normal(scale=0.5, size=(len(types), len(MEASURES)))
    measures[:, SHARPNESS] += 2.4
    measures[:, STAIN] = measures[:, STAIN] * 6 + (40, 30, -30) + types[:, None]
    held_out = draw.random(len(types)) < 0.3
    return ReferenceCells(embedding.astype(np.float32), measures.astype(np.float32), types, family, held_out)


def test_one_in_a_hundred_held_out_cells_lies_beyond_the_threshold():
    cells = reference(per_type=400)
    rule = outlier_rule_from_reference(cells)
    distances = distances_from_cells(cells.embedding, cells.measures, rule)
    for family in (REAL, DRAWN):
        own = (cells.family == family) & cells.held_out
        assert 0.004 <= (distances[own] > rule.threshold).mean() <= 0.0125  # a whole number of some 600 cells


@pytest.mark.parametrize("name", ["sharpness_full", "dark_b", "mean_a", "dark_radius"])
def test_a_picture_that_looks_otherwise_is_far_whatever_the_embedding(name):
    cells = reference()
    measures = cells.measures.copy()
    measures[:, MEASURES.index(name)] += 12 * cells.measures[:, MEASURES.index(name)].std()
    assert (distances_from_cells(cells.embedding, measures, outlier_rule_from_reference(cells)) > 1).all()


def test_an_embedding_between_the_types_is_far_whatever_the_picture():
    cells = reference()
    rule = outlier_rule_from_reference(cells)
    between = np.zeros((20, 30), np.float32)
    between[:, :5] = 40
    assert (distances_from_cells(between, cells.measures[:20], rule) > 1).all()


def test_the_spread_of_drawn_cells_excuses_no_real_cell():
    cells = reference()
    wide = cells.measures.copy()
    wide[cells.family == DRAWN] *= 5
    rule = outlier_rule_from_reference(
        ReferenceCells(cells.embedding, wide, cells.cell_type, cells.family, cells.held_out)
    )
    real = cells.family == REAL
    odd = cells.measures[real] + 4.0
    assert (distances_from_cells(cells.embedding[real], odd, rule) > 1).mean() > 0.99


def test_a_bundle_without_drawn_evidence_knows_one_family():
    assert len(outlier_rule_from_reference(reference(drawn=False)).whitening) == 1


def test_the_statistics_come_out_the_same_and_small():
    first, second = (arrays_from_rule(outlier_rule_from_reference(reference())) for _ in range(2))
    assert {name: array.tobytes() for name, array in first.items()} == {n: a.tobytes() for n, a in second.items()}
    assert sum(array.nbytes for array in first.values()) < 2_000_000


@pytest.mark.parametrize(("training", "validation", "enough"), [(200, 50, True), (199, 50, False), (200, 49, False)])
def test_too_few_cells_make_no_reference_and_say_so(training, validation, enough):
    said = enough_reference([None] * training, [None] * validation)
    assert (said is None) == enough
    assert enough or "200 training and 50" in said


# ---- focus and stain


def test_the_limits_spare_films_of_known_cells_and_catch_another_stain_and_blur():
    cells = reference(per_type=200)
    stated = quality_limits(cells)
    limits = QualityLimits.model_validate_json(json.dumps(stated))
    real = cells.measures[cells.family == REAL]
    assert quality_warnings(quality_from_measures(real[:60], limits)) == ()  # one type alone is a film too
    other, blurred = real.copy(), real.copy()
    other[:, STAIN] += (0, 25, 0)
    blurred[:, SHARPNESS] -= 1.5
    assert [w.code for w in quality_warnings(quality_from_measures(other, limits))] == ["STAIN-OOD"]
    assert [w.code for w in quality_warnings(quality_from_measures(blurred, limits))] == ["FOCUS"]


# ---- atlas


def test_the_atlas_fits_its_reader_and_puts_cells_of_a_type_together():
    cells = reference(drawn=False, per_type=20)
    arrays = atlas_arrays(cells)
    atlas = Atlas(**arrays)
    assert len(arrays["points"]) == 100
    placed = atlas.placed_cells(cells.embedding)
    centres = np.stack([arrays["points"][arrays["types"] == code].mean(axis=0) for code in range(5)])
    nearest = ((placed[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == cells.cell_type).mean() > 0.95


def test_the_atlas_comes_out_the_same():
    first, second = atlas_arrays(reference(per_type=10)), atlas_arrays(reference(per_type=10))
    assert {name: array.tobytes() for name, array in first.items()} == {n: a.tobytes() for n, a in second.items()}


def test_the_atlas_shows_real_cells_where_there_are_some():
    cells = reference(per_type=8)
    assert len(atlas_arrays(cells)["points"]) == 40  # as many drawn ones are left out
