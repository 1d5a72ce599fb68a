"""Contributions add up to the margin that was reported, and point at the cells that were counted."""

from __future__ import annotations

import numpy as np
import pytest
from bundles import CATALOGUE, TARGET, random_trees

from edge.contributions import (
    CELLS_PER_ROW,
    ROWS_WITH_CELLS,
    Contributions,
    cells_behind,
    explainer_from_json,
    groups_from_contributions,
    rows_from_contributions,
)
from edge.errors import EdgeError
from edge.findings import CellFindings
from edge.slide_profile import SlideProfile, profile_slide
from edge.trees import trees_from_library

NAMES = CATALOGUE.parameter_names


@pytest.fixture(scope="module")
def explainer():
    return explainer_from_json(random_trees().json, TARGET, NAMES, where="model.json")


def profile_from_row(row):
    count = np.where(np.isnan(row), 0, 10).astype(np.int64)
    return SlideProfile(NAMES, row.astype(np.float64), count, count)


def test_contributions_and_bias_add_up_to_the_margin_of_the_compiled_trees(explainer):
    trees = trees_from_library(random_trees().library, TARGET, len(NAMES), where="x")
    for row, margin in zip(
        random_trees().profiles[:40], trees.predict_margin(random_trees().profiles[:40]), strict=True
    ):
        contributions = explainer.explain(profile_from_row(row), float(margin))
        assert abs(contributions.values.sum() + contributions.bias - margin) < 2e-5
        assert contributions.values.shape == (len(NAMES),)


def test_a_margin_of_other_trees_is_refused(explainer):
    row, margin = random_trees().profiles[0], float(random_trees().margins[0])
    with pytest.raises(EdgeError, match="MDSE-ASSESS-001"):
        explainer.explain(profile_from_row(row), margin + 1e-3)
    with pytest.raises(EdgeError, match="MDSE-ASSESS-001"):
        explainer.explain(profile_from_row(row), float("nan"))


def test_a_file_that_is_no_such_model_is_refused():
    for data, names in (
        (b"", NAMES),
        (b"{}", NAMES),
        (random_trees().json, NAMES[:-1]),
        (random_trees().json, NAMES[::-1]),
    ):
        with pytest.raises(EdgeError, match="MDSE-ASSESS-002"):
            explainer_from_json(data, TARGET, names, where="model.json")


def cell(number, code, probability, findings=None):
    codes = CATALOGUE.finding_codes
    values = np.zeros(len(codes), np.float32)
    for finding, value in (findings or {}).items():
        values[codes.index(finding)] = value
    present = tuple(f for f, value in (findings or {}).items() if value >= 0.5)
    types = np.zeros(len(CATALOGUE.type_codes), np.float32)
    return CellFindings(f"c{number}", code, probability, types, values, np.zeros(1, np.float32), present, ())


CELLS = (
    cell(1, "SNE", 0.9, {"NE01": 0.6}),
    cell(2, "SNE", 0.8, {"NE01": 0.4}),
    cell(3, "BNE", 0.7, {"NE01": 0.95}),
    cell(4, "LY", 0.99),
    cell(5, "SNE", 0.95, {"NE01": 0.95}),
    cell(6, None, 0.99),
)


def test_a_finding_points_at_the_cells_that_show_it_most_certain_first():
    assert cells_behind("NE01_rate", CELLS, CATALOGUE) == ("c3", "c5", "c1")


def test_a_type_points_at_its_cells_most_certain_first():
    assert cells_behind("SNE_share", CELLS, CATALOGUE) == ("c5", "c1", "c2")
    assert cells_behind("LP_per_100_wbc", CELLS, CATALOGUE) == ()


def test_at_most_two_dozen_cells_are_named():
    many = [cell(number, "LY", 0.5 + number / 1000) for number in range(100)]
    found = cells_behind("LY_share", many, CATALOGUE)
    assert len(found) == CELLS_PER_ROW
    assert found[0] == "c99"


def test_every_parameter_that_moved_the_margin_is_listed_strongest_first():
    values = np.zeros(len(NAMES))
    for place, name in enumerate(["SNE_share", "LY_share", "NE01_rate", *NAMES[20:40]]):
        values[NAMES.index(name)] = (-1) ** place * (1 + place)
    rows = rows_from_contributions(
        Contributions(TARGET, 0.5, values), profile_slide(CELLS, CATALOGUE), CELLS, CATALOGUE
    )
    assert len(rows) == np.count_nonzero(values)
    assert [abs(row.value) for row in rows] == sorted((abs(row.value) for row in rows), reverse=True)
    assert sum(row.value for row in rows) == pytest.approx(values.sum())
    assert all(row.cells == () for row in rows[ROWS_WITH_CELLS:])


def test_groups_hold_the_whole_sum():
    values = np.arange(len(NAMES), dtype=np.float64)
    rows = groups_from_contributions(Contributions(TARGET, 0.0, values), CATALOGUE)
    assert [row.group for row in rows] == "GN LY EO BA MY MMY EB BL PMY PLT VLY MK OTHER".split()
    groups = {row.group: row.value for row in rows}
    assert sum(groups.values()) == pytest.approx(values.sum())
    of = dict(zip(NAMES, values, strict=True))
    assert groups["BL"] == pytest.approx(sum(value for name, value in of.items() if name.startswith("BL")))
    assert groups["PLT"] == pytest.approx(sum(value for name, value in of.items() if name.startswith(("LP", "PL"))))
    others = ("MO_share", "TAG_per_100_wbc", "SMU_per_100_wbc", "ART_per_100_wbc")
    assert groups["OTHER"] == pytest.approx(sum(of[name] for name in others))
