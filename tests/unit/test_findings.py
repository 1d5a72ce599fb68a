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
from edge.outliers import OutlierRule, distances_from_embedding

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


def rule(threshold: float = 3.0) -> OutlierRule:
    return OutlierRule(np.eye(2, 8, dtype=np.float32) * 10, np.eye(8, 4, dtype=np.float32), threshold)


def test_a_cell_far_from_all_training_cells_is_out_of_distribution_whatever_its_probability():
    outputs = outputs_of(("SNE", 0.99, {"NE04": 0.9}), ("SNE", 0.99, {"NE04": 0.9}), ("SNE", 0.2, {}))
    outputs.embedding[0, 0] = 10
    outputs.embedding[1:, 2] = 100
    limits = Limits()
    limits.unidentified_below["SNE"] = 0.5
    near, far, far_and_low = decode(outputs, limits, outlier_rule=rule())
    assert (near.cell_type, near.flags) == ("SNE", ())
    assert (far.cell_type, far.present, far.flags) == (None, (), ("OOD",))
    assert far_and_low.flags == ("OOD",)


def test_the_distance_is_to_the_nearest_centre_and_scaled_by_the_rank():
    points = np.zeros((3, 8), np.float32)
    points[0, 0] = 10
    points[1, 1] = 14
    points[2, 7] = 5
    np.testing.assert_allclose(distances_from_embedding(points, rule()), [0, 4 / 2, 10 / 2], atol=1e-9)


@pytest.mark.parametrize(
    ("centres", "whitening"),
    [(np.zeros((2, 8)), np.zeros((7, 3))), (np.zeros((0, 8)), np.zeros((8, 3))), (np.full((2, 8), np.nan), np.eye(8))],
)
def test_an_outlier_rule_that_does_not_fit_itself_is_refused(centres, whitening):
    with pytest.raises(ValueError, match=r"fit|number"):
        OutlierRule(centres.astype(np.float32), whitening.astype(np.float32), 1.0)


def test_an_embedding_of_another_width_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        distances_from_embedding(np.zeros((1, 9), np.float32), rule())


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
