"""Independent judges of our files, none of which shares code with the writers or their checks.

faults_of_hl7       the rules that a strict parser leaves open, from the standard's own tables, one line each
accepted_by_hl7apy  structure, required fields, lengths and times of v2.5.1, strictly
values_by_hl7       the values as the Python package `hl7` reads and unescapes them
faults_of_bundle    fhir.resources (R4B models) and the rule that every reference leads somewhere
faults_of_file      all quick judges of one format, by its name
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import hl7
from fhir.resources.R4B.bundle import Bundle
from format_readers import READERS, read_lis2_cr, read_lis2_lf
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hl7apy.v2_5_1.tables import TABLES

RESULT_LETTERS, REPORT_LETTERS = set(TABLES["HL70085"][1]), set(TABLES["HL70123"][1])
ORDER = {
    "ORU^R01^ORU_R01": r"MSH SFT (PID )?ORC OBR (NTE )*(OBX (NTE )*)+SPM ",
    "OUL^R22^OUL_R22": r"MSH SFT (PID )?SPM SAC OBR ORC (NTE )*(OBX (NTE )*)+",
}
TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)([+-]\d{4})?")
LENGTHS = {("MSH", 10): 20, ("OBX", 4): 20, ("OBX", 11): 1, ("OBR", 25): 1, ("NTE", 1): 4, ("OBX", 1): 4}


def faults_of_hl7(content: bytes) -> list[str]:
    return list(_hl7_faults(content))


def _hl7_faults(content: bytes) -> Iterator[str]:
    yield from _framing(content)
    segments = [line.split("|") for line in content.decode("utf-8", "replace").split("\r") if line]
    header = segments[0]
    kind = header[8] if len(header) > 8 else ""
    names = "".join(f"{segment[0]} " for segment in segments)
    if kind not in ORDER or not re.fullmatch(ORDER.get(kind, ""), names):
        yield "segments are unknown, missing or out of order"
        return
    for number, value in ((1, "^~\\&"), (11, "2.5.1"), (14, "NE"), (15, "AL")):
        if header[number] != value:
            yield f"MSH-{number + 1} is not {value}"
    if header[10] not in TABLES["HL70103"][1]:
        yield "MSH-11 is not of table 0103"
    if not header[9]:
        yield "MSH-10 is empty"
    yield from _charset(content, header, kind)
    yield from _lengths(segments)
    yield from _times(segments)
    yield from _sample(segments)
    yield from _results(segments)
    yield from _notes(segments)


def _framing(content: bytes) -> Iterator[str]:
    if not content.startswith(b"MSH|^~\\&|"):
        yield "it does not start with MSH"
    if not content.endswith(b"\r") or content.endswith(b"\r\r") or b"\r\r" in content:
        yield "a segment has no end or is empty"
    if b"\n" in content:
        yield "a line feed"
    if re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x1c]", content):
        yield "a control byte"
    if content.count(b"MSH|") != 1 or content.startswith(b"\xef\xbb\xbf"):
        yield "more than one message, or a byte order mark"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        yield "not UTF-8"


def _charset(content: bytes, header: list[str], kind: str) -> Iterator[str]:
    named = header[17] if len(header) > 17 else ""
    if named not in ("", *TABLES["HL70211"][1]):
        yield "MSH-18 is not of table 0211"
    if not content.isascii() and named != "UNICODE UTF-8":
        yield "MSH-18 does not name the character set"
    if kind.startswith("ORU") and content.isascii() and named:
        yield "MSH-18 names a character set that plain ASCII does not need"


def _lengths(segments: list[list[str]]) -> Iterator[str]:
    for segment in segments:
        for (name, number), limit in LENGTHS.items():
            place = number - 1 if name == "MSH" else number
            if segment[0] == name and len(segment) > place and len(_unescaped(segment[place])) > limit:
                yield f"{name}-{number} is longer than {limit}"
        if segment[0] != "MSH" and any(re.search(r"\\(?![FSTRE]\\)", re.sub(r"\\[FSTRE]\\", "", f)) for f in segment):
            yield f"{segment[0]} holds an escape that is none of the five"


def _unescaped(text: str) -> str:
    return re.sub(r"\\[FSTRE]\\", "x", text)


def _times(segments: list[list[str]]) -> Iterator[str]:
    places = {("MSH", 6), ("OBR", 7), ("OBR", 22), ("OBX", 14), ("OBX", 19)}
    offsets = set()
    for segment in segments:
        for name, place in places:
            if segment[0] == name and len(segment) > place and segment[place]:
                match = TIME.fullmatch(segment[place])
                if match is None or not (1 <= int(match[2]) <= 12 and 1 <= int(match[3]) <= 31 and int(match[4]) < 24):
                    yield f"{name}-{place} is not a time"
                else:
                    offsets.add(match[7])
    if len(offsets) != 1:
        yield "times in more than one zone"
    header = segments[0][6]
    if any(s[0] == "OBX" and len(s) > 19 and s[19][:14] > header[:14] for s in segments):
        yield "a result is later than its message"


def _sample(segments: list[list[str]]) -> Iterator[str]:
    request = next(s for s in segments if s[0] == "OBR")
    specimen = next(s for s in segments if s[0] == "SPM")
    sample = request[3].split("^")[0]
    if not sample or specimen[2].split("^")[0].split("&")[0] != sample:
        yield "OBR-3 and SPM-2 do not name one sample"
    if len(specimen[2].split("^")) != 2 or not specimen[4]:
        yield "SPM-2 or SPM-4 is not as the standard wants it"
    if request[4].split("^")[2] != "LN" or request[24] not in TABLES["HL70074"][1]:
        yield "OBR-4 or OBR-24 is not of its table"
    if request[25] not in REPORT_LETTERS:
        yield "OBR-25 is not of table 0123"
    if not any(s[0] == "ORC" and s[1] in TABLES["HL70119"][1] for s in segments):
        yield "ORC-1 is not of table 0119"
    for segment in segments:
        if segment[0] == "PID" and (not segment[3] or not segment[5]):
            yield "PID-3 or PID-5 is empty"


def _results(segments: list[list[str]]) -> Iterator[str]:
    results = [s + [""] * (20 - len(s)) for s in segments if s[0] == "OBX"]
    keys = [(obx[3], obx[4]) for obx in results]
    if len(set(keys)) != len(keys):
        yield "a result stands twice"
    for number, obx in enumerate(results, start=1):
        parts = obx[3].split("^")
        if obx[1] != str(number):
            yield f"OBX {number} is out of sequence"
        if obx[2] not in {"NM", "ST", "TX"} or obx[2] not in TABLES["HL70125"][1]:
            yield f"OBX {number} has another value type"
        if len(parts) not in (3, 6) or not all(parts) or parts[2] not in ("LN", "99MDSEDGE"):
            yield f"OBX {number} has no code, name and system"
        if parts[2] == "LN" and not _luhn(parts[0]):
            yield f"OBX {number} has a LOINC number that was mistyped"
        if obx[2] == "NM" and obx[5] and not re.fullmatch(r"[+-]?\d+(\.\d+)?", obx[5]):
            yield f"OBX {number} is no number"
        if any(delimiter in obx[5] for delimiter in "^~&"):
            yield f"OBX {number} holds a delimiter"
        if obx[2] == "ST" and len(obx[5]) > 199:
            yield f"OBX {number} is too long for ST"
        if obx[11] not in RESULT_LETTERS or obx[11] in "RSBUV":
            yield f"OBX {number} has a status that is not sent"
        if (not obx[5]) and obx[11] != "X":
            yield f"OBX {number} is empty without X"
        if obx[6] and (obx[6].split("^")[2] != "UCUM" or obx[2] != "NM") and obx[5]:
            yield f"OBX {number} has a unit that is not UCUM"
        if obx[6].startswith("%^") and re.fullmatch(r"\d+(\.\d+)?", obx[5]) and float(obx[5]) > 100:
            yield f"OBX {number} is no percentage"
        if obx[8] not in ("", *TABLES["HL70078"][1]):
            yield f"OBX {number} has a flag that is not of table 0078"
        if obx[7] or obx[8] == "N":
            yield f"OBX {number} says what is normal, which nothing here can know"
    given_letters = {obx[11] for obx in results if obx[5]}
    if len(given_letters) != 1:
        yield "results of more than one status"
    last = results[-1]
    if last[3].split("^")[0] != "OBXCOUNT" or last[5] != str(len(results)):
        yield "the count at the end is not the count"


def _luhn(number: str) -> bool:
    digits = [int(d) for d in reversed(number.replace("-", ""))]
    doubled = (d if place % 2 == 0 else (2 * d - 9 if d > 4 else 2 * d) for place, d in enumerate(digits))
    return sum(doubled) % 10 == 0


def _notes(segments: list[list[str]]) -> Iterator[str]:
    number = 0
    for segment in segments:
        number = number + 1 if segment[0] == "NTE" else 0
        if segment[0] == "NTE" and (segment[1] != str(number) or segment[2] != "L" or not segment[3]):
            yield "a note is empty or out of sequence"


def accepted_by_hl7apy(content: bytes) -> bool:
    message = parse_message(content.decode("utf-8"), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    return bool(message.validate())


def values_by_hl7(content: bytes) -> dict[str, tuple[str, str]]:
    message = hl7.parse(content.decode("utf-8"))
    found = {}
    for obx in message.segments("OBX"):
        parts = str(obx[3]).split("^")
        code = parts[3] if len(parts) > 3 else parts[0]
        found[code] = (message.unescape(str(obx[5])), str(obx[11]))
    return found


def faults_of_bundle(content: bytes) -> list[str]:
    bundle = json.loads(content)
    faults = []
    try:
        Bundle.model_validate(bundle)
    except ValueError as error:
        faults.append(str(error)[:400])
    known = {entry["fullUrl"] for entry in bundle["entry"]}
    if '"referenceRange"' in content.decode() or '"code":"N"' in content.decode():
        faults.append("an observation says what is normal, which nothing here can know")
    faults += [f"dangling {reference}" for reference in _references(bundle) if reference not in known]
    return faults


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "reference":
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def faults_of_file(name: str, content: bytes) -> list[str]:
    """All quick judges of one format; an empty list is a pass."""
    if name in ("hl7", "hl7-oul"):
        faults = faults_of_hl7(content)
        if values_by_hl7(content) != READERS[name](content).values:
            faults.append("two readers do not read the same values")
        return faults
    if name == "lis2":
        trimmed, whole = read_lis2_cr(content), read_lis2_lf(content)
        # One of the two rules trims each record: an id with outer blanks at a record's end loses them there.
        whole.patient_id, trimmed.patient_id = whole.patient_id.strip(), trimmed.patient_id.strip()
        same = trimmed == whole
        return [] if same else ["the two published rules for splitting records do not read the same"]
    if name == "csv":
        rows = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
        return [] if len({len(row) for row in rows}) == 1 else ["rows of different lengths"]
    if name == "fhir":
        return faults_of_bundle(content)
    return []
