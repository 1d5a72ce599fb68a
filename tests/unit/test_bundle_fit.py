"""A bundle whose codes would leave under another meaning, and a target that no bundle answers, are refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.catalogue import Catalogue, load_catalogue
from edge.daemon.bundle_fit import FORMATS_OF_CODES, check_meanings, check_targets
from edge.errors import EdgeError
from edge.writers.choose import FORMATS

PACKAGED = load_catalogue()
NAMING = [name for name in FORMATS if name not in FORMATS_OF_CODES]


def with_finding(wanted: str, **changes: object) -> Catalogue:
    findings = tuple(replace(row, **changes) if row.code == wanted else row for row in PACKAGED.findings)
    return replace(PACKAGED, findings=findings)


def with_type(wanted: str, **changes: object) -> Catalogue:
    types = tuple(replace(row, **changes) if row.code == wanted else row for row in PACKAGED.cell_types)
    return replace(PACKAGED, cell_types=types)


def refusal(catalogue: Catalogue, formats: list[str]) -> str:
    with pytest.raises(EdgeError) as failure:
        check_meanings(catalogue, formats)
    assert failure.value.code == "MDSE-CATALOGUE-002"
    return str(failure.value)


def test_only_the_record_itself_goes_without_names():
    assert NAMING == ["hl7", "hl7-oul", "lis2", "csv", "csv-wide", "fhir"]


@pytest.mark.parametrize("name", NAMING)
def test_a_finding_of_another_name_is_refused_for_every_format_that_sends_names(name):
    text = refusal(with_finding("NE08", standard_term="Vacuolated neutrophil"), ["json", name])
    assert f"outputs of {name} " in text
    assert "NE08: its standard_term is 'Vacuolated neutrophil'" in text


@pytest.mark.parametrize(
    "catalogue",
    [
        with_finding("NE08", name="vacuoles"),
        with_finding("NE08", group="LY"),
        with_finding("NE08", applies_to=("BNE",)),
        with_type("BL", name="Lymphoblast"),
        with_type("BL", group="LY"),
        with_type("ERB", leucocyte=True),
    ],
)
@pytest.mark.case("B19")
def test_another_name_group_or_cell_type_is_another_meaning(catalogue):
    refusal(catalogue, ["hl7"])
    check_meanings(catalogue, ["json"])
    check_meanings(catalogue, [])


def test_the_packaged_catalogue_a_part_of_it_and_other_words_of_definition_are_fine():
    check_meanings(PACKAGED, NAMING)
    check_meanings(replace(PACKAGED, findings=PACKAGED.findings[5:]), NAMING)
    check_meanings(with_finding("NE08", definition="as our atlas shows it", provenance="our laboratory"), NAMING)


@pytest.mark.parametrize("catalogue", [with_finding("NE08", code="NE77"), with_type("BL", code="BLX")])
@pytest.mark.case("B19")
def test_a_code_that_the_table_of_codes_does_not_know_is_refused_before_a_writer_stops_at_it(catalogue):
    assert "has no code under which it could be sent" in refusal(catalogue, ["csv"])
    check_meanings(catalogue, ["json"])


def test_a_code_of_a_finding_used_for_a_cell_type_is_refused():
    assert "NE77" not in PACKAGED.finding_codes
    swapped = replace(with_finding("NE08", code="NE77"), cell_types=with_type("ART", code="NE08").cell_types)
    assert "NE08 (Artifact)" in refusal(swapped, ["fhir"])


def test_the_message_names_five_faults_and_counts_the_rest():
    renumbered = tuple(replace(row, group="ZZ") for row in PACKAGED.findings[:8])
    text = refusal(replace(PACKAGED, findings=(*renumbered, *PACKAGED.findings[8:])), ["lis2"])
    assert text.count("its group is 'ZZ'") == 5
    assert "and 3 more" in text


def test_a_site_that_names_a_target_is_refused_a_bundle_that_assesses_nothing():
    check_targets([], ())
    with pytest.raises(EdgeError, match=r"MDSE-ASSESS-004 .*does not assess mds_aa; it assesses: nothing\."):
        check_targets(["mds_aa"], ())
