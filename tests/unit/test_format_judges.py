"""Independent judges find nothing in our files, and do find what is broken: a judge that accepts everything is none.

The long profile (10,000 records, 2,000 of them before the strict parser, Node judges too) is
`benchmarks/format_records.py`; its counts lie beside it.
"""

from __future__ import annotations

import json

import pytest
from format_judges import accepted_by_hl7apy, faults_of_bundle, faults_of_file, faults_of_hl7
from hypothesis import HealthCheck, given, settings
from records import carried_by, example_record, records

from edge.writers.choose import writer_for

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
STRICT = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
FORMATS = ("hl7", "hl7-oul", "lis2", "csv", "fhir")


def rendered(name, record):
    return writer_for(name).render(carried_by(name, record)).content


@pytest.mark.parametrize("name", FORMATS)
@QUICK
@given(records())
def test_the_quick_judges_find_nothing_in_any_generated_record(name, record):
    assert faults_of_file(name, rendered(name, record)) == []


@STRICT
@given(records())
def test_a_strict_parser_accepts_every_generated_message(record):
    # Both structures share their segments: every record is judged in one of them, so that these stay affordable.
    name = "hl7-oul" if record["revision"] % 4 == 1 else "hl7"
    assert accepted_by_hl7apy(rendered(name, record))


GOOD = writer_for("hl7").render(example_record()).content
BROKEN = {
    "line feeds": GOOD.replace(b"\r", b"\n"),
    "text in a numeric field": GOOD.replace(b"|1|41.0|", b"|1|forty-one|"),
    "a status that does not exist": GOOD.replace(b"|1|41.0|%^percent^UCUM|||||P|", b"|1|41.0|%^percent^UCUM|||||Z|"),
    "a mistyped LOINC number": GOOD.replace(b"26505-8", b"26505-9"),
    "an unknown segment": GOOD.replace(b"\rSPM|", b"\rZZZ|1\rSPM|"),
    "a message cut after an OBX": GOOD[: GOOD.index(b"\rOBX|66|") + 1],
    "MLLP bytes": b"\x0b" + GOOD + b"\x1c\r",
    "a bare escape": GOOD.replace(b"|MDS-SUSPECT|", b"|MDS\\.br\\SUSPECT|"),
    "two zones": GOOD.replace(b"20261123170000+0900", b"20261123080000+0000", 1),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_rules_that_a_strict_parser_leaves_open_find_what_is_broken(case):
    assert BROKEN[case] != GOOD
    assert faults_of_hl7(BROKEN[case])


def test_the_bundle_judge_finds_a_wrong_type_and_a_reference_that_leads_nowhere():
    good = json.loads(writer_for("fhir").render(example_record()).content)
    assert faults_of_bundle(json.dumps(good).encode()) == []
    wrong = json.loads(json.dumps(good).replace('"value": 41.0', '"value": "forty-one"', 1))
    assert wrong != good
    assert faults_of_bundle(json.dumps(wrong).encode())
    wrong = json.loads(json.dumps(good))
    wrong["entry"][5]["resource"]["specimen"]["reference"] = "urn:uuid:00000000-0000-0000-0000-000000000000"
    assert faults_of_bundle(json.dumps(wrong).encode()) == ["dangling urn:uuid:00000000-0000-0000-0000-000000000000"]
