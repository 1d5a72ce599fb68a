"""No broken file passes our own check: each case is made from a good file, and the good file passes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import example_record

from edge.errors import EdgeError
from edge.writers.choose import writer_for

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
GOOD = {
    name: writer_for(name).render(example_record()).content for name in ("hl7-oul", "lis2", "csv", "csv-wide", "fhir")
}


def refused(name: str, content: bytes) -> None:
    assert content != GOOD[name]
    with pytest.raises(EdgeError) as caught:
        writer_for(name).check(content)
    assert caught.value.code == "MDSE-WRITER-004"


def once(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content, old
    return content.replace(old, new, 1)


@pytest.mark.parametrize("name", GOOD)
def test_the_good_file_passes(name):
    writer_for(name).check(GOOD[name])


@pytest.mark.parametrize("name", GOOD)
@QUICK
@given(st.data())
def test_a_file_cut_anywhere_is_refused(name, data):
    refused(name, GOOD[name][: data.draw(st.integers(0, len(GOOD[name]) - 1))])


@pytest.mark.parametrize("name", GOOD)
def test_a_file_of_another_format_a_doubled_one_and_one_with_a_byte_order_mark_are_refused(name):
    for other in GOOD:
        if other != name:
            refused(name, GOOD[other])
    refused(name, GOOD[name] + GOOD[name])
    refused(name, b"\xef\xbb\xbf" + GOOD[name])
    refused(name, b"\x0b" + GOOD[name] + b"\x1c\r")
    refused(name, b"")


OUL = GOOD["hl7-oul"]
OUL_CASES = {
    "no SPM": re.sub(rb"\rSPM[^\r]*", b"", OUL),
    "no SPM-4": once(OUL, b"||BLD^Blood^HL70487|", b"|||"),
    "no OBR": re.sub(rb"\rOBR[^\r]*", b"", OUL),
    "ORC before OBR": re.sub(rb"(\rOBR[^\r]*)(\rORC[^\r]*)", rb"\2\1", OUL),
    "SPM at the end": re.sub(rb"(\rSPM[^\r]*)(.*)\r\Z", rb"\2\1\r", OUL, flags=re.S),
    "no SAC": re.sub(rb"\rSAC[^\r]*", b"", OUL),
    "LF endings": OUL.replace(b"\r", b"\n"),
    "text in a numeric field": once(OUL, b"|1|41.0|", b"|1|forty-one|"),
    "OBX-11 Z": re.sub(rb"(\rOBX\|1\|[^\r]*)\|\|\|\|\|P\|", rb"\1|||||Z|", OUL),
    "no profile": once(OUL, b"|||LAB-29^IHE", b""),
    "no character set": once(OUL, b"UNICODE UTF-8", b""),
    "an ORU": once(OUL, b"OUL^R22^OUL_R22", b"ORU^R01^ORU_R01"),
    "a score with a reference range": once(OUL, b"|0.873|1^unity^UCUM||H|", b"|0.873|1^unity^UCUM|0-0.5|H|"),
    "a score called normal": once(OUL, b"|0.873|1^unity^UCUM||H|", b"|0.873|1^unity^UCUM||N|"),
    "an OBX lost": re.sub(rb"\rOBX\|20\|[^\r]*", b"", OUL),
    "unknown segment": once(OUL, b"\rSAC|", b"\rZZZ|1\rSAC|"),
}


@pytest.mark.parametrize("case", OUL_CASES)
def test_a_broken_oul_is_refused(case):
    refused("hl7-oul", OUL_CASES[case])


LIS2 = GOOD["lis2"]
LIS2_CASES = {
    "no header": LIS2.split(b"\r\n", 1)[1],
    "no L": once(LIS2, b"L|1|N\r\n", b""),
    "no order": re.sub(rb"\r\nO\|[^\r]*", b"", LIS2),
    "no patient record": re.sub(rb"\r\nP\|[^\r]*", b"", LIS2),
    "another version": once(LIS2, b"|LIS2-A2|", b"|E1394-97|"),
    "a bad time": once(LIS2, b"|20261123180000", b"|20261323180000"),
    "a date with slashes": once(LIS2, b"|20261123180000", b"|23/11/2026"),
    "an unknown flag": once(LIS2, b"|0.873|1||H|", b"|0.873|1||Q|"),
    "a score with a reference range": once(LIS2, b"|0.873|1||H|", b"|0.873|1|0-0.5|H|"),
    "a score called normal": once(LIS2, b"|0.873|1||H|", b"|0.873|1||N|"),
    "an unknown status": once(LIS2, b"|41.0|%||||P|", b"|41.0|%||||Z|"),
    "one result of another status": once(LIS2, b"|41.0|%||||P|", b"|41.0|%||||C|"),
    "text beside a unit": once(LIS2, b"|41.0|%", b"|forty-one|%"),
    "a decimal comma": once(LIS2, b"|41.0|%", b"|41,0|%"),
    "an empty result of status P": once(LIS2, b"|41.0|%", b"||%"),
    "a field too many": once(LIS2, b"|DI-60/A1234\r\n", b"|DI-60/A1234|x\r\n"),
    "no code": once(LIS2, b"^^^SEGPC", b"^^^"),
    "a result lost": re.sub(rb"\r\nR\|5\|[^\r]*\r\nC\|[^\r]*", b"", LIS2),
    "a result twice": re.sub(rb"(\r\nR\|5\|[^\r]*)", rb"\1\1", LIS2),
    "a comment lost": re.sub(rb"\r\nC\|2\|[^\r]*", b"", LIS2, count=1),
    "a bare line feed inside": once(LIS2, b"Preliminary", b"Preli\nminary"),
    "mixed record ends": once(LIS2, b"\r\n", b"\r"),
    "an unescaped delimiter": once(LIS2, b"|MDS-SUSPECT|", b"|MDS^SUSPECT|"),
    "not ASCII": once(LIS2, b"A0042_S1", b"A0042\xe9"),
    "two times": once(LIS2, b"|20261123170000|20261123180000|", b"|20261123170000|20261123180001|"),
}


@pytest.mark.parametrize("case", LIS2_CASES)
def test_a_broken_record_file_is_refused(case):
    refused("lis2", LIS2_CASES[case])


CSV = GOOD["csv"]
CSV_CASES = {
    "LF endings": CSV.replace(b"\r\n", b"\n"),
    "no header": CSV.split(b"\r\n", 1)[1],
    "a column less": once(CSV, b"message_id,reported_at", b"message_id"),
    "a row lost": re.sub(rb"\r\n[^\r]*,BANDPC,[^\r]*", b"", CSV),
    "a row twice": re.sub(rb"(\r\n[^\r]*,BANDPC,[^\r]*)", rb"\1\1", CSV),
    "no END": CSV[: CSV.rindex(b"\r\n", 0, len(CSV) - 2) + 2],
    "a row of another sample": once(CSV, b"0012345678", b"0012345679"),
    "a spreadsheet ate the zeros of one row": once(CSV, b"0012345678", b"12345678"),
    "text beside a unit": once(CSV, b",41.0,%", b",forty-one,%"),
    "a decimal comma": once(CSV, b",41.0,%", b',"41,0",%'),
    "an empty value of status P": once(CSV, b",41.0,%", b",,%"),
    "an unknown status": once(CSV, b",P,P,", b",P,Z,"),
    "a time without offset": once(CSV, b"2026-11-23T18:00:00+09:00", b"2026-11-23T18:00:00"),
    "an unquoted comma": once(
        CSV, b'"Segmented neutrophils, % of leucocytes"', b"Segmented neutrophils, % of leucocytes"
    ),
    "a score with a reference range": once(CSV, b",0.873,1,,H,", b",0.873,1,0-0.5,H,"),
    "a score called normal": once(CSV, b",0.873,1,,H,", b",0.873,1,,N,"),
    "half of the counts": once(CSV, b",41,100,", b",41,,"),
    "not UTF-8": once(CSV, b"A0042_S1", b"A0042\xe9"),
}


@pytest.mark.parametrize("case", CSV_CASES)
def test_a_broken_table_is_refused(case):
    refused("csv", CSV_CASES[case])


WIDE = GOOD["csv-wide"]
WIDE_CASES = {
    "no end": once(WIDE, b"\r\nend\r\n", b"\r\n"),
    "an empty cell": once(WIDE, b",41.0,", b",,"),
    "not done": once(WIDE, b",41.0,", b",ND,"),
    "a negative value": once(WIDE, b",41.0,", b",-41.0,"),
    "a value less": once(WIDE, b",41.0,", b","),
    "a code twice": once(WIDE, b"BANDPC", b"SEGPC"),
    "a quote": once(WIDE, b"0012345678", b'"0012345678"'),
    "no sample": once(WIDE, b"0012345678,", b","),
    "a second sample": once(WIDE, b"\r\nend", b"\r\n0012345679,1\r\nend"),
}


@pytest.mark.parametrize("case", WIDE_CASES)
def test_a_broken_wide_table_is_refused(case):
    refused("csv-wide", WIDE_CASES[case])


def changed_bundle(change: Callable[[dict[str, Any]], None]) -> bytes:
    bundle = json.loads(GOOD["fhir"])
    change(bundle)
    return (json.dumps(bundle, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def one(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind)


def remove(kind: str, *names: str) -> Callable[[dict[str, Any]], None]:
    def change(bundle: dict[str, Any]) -> None:
        for name in names:
            del one(bundle, kind)[name]

    return change


def put(kind: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda bundle: one(bundle, kind).update(values)


def drop_an_observation(bundle: dict[str, Any]) -> None:
    del bundle["entry"][10]


QUANTITY = {"unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}
NORMAL = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": "N", "display": "Normal",
}  # fmt: skip
NOWHERE = "urn:uuid:00000000-0000-0000-0000-000000000000"
FHIR_CASES: dict[str, Callable[[dict[str, Any]], None]] = {
    "status missing": remove("Observation", "status"),
    "code missing": remove("Observation", "code"),
    "code of the report missing": remove("DiagnosticReport", "code"),
    "number as text": put("Observation", valueQuantity={**QUANTITY, "value": "41.0"}),
    "unknown field": put("Observation", colour="blue"),
    "observation status done": put("Observation", status="done"),
    "report status zzz": put("DiagnosticReport", status="zzz"),
    "bundle type heap": lambda bundle: bundle.update(type="heap"),
    "two values": put("Observation", valueString="41"),
    "no value and no reason": remove("Observation", "valueQuantity"),
    "time without offset": put("Observation", effectiveDateTime="2026-11-23T17:00:00"),
    "issued with a date only": put("DiagnosticReport", issued="2026-11-23"),
    "an attachment that is not base64": put("DiagnosticReport", presentedForm=[{"data": "%%%"}]),
    "an entry without request": lambda bundle: bundle["entry"][3].pop("request"),
    "an entry that would be made anew": lambda bundle: bundle["entry"][3]["request"].update(method="POST"),
    "a score with a reference range": put("Observation", referenceRange=[{"text": "0-0.5"}]),
    "a score called normal": put("Observation", interpretation=[{"coding": [NORMAL]}]),
    "category not a list": put("Observation", category={"text": "laboratory"}),
    "a reference that leads nowhere": put("Observation", specimen={"reference": NOWHERE}),
    "an observation lost": drop_an_observation,
    "an observation that the report does not list": lambda bundle: one(bundle, "DiagnosticReport")["result"].pop(),
    "one observation of another status": put("Observation", status="corrected"),
    "a resource of the LIS": lambda bundle: bundle["entry"][0].update(resource={"resourceType": "Patient"}),
    "an update of another resource": lambda bundle: bundle["entry"][3]["request"].update(url="Patient?identifier=a|b"),
    "the report of another message": lambda bundle: bundle["identifier"].update(value="OTHER.R1"),
    "a report that came earlier": put("DiagnosticReport", issued="2026-11-22T18:00:00+09:00"),
}  # fmt: skip


@pytest.mark.parametrize("case", FHIR_CASES)
def test_a_broken_bundle_is_refused(case):
    refused("fhir", changed_bundle(FHIR_CASES[case]))


def test_a_bundle_with_a_number_that_is_none_or_a_key_twice_is_refused():
    refused("fhir", once(GOOD["fhir"], b'"value":41.0', b'"value":NaN'))
    refused("fhir", once(GOOD["fhir"], b'"status":"preliminary"', b'"status":"preliminary","status":"final"'))
    refused("fhir", once(GOOD["fhir"], b"HEMLAB", b"HEML\xe9B"))
