"""Outputs become types and findings only where the catalogue and the thresholds allow it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.catalogue import load_catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.findings import applicability_from_catalogue, decode_findings
from edge.image_measures import MEASURES
from edge.outliers import OutlierRule, distances_from_cells

CATALOGUE = load_catalogue()
TYPES, FINDINGS = CATALOGUE.type_codes, CATALOGUE.finding_codes


@dataclass
class Limits:
    finding_threshold: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FINDINGS, 0.5))
    unidentified_below: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TYPES, 0.0))


def outputs_of(*cells: tuple[str, float, dict[str, float]]) -> EngineOutputs:
    """One row per (type, its probability, findings with probability); the rest of the probability is spread evenly."""
    types = np.empty((len(cells), 17), np.float32)
    findings = np.zeros((len(cells), 97), np.float32)
    for row, (code, probability, found) in enumerate(cells):
        types[row] = (1 - probability) / 16
        types[row, TYPES.index(code)] = probability
        for finding, value in found.items():
            findings[row, FINDINGS.index(finding)] = value
    return EngineOutputs(types, findings, np.zeros((len(cells), 8), np.float32))


def decode(outputs: EngineOutputs, limits: Limits | None = None, **options):
    ids = [f"c{row}" for row in range(outputs.cell_type.shape[0])]
    return decode_findings(outputs, ids, CATALOGUE, limits or Limits(), **options)


def test_the_best_type_and_its_findings_are_told_in_the_order_of_the_cells():
    first, second = decode(outputs_of(("SNE", 0.9, {"NE04": 0.8, "NE01": 0.6, "NE02": 0.49}), ("BL", 0.7, {})))
    assert (first.cell_id, first.cell_type, first.present, first.flags) == ("c0", "SNE", ("NE01", "NE04"), ())
    assert first.probability == pytest.approx(0.9)
    assert (second.cell_id, second.cell_type, second.present) == ("c1", "BL", ())
    assert first.type_probabilities.shape == (17,)
    assert first.finding_probabilities[FINDINGS.index("NE02")] == np.float32(0.49)


def test_a_finding_counts_only_on_types_it_applies_to():
    (cell,) = decode(outputs_of(("LY", 0.9, {"NE04": 0.99, "BL01": 0.99, "LY01": 0.99})))
    assert cell.present == ("LY01",)


def test_every_finding_is_reported_on_exactly_the_types_of_the_catalogue():
    everything = dict.fromkeys(FINDINGS, 1.0)
    cells = decode(outputs_of(*((code, 0.9, everything) for code in TYPES)))
    for cell in cells:
        assert cell.present == tuple(finding.code for finding in CATALOGUE.findings_of(cell.cell_type))


def test_each_finding_has_its_own_threshold_and_the_threshold_itself_counts():
    limits = Limits()
    limits.finding_threshold["NE01"] = 0.75
    limits.finding_threshold["NE02"] = 0.25
    (cell,) = decode(outputs_of(("BNE", 0.9, {"NE01": 0.74, "NE02": 0.25, "NE03": 0.5})), limits)
    assert cell.present == ("NE02", "NE03")


def test_a_cell_below_the_limit_of_its_best_type_is_unidentified_and_shows_nothing():
    limits = Limits()
    limits.unidentified_below["SNE"] = 0.6
    low, enough, other = decode(
        outputs_of(("SNE", 0.59, {"NE04": 0.9}), ("SNE", 0.61, {"NE04": 0.9}), ("BNE", 0.4, {"NE04": 0.9})), limits
    )
    assert (low.cell_type, low.present, low.flags) == (None, (), ("UNIDENTIFIED",))
    assert low.probability == pytest.approx(0.59)
    assert (enough.cell_type, enough.present) == ("SNE", ("NE04",))
    assert other.cell_type == "BNE"


def test_a_cell_at_the_limit_of_its_type_is_identified():
    limits = Limits(unidentified_below=dict.fromkeys(TYPES, 0.5))
    (cell,) = decode(outputs_of(("MO", 0.5, {})), limits)
    assert cell.cell_type == "MO"


def test_a_type_with_the_limit_1_is_never_named_however_sure_the_network_is():
    limits = Limits()
    limits.unidentified_below["MO"] = 1.0
    (cell,) = decode(outputs_of(("MO", 1.0, {})), limits)
    assert (cell.cell_type, cell.flags) == (None, ("UNIDENTIFIED",))


def rule(threshold: float = 3.0, **changes: np.ndarray) -> OutlierRule:
    """Two groups of one family at 10 on the first and on the second axis; four axes of eight and all measures count."""
    rank, width = 4, 4 + len(MEASURES)
    arrays = {
        "mean": np.zeros(8, np.float32),
        "components": np.eye(8, rank, dtype=np.float32),
        "centres": np.eye(2, width, dtype=np.float32) * 10,
        "whitening": np.eye(width, dtype=np.float32)[None],
        "family": np.zeros(2, np.uint8),
    }
    return OutlierRule(**{**arrays, **changes}, threshold=threshold)


def plain(cells: int) -> np.ndarray:
    return np.zeros((cells, len(MEASURES)), np.float32)


@pytest.mark.case("B13")
def test_a_cell_far_from_all_training_cells_is_out_of_distribution_whatever_its_probability():
    outputs = outputs_of(("SNE", 0.99, {"NE04": 0.9}), ("SNE", 0.99, {"NE04": 0.9}), ("SNE", 0.2, {}))
    outputs.embedding[0, 0] = 10
    outputs.embedding[1:, 2] = 100
    limits = Limits()
    limits.unidentified_below["SNE"] = 0.5
    near, far, far_and_low = decode(outputs, limits, outlier_rule=rule(), measures=plain(3))
    assert (near.cell_type, near.flags, near.distance) == ("SNE", (), 0)
    assert (far.cell_type, far.present, far.flags) == (None, (), ("OOD",))
    assert far.distance == pytest.approx(np.hypot(100, 10))
    assert far_and_low.flags == ("OOD",)


@pytest.mark.case("B13")
def test_a_blurred_picture_is_out_of_distribution_although_the_network_sees_nothing_odd():
    outputs = outputs_of(("SNE", 0.99, {}), ("SNE", 0.99, {}))
    outputs.embedding[:, 0] = 10
    measures = plain(2)
    measures[1, 0] = -5
    sharp, blurred = decode(outputs, outlier_rule=rule(), measures=measures)
    assert (sharp.flags, blurred.flags, blurred.distance) == ((), ("OOD",), 5)


def test_without_a_rule_no_cell_has_a_distance():
    (cell,) = decode(outputs_of(("SNE", 0.99, {})))
    assert cell.distance is None


def test_a_rule_without_measures_is_an_error_and_no_silent_pass():
    with pytest.raises(ValueError, match="needs the measures"):
        decode(outputs_of(("SNE", 0.99, {})), outlier_rule=rule())


def test_the_distance_is_to_the_nearest_centre_along_the_axes_that_count():
    points = np.zeros((3, 8), np.float32)
    points[0, 0] = 10
    points[1, 1] = 14
    points[2, 0], points[2, 7] = 10, 50
    np.testing.assert_allclose(distances_from_cells(points, plain(3), rule()), [0, 4, 0], atol=1e-6)


def test_each_family_of_cells_is_measured_by_its_own_spread():
    width = 4 + len(MEASURES)
    wide = np.stack([np.eye(width), np.eye(width) / 10]).astype(np.float32)
    two = rule(whitening=wide, family=np.array([0, 1], np.uint8))
    points = np.zeros((2, 8), np.float32)
    points[0, 0] = 13
    points[1, 1] = 13
    # Three from the narrow family's centre and three tenths from the wide one's; the first is 16.4 / 10 from the wide.
    np.testing.assert_allclose(distances_from_cells(points, plain(2), two), [np.hypot(13, 10) / 10, 0.3], rtol=1e-5)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), cells=st.integers(0, 12))
def test_the_distance_equals_the_plain_formula_on_random_rules(seed, cells):
    draw = np.random.default_rng(seed)
    width = 4 + len(MEASURES)
    found = rule(
        mean=draw.normal(size=8).astype(np.float32),
        components=draw.normal(size=(8, 4)).astype(np.float32),
        centres=draw.normal(50, 5, size=(5, width)).astype(np.float32),
        whitening=draw.normal(size=(3, width, width)).astype(np.float32),
        family=np.array([0, 2, 2, 0, 0], np.uint8),
    )
    embedding = draw.normal(size=(cells, 8)).astype(np.float32)
    measures = draw.normal(50, 5, size=(cells, len(MEASURES))).astype(np.float32)
    features = np.concatenate([(embedding - found.mean) @ found.components, measures], axis=1)
    plainly = [
        min(np.linalg.norm((row - c) @ found.whitening[f]) for c, f in zip(found.centres, found.family, strict=True))
        for row in features.astype(np.float64)
    ]
    np.testing.assert_allclose(distances_from_cells(embedding, measures, found), plainly, rtol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": np.zeros(7, np.float32)},
        {"components": np.zeros((8, 3), np.float32)},
        {"centres": np.zeros((0, 4 + len(MEASURES)), np.float32)},
        {"centres": np.full((2, 4 + len(MEASURES)), np.nan, np.float32)},
        {"whitening": np.eye(4 + len(MEASURES), dtype=np.float32)},
        {"family": np.array([0, 1], np.uint8)},
        {"family": np.zeros(3, np.uint8)},
    ],
)
def test_an_outlier_rule_that_does_not_fit_itself_is_refused(change):
    with pytest.raises(ValueError, match=r"fit|number|family"):
        rule(**change)


@pytest.mark.parametrize(("width", "measured"), [(9, 1), (8, 2)])
def test_an_embedding_or_measures_of_another_shape_are_refused(width, measured):
    with pytest.raises(ValueError, match="fit"):
        distances_from_cells(np.zeros((1, width), np.float32), plain(measured), rule())


def broken(outputs: EngineOutputs, name: str, place: tuple, value: float) -> EngineOutputs:
    arrays_ = {key: getattr(outputs, key).copy() for key in ("cell_type", "findings", "embedding")}
    arrays_[name][place] = value
    return EngineOutputs(**arrays_)


@pytest.mark.case("B14")
@pytest.mark.parametrize("name", ["cell_type", "findings", "embedding"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_no_numbers_fail_the_slide(name, value):
    with pytest.raises(EdgeError, match="not a number") as caught:
        decode(broken(outputs_of(("SNE", 0.9, {}), ("BL", 0.9, {})), name, (1, 0), value))
    assert caught.value.code == "MDSE-ENGINE-004"


@pytest.mark.case("B14")
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("cell_type", 0.5, "add up"),
        ("cell_type", -0.2, "outside"),
        ("findings", 1.1, "outside"),
        ("findings", -0.1, "outside"),
    ],
)
def test_outputs_that_are_no_probabilities_fail_the_slide(name, value, said):
    with pytest.raises(EdgeError, match=said):
        decode(broken(outputs_of(("SNE", 0.9, {}), ("BL", 0.9, {})), name, (1, 0), value))


@pytest.mark.parametrize(("types", "findings", "ids"), [(16, 97, 2), (17, 96, 2), (17, 97, 3), (17, 97, 1)])
def test_outputs_of_another_catalogue_or_of_other_cells_fail_the_slide(types, findings, ids):
    outputs = EngineOutputs(
        np.full((2, types), 1 / types, np.float32), np.zeros((2, findings), np.float32), np.zeros((2, 8), np.float32)
    )
    with pytest.raises(EdgeError, match="columns"):
        decode_findings(outputs, [str(i) for i in range(ids)], CATALOGUE, Limits())


def test_no_cells_give_no_findings():
    assert decode(outputs_of()) == ()


def test_a_decision_without_a_code_of_the_catalogue_is_an_error_and_not_a_default():
    limits = Limits()
    del limits.finding_threshold["NE01"]
    with pytest.raises(KeyError):
        decode(outputs_of(("SNE", 0.9, {})), limits)


def test_the_applicability_has_97_columns_of_at_least_one_type():
    applies = applicability_from_catalogue(CATALOGUE)
    assert applies.shape == (17, 97)
    assert applies.any(axis=0).all()
    assert applies[TYPES.index("SNE"), FINDINGS.index("NE01")]
    assert applies[TYPES.index("BNE"), FINDINGS.index("NE01")]
    assert not applies[TYPES.index("LY"), FINDINGS.index("NE01")]


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.float32, (4, 17), elements=st.floats(0.015625, 1, width=32)),
    arrays.arrays(np.float32, (4, 97), elements=st.floats(0, 1, width=32)),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_whatever_the_network_says_each_cell_is_in_exactly_one_place(types, findings, limit, threshold):
    types = (types / types.sum(axis=1, keepdims=True)).astype(np.float32)
    limits = Limits(dict.fromkeys(FINDINGS, threshold), dict.fromkeys(TYPES, limit))
    for row, cell in enumerate(decode(EngineOutputs(types, findings, np.zeros((4, 8), np.float32)), limits)):
        assert (cell.cell_type is None) == (cell.flags == ("UNIDENTIFIED",)) == (types[row].max() < limit)
        if cell.cell_type is not None:
            assert types[row, TYPES.index(cell.cell_type)] == types[row].max()
        expected = {
            f.code
            for column, f in enumerate(CATALOGUE.findings)
            if cell.cell_type in f.applies_to and float(findings[row, column]) >= threshold
        }
        assert set(cell.present) == expected
