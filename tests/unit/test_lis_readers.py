"""The readers of the simulated LIS: they understand what the writers send, see every cut, and name every fault."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import assessment, example_record, records

from edge.errors import EdgeError
from edge.simulator.lis_reading import message_from_file
from edge.simulator.lis_received import ReceivedMessage
from edge.writers.base import WriterOptions
from edge.writers.choose import FORMATS, writer_for
from edge.writers.letters import letter_table

RECORD = example_record()
LIS2 = (
    b"H|\\^&|M1.R1||MDSEDGE^1.2.0^S1|||||LIS||P|LIS2-A2|20261123180000\r\nP|1\r\n"
    b"O|1|0042|S1|^^^DIFF|R||||||||||Blood||||||||||P\r\nC|1|I|Preliminary|G\r\n"
    b"R|1|^^^SEGPC|41.0|%||||P|||20261123170000|20261123180000|DI-60\r\nC|1|I|Segmented neutrophils|G\r\n"
    b"R|2|^^^MDSCALL|AA-LIKE|||A||P|||20261123170000|20261123180000|DI-60\r\nL|1|N\r\n"
)
LONG = (
    b"message_id,reported_at,mode,status,sample_id,slide_id,code,name,value,unit\r\n"
    b"M1.R1,2026-11-23T18:00:00+09:00,P,P,0042,S1,SEGPC,Segmented neutrophils,41.0,%\r\n"
    b'M1.R1,2026-11-23T18:00:00+09:00,P,P,0042,S1,MDSCALL,"call, machine",AA-LIKE,\r\n'
    b"M1.R1,2026-11-23T18:00:00+09:00,P,P,0042,S1,END,rows,2,\r\n"
)
WIDE = b",SEGPC,MDSSCORE,end\r\n0042,41.0,0.1,\r\nend\r\n"


def fhir_bundle() -> dict:
    when = "2026-11-23T18:00:00+09:00"

    def entry(number: int, **resource: object) -> dict:
        url = f"{resource['resourceType']}?identifier=a|{number}"
        return {"fullUrl": f"urn:uuid:{number}", "resource": resource, "request": {"method": "PUT", "url": url}}

    observation = {
        "resourceType": "Observation", "identifier": [{"system": "a", "value": "SEGPC"}], "status": "preliminary",
        "code": {"coding": [{"system": "http://loinc.org", "code": "26505-8", "display": "Segmented"},
                            {"code": "SEGPC"}]},
        "valueQuantity": {"value": 41.0, "code": "%"}, "issued": when, "specimen": {"reference": "urn:uuid:1"},
    }  # fmt: skip
    report = {
        "resourceType": "DiagnosticReport", "status": "preliminary", "code": {"coding": [{"code": "69738-3"}]},
        "result": [{"reference": "urn:uuid:2"}], "conclusion": "Preliminary",
    }  # fmt: skip
    specimen = {"resourceType": "Specimen", "accessionIdentifier": {"value": "0042"},
                "container": [{"identifier": [{"value": "S1"}]}]}  # fmt: skip
    return {
        "resourceType": "Bundle", "type": "transaction", "identifier": {"value": "M1.R1"}, "timestamp": when,
        "entry": [entry(1, **specimen), entry(2, **observation), entry(3, **report)],
    }  # fmt: skip


FHIR = json.dumps(fhir_bundle()).encode()
HAND_MADE = {"lis2": ("a.astm", LIS2), "csv": ("a.csv", LONG), "csv-wide": ("a.csv", WIDE), "fhir": ("a.json", FHIR)}


def rendered(name: str, **changes: object) -> tuple[str, bytes]:
    try:
        file = writer_for(name).render({**RECORD, **changes})
    except EdgeError as error:
        if error.code != "MDSE-WRITER-007":
            raise
        pytest.skip(str(error))
    return f"one{file.extension}", file.content


def read(name: str, **changes: object) -> ReceivedMessage:
    return message_from_file(*rendered(name, **changes))


@pytest.mark.parametrize("name", HAND_MADE)
def test_a_file_made_by_hand_from_the_published_rules_is_understood(name: str) -> None:
    message = message_from_file(*HAND_MADE[name])
    assert message.faults == ()
    assert (message.format, message.sample_id, message.partial) == (name, "0042", False)
    assert message.results[0].local == "SEGPC"
    assert float(message.results[0].value) == 41.0
    if message.names_message:
        assert (message.message_id, message.slide, message.status, message.mode) == ("M1.R1", "S1", "P", "P")


@pytest.mark.parametrize("status", ["P", "F", "C", "W", "X"])
@pytest.mark.parametrize("name", FORMATS)
def test_what_our_writer_sends_is_understood_without_a_fault(name: str, status: str) -> None:
    message = read(name, status=status)
    assert message.faults == ()
    assert not message.partial
    assert message.format == name
    assert message.sample_id == RECORD["slide"]["sample_id"]
    assert len(message.results) > 40
    if message.names_message:
        assert message.message_id == RECORD["message_id"]
        assert message.slide == RECORD["slide"]["slide_key"]
        # HL7 and LIS2-A2 have no report status "withdrawn": it leaves as corrected.
        assert message.status == ("C" if status == "W" and name in ("hl7", "hl7-oul", "lis2") else status)


@pytest.mark.parametrize("words", ["C=F", "W=C", "W=F", "W=X", "W=D", "X=P", "X=F", "X=C"])
@pytest.mark.parametrize("name", ["hl7", "hl7-oul", "lis2", "csv", "fhir"])
def test_a_receiver_that_takes_fewer_letters_gets_messages_that_agree_with_themselves(name: str, words: str) -> None:
    if words == "W=D" and not name.startswith("hl7"):
        pytest.skip("only HL7 knows D")
    options = WriterOptions(letters=letter_table([words]))
    file = writer_for(name, options).render({**RECORD, "status": words[0]})
    message = message_from_file(f"one{file.extension}", file.content)
    assert message.faults == ()
    # OBR-25 has no D: a deleted result comes in a corrected report.
    assert message.status == ("C" if words == "W=D" else words[-1])


@pytest.mark.parametrize("end", ["crlf", "cr", "lf"])
def test_records_that_end_in_any_configured_way_are_read(end: str) -> None:
    content = writer_for("lis2", WriterOptions(record_end=end)).render(RECORD).content
    assert message_from_file("one.astm", content).faults == ()


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("understood", [True, False])
def test_a_receiver_without_offsets_needs_times_without_them(sent: bool, understood: bool) -> None:
    content = writer_for("hl7", WriterOptions(times_with_offset=sent)).render(RECORD).content
    faults = message_from_file("one.hl7", content, offsets=understood).faults
    assert any("MSH-7" in fault for fault in faults) == (sent != understood)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
def test_the_values_are_those_of_the_record_in_every_format(name: str) -> None:
    values = {result.local: result.value for result in read(name).results}
    assert float(values["SEGPC"]) == 41.0
    assert float(values["NRBCPC"]) == 4.0
    assert float(values["SEGCT"]) == RECORD["counts"]["SNE"]
    if name == "csv-wide":
        assert "MDSSCORE" not in values  # the example's score has a caveat, and the table no words
    else:
        assert float(values["MDSSCORE"]) == 0.873
    assert values.get("MDSCALL", "MDS-SUSPECT") == "MDS-SUSPECT"


@pytest.mark.parametrize("name", FORMATS)
def test_a_test_message_says_that_it_is_one(name: str) -> None:
    assert read(name, mode="T").mode == "T"


@pytest.mark.case("L1")
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_anywhere_is_seen_as_the_beginning_of_a_longer_one(name: str) -> None:
    file_name, content = rendered(name)
    # The line feed behind a JSON text is not part of what it says.
    end = len(content.rstrip()) if file_name.endswith(".json") else len(content)
    steps = {*range(0, end, max(1, end // 150)), *range(max(0, end - 30), end)}
    seen = [size for size in sorted(steps) if message_from_file(file_name, content[:size]).partial]
    assert seen == sorted(steps)


@pytest.mark.parametrize("name", ["hl7", "lis2", "csv", "hl7-oul"])
def test_a_file_cut_after_a_whole_line_is_seen_too(name: str) -> None:
    file_name, content = rendered(name)
    end = b"\r" if file_name.endswith(".hl7") else b"\r\n"
    lines = content.split(end)[:-1]
    for count in range(1, len(lines)):
        assert message_from_file(file_name, end.join(lines[:count]) + end).partial, count


def bundle_with(change: Callable[[dict], None]) -> bytes:
    bundle = fhir_bundle()
    change(bundle)
    return json.dumps(bundle).encode()


def resource(bundle: dict, number: int) -> dict:
    return bundle["entry"][number]["resource"]


BROKEN = [
    (LIS2.replace(b"\r\nL|1|N", b""), "not whole"),
    (LIS2.replace(b"41.0|%", b"41,0|%"), "R 1 has a unit but holds"),
    (LIS2.replace(b"|%||||P|", b"|%||||W|"), "does not go with O.26"),
    (LIS2.replace(b"|%||||P|", b"|%||||F|"), "does not go with O.26"),
    (LIS2.replace(b"R|2|", b"R|3|"), "R 2 is numbered"),
    (LIS2.replace(b"MDSCALL", b"SEGPC"), "no code of its own"),
    (LIS2.replace(b"LIS2-A2", b"E1394-97"), "H.13"),
    (LIS2.replace(b"|20261123180000\r\nP", b"|23/11/2026\r\nP"), "H.14"),
    (LIS2.replace(b"0042", b""), "names no sample"),
    (LIS2.replace(b"\r\nP|1", b""), "in their order"),
    (LIS2.replace(b"\r\nR|2", b"\nR|2"), "end in different ways"),
    (LIS2.replace(b"AA-LIKE", b"AA-L\xcfKE"), "printable ASCII"),
    (LONG.replace(b"41.0", b"41,0"), "another number of cells"),
    (LONG.replace(b"41.0", b"viele"), "has a unit but holds"),
    (LONG.replace(b",AA-LIKE,", b",,"), "empty but not marked X"),
    (LONG.replace(b",END,rows,2", b",END,rows,3"), "not whole"),
    (LONG.replace(b"0042,S1,SEGPC", b"0043,S1,SEGPC"), "of another message"),
    (b"\xef\xbb\xbf" + LONG, "lacks rows, or the columns"),
    (LONG.replace(b"+09:00", b""), "no time with an offset"),
    (WIDE.replace(b"41.0", b""), "read as 0.0"),
    (WIDE.replace(b"0.1", b"-"), "read as 0.0"),
    (WIDE.replace(b"0042,", b"00,42,"), "do not stand under each other"),
    (WIDE.replace(b"MDSSCORE", b"MDS-SCORE"), "would be altered"),
    (WIDE.replace(b"\r\nend", b"\r\n0043,1,2,\r\nend"), "more than one sample"),
    (bundle_with(lambda b: b.update(type="batch")), "no transaction"),
    (bundle_with(lambda b: b.pop("identifier")), "no identifier"),
    (bundle_with(lambda b: b.update(timestamp="2026-11-23T18:00:00")), "has no offset"),
    (bundle_with(lambda b: b["entry"][1].pop("request")), "does not say what to do"),
    (bundle_with(lambda b: resource(b, 1)["specimen"].update(reference="urn:uuid:9")), "leads nowhere"),
    (bundle_with(lambda b: resource(b, 1).update(status="done")), "does not go with the report"),
    (bundle_with(lambda b: resource(b, 1).update(status="final")), "does not go with the report"),
    (bundle_with(lambda b: resource(b, 1).update(valueString="x")), "more than one"),
    (bundle_with(lambda b: resource(b, 1).pop("valueQuantity")), "no value"),
    (bundle_with(lambda b: resource(b, 1)["valueQuantity"].update(value="41")), "without a number"),
    (bundle_with(lambda b: resource(b, 1).pop("code")), "is missing or of another kind"),
    (bundle_with(lambda b: resource(b, 2).update(status="zzz")), "no status"),
    (bundle_with(lambda b: resource(b, 2).pop("result")), "does not list"),
    (bundle_with(lambda b: b["entry"].pop(0)), "0 Specimen"),
    (FHIR.replace(b"41.0", b"NaN"), "no JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "fault"), BROKEN)
def test_every_fault_is_named(content: bytes, fault: str) -> None:
    name = "a.astm" if content.startswith(b"H|") else "a.json" if content.startswith(b"{") else "a.csv"
    assert fault in "; ".join(message_from_file(name, content).faults)


@pytest.mark.parametrize(
    ("change", "fault"),
    [(lambda r: r["counts"].update(SNE=40), "not those of the cells"),
     (lambda r: r.update(leucocytes=99), "not the sum"),
     (lambda r: r["profile"][0].update(value=0.4), "its counts give"),
     (lambda r: r.update(revision=2), "names no predecessor"),
     (lambda r: r.update(status="Z"), "is not known"),
     (lambda r: r.pop("slide"), "is missing")],
)  # fmt: skip
def test_a_record_that_does_not_add_up_is_faulty(change: Callable[[dict], object], fault: str) -> None:
    record = json.loads(json.dumps(RECORD))
    change(record)
    assert fault in "; ".join(message_from_file("a.json", json.dumps(record).encode()).faults)


@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
       st.sampled_from(["", "MSH|^~\\&|", "H|\\^&|", "{", ",", '{"resourceType":"Bundle","entry":[', '{"schema":1']),
       st.sampled_from(["a.hl7", "a.astm", "a.csv", "a.json", "a"]))  # fmt: skip
def test_no_bytes_stop_a_reader_and_none_pass_as_a_result(content: bytes, head: str, name: str) -> None:
    assert message_from_file(name, head.encode() + content).faults


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=40)
@given(record=records())
def test_hostile_text_is_read_back_as_it_was_sent(name: str, record: dict) -> None:
    try:
        file = writer_for(name).render(record)
    except EdgeError as error:
        if error.code not in ("MDSE-WRITER-002", "MDSE-WRITER-007"):
            raise
        return
    message = message_from_file(f"one{file.extension}", file.content)
    assert message.faults == ()
    assert not message.partial
    assert message.sample_id == record["slide"]["sample_id"]
    if message.names_message:
        assert message.slide == record["slide"]["slide_key"]


def test_a_score_that_was_held_back_is_read_as_none() -> None:
    held = [assessment("NOT-EVALUABLE", None)]
    for name in FORMATS:
        assert read(name, assessments=held).value_of("SCORE") == ""
