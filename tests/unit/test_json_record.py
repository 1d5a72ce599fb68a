"""The JSON output is the record, whole; a torn, doubled or contradictory one is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import assessment, example_record, records

from edge.errors import EdgeError
from edge.record_text import record_bytes
from edge.writers.choose import FORMATS, writer_for
from edge.writers.json_record import check_json
from edge.writers.record_view import view_of_record

GOOD = writer_for("json").render(example_record()).content


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(records())
def test_the_file_is_the_canonical_bytes_of_the_record(record):
    rendered = writer_for("json").render(record)
    assert rendered.extension == ".json"
    assert json.loads(rendered.content) == record
    assert rendered.content == record_bytes(record)
    assert rendered == writer_for("json").render(record)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(GOOD) - 1))
def test_a_file_cut_anywhere_is_refused(length):
    with pytest.raises(EdgeError, match="MDSE-WRITER-004"):
        check_json(GOOD[:length])


BROKEN = {
    "two records": GOOD + GOOD,
    "no number": GOOD.replace(b'"threshold":0.5', b'"threshold":NaN'),
    "a key twice": GOOD.replace(b'"mode":"P"', b'"mode":"P","mode":"P"'),
    "spaces": GOOD.replace(b'"mode":"P"', b'"mode": "P"'),
    "a count changed": GOOD.replace(b'"SNE":41', b'"SNE":42'),
    "another schema": GOOD.replace(b"mds-edge.record/1", b"mds-edge.record/9"),
    "not UTF-8": GOOD.replace(b"HEMLAB", b"HEML\xe9B"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "a list": b"[" + GOOD.strip() + b"]\n",
    "deep nesting": b"[" * 100_000 + b"}\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused(case):
    assert BROKEN[case] != GOOD
    with pytest.raises(EdgeError) as caught:
        check_json(BROKEN[case])
    assert caught.value.code == "MDSE-WRITER-004"


CONTRADICTIONS = {
    "a count": lambda r: r["counts"].update(SNE=42),
    "the total": lambda r: r.update(leucocytes=99),
    "a share": lambda r: r["profile"][0].update(numerator=40),
    "a rate above one": lambda r: r["profile"][20].update(numerator=51, denominator=50),
    "a negative count": lambda r: r["counts"].update(MEK=-1),
    "a parameter twice": lambda r: r["profile"].append(r["profile"][0]),
    "a missing parameter": lambda r: r["profile"].pop(0),
    "an unknown status": lambda r: r.update(status="R"),
    "a time without offset": lambda r: r.update(analysed_at="2026-11-23T18:00:00"),
    "a message id too long": lambda r: r.update(message_id="9F3C21AA04B7.R1.AND.MORE"),
    "a call without a score": lambda r: r.update(assessments=[assessment("MDS-SUSPECT", None)]),
    "a call on too few cells": lambda r: r.update(assessments=[assessment("AA-LIKE", 0.1, sufficient=False)]),
    "an unknown call": lambda r: r.update(assessments=[assessment("CML-SUSPECT", 0.9)]),
    "a score above one": lambda r: r.update(assessments=[assessment("MDS-SUSPECT", 1.2)]),
    "a target twice": lambda r: r.update(assessments=[assessment("AA-LIKE", 0.1)] * 2),
    "half a character": lambda r: r["slide"].update(sample_id="\ud800"),
    "a number for a text": lambda r: r.update(site=7),
    "true for a count": lambda r: r.update(images=True),
    "revision 0": lambda r: r.update(revision=0),
    "a missing key": lambda r: r.pop("reason"),
    "a list for an object": lambda r: r.update(counts=[]),
    "text among the cells": lambda r: r.update(cells=["c1"]),
    "an interval of three ends": lambda r: r["profile"][0].update(ci95=[0, 0.1, 1]),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_record_that_contradicts_itself_is_refused_by_every_writer(case):
    record = json.loads(GOOD)
    CONTRADICTIONS[case](record)
    for name in FORMATS:
        with pytest.raises(EdgeError) as caught:
            writer_for(name).render(record)
        assert caught.value.code == "MDSE-WRITER-001"


def test_the_view_keeps_identifiers_verbatim():
    record = example_record()
    record["slide"]["sample_id"] = "  000|A\\"
    assert view_of_record(record).slide.sample_id == "  000|A\\"


def test_an_unknown_format_is_refused_and_the_known_ones_are_named():
    with pytest.raises(EdgeError, match=r"MDSE-WRITER-005.*hl7, hl7-oul, lis2, csv, csv-wide, fhir, json"):
        writer_for("pdf")
