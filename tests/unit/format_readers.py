"""What receivers read out of each format, restated from their published rules and apart from our writers.

read_hl7      CR, then `|`; OBX-3 component 4 else 1, as an analyzer bridge does; only the five delimiter escapes
read_lis2_lf  records split on LF, id from O.3, keyword from R.3 component 4 (the rule of one public LIS)
read_lis2_cr  records split on CR and trimmed, accession = O.3 component 1, test = R.3 component 4 (another's)
read_csv      Python's csv module
read_wide     two-dimensional CSV: split on commas, no quoting, the last cell ignored
read_fhir     plain JSON
numbers_from_read / numbers_of_record    the round trip: every number that was measured, from the message and the record
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field
from typing import Any

from edge.catalogue import load_catalogue
from edge.catalogue.codes import load_codes

CODES = load_codes()
CATALOGUE = load_catalogue()


@dataclass
class Read:
    """What was understood. `values` holds value ("" for none) and status by code; `notes` the lines under a code."""

    sample_id: str
    message_id: str
    mode: str
    report: str
    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    order_id: str = ""
    slide: str = ""
    patient_id: str = ""
    report_notes: list[str] = field(default_factory=list)


def hl7_unescaped(text: str) -> str:
    table = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}
    return re.sub(r"\\([FSTRE])\\", lambda match: table[match[1]], text)


def read_hl7(content: bytes) -> Read:
    segments = [line.split("|") for line in content.decode("utf-8").split("\r") if line]
    header = segments[0]
    request = next(s for s in segments if s[0] == "OBR")
    specimen = next(s for s in segments if s[0] == "SPM")
    read = Read(
        sample_id=hl7_unescaped(request[3].split("^")[0]),
        message_id=header[9],
        mode=header[10],
        report=request[25],
        order_id="" if request[2] == '""' else hl7_unescaped(request[2].split("^")[0]),
        slide=hl7_unescaped(specimen[2].split("^")[1].split("&")[0]),
    )
    assert hl7_unescaped(specimen[2].split("^")[0].split("&")[0]) == read.sample_id
    code = ""
    for segment in segments:
        if segment[0] == "PID":
            read.patient_id = hl7_unescaped(segment[3])
        if segment[0] == "OBX":
            parts = segment[3].split("^")
            code = parts[3] if len(parts) > 3 else parts[0]
            assert code not in read.values
            read.values[code] = (hl7_unescaped(segment[5]), segment[11])
        if segment[0] == "NTE":
            lines = read.notes.setdefault(code, []) if code else read.report_notes
            lines.append(hl7_unescaped(segment[3]))
    return read


def lis2_unescaped(text: str) -> str:
    table = {"F": "|", "S": "^", "R": "\\", "E": "&"}
    return re.sub(r"&([FSRE])&", lambda match: table[match[1]], text)


def read_lis2_cr(content: bytes) -> Read:
    return _read_lis2([record.strip() for record in content.decode("latin-1").split("\r")])


def read_lis2_lf(content: bytes) -> Read:
    return _read_lis2([record.rstrip("\r") for record in content.decode("latin-1").split("\n")])


def _read_lis2(records: list[str]) -> Read:
    rows = [record.split("|") for record in records if record]
    header = next(row for row in rows if row[0] == "H")
    order = next(row for row in rows if row[0] == "O")
    patient = next(row for row in rows if row[0] == "P")
    assert header[11] in ("P", "T")
    assert header[12] == "LIS2-A2"
    assert rows[-1] == ["L", "1", "N"]
    read = Read(
        sample_id=lis2_unescaped(order[2].split("^")[0]),
        message_id=header[2],
        mode=header[11],
        report=order[25],
        slide=lis2_unescaped(order[3]),
        patient_id=lis2_unescaped(patient[2]) if len(patient) > 2 else "",
    )
    code = ""
    for row in rows:
        if row[0] == "R":
            code = row[2].split("^")[3]
            read.values[code] = (lis2_unescaped(row[3]), row[8])
        if row[0] == "C":
            lines = read.notes.setdefault(code, []) if code else read.report_notes
            lines.append(lis2_unescaped(row[3]))
    orders = [line.removeprefix("Order ") for line in read.report_notes if line.startswith("Order ")]
    read.order_id = orders[0] if orders else ""
    return read


def read_csv(content: bytes) -> Read:
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))
    end = rows.pop()
    assert (end["code"], end["value"]) == ("END", str(len(rows)))
    read = Read(end["sample_id"], end["message_id"], end["mode"], end["status"])
    read.order_id, read.slide = end["order_id"], end["slide_id"]
    read.report_notes = end["notes"].split(" | ")
    for row in rows:
        read.values[row["code"]] = (row["value"], row["status"])
        read.notes[row["code"]] = row["notes"].split(" | ")
        if row["numerator"]:
            # Finer than a note: the columns hold what the value rests on.
            assert int(row["numerator"]) >= 0
            assert int(row["denominator"]) >= 0
    return read


def read_wide(content: bytes) -> Read:
    codes, values, end = content.decode("ascii").split("\r\n")[:3]
    assert end == "end"
    keywords = [re.sub(r"\W", "", word) for word in codes.split(",")][1:-1]
    cells = values.split(",")
    numbers = [max(0.0, float(cell)) for cell in cells[1:-1]]
    assert len(keywords) == len(numbers)
    read = Read(cells[0], "", "", "")
    read.values = {code: (cell, "") for code, cell in zip(keywords, cells[1:-1], strict=True)}
    return read


FHIR_LETTERS = {"preliminary": "P", "final": "F", "corrected": "C", "entered-in-error": "W", "cancelled": "X"}


def read_fhir(content: bytes) -> Read:
    bundle = json.loads(content)
    resources = [entry["resource"] for entry in bundle["entry"]]
    report = next(r for r in resources if r["resourceType"] == "DiagnosticReport")
    specimen = next(r for r in resources if r["resourceType"] == "Specimen")
    tags = {tag["code"] for tag in bundle.get("meta", {}).get("tag", [])}
    read = Read(
        sample_id=specimen["accessionIdentifier"]["value"],
        message_id=bundle["identifier"]["value"],
        mode="T" if "HTEST" in tags else "P",
        report=FHIR_LETTERS[report["status"]],
        slide=specimen["container"][0]["identifier"][0]["value"],
        report_notes=report["conclusion"].split("\n"),
    )
    read.order_id = report["basedOn"][0]["identifier"]["value"] if "basedOn" in report else ""
    read.patient_id = report["subject"]["identifier"]["value"] if "subject" in report else ""
    for resource in resources:
        if resource["resourceType"] == "Observation":
            codings = {coding["system"]: coding["code"] for coding in resource["code"]["coding"]}
            code = codings.get("urn:mds-edge:codes") or codings["http://loinc.org"]
            assert code not in read.values
            read.values[code] = (_fhir_value(resource), FHIR_LETTERS[resource["status"]])
            read.notes[code] = [note["text"] for note in resource.get("note", [])]
    return read


def _fhir_value(resource: dict[str, Any]) -> str:
    if "valueQuantity" in resource:
        return str(resource["valueQuantity"]["value"])
    if "valueCodeableConcept" in resource:
        return resource["valueCodeableConcept"]["text"]
    return resource.get("valueString", "")


READERS = {
    "hl7": read_hl7,
    "hl7-oul": read_hl7,
    "lis2": read_lis2_cr,
    "csv": read_csv,
    "csv-wide": read_wide,
    "fhir": read_fhir,
}


def numbers_from_read(read: Read, targets: list[str]) -> dict[str, Any]:
    """Every number of the record that a receiver can win back from the values and the lines under them."""
    counts = {kind: int(read.values[code.count_local][0]) for kind, code in CODES.types.items()}
    facts = "leucocytes images unreadable unidentified out_of_distribution".split()
    numbers: dict[str, Any] = {fact: int(read.values[CODES.facts[fact].local][0]) for fact in facts}
    numbers["counts"] = counts
    numbers["findings"] = {}
    for finding in CATALOGUE.findings:
        local = CODES.finding_locals[finding.code]
        numbers["findings"][finding.code] = (0, sum(counts[kind] for kind in finding.applies_to))
        if local in read.values:
            line = next(line for line in read.notes[local] if re.match(r"\d+ of \d+ cells", line))
            shown, of = re.match(r"(\d+) of (\d+) cells", line).groups()  # type: ignore[union-attr]  # matches, or the test fails
            numbers["findings"][finding.code] = (int(shown), int(of))
    numbers["assessments"] = {target: _assessment(read, target) for target in targets}
    return numbers


def _assessment(read: Read, target: str) -> tuple[str, float | None, tuple[float, float] | None]:
    code = CODES.target(target)
    call = read.values[code.local("CALL")][0]
    score, interval = None, None
    for line in read.notes.get(code.local("SCORE"), []):
        spread = r"95 % counting interval ([\d.]+) to ([\d.]+) \(excludes misclassification\)"
        pattern = rf"Score ([\d.]+)(?:, {spread})?, threshold"
        if match := re.match(pattern, line):
            score = float(match[1])
            interval = (float(match[2]), float(match[3])) if match[2] else None
    return call, score, interval


def numbers_of_record(record: dict[str, Any]) -> dict[str, Any]:
    """The same numbers from the record. A score that may not be given is none, whatever the record keeps."""
    facts = "leucocytes images unreadable unidentified out_of_distribution".split()
    numbers: dict[str, Any] = {fact: record[fact] for fact in facts}
    numbers["counts"] = record["counts"]
    numbers["findings"] = {
        row["name"].removesuffix("_rate"): (row["numerator"], row["denominator"])
        for row in record["profile"]
        if row["name"].endswith("_rate")
    }
    numbers["assessments"] = {}
    for made in record["assessments"]:
        held_back = made["call"] in ("NOT-EVALUABLE", "NOT-REQUESTED") or made["score"] is None
        interval = None if held_back or made["ci95"] is None else tuple(made["ci95"])
        numbers["assessments"][made["target"]] = (made["call"], None if held_back else made["score"], interval)
    return numbers
