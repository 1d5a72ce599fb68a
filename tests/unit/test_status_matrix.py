"""The matrix of status and correction, one test for each row and format, and the table of a site with fewer letters."""

from __future__ import annotations

from typing import Any

import pytest
from format_readers import READERS, Read, read_hl7
from records import assessment, example_record, record_from_cells

from edge.config import config_from_text
from edge.daemon.intents import intent_for
from edge.errors import EdgeError
from edge.writers.base import WriterOptions
from edge.writers.choose import writer_for
from edge.writers.letters import letter_table

FORMATS = ("hl7", "hl7-oul", "lis2", "csv", "fhir")
# Situation -> status of the record, revision, and (letter of the results, letter of the report) in each format.
MATRIX = {
    "first result, machine only": ("P", 1, dict(hl7="PP", lis2="PP", csv="PP", fhir="PP")),
    "first result, released": ("F", 2, dict(hl7="FF", lis2="FF", csv="FF", fhir="FF")),
    "re-run while preliminary": ("P", 2, dict(hl7="PP", lis2="PP", csv="PP", fhir="PP")),
    "re-run after final": ("C", 3, dict(hl7="CC", lis2="CC", csv="CC", fhir="CC")),
    "withdrawn": ("W", 2, dict(hl7="WC", lis2="CC", csv="WW", fhir="WW")),
    "could not be evaluated": ("X", 1, dict(hl7="XX", lis2="XX", csv="XX", fhir="XX")),
}
FHIR_WORDS = {
    "P": b'"status":"preliminary"', "F": b'"status":"final"', "C": b'"status":"corrected"',
    "W": b'"status":"entered-in-error"', "X": b'"status":"cancelled"',
}  # fmt: skip


def revision(status: str, number: int) -> dict[str, Any]:
    changes: dict[str, Any] = {"status": status, "revision": number, "message_id": f"9F3C21AA04B7.R{number}"}
    if number > 1:
        changes |= {"supersedes": f"9F3C21AA04B7.R{number - 1}", "reason": "wrong slide"}
    return example_record(**changes)


def content_of(name: str, record: dict[str, Any], *letters: str) -> bytes:
    return writer_for(name, WriterOptions(letter_table(letters))).render(record).content


def read_of(name: str, record: dict[str, Any], *letters: str) -> Read:
    return READERS[name](content_of(name, record, *letters))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", MATRIX)
def test_each_row_of_the_matrix_has_its_letters_in_each_format(row, name):
    status, number, letters = MATRIX[row]
    result, report = letters[name.removesuffix("-oul")]
    read = read_of(name, revision(status, number))
    given_values = {letter for value, letter in read.values.values() if value}
    assert (given_values, read.report) == ({result}, report)
    # One letter for the whole report, and X for what could not be given.
    assert {letter for _, letter in read.values.values()} <= {result, "X"}
    if name == "fhir":
        assert FHIR_WORDS[status] in content_of(name, revision(status, number))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", MATRIX)
def test_values_are_repeated_unless_they_are_withdrawn_from_a_format_without_that_letter(row, name):
    status, number, _ = MATRIX[row]
    read = read_of(name, revision(status, number))
    absent = status == "X" or (status == "W" and name == "lis2")
    assert read.values["SEGPC"][0] == ("" if absent else "41.0")
    assert read.values["MDSCALL"][0] == ("" if absent else "MDS-SUSPECT")
    assert read.values["LEUCCT"][0] == "100", "facts about the slide stay"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", [row for row, (_, number, _) in MATRIX.items() if number > 1])
def test_a_revision_names_what_it_replaces_and_gives_its_reason(row, name):
    status, number, _ = MATRIX[row]
    read = read_of(name, revision(status, number))
    assert read.values["REVISION"][0] == f"{number} supersedes 9F3C21AA04B7.R{number - 1} because wrong slide"
    assert "Reason: wrong slide" in read.report_notes
    assert read.message_id == f"9F3C21AA04B7.R{number}"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("status", "PFCWX")
def test_every_receiver_reads_in_words_what_the_letter_means(name, status):
    words = {
        "P": "Preliminary machine result, not reviewed by a person.", "F": "Released as final.",
        "C": "Corrected machine result, not reviewed by a person; it replaces one that was sent as final.",
        "W": "This result is withdrawn. Do not use it.", "X": "No result could be given for this slide.",
    }  # fmt: skip
    assert words[status] in read_of(name, revision(status, 2)).report_notes


@pytest.mark.parametrize("name", FORMATS)
def test_a_revision_leaves_no_finding_of_the_older_one_standing(name):
    unseen = record_from_cells([("SNE", {}), ("SNE", {})], revision=2, message_id="9F3C21AA04B7.R2")
    read = read_of(name, unseen)
    assert float(read.values["F003"][0]) == 0.0
    if name != "lis2":  # presence terms have no local code and are not in a record file
        assert read.values["765-8"] == ("", "X")
    assert sum(code[0] == "F" and code[1:].isdigit() for code in read.values) == 97


SITE_TABLES = {
    ("W=D", "W"): ("41.0", "D", "C"),
    ("W=X", "W"): ("", "X", "X"),
    ("W=C", "W"): ("WITHDRAWN", "C", "C"),
    ("W=F", "W"): ("WITHDRAWN", "F", "F"),
    ("X=F", "X"): ("NOT EVALUATED", "F", "F"),
    ("X=C", "X"): ("NOT EVALUATED", "C", "C"),
    ("X=P", "X"): ("NOT EVALUATED", "P", "P"),
    ("C=F", "C"): ("41.0", "F", "F"),
}


@pytest.mark.parametrize(
    ("letters", "status", "name"),
    # D exists in HL7 only; the configuration refuses it elsewhere.
    [(*key, name) for key in SITE_TABLES for name in FORMATS if key[0] != "W=D" or name in ("hl7", "hl7-oul")],
)
def test_a_receiver_of_fewer_letters_gets_one_it_takes_and_no_value_that_misleads(letters, status, name):
    value, letter, report = SITE_TABLES[letters, status]
    read = read_of(name, revision(status, 3), letters)
    assert read.values["SEGPC"][1] == letter
    assert read.values["SEGPC"][0] == ("" if name == "fhir" and value.isupper() else value)
    if name == "fhir" and value.isupper():
        assert f'"text":"{value}"'.encode() in content_of(name, revision(status, 3), letters)
    assert read.report == report
    expected = {letter} if letters.startswith("X") else {letter, "X"}
    assert {own for _, own in read.values.values()} <= expected
    assert read.values["LEUCCT"] == ("100", letter)


def test_a_value_that_is_missing_goes_with_the_letter_of_the_others_where_x_is_not_taken():
    record = example_record(assessments=[assessment("NOT-EVALUABLE", None)])
    read = read_hl7(content_of("hl7", record, "X=F"))
    assert read.values["MDSSCORE"] == ("NOT EVALUATED", "P")
    assert read.values["SEGPC"] == ("41.0", "P")


@pytest.mark.parametrize("pair", ["P=F", "F=P", "W=P", "X=W", "C=P", "X=D", "W", "W=", "W=CF", "Q=P", ""])
def test_no_table_can_turn_a_machine_result_into_a_final_one_or_name_a_letter_that_misleads(pair):
    with pytest.raises(ValueError, match="replacement"):
        letter_table([pair])


def configured(lines: str) -> Any:
    text = f"""
    [site]
    id = "HEMLAB"
    timezone = "Asia/Tokyo"
    [bundle]
    path = "/opt/bundle"
    [[source]]
    id = "di60"
    path = "/srv/export"
    [[output]]
    path = "/srv/drop/one"
    ack = "none"
    {lines}
    """
    return config_from_text(text)


def test_the_configuration_of_an_output_reaches_its_bytes():
    config = configured('format = "lis2"\nstatus_letters = ["X=C"]\nrecord_end = "lf"')
    intent = intent_for(config.outputs[0], revision("X", 2))
    assert intent.content is not None
    assert b"\r" not in intent.content
    assert b"|NOT EVALUATED|" in intent.content
    withdrawn = intent_for(config.outputs[0], revision("W", 2)).content or b""
    assert b"|WITHDRAWN|" in withdrawn, "an empty value may be read as one that has not changed"
    hl7 = configured('format = "hl7"\ntimes_with_offset = false')
    assert b"+0900" not in (intent_for(hl7.outputs[0], revision("P", 1)).content or b"+0900")


@pytest.mark.parametrize("name", ["hl7", "hl7-oul", "lis2", "csv", "csv-wide", "fhir", "json"])
def test_every_format_can_be_an_output_and_has_a_file_to_publish(name):
    config = configured(f'format = "{name}"')
    intent = intent_for(config.outputs[0], revision("P", 1))
    assert intent.parked == ""
    assert intent.content == writer_for(name).render(revision("P", 1)).content


@pytest.mark.parametrize(
    "lines",
    [
        'format = "hl7"\nrecord_end = "lf"',
        'format = "lis2"\ntimes_with_offset = false',
        'format = "lis2"\nstatus_letters = ["W=D"]',
        'format = "csv-wide"\nstatus_letters = ["W=X"]',
        'format = "json"\nstatus_letters = ["W=X"]',
        'format = "hl7"\nstatus_letters = ["P=F"]',
        'format = "hl7"\nstatus_letters = ["W=X", "W=D"]',
        'format = "xml"',
    ],
)
def test_a_setting_that_a_format_does_not_know_is_refused_at_the_start(lines):
    with pytest.raises(EdgeError, match="MDSE-CONFIG-003"):
        configured(lines)
