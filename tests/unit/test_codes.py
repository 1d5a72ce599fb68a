"""The table of codes: every LOINC number with its long name, local codes that no reader can confuse."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from edge.catalogue import load_catalogue
from edge.catalogue.code_table import page_of_codes
from edge.catalogue.codes import TARGET_ENDINGS, Loinc, load_codes
from edge.record_text import record_bytes
from edge.writers.choose import writer_for
from edge.writers.worked_examples import page_with_examples

CODES = load_codes()
CATALOGUE = load_catalogue()

# Typed apart from codes.json, from the confirmed rows: the type's code, local code, LOINC and its long name.
CONFIRMED_TYPES = """
SNE SEGPC 26505-8 Segmented neutrophils/Leukocytes in Blood
BNE BANDPC 26508-2 Band form neutrophils/Leukocytes in Blood
MMY METAPC 28541-1 Metamyelocytes/Leukocytes in Blood
MY MYELPC 26498-6 Myelocytes/Leukocytes in Blood
PMY PROMPC 26524-9 Promyelocytes/Leukocytes in Blood
BL BLASPC 26446-5 Blasts/Leukocytes in Blood
LY LYMPPC 26478-8 Lymphocytes/Leukocytes in Blood
VLY VALYPC 13046-8 Variant lymphocytes/Leukocytes in Blood
MO MONOPC 26485-3 Monocytes/Leukocytes in Blood
EO EOSIPC 26450-7 Eosinophils/Leukocytes in Blood
BA BASOPC 30180-4 Basophils/Leukocytes in Blood
LP GIPLPC -
MEK MEGAPC -
TAG PLCLPC -
ERB NRBCPC 19048-8 Nucleated erythrocytes/Leukocytes [Ratio] in Blood
SMU SMUDPC 34992-8 Smudge cells/Leukocytes in Blood
ART ARTEPC -
""".strip().splitlines()
CONFIRMED_PRESENCE = {
    "765-8": "Neutrophils.hypersegmented", "803-7": "Toxic granules", "18319-4": "Neutrophils.vacuolated",
    "7792-5": "Dohle body", "11281-3": "Auer rods", "18312-9": "Platelet satellitism", "5908-9": "Giant platelets",
    "32146-3": "Platelets Large", "7796-6": "Platelet clump", "7798-2": "Smudge cells",
}  # fmt: skip
# Terms of a method that belongs to somebody else, or of another cell: they must never be sent.
FORBIDDEN = "769-0 764-1 740-1 749-2 783-1 709-6 737-7 735-1 744-3 714-6 707-0 32712-2 18309-5 58413-6 14912-0 26511-6 "
FORBIDDEN += "30450-1 40688-4 19252-6 40741-1 18311-1 33215-5 33216-3 7793-3 703-9"


def all_local_codes() -> list[str]:
    types = [code for t in CODES.types.values() for code in (t.local, t.count_local)]
    targets = [target.local(ending) for target in CODES.targets.values() for ending in TARGET_ENDINGS]
    return [*types, *CODES.finding_locals.values(), *targets, *(fact.local for fact in CODES.facts.values())]


def all_loincs() -> list[Loinc]:
    types = [t.loinc for t in CODES.types.values() if t.loinc]
    return [CODES.panel, *types, *(presence.loinc for presence in CODES.presence)]


def check_digit(number: str) -> int:
    """LOINC's check digit: Luhn's mod 10 over the digits before the hyphen."""
    total = 0
    for place, digit in enumerate(reversed(number.split("-")[0])):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10


def test_every_type_has_the_confirmed_code_and_the_long_name_that_belongs_to_it():
    assert [line.split(" ", 3)[0] for line in CONFIRMED_TYPES] == list(CODES.types)
    for line in CONFIRMED_TYPES:
        type_code, local, number, *name = line.split(" ", 3)
        code = CODES.types[type_code]
        assert code.local == local
        assert code.loinc == (None if number == "-" else Loinc(number, name[0]))


def test_presence_terms_are_the_confirmed_ordinal_ones_and_point_at_known_findings_and_types():
    assert {p.loinc.number: p.loinc.name for p in CODES.presence} == {
        number: f"{name} [Presence] in Blood by Light microscopy" for number, name in CONFIRMED_PRESENCE.items()
    }
    for presence in CODES.presence:
        assert presence.findings or presence.types
        assert set(presence.findings) <= set(CATALOGUE.finding_codes)
        assert set(presence.types) <= set(CATALOGUE.type_codes)


def test_the_panel_is_the_one_without_a_method():
    assert CODES.panel == Loinc("69738-3", "Differential panel, method unspecified - Blood")


def test_every_loinc_number_passes_its_check_digit_and_appears_once():
    numbers = [loinc.number for loinc in all_loincs()]
    assert len(set(numbers)) == len(numbers)
    for number in numbers:
        assert re.fullmatch(r"\d{3,5}-\d", number)
        assert check_digit(number) == int(number[-1])


def test_no_term_is_sent_that_would_overwrite_another_method_or_was_not_confirmed():
    assert not {loinc.number for loinc in all_loincs()} & set(FORBIDDEN.split())


def test_every_type_and_finding_of_the_catalogue_has_a_code_and_nothing_else_has():
    assert set(CODES.types) == set(CATALOGUE.type_codes)
    assert tuple(CODES.finding_locals) == CATALOGUE.finding_codes


def test_local_codes_are_word_characters_unique_and_none_begins_another():
    codes = all_local_codes()
    assert len(codes) == 17 * 2 + 97 + 5 + 10
    for code in codes:
        assert re.fullmatch(r"[A-Z0-9]{4,20}", code)
    for one, other in itertools.permutations(codes, 2):
        assert not other.startswith(one), f"{one} begins {other}"


def test_an_unknown_target_gets_codes_that_cannot_be_taken_for_a_known_one():
    codes = all_local_codes()
    made = [CODES.target("pnh_vs_aa").local(ending) for ending in TARGET_ENDINGS]
    assert made[0] == "XPNHVSAASCORE"
    assert all(not code.startswith(m) and not m.startswith(code) for m in made for code in codes)


def test_units_are_percent_for_leucocytes_and_per_hundred_for_the_others():
    for cell_type in CATALOGUE.cell_types:
        assert CODES.types[cell_type.code].unit == ("%" if cell_type.leucocyte else "/100{WBCs}")


def test_the_notices_carry_the_licence_lines_of_loinc_and_ucum(repository: Path):
    notice = (repository / "NOTICE").read_text(encoding="utf-8")
    assert "LOINC is copyright" in notice
    assert "Regenstrief Institute, Inc." in notice
    assert "UCUM" in notice


def test_the_notices_carry_a_line_for_the_one_snomed_concept_that_is_sent(repository: Path):
    assert "SNOMED" in (repository / "NOTICE").read_text(encoding="utf-8")
    assert CODES.detected.number == "260373001"
    assert CODES.detected.name == "Detected"


def test_the_page_of_codes_is_the_table_as_it_is(repository: Path):
    page = (repository / "docs" / "codes.md").read_text(encoding="utf-8")
    assert page == page_of_codes(), "run: python -m edge.catalogue.code_table docs/codes.md"
    for code in all_local_codes():
        assert f"`{code}`" in page, code
    for loinc in all_loincs():
        assert f"{loinc.number} {loinc.name}" in page


def test_the_worked_examples_are_what_the_writers_write(repository: Path):
    page = (repository / "docs" / "results.md").read_text(encoding="utf-8")
    record = json.loads((repository / "docs" / "examples" / "record.json").read_bytes())
    assert page == page_with_examples(page, record), "run: python -m edge.writers.worked_examples docs/results.md"
    shown = page.split("```hl7\n")[1].split("\n```")[0].splitlines()
    message = writer_for("hl7").render(record).content.decode().split("\r")
    assert [line for line in shown if line not in message] == []
    assert len(shown) > 20


def test_the_record_of_the_examples_is_whole_and_called_simulated(repository: Path):
    content = (repository / "docs" / "examples" / "record.json").read_bytes()
    assert record_bytes(json.loads(content)) == content
    assert json.loads(content)["slide"]["analyzer"]["model"].startswith("SIMULATED")


@pytest.mark.parametrize("number", ["26505-9", "1234-5"])
def test_the_check_digit_rule_itself_finds_a_typing_error(number):
    assert check_digit(number) != int(number[-1])
