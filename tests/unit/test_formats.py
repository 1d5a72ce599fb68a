"""Every format says what the record says: values, identifiers, marks and status, whatever the texts hold."""

from __future__ import annotations

import csv
import io
import json
import re
from fractions import Fraction
from typing import Any

import pytest
from format_readers import READERS, Read, numbers_from_read, numbers_of_record, read_csv, read_lis2_cr, read_lis2_lf
from hypothesis import HealthCheck, given, settings
from records import assessment, carried_by, example_record, record_from_cells, records, with_use

from edge.catalogue.codes import load_codes
from edge.daemon.site_test import record_of_test
from edge.errors import EdgeError
from edge.slide_metadata import metadata_from_bytes
from edge.writers.base import WriterOptions
from edge.writers.choose import FORMATS, writer_for
from edge.writers.letters import letter_table
from edge.writers.observations import observations_of_record
from edge.writers.record_view import view_of_record

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
WITH_STATUS = [name for name in READERS if name != "csv-wide"]
EVERY_FORMAT = pytest.mark.parametrize("name", WITH_STATUS)


def rendered(name: str, record: dict[str, Any], **options: Any) -> bytes:
    return writer_for(name, WriterOptions(**options)).render(record).content


def outer_blanks_apart(text: str | None) -> str:
    return (text or "").strip()


@EVERY_FORMAT
@QUICK
@given(records())
def test_the_numbers_of_the_record_come_back_from_every_format(name, record):
    record = carried_by(name, record)
    read = READERS[name](rendered(name, record))
    if record["status"] == "X" or (name == "lis2" and record["status"] == "W"):
        return
    targets = [made["target"] for made in record["assessments"]]
    assert numbers_from_read(read, targets) == numbers_of_record(record)


@EVERY_FORMAT
@QUICK
@given(records())
def test_identifiers_come_back_unchanged_from_every_format(name, record):
    record = carried_by(name, record)
    slide = record["slide"]
    read = READERS[name](rendered(name, record))
    assert outer_blanks_apart(read.sample_id) == outer_blanks_apart(slide["sample_id"])
    assert outer_blanks_apart(read.slide) == outer_blanks_apart(slide["slide_key"])
    assert outer_blanks_apart(read.order_id) == outer_blanks_apart(slide["order_id"])
    patient = "" if name == "csv" else outer_blanks_apart(slide["patient_id"])
    assert outer_blanks_apart(read.patient_id) == patient
    assert (read.message_id, read.mode) == (record["message_id"], record["mode"])


@pytest.mark.parametrize("name", FORMATS)
@QUICK
@given(records())
def test_the_bytes_of_every_format_are_the_same_every_time(name, record):
    record = carried_by(name, record)
    assert rendered(name, record) == rendered(name, record)


@QUICK
@given(records())
def test_all_formats_give_the_same_values_and_letters(record):
    record = carried_by("lis2", record)
    oru = READERS["hl7"](rendered("hl7", record))
    for name in ("hl7-oul", "csv", "lis2", "fhir"):
        read = READERS[name](rendered(name, record))
        for code, (value, letter) in read.values.items():
            expected, expected_letter = oru.values[code]
            if name == "lis2" and record["status"] == "W":
                assert letter in ("C", "X")
                continue
            assert letter == expected_letter, (name, code)
            if is_number(expected):
                assert Fraction(value) == Fraction(expected), (name, code)
            elif name != "fhir" or code != "REVISION":
                # A bundle is UTF-8 and keeps the letters of a reason; every other format spells it in ASCII.
                assert value.removeprefix("'") == expected, (name, code)


def is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d+)?", text) is not None


@pytest.mark.parametrize("end", ["crlf", "cr", "lf"])
def test_each_published_rule_reads_the_record_end_that_it_splits_on_and_crlf_serves_both(end):
    content = rendered("lis2", example_record(), record_end=end)
    readers = {"crlf": (read_lis2_cr, read_lis2_lf), "cr": (read_lis2_cr,), "lf": (read_lis2_lf,)}
    for reader in readers[end]:
        read = reader(content)
        assert (read.sample_id, read.values["SEGPC"], read.values["MDSCALL"][0]) == (
            "0012345678", ("41.0", "P"), "MDS-SUSPECT",
        )  # fmt: skip
        assert len(read.values) == len(read_lis2_cr(rendered("lis2", example_record())).values)


@EVERY_FORMAT
def test_leading_zeros_stay_and_two_slides_of_one_order_are_told_apart(name):
    reads: list[Read] = []
    contents = []
    for number in (1, 2):
        record = example_record()
        record["slide"] = {**record["slide"], "slide_key": f"A0042_S{number}", "slide_no": number}
        contents.append(rendered(name, record))
        reads.append(READERS[name](contents[-1]))
    assert {read.sample_id for read in reads} == {"0012345678"}
    assert {read.order_id for read in reads} == {"ORD-77"}
    assert [read.slide for read in reads] == ["A0042_S1", "A0042_S2"]
    if name == "fhir":
        # The identifier on which a server updates must differ, or the second slide would overwrite the first.
        assert b"HEMLAB/di60/0012345678/1/SEGPC" in contents[0]
        assert b"HEMLAB/di60/0012345678/2/SEGPC" in contents[1]


@EVERY_FORMAT
def test_an_id_that_the_analyzer_padded_to_22_characters_leaves_as_the_bare_id(name):
    padded = json.dumps({"sample_id": "0012345678".rjust(22), "order_id": " ORD-77"}).encode()
    metadata = metadata_from_bytes("slide.json", padded, where="slide.json")
    record = example_record()
    record["slide"] = {**record["slide"], "sample_id": metadata.sample_id, "order_id": metadata.order_id}
    content = rendered(name, record)
    read = READERS[name](content)
    assert (read.sample_id, read.order_id) == ("0012345678", "ORD-77")
    assert b"  0012345678" not in content


@EVERY_FORMAT
def test_patient_and_order_are_absent_when_the_export_named_none(name):
    record = example_record()
    record["slide"] = {**record["slide"], "order_id": None, "patient_id": None}
    content = rendered(name, record)
    read = READERS[name](content)
    assert (read.patient_id, read.order_id) == ("", "")
    for word in (b"ORD-77", b"PID|", b"subject", b"basedOn"):
        assert word not in content


def test_a_patient_id_never_reaches_a_csv_file():
    record = example_record()
    record["slide"] = {**record["slide"], "patient_id": "PAT-4711"}
    for name in ("csv", "csv-wide"):
        assert b"PAT-4711" not in rendered(name, record)
    for name in ("hl7", "hl7-oul", "lis2", "fhir"):
        assert READERS[name](rendered(name, record)).patient_id == "PAT-4711"


@EVERY_FORMAT
def test_a_test_a_degraded_run_and_simulated_data_are_marked_in_every_format(name):
    plain = rendered(name, example_record()).decode()
    for word in ("TEST: ", "DEGRADED: ", "SIMULATED DATA", "HTEST"):
        assert word not in plain
    record = example_record(mode="T")
    record["provenance"] = {**record["provenance"], "degraded": True}
    record["slide"] = {**record["slide"], "analyzer": {"model": "SIMULATED DI-60", "serial": None, "software": None}}
    content = rendered(name, record)
    read = READERS[name](content)
    assert read.mode == "T"
    assert read.values["DEGRADED"][0] == "YES"
    notes = "\n".join(read.report_notes)
    for word in ("TEST: ", "DEGRADED: ", "SIMULATED DATA"):
        assert word in notes
    if name == "fhir":
        for tag in ("HTEST", "SIMULATED", "DEGRADED"):
            assert content.count(f'"code":"{tag}"'.encode()) > 60, "every resource bears the mark"


@EVERY_FORMAT
def test_warnings_reasons_and_the_words_of_support_reach_every_receiver(name):
    read = READERS[name](rendered(name, example_record()))
    notes = "\n".join(read.report_notes)
    assert "Decision support, verify on the smear." in notes
    assert "META-MISSING The export gave no metadata" in notes
    assert any(line.startswith("BLAST-REVIEW 1 blast") for line in read.notes["MDSCALL"])


@EVERY_FORMAT
def test_a_value_that_could_not_be_given_is_absent_and_never_zero(name):
    record = record_from_cells([("SMU", {})], assessments=[assessment("NOT-EVALUABLE", None)])
    content = rendered(name, record)
    read = READERS[name](content)
    for code in ("SEGPC", "NRBCPC", "MDSSCORE"):
        assert read.values[code] == ("", "X")
    assert read.values["MDSCALL"] == ("NOT-EVALUABLE", "P")
    assert "NO-LEUCOCYTES" in "\n".join(read.report_notes)


@pytest.mark.case("L11")
@pytest.mark.case("L13")
def test_identifiers_that_a_format_cannot_carry_unchanged_stop_it_and_no_other():
    record = example_record()
    record["slide"] = {**record["slide"], "sample_id": "12É34"}
    for name in ("lis2", "csv-wide"):
        with pytest.raises(EdgeError, match="MDSE-WRITER-002"):
            rendered(name, record)
    for name in ("hl7", "hl7-oul", "csv", "fhir"):
        assert READERS[name](rendered(name, record)).sample_id == "12É34"


@pytest.mark.case("L13")
@EVERY_FORMAT
def test_an_identifier_longer_than_its_field_stops_every_format_and_is_never_cut(name):
    record = example_record()
    for length in (150, 151):
        record["slide"] = {**record["slide"], "sample_id": "7" * length}
        if length <= 150:
            assert READERS[name](rendered(name, record)).sample_id == "7" * length
        else:
            with pytest.raises(EdgeError, match="MDSE-WRITER-002"):
                rendered(name, record)


@EVERY_FORMAT
@pytest.mark.parametrize("field", ["sample_id", "slide_key", "order_id"])
def test_an_identifier_of_blanks_alone_stops_every_format(name, field):
    record = example_record()
    record["slide"] = {**record["slide"], field: "   "}
    with pytest.raises(EdgeError, match="MDSE-WRITER-002"):
        rendered(name, record)


def test_a_table_carries_the_counts_that_each_percentage_rests_on():
    record = example_record(revision=2, message_id="9F3C21AA04B7.R2")
    rows = {row["code"]: row for row in csv.DictReader(io.StringIO(rendered("csv", record).decode(), newline=""))}
    codes = load_codes()
    for parameter in record["profile"]:
        kind = parameter["name"].split("_")[0]
        code = codes.types[kind].local if kind in codes.types else codes.finding_locals[kind]
        counts = (rows[code]["numerator"], rows[code]["denominator"])
        given_counts = (str(parameter["numerator"]), str(parameter["denominator"]))
        assert counts == (given_counts if parameter["denominator"] else ("", ""))


WIDE_CANNOT = {
    "a test": {"mode": "T"},
    "a withdrawn result": {"status": "W"},
    "a result that could not be given": {"status": "X"},
    "counts of blurred pictures": {"warnings": [{"code": "FOCUS", "text": "focus and scan again"}]},
    "counts of an unknown stain": {"warnings": [{"code": "STAIN-OOD", "text": "types may be wrong"}]},
    "counts of more images than were promised": {"warnings": [{"code": "META-COUNT", "text": "120 for 100"}]},
    "counts of a part of the slide": {"warnings": [{"code": "META-INCOMPLETE", "text": "60 of 100"}]},
    "counts of what a person let pass": {"warnings": [{"code": "RELEASED", "text": "held, and let pass"}]},
    "counts without the unreadable images": {"warnings": [{"code": "UNREADABLE-IMAGES", "text": "90 of 100"}]},
    "counts without the empty images": {"warnings": [{"code": "EMPTY-FILES", "text": "90 of 100"}]},
    "counts without the doubtful cells": {"warnings": [{"code": "DOUBTFUL-CELLS", "text": "60 of 100"}]},
    "counts with cells counted twice": {"warnings": [{"code": "DUPLICATE-IMAGES", "text": "50 copies"}]},
}


@pytest.mark.parametrize("case", WIDE_CANNOT)
def test_what_the_wide_table_cannot_say_is_refused_rather_than_left_unsaid(case):
    with pytest.raises(EdgeError, match="MDSE-WRITER-007"):
        rendered("csv-wide", example_record(**WIDE_CANNOT[case]))


def test_a_second_slide_of_a_sample_has_no_place_in_the_wide_table():
    record = example_record()
    record["slide"] = {**record["slide"], "slide_no": 2}
    with pytest.raises(EdgeError, match="MDSE-WRITER-007"):
        rendered("csv-wide", record)


def test_a_simulated_slide_has_no_place_in_the_wide_table():
    record = example_record()
    record["slide"] = {**record["slide"], "analyzer": {"model": "SIMULATED DI-60", "serial": None, "software": None}}
    with pytest.raises(EdgeError, match="MDSE-WRITER-007"):
        rendered("csv-wide", record)


@QUICK
@given(records())
def test_the_wide_table_holds_numbers_only_and_those_of_the_long_one(record):
    record = carried_by("csv-wide", record)
    wide = READERS["csv-wide"](rendered("csv-wide", record))
    long = read_csv(rendered("csv", record))
    assert wide.sample_id == record["slide"]["sample_id"]
    for code, (value, _) in wide.values.items():
        assert long.values[code][0] == value
    given_codes = {code for code, (value, _) in long.values.items() if is_number(value) and code[:1].isalpha()}
    assert set(wide.values) == given_codes - {"REVISION"} - scores_in_need_of_words(record)


def scores_in_need_of_words(record: dict[str, Any]) -> set[str]:
    return {
        load_codes().target(made["target"]).local(ending)
        for made in record["assessments"]
        for ending in ("SCORE", "LOWER", "UPPER", "THRES")
        if record["warnings"]
        or made["reasons"]
        or made["call"] == "INDETERMINATE"
        or record["provenance"]["degraded"]
        or record["provenance"]["bundle"]["intended_use"] != "clinical"
    }


@pytest.mark.parametrize(
    ("qualified", "kept"),
    [
        ({}, True),
        ({"reasons": [{"code": "BLAST-REVIEW", "text": "2 blasts"}]}, False),
        ({"call": "INDETERMINATE"}, False),
        ({"warnings": [{"code": "INFECTION-PATTERN", "text": "toxic granulation"}]}, False),
        ({"intended_use": "research"}, False),
    ],
)
def test_the_wide_table_holds_no_score_whose_caveat_it_cannot_say(qualified, kept):
    record = clean_record(intended_use=qualified.get("intended_use", "clinical"))
    record["warnings"] = qualified.get("warnings", [])
    record["assessments"][0] |= {key: value for key, value in qualified.items() if key in ("reasons", "call")}
    wide = READERS["csv-wide"](rendered("csv-wide", record))
    assert ("MDSSCORE" in wide.values) is kept
    assert ("MDSLOWER" in wide.values) is kept
    assert "SEGPC" in wide.values


def clean_record(*, intended_use: str = "clinical", **changes: Any) -> dict[str, Any]:
    """A record that nothing qualifies: no warning, no reason, a bundle for clinical use."""
    record = with_use(example_record(warnings=[], **changes), intended_use)
    record["assessments"][0]["reasons"] = []
    return record


def later_revision(number: int, status: str = "P", **changes: Any) -> dict[str, Any]:
    earlier = f"9F3C21AA04B7.R{number - 1}"
    names = {"message_id": f"9F3C21AA04B7.R{number}", "supersedes": earlier, "reason": "late images"}
    return clean_record(revision=number, status=status, **names, **changes)


NUMBERS_TAKEN_BACK = {
    "its score may no longer be given": {
        "call": "NOT-EVALUABLE",
        "score": None,
        "ci95": None,
        "reasons": [{"code": "TARGET-GONE", "text": "x"}],
    },
    "its score is indeterminate": {"call": "INDETERMINATE"},
    "its score stands beside a reason": {"reasons": [{"code": "BLAST-REVIEW", "text": "2 blasts"}]},
    "its score has no interval any more": {"ci95": None},
}


@pytest.mark.parametrize("status", "PCF")
@pytest.mark.parametrize("case", NUMBERS_TAKEN_BACK)
def test_the_wide_table_refuses_a_revision_that_leaves_an_earlier_number_standing(case, status):
    assert "MDSSCORE" in READERS["csv-wide"](rendered("csv-wide", later_revision(3, status))).values
    record = later_revision(3, status)
    record["assessments"][0] |= NUMBERS_TAKEN_BACK[case]
    with pytest.raises(EdgeError, match=r"MDSE-WRITER-007.*revision 3 has no MDS(SCORE|LOWER)"):
        rendered("csv-wide", record)


def test_the_wide_table_refuses_a_revision_that_takes_every_percentage_back():
    record = with_use(record_from_cells([("SMU", {})], revision=2, message_id="9F3C21AA04B7.R2"), "clinical")
    with pytest.raises(EdgeError, match=r"MDSE-WRITER-007.*revision 2 has no SEGPC"):
        rendered("csv-wide", record)


def test_the_wide_table_takes_the_release_of_a_first_result_that_had_no_score():
    record = later_revision(2, "F")
    record["assessments"][0]["call"] = "INDETERMINATE"
    assert "SEGPC" in READERS["csv-wide"](rendered("csv-wide", record)).values


def test_the_wide_table_takes_a_revision_beside_a_target_that_was_never_requested():
    record = later_revision(2, "P")
    record["assessments"].append(assessment("NOT-REQUESTED", None, target="second target", positive="X"))
    assert "MDSSCORE" in READERS["csv-wide"](rendered("csv-wide", record)).values


RESEARCH = "RESEARCH USE ONLY: made with a bundle that is not for clinical use (research)."


@EVERY_FORMAT
@pytest.mark.parametrize(
    ("intended_use", "mode", "marks"),
    [("research", "P", 1), ("clinical", "P", 0), ("demo", "T", 0)],
)
def test_a_result_for_research_only_says_so_in_every_format_and_no_other_does(name, intended_use, mode, marks):
    content = rendered(name, clean_record(intended_use=intended_use, mode=mode))
    notes = READERS[name](content).report_notes
    assert sum(note == RESEARCH for note in notes) == marks
    assert content.count(b"RESEARCH USE ONLY") == marks
    assert sum(note.startswith("TEST: ") for note in notes) == (mode == "T"), "a demonstration has its own mark"
    if name == "fhir":
        tagged = [entry["resource"] for entry in json.loads(content)["entry"]]
        assert sum('"RESEARCH"' in json.dumps(resource) for resource in tagged) == marks * len(tagged)


@EVERY_FORMAT
@pytest.mark.parametrize("call", ["AA-LIKE", "INDETERMINATE"])
def test_a_score_below_its_threshold_is_not_called_normal_in_any_format(name, call):
    record = clean_record()
    record["assessments"][0] |= {"call": call, "score": 0.1, "ci95": [0.05, 0.2]}
    content = rendered(name, record).decode()
    assert "0-0.5" not in content
    assert "Normal" not in content
    assert "referenceRange" not in content
    read = READERS[name](content.encode())
    assert read.values["MDSTHRES"][0] == "0.5"
    assert any("threshold 0.5" in note for note in read.notes["MDSSCORE"])
    assert {row.flag for row in observations_of_record(view_of_record(record)) if row.local == "MDSSCORE"} == {""}


VALUES_TAKEN_AWAY = [
    ("lis2", ()),
    *((name, ("W=F",)) for name in WITH_STATUS),
    *((name, ("W=X",)) for name in WITH_STATUS),
]


@pytest.mark.parametrize(("name", "letters"), VALUES_TAKEN_AWAY)
def test_a_withdrawn_value_does_not_live_on_in_the_notes_of_its_result(name, letters):
    record = example_record(revision=2, message_id="9F3C21AA04B7.R2", status="W")
    content = rendered(name, record, letters=letter_table(letters)).decode()
    for words in ("0.8731", "0.6912", "of 50 cells", "Seen in", "1 blast among", "counted 100 leucocytes"):
        assert words in rendered(name, example_record()).decode() or (name, words) == ("lis2", "Seen in")
        assert words not in content


@EVERY_FORMAT
def test_a_value_that_was_never_there_keeps_the_note_that_says_why(name):
    unseen = record_from_cells([("SNE", {})], revision=2, message_id="9F3C21AA04B7.R2")
    read = READERS[name](rendered(name, unseen))
    assert read.values["F081"] == ("", "X")
    assert "0 of 0 cells" in "\n".join(read.notes["F081"])


@pytest.mark.parametrize(("call", "flag"), [("MDS-SUSPECT", "H"), ("AA-LIKE", "")])
def test_a_score_that_was_rounded_onto_its_threshold_is_flagged_as_it_was_called(call, flag):
    record = example_record()
    record["assessments"][0] |= {"call": call, "score": 0.5, "threshold": 0.5, "ci95": [0.4, 0.6]}
    rows = {row.local: row for row in observations_of_record(view_of_record(record))}
    assert rows["MDSSCORE"].flag == flag


@pytest.mark.parametrize("field", ["sample_id", "slide_key", "order_id", "patient_id"])
@pytest.mark.parametrize("name", FORMATS)
def test_an_identifier_that_looks_like_a_time_is_no_time(name, field):
    record = example_record()
    record["slide"] = {**record["slide"], "slide_no": None, field: "20261123083100"}
    # Patient and order ids are not carried by every format; what is carried must not be refused.
    content = rendered(name, record)
    assert b"20261123083100" in content or field in ("order_id", "patient_id", "slide_key")


def test_a_test_result_replaces_no_result_of_the_sample_that_a_person_typed():
    test = record_of_test(
        message_id="TESTAB12CD34.R1", slide_key="SITE-TEST-AB12CD34", sample_id=example_record()["slide"]["sample_id"],
        analysed_at=example_record()["analysed_at"], site=example_record()["site"],
    )  # fmt: skip
    of_test, of_patient = (
        {entry["request"]["url"] for entry in json.loads(rendered("fhir", record))["entry"]}
        for record in (test, example_record())
    )
    assert not of_test & of_patient


@pytest.mark.case("S5")
def test_no_free_text_of_a_table_is_taken_for_a_formula_and_identifiers_stay_as_they_are():
    record = example_record(
        reason="=HYPERLINK(1)", revision=2, message_id="9F3C21AA04B7.R2", supersedes="9F3C21AA04B7.R1"
    )
    record["slide"] = {**record["slide"], "sample_id": "-0012"}
    content = rendered("csv", record).decode()
    assert ",'=HYPERLINK(1)," in content
    assert read_csv(content.encode()).sample_id == "-0012"


def test_times_without_offset_are_a_choice_of_the_site_and_hold_for_the_whole_message():
    content = rendered("hl7", example_record(), times_with_offset=False)
    assert b"+0900" not in content
    assert b"|20261123180000|" in content


def test_a_bundle_updates_what_is_ours_and_never_a_resource_of_the_lis():
    record = example_record()
    record["slide"] = {**record["slide"], "patient_id": "P1"}
    content = rendered("fhir", record).decode()
    assert set(re.findall(r'"resourceType":"(\w+)"', content)) == {
        "Bundle", "Device", "Specimen", "Observation", "DiagnosticReport",
    }  # fmt: skip
    assert set(re.findall(r'"method":"(\w+)"', content)) == {"PUT"}
    assert set(re.findall(r'"url":"\w+\?identifier=([^"|]+)\|', content)) == {
        f"urn:mds-edge:{kind}" for kind in ("software", "analyzer", "slide", "observation", "report")
    }


def test_a_revision_is_written_over_what_it_revises():
    first = rendered("fhir", example_record()).decode()
    second = rendered("fhir", example_record(revision=2, message_id="9F3C21AA04B7.R2")).decode()
    urls = [set(re.findall(r'"url":"([^"]+)"', text)) for text in (first, second)]
    assert urls[0] <= urls[1]


def test_two_sources_and_a_test_never_share_a_fhir_identifier():
    values = set()
    for source, mode in (("di60", "P"), ("di60-b", "P"), ("di60", "T")):
        record = example_record()
        record["mode"] = mode
        record["slide"] = {**record["slide"], "source": source}
        bundle = json.loads(rendered("fhir", record))
        report = bundle["entry"][-1]["resource"]
        values.add(report["identifier"][0]["value"])
    assert len(values) == 3
