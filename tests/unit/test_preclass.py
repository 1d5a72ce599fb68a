"""The analyzer's own classes are compared with ours, counted, and warned of; they never change a type."""

from __future__ import annotations

import pytest

from edge.catalogue import load_catalogue
from edge.preclass import compare_preclasses, preclass_warnings, types_from_preclass

TYPES = load_catalogue().type_codes


@pytest.mark.parametrize(
    ("preclass", "types"),
    [
        ("SEG", {"SNE"}),
        ("seg", {"SNE"}),
        ("Segmented neutrophils", {"SNE"}),
        ("Segmented_Neutrophil", {"SNE"}),
        ("Neutrophil (segmented)", {"SNE"}),
        ("NEUT", {"SNE", "BNE"}),
        ("Giant thrombocytes", {"LP"}),
        ("NRBC", {"ERB"}),
        ("Erythroblasts", {"ERB"}),
        ("Basophils", {"BA"}),
        ("unidentified", set()),
        ("Plasma cell", set()),
        ("", set()),
        ("something else", set()),
    ],
)
def test_a_pre_class_is_understood_in_the_spellings_that_exports_use(preclass, types):
    assert types_from_preclass(preclass) == types


def test_our_own_code_of_every_type_is_a_pre_class_for_that_type_alone():
    assert {code: types_from_preclass(code) for code in TYPES} == {code: {code} for code in TYPES}


def test_no_pre_class_stands_for_two_things():
    import json
    from importlib import resources

    document = json.loads(resources.files("edge.catalogue").joinpath("preclasses.json").read_bytes())
    names = [name for row in document["classes"] for name in row["names"]]
    assert len(names) == len(set(names))
    assert all(name.isascii() and name.isalpha() and name.isupper() for name in names)
    assert {code for row in document["classes"] for code in row["types"]} == set(TYPES)


def test_cells_without_a_type_and_classes_that_name_none_are_not_compared():
    comparison = compare_preclasses(
        [("SEG", "SNE"), ("NEUT", "BNE"), ("SEG", "BL"), ("SEG", None), ("unidentified", "MO"), (None, "MO")]
    )
    assert (comparison.compared, comparison.disagree) == (3, 1)
    assert comparison.differences == (("SEG", "BL", 1),)


def test_a_slide_without_pre_classes_is_not_compared_at_all():
    assert compare_preclasses([(None, "SNE"), (None, None)]) is None
    assert preclass_warnings(None) == ()


def test_many_differences_are_warned_of_with_the_commonest_first():
    cells = [("LYMPH", "BL")] * 5 + [("MONO", "MY")] * 2 + [("SEG", "SNE")] * 14
    (warning,) = preclass_warnings(compare_preclasses(cells))
    assert warning.code == "PRECLASS-DISAGREES"
    assert "7 of 21 cells" in warning.text
    assert warning.text.index("LYMPH against BL 5") < warning.text.index("MONO against MY 2")


@pytest.mark.parametrize(("same", "other"), [(14, 6), (12, 7), (0, 19), (70, 30)])
def test_few_cells_or_the_usual_disagreement_raise_no_warning(same, other):
    assert preclass_warnings(compare_preclasses([("SEG", "SNE")] * same + [("SEG", "BL")] * other)) == ()


def test_one_cell_more_than_usual_raises_it():
    assert preclass_warnings(compare_preclasses([("SEG", "SNE")] * 69 + [("SEG", "BL")] * 31))
