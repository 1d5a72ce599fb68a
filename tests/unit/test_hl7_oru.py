"""The HL7 message says what the record says, whatever the texts hold, and no broken message passes our own check."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hl7apy.v2_5_1.tables import TABLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import CATALOGUE, HOSTILE, assessment, example_record, record_from_cells, records

from edge.catalogue.codes import load_codes
from edge.errors import EdgeError
from edge.writers.choose import writer_for
from edge.writers.hl7_check import check_hl7
from edge.writers.hl7_text import ascii_from_text, escaped

CODES = load_codes()
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def rendered(record: dict[str, Any]) -> bytes:
    return writer_for("hl7").render(record).content


def segments_of(content: bytes, name: str) -> list[list[str]]:
    """Split as an independent reader would: CR, then the field delimiter."""
    return [s.split("|") for s in content.decode("utf-8").split("\r") if s.startswith(name + "|")]


def values_by_code(content: bytes) -> dict[str, tuple[str, str]]:
    """Value and status by local code (component 4, else 1), as OpenELIS reads a message."""
    found = {}
    for obx in segments_of(content, "OBX"):
        parts = obx[3].split("^")
        found[parts[3] if len(parts) > 3 else parts[0]] = (obx[5], obx[11])
    return found


def unescaped(text: str) -> str:
    table = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}
    return re.sub(r"\\([FSTRE])\\", lambda match: table[match[1]], text)


def faults(content: bytes) -> list[str]:
    """The rules that hl7apy leaves open, restated apart from the product's own check."""
    found = []
    if content[:3] != b"MSH" or not content.endswith(b"\r") or b"\n" in content:
        found.append("framing")
    if re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", content):
        found.append("control byte")
    segments = [s.split("|") for s in content.decode("utf-8").split("\r") if s]
    if {s[0] for s in segments} - {"MSH", "SFT", "PID", "ORC", "OBR", "OBX", "NTE", "SPM"}:
        found.append("segment")
    results = [s for s in segments if s[0] == "OBX"]
    for number, obx in enumerate(results, start=1):
        if obx[1] != str(number) or obx[2] not in {"NM", "ST", "TX"}:
            found.append(f"OBX {number}")
        if obx[2] == "NM" and obx[5] and not re.fullmatch(r"[+-]?\d+(\.\d+)?", obx[5]):
            found.append(f"OBX {number} value")
        if obx[11] not in TABLES["HL70085"][1]:
            found.append(f"OBX {number} status")
    if any(s[25] not in TABLES["HL70123"][1] for s in segments if s[0] == "OBR"):
        found.append("OBR-25")
    if results[-1][3].split("^")[0] != "OBXCOUNT" or int(results[-1][5]) != len(results):
        found.append("count")
    return found


def accepted_by_hl7apy(content: bytes) -> bool:
    message = parse_message(content.decode("utf-8"), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    return bool(message.validate())


@SLOW
@given(records())
def test_any_record_becomes_a_message_that_a_strict_parser_and_the_open_rules_accept(record):
    content = rendered(record)
    assert accepted_by_hl7apy(content)
    assert faults(content) == []


@QUICK
@given(records())
def test_every_count_in_the_message_is_the_count_of_the_record(record):
    values = values_by_code(rendered(record))
    if record["status"] == "X":
        assert all(values[code.count_local] == ("", "X") for code in CODES.types.values())
        return
    for code, count in record["counts"].items():
        assert values[CODES.types[code].count_local][0] == str(count)
        text = values[CODES.types[code].local][0]
        if record["leucocytes"]:
            assert Fraction(text) == Fraction(round(Fraction(1000 * count, record["leucocytes"])), 10)
        else:
            assert text == ""
    assert values["LEUCCT"][0] == str(record["leucocytes"])
    for row in record["profile"][17:]:
        local = CODES.finding_locals[row["name"].removesuffix("_rate")]
        if row["numerator"]:
            expected = Fraction(round(Fraction(1000 * row["numerator"], row["denominator"])), 10)
            assert Fraction(values[local][0]) == expected
        elif record["revision"] == 1:
            assert local not in values


@QUICK
@given(records())
def test_identifiers_come_back_unchanged_and_stand_where_receivers_look(record):
    content = rendered(record)
    slide = record["slide"]
    obr = segments_of(content, "OBR")[0]
    sample, specimen_slide = segments_of(content, "SPM")[0][2].split("^")
    assert unescaped(obr[3].split("^")[0]) == slide["sample_id"]
    assert unescaped(sample.split("&")[0]) == slide["sample_id"]
    assert unescaped(specimen_slide.split("&")[0]) == slide["slide_key"]
    assert (unescaped(obr[2].split("^")[0]) or None) == slide["order_id"]
    assert segments_of(content, "MSH")[0][9] == record["message_id"]
    patients = segments_of(content, "PID")
    assert [unescaped(pid[3]) for pid in patients] == ([slide["patient_id"]] if slide["patient_id"] else [])


@QUICK
@given(records())
def test_the_bytes_are_plain_and_the_same_every_time(record):
    content = rendered(record)
    assert content == rendered(record)
    assert content.endswith(b"\r")
    assert not re.search(rb"[\x00-\x0c\x0e-\x1f\x7f]", content)
    names_utf8 = segments_of(content, "MSH")[0][17:] == ["UNICODE UTF-8"]
    assert names_utf8 != content.isascii()


@QUICK
@given(st.lists(HOSTILE, min_size=1, max_size=4))
@pytest.mark.case("L11")
def test_warnings_arrive_line_by_line_in_ascii_and_cannot_forge_a_segment(texts):
    warnings = [{"code": "WARN", "text": text + "\rOBX|99|NM|FORGED"} for text in texts]
    content = rendered(example_record(warnings=warnings))
    assert content.isascii()
    assert len(segments_of(content, "OBX")) == int(segments_of(content, "OBX")[-1][5])
    assert all("FORGED" not in obx[3] for obx in segments_of(content, "OBX"))
    notes = "\n".join(unescaped(note[3]) for note in segments_of(content, "NTE"))
    for text in texts:
        for line in text.splitlines():
            assert ascii_from_text(line).strip() in notes


def test_an_identifier_that_no_message_can_carry_stops_the_message_instead_of_being_changed():
    for bad in ("0012\r345", "12\x00", "1" * 200, "a\u202eb", ""):
        for field in ("sample_id", "slide_key"):
            record = example_record()
            record["slide"] = {**record["slide"], field: bad}
            with pytest.raises(EdgeError) as caught:
                rendered(record)
            # An unprintable sample id is refused by the record itself; everything else by the writer, by name.
            by_record = field == "sample_id" and not (bad and bad.isprintable())
            assert caught.value.code == ("MDSE-WRITER-001" if by_record else "MDSE-WRITER-002")
            assert field.split("_")[0] in str(caught.value)


def test_a_record_that_contradicts_itself_is_not_sent():
    record = example_record()
    record["counts"] = {**record["counts"], "SNE": record["counts"]["SNE"] + 1}
    with pytest.raises(EdgeError, match="MDSE-WRITER-001"):
        rendered(record)


def test_free_text_keeps_its_meaning_in_ascii():
    assert ascii_from_text("Müller\u2013Straße ≥ 5 µm é漢\x0c\x85") == "Muller-Strasse >= 5 um e?"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("2\u00d710\u2079/L", "2x10^9/L"),
        ("10\u207b\u00b3", "10^-3"),
        ("1\u00bd", "1 1/2"),
        ("blasts \u226e 20", "blasts ? 20"),
        ("5 \u2260 6", "5 ? 6"),
        ("DI\u201160", "DI-60"),
        ("e\u0301", "e"),
        ("=\u0338", "=?"),
    ],
)
def test_no_number_and_no_comparison_changes_its_meaning_on_the_way_to_ascii(text, sent):
    assert ascii_from_text(text) == sent
    assert escaped("a|b^c&d~e\\f") == "a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f"


@pytest.mark.parametrize(("status", "result", "report"), ["PPP", "FFF", "CCC", ("W", "W", "C"), "XXX"])
def test_each_status_has_its_letters_for_results_and_report(status, result, report):
    record = example_record(status=status, revision=2, message_id="9F3C21AA04B7.R2", reason="wrong slide")
    content = rendered({**record, "supersedes": "9F3C21AA04B7.R1"})
    assert segments_of(content, "OBR")[0][25] == report
    given_values = [obx for obx in segments_of(content, "OBX") if obx[5]]
    assert {obx[11] for obx in given_values} == {result}
    assert values_by_code(content)["REVISION"][0] == "2 supersedes 9F3C21AA04B7.R1 because wrong slide"
    assert "Reason: wrong slide" in content.decode()
    if status == "W":
        assert values_by_code(content)["SEGPC"] == ("41.0", "W")


def test_a_slide_without_leucocytes_gets_no_percentage_and_says_so():
    content = rendered(record_from_cells([("SMU", {}), ("ERB", {})]))
    assert values_by_code(content)["SEGPC"] == ("", "X")
    assert values_by_code(content)["NRBCPC"] == ("", "X")
    assert values_by_code(content)["NRBCCT"] == ("1", "P")
    assert "NO-LEUCOCYTES" in content.decode()


def test_a_score_that_may_not_be_given_is_absent_and_never_zero():
    with pytest.raises(EdgeError, match="is called NOT-EVALUABLE and has a score"):
        rendered(example_record(assessments=[assessment("NOT-EVALUABLE", 0.91)]))
    content = rendered(example_record(assessments=[assessment("NOT-EVALUABLE", None)]))
    assert values_by_code(content)["MDSSCORE"] == ("", "X")
    assert values_by_code(content)["MDSCALL"] == ("NOT-EVALUABLE", "P")


def test_a_target_that_was_not_requested_gets_no_score_field_unless_one_was_sent_before():
    unasked = [assessment("NOT-REQUESTED", None)]
    assert "MDSSCORE" not in values_by_code(rendered(example_record(assessments=unasked)))
    revised = example_record(assessments=unasked, revision=2, message_id="9F3C21AA04B7.R2")
    assert values_by_code(rendered(revised))["MDSSCORE"] == ("", "X")


def test_a_score_carries_threshold_interval_flag_and_the_words_that_a_person_must_verify():
    content = rendered(example_record())
    values = values_by_code(content)
    assert values["MDSSCORE"] == ("0.873", "P")
    assert (values["MDSLOWER"][0], values["MDSUPPER"][0], values["MDSTHRES"][0]) == ("0.691", "0.951", "0.5")
    score = next(obx for obx in segments_of(content, "OBX") if obx[3].startswith("MDSSCORE"))
    assert (score[7], score[8]) == ("", "H")
    call = next(obx for obx in segments_of(content, "OBX") if obx[3].startswith("MDSCALL"))
    assert "decision support, verify on the smear" in call[3]
    assert (call[5], call[8]) == ("MDS-SUSPECT", "A")


def test_an_indeterminate_score_is_flagged_neither_high_nor_normal():
    content = rendered(example_record(assessments=[assessment("INDETERMINATE", 0.52, (0.3, 0.7))]))
    score = next(obx for obx in segments_of(content, "OBX") if obx[3].startswith("MDSSCORE"))
    assert score[8] == ""


def test_a_revision_leaves_no_finding_of_the_older_one_standing():
    seen = record_from_cells([("SNE", {"NE03": 0.9}), ("SNE", {})])
    assert values_by_code(rendered(seen))["765-8"] == ("Present", "P")
    unseen = record_from_cells([("SNE", {}), ("SNE", {})], revision=2, message_id="9F3C21AA04B7.R2")
    values = values_by_code(rendered(unseen))
    assert values["F003"] == ("0.0", "P")
    assert values["765-8"] == ("", "X")
    assert values[CODES.finding_locals["BL01"]] == ("", "X")
    assert len([code for code in values if re.fullmatch(r"F\d{3}", code)]) == len(CATALOGUE.findings)


def test_a_test_run_a_degraded_run_and_simulated_data_are_marked_for_machines_and_for_people():
    record = example_record(mode="T")
    record["provenance"] = {**record["provenance"], "degraded": True}
    record["slide"] = {**record["slide"], "analyzer": {"model": "SIMULATED DI-60", "serial": None, "software": None}}
    content = rendered(record)
    assert segments_of(content, "MSH")[0][10] == "T"
    assert values_by_code(content)["DEGRADED"] == ("YES", "P")
    text = content.decode()
    assert "TEST: " in text
    assert "DEGRADED: " in text
    assert "SIMULATED DATA" in text


def test_all_times_are_told_in_the_zone_of_the_site_and_an_unclear_one_is_not_sent_as_a_time():
    content = rendered(example_record())
    assert set(re.findall(rb"\d{14}([+-]\d{4})", content)) == {b"+0900"}
    assert segments_of(content, "OBR")[0][7] == "20261123170000+0900"
    record = example_record()
    record["slide"] = {**record["slide"], "acquired_at": "2026-11-23T17:00:00"}
    unclear = rendered(record)
    assert segments_of(unclear, "OBR")[0][7] == ""
    assert "ACQUIRED-UNCLEAR" in unclear.decode()
    assert "2026-11-23T17:00:00" in unclear.decode()


def test_slides_of_one_sample_are_told_apart_even_when_the_export_numbers_none():
    sub_ids = set()
    for key in ("A0042_S1", "A0042_S2", "a-very-long-slide-key-number-1", "a-very-long-slide-key-number-2"):
        record = example_record()
        record["slide"] = {**record["slide"], "slide_key": key, "slide_no": None}
        sub_ids |= {obx[4] for obx in segments_of(rendered(record), "OBX")}
    assert len(sub_ids) == 4


GOOD = rendered(example_record())
OBX_1 = re.search(rb"\rOBX\|1\|[^\r]*", GOOD)[0]  # type: ignore[index]  # matches, or the test fails
LAST_OBX = GOOD.index(b"\rOBX|66|")
BROKEN = {
    "no MSH-10": GOOD.replace(b"|9F3C21AA04B7.R1|", b"||", 1),
    "no OBR": re.sub(rb"\rOBR[^\r]*", b"", GOOD),
    "no PID-3": re.sub(rb"\rORC", b"\rPID|1||||^^^^^^U\rORC", GOOD),
    "no OBX-3": GOOD.replace(OBX_1, re.sub(rb"\|26505[^|]*", b"|", OBX_1)),
    "no OBX-11": GOOD.replace(OBX_1, OBX_1.replace(b"|||||P|", b"||||||")),
    "LF endings": GOOD.replace(b"\r", b"\n"),
    "CRLF endings": GOOD.replace(b"\r", b"\r\n"),
    "text in a numeric field": GOOD.replace(b"|1|41.0|", b"|1|forty-one|"),
    "decimal comma": GOOD.replace(b"|1|41.0|", b"|1|41,0|"),
    "OBX-11 Z": GOOD.replace(OBX_1, OBX_1.replace(b"|||||P|", b"|||||Z|")),
    "OBX-2 QQ": GOOD.replace(b"\rOBX|1|NM|", b"\rOBX|1|QQ|"),
    "bad time": GOOD.replace(b"|20261123180000+0900|", b"|20261323180000+0900|"),
    "unescaped delimiter in a value": GOOD.replace(b"|MDS-SUSPECT|", b"|MDS|SUSPECT|"),
    "unescaped delimiter in a note": GOOD.replace(b"NTE|1|L|Preliminary", b"NTE|1|L|Prelimi|nary"),
    "two messages in one file": GOOD + GOOD,
    "unknown segment": GOOD.replace(b"\rSPM|", b"\rZZZ|1\rSPM|"),
    "PID after OBX": GOOD.replace(b"\rSPM|", b"\rPID|1||P1||^^^^^^U\rSPM|"),
    "version 2.9": GOOD.replace(b"|2.5.1|", b"|2.9|"),
    "another structure": GOOD.replace(b"ORU^R01^ORU_R01", b"ORU^R99^ORU_R99"),
    "cut inside an OBX": GOOD[: LAST_OBX + 20],
    "cut inside an OBX, ended": GOOD[: LAST_OBX + 20] + b"\r",
    "cut exactly after an OBX": GOOD[: LAST_OBX + 1],
    "an OBX lost from the middle": GOOD.replace(OBX_1, b""),
    "the last but one OBX lost and the rest renumbered": re.sub(rb"\rOBX\|65\|[^\r]*\rOBX\|66\|", b"\rOBX|65|", GOOD),
    "an OBX twice": GOOD.replace(OBX_1, OBX_1 + OBX_1),
    "BOM": b"\xef\xbb\xbf" + GOOD,
    "MLLP bytes": b"\x0b" + GOOD + b"\x1c\r",
    "no SPM": re.sub(rb"\rSPM[^\r]*", b"", GOOD),
    "one result of another status": GOOD.replace(OBX_1, OBX_1.replace(b"|||||P|", b"|||||C|")),
    "an empty result of status P": GOOD.replace(b"|1|41.0|", b"|1||"),
    "times in two zones": GOOD.replace(b"20261123170000+0900", b"20261123080000+0000", 1),
    "a note lost": re.sub(rb"\rNTE\|1\|L\|Prelim[^\r]*", b"", GOOD),
    "a raw Latin-1 letter": GOOD.replace(b"A0042_S1", b"A0042\xe9"),
    "UTF-8 without saying so": GOOD.replace(b"A0042_S1", "A0042é".encode()),
    "empty": b"",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_message_is_refused_before_it_is_published(case):
    assert BROKEN[case] != GOOD
    with pytest.raises(EdgeError) as caught:
        check_hl7(BROKEN[case], "ORU_R01")
    assert caught.value.code == "MDSE-WRITER-004"


def test_the_good_message_passes():
    check_hl7(GOOD, "ORU_R01")
    assert accepted_by_hl7apy(GOOD)


@QUICK
@given(st.integers(1, len(GOOD) - 1))
def test_a_message_cut_anywhere_is_refused(length):
    with pytest.raises(EdgeError):
        check_hl7(GOOD[:length], "ORU_R01")


def test_lines_beyond_the_largest_number_of_a_note_stand_in_the_last_note() -> None:
    texts = [f"line {number}" for number in range(10_003)]
    content = writer_for("hl7").render(example_record(reason="\n".join(texts))).content
    notes = [line.split("|") for line in content.decode().split("\r") if line.startswith("NTE|")]
    assert max(int(note[1]) for note in notes) == 9_999
    shown = " ".join(note[3] for note in notes)
    assert all(f" {text} " in shown for text in texts[1:])
