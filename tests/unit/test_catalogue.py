"""The catalogue holds the paper's 17 types and 97 findings, and a laboratory's own list replaces it safely."""

from __future__ import annotations

import json

import pytest

from edge.catalogue import catalogue_from_json, json_from_catalogue, load_catalogue
from edge.errors import EdgeError


def test_the_types_are_those_of_table_1_in_its_order():
    expected = "SNE BNE MMY MY PMY BL LY VLY MO EO BA LP MEK TAG ERB SMU ART".split()
    assert list(load_catalogue().type_codes) == expected
    assert list(load_catalogue().leucocyte_codes) == expected[:11]


def test_there_are_97_findings_in_the_12_groups_of_figure_3():
    findings = load_catalogue().findings
    counts = {group: sum(f.group == group for f in findings) for group in {f.group for f in findings}}
    assert counts == dict(GN=21, LY=12, EB=11, BL=10, VLY=7, PMY=6, EO=6, MMY=5, MY=5, PLT=5, MK=5, BA=4)
    assert sum(f.evidence == "paper" for f in findings) == 21


def test_the_114_parameters_are_shares_then_per_100_then_rates():
    names = load_catalogue().parameter_names
    assert len(names) == 114
    assert (names[0], names[10], names[11], names[16], names[17], names[113]) == (
        "SNE_share",
        "BA_share",
        "LP_per_100_wbc",
        "ART_per_100_wbc",
        "NE01_rate",
        "MK05_rate",
    )


def test_neutrophil_findings_apply_to_segmented_and_band_neutrophils():
    catalogue = load_catalogue()
    assert catalogue.findings[0].applies_to == ("SNE", "BNE")
    assert {f.code for f in catalogue.findings_of("BNE")} == {f"NE{n:02d}" for n in range(1, 22)}
    assert catalogue.findings_of("ART") == ()


def test_a_catalogue_survives_the_round_trip_through_a_bundle():
    assert catalogue_from_json(json_from_catalogue(load_catalogue())) == load_catalogue()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(schema="other/1"), "schema"),
        (lambda d: d["cell_types"][0].update(code="BNE"), "twice"),
        (lambda d: d["findings"][0].update(applies_to=["XXX"]), "unknown cell type"),
        (lambda d: d["findings"][0].update(code="NE-1"), "letters and digits"),
        (lambda d: d["findings"][0].pop("name"), "name"),
        (lambda d: d["findings"][0].update(colour="red"), "colour"),
        (lambda d: d["cell_types"][0].update(code=7), "cell_types[0].code is 7, not text"),
        (lambda d: d["cell_types"][2].update(leucocyte="no"), "cell_types[2].leucocyte is 'no', not true or false"),
        (lambda d: d["cell_types"][2].update(leucocyte=1), "cell_types[2].leucocyte is 1, not true or false"),
        (lambda d: d["cell_types"][1].update(group=None), "cell_types[1].group is None, not text"),
        (lambda d: d["findings"][3].update(code=12), "findings[3].code is 12, not text"),
        (lambda d: d["findings"][3].update(name={"en": "x"}), "findings[3].name is {'en': 'x'}, not text"),
        (lambda d: d["findings"][0].update(applies_to="SNE"), "findings[0].applies_to is 'SNE', not a list"),
        (lambda d: d["findings"][0].update(applies_to=[["SNE"]]), "findings[0].applies_to is [['SNE']], not a list"),
        (lambda d: d["findings"][0].update(applies_to=[1]), "findings[0].applies_to is [1], not a list"),
        (lambda d: d.update(source=3), "source is 3, not text"),
        (lambda d: d.update(findings={"NE01": {}}), "findings is not a list"),
        (lambda d: d["cell_types"].insert(0, "SNE"), "cell_types[0] is no object"),
    ],
)
def test_a_faulty_catalogue_is_refused_with_the_reason(change, reason):
    document = json.loads(json_from_catalogue(load_catalogue()))
    change(document)
    with pytest.raises(EdgeError, match="MDSE-CATALOGUE-001") as refusal:
        catalogue_from_json(json.dumps(document).encode())
    assert reason in str(refusal.value)


@pytest.mark.parametrize("data", [b"\xff{", b"[]", b"7", b'"schema"', b"[" * 100_000, b'{"schema": 1, "schema": 2}'])
def test_catalogue_bytes_that_are_no_json_object_are_refused(data):
    with pytest.raises(EdgeError, match="MDSE-CATALOGUE-001"):
        catalogue_from_json(data)


def test_a_field_of_a_type_that_stands_twice_is_refused():
    data = json_from_catalogue(load_catalogue()).replace(
        b'"leucocyte": true', b'"leucocyte": false, "leucocyte": true', 1
    )
    with pytest.raises(EdgeError, match="MDSE-CATALOGUE-001") as refusal:
        catalogue_from_json(data)
    assert "stands twice" in str(refusal.value)
