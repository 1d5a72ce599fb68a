"""A record says what the pipeline found, in the same bytes everywhere, and never leaves when it contradicts itself."""

from __future__ import annotations

import copy
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.assessment import Assessment, ContrastRow, ContributionRow, CountChange, GroupRow
from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.findings import CellFindings
from edge.gates import Reason, Sufficiency
from edge.images import RefusedCell
from edge.record_check import first_fault
from edge.record_text import ADDED, KEYS
from edge.result import Job, Provenance, build_result, record_bytes, reject_slide, revise_record
from edge.slide import Analyzer, CellFile, Slide, SlideWarning
from edge.slide_profile import intervals_from_profile, profile_slide
from edge.writers.strings import words

CATALOGUE = load_catalogue()
NOTHING = np.zeros(0, np.float32)
LIKELIEST_BLAST = np.eye(17, dtype=np.float32)[CATALOGUE.type_codes.index("BL")]
STAGES = dict.fromkeys(("decode", "resize", "infer", "findings", "profile", "assess", "explain"), 1.26)


def cell(
    number: int, cell_type: str | None, *present: str, flag: str = "UNIDENTIFIED", p: float = 0.91234
) -> CellFindings:
    probabilities = np.zeros(97, np.float32)
    for code in present:
        probabilities[CATALOGUE.finding_codes.index(code)] = 0.76543
    flags = () if cell_type else (flag,)
    return CellFindings(f"{number:04d}", cell_type, p, LIKELIEST_BLAST, probabilities, NOTHING, present, flags)


def slide_of(images: int) -> Slide:
    files = tuple(CellFile(f"{n:04d}", f"wbc/{n:04d}.jpg", 1000, f"{n:064x}", None) for n in range(images))
    return Slide(
        "A0042_S1", Path("/nowhere"), "0012345678", "ORD-77", 1, "2026-11-23T08:00:00+00:00",
        Analyzer("DI-60", "A1", None), ("mds_aa",), None, files, None, (SlideWarning("META-MISSING", "From name."),),
    )  # fmt: skip


JOB = Job(
    source="di60", revision=1, message_id="9F3C21AA04B7.R1", supersedes=None, reason=None, status="P",
    analysed_at="2026-11-23T18:00:00+09:00", assess_all=False, manifest_sha256="4e" * 32, site="HEMLAB",
    degraded=False, warnings=(SlideWarning("CLOCK", "The clock is not set."),),
)  # fmt: skip
PROVENANCE = Provenance("wbc", "2026.1", "ab" * 32, "research", "openvino", "cpu", "int8", "compiled")
ASSESSMENT = Assessment(
    "mds_aa", "MDS", "AA", 0.873149, 1.92925, (0.6912, 0.9507), 0.5, "MDS-SUSPECT",
    Sufficiency(5, 3, 2, 1, 15, "counted 5 leucocytes"), (Reason("BLAST-REVIEW", "1 blast"),),
    (ContributionRow("NE04_rate", 0.9121234567, ("0001", "0000")),), (GroupRow("GN", 0.9121234567),),
    (ContrastRow("NE04_rate", 2 / 3, 0.31, math.nan),),
    (CountChange("NE04_rate", "NE04", 2, 3, 0, 0.41238),),
)  # fmt: skip
CELLS = (
    cell(0, "SNE", "NE01", "NE04"), cell(1, "SNE", "NE04"), cell(2, "BNE"), cell(3, "LY", "LY01"), cell(4, "SMU"),
    cell(5, "ERB"), cell(6, None), cell(7, None, flag="OOD"), cell(8, "BL"),
)  # fmt: skip
REFUSED = (RefusedCell("0009", "MDSE-IMAGE-004", "MDSE-IMAGE-004 wbc/0009.jpg: cut"),)


def build(cells=CELLS, refused=REFUSED, **changes) -> dict[str, Any]:
    profile = profile_slide(cells, CATALOGUE)
    given_ = dict(
        slide=slide_of(len(cells) + len(refused)), job=JOB, cells=cells, refused=refused, profile=profile,
        intervals=intervals_from_profile(profile), assessments=(ASSESSMENT,), provenance=PROVENANCE,
        catalogue=CATALOGUE, stage_ms=STAGES,
    )  # fmt: skip
    return build_result(**{**given_, **changes})


def code_of(call, *args, **options) -> str:
    with pytest.raises(EdgeError) as caught:
        call(*args, **options)
    return caught.value.code


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    page = Path(__file__).resolve().parents[2] / "docs" / "record.schema.json"
    return json.loads(page.read_text(encoding="utf-8"))


def closed(part: Any) -> Any:
    """Return the schema with every object closed, so that a field without documentation is a fault."""
    if isinstance(part, list):
        return [closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    inner = {key: closed(value) for key, value in part.items()}
    return (
        {**inner, "additionalProperties": False}
        if isinstance(part.get("properties"), dict) and "type" in part
        else inner
    )


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def test_the_record_says_who_what_and_how_many():
    record = build()
    assert record["slide"]["sample_id"] == "0012345678"
    assert record["counts"] == {
        **dict.fromkeys(CATALOGUE.type_codes, 0),
        **dict(SNE=2, BNE=1, LY=1, SMU=1, ERB=1, BL=1),
    }
    assert (record["leucocytes"], record["images"]) == (5, 10)
    assert (record["unreadable"], record["unidentified"], record["out_of_distribution"]) == (1, 1, 1)
    assert record["cells"][0] == {
        "id": "0000", "file": "wbc/0000.jpg", "sha256": f"{0:064x}", "type": "SNE", "p": 0.9123,
        "findings": {"NE01": 0.7654, "NE04": 0.7654}, "flags": [], "preclass": None, "distance": None,
        "best_type": None,
    }  # fmt: skip
    assert [c["flags"] for c in record["cells"][6:8]] == [["UNIDENTIFIED"], ["OOD"]]
    assert [c["best_type"] for c in record["cells"][6:8]] == ["BL", None]
    rows = {row["name"]: row for row in record["profile"]}
    assert len(rows) == 114
    assert rows["SNE_share"]["value"] == 0.4
    assert rows["SMU_per_100_wbc"]["value"] == 20.0
    assert (rows["NE04_rate"]["value"], rows["NE04_rate"]["numerator"]) == (0.666667, 2)
    assert rows["MK01_rate"] == {"name": "MK01_rate", "value": None, "numerator": 0, "denominator": 0, "ci95": None}
    low, high = rows["NE04_rate"]["ci95"]
    assert low < 0.666667 < high
    assert (record["quality"], record["preclass"]) == (None, None)
    assert [w["code"] for w in record["warnings"]] == ["META-MISSING", "CLOCK", "UNREADABLE-IMAGES"]
    assert "0009 MDSE-IMAGE-004" in record["warnings"][2]["text"]
    assert record["provenance"]["software"].startswith("mds-edge ")
    assert record["stage_ms"]["infer"] == 1.3


def test_the_record_says_how_a_score_was_made_and_what_would_change_it():
    (assessment,) = build()["assessments"]
    assert (assessment["score"], assessment["margin"], assessment["ci95"]) == (0.8731, 1.92925, [0.6912, 0.9507])
    assert assessment["contributions"] == [{"name": "NE04_rate", "value": 0.912123, "cells": ["0001", "0000"]}]
    assert assessment["groups"] == [{"group": "GN", "value": 0.912123}]
    assert assessment["sufficiency"] == {
        "leucocytes": 5, "neutrophils": 3, "minimum": {"wbc": 2, "neutrophil": 1},
        "more_cells_to_halve_interval": 15, "text": "counted 5 leucocytes",
    }  # fmt: skip
    assert assessment["contrast"] == [
        {"name": "NE04_rate", "value": 0.666667, "positive_median": 0.31, "negative_median": None}
    ]
    assert assessment["what_would_change"] == [
        {"name": "NE04_rate", "code": "NE04", "counted": 2, "of": 3, "needed": 0, "score": 0.4124}
    ]


def test_a_demonstration_bundle_marks_the_record_as_a_test():
    assert build()["mode"] == "P"
    assert build(provenance=replace(PROVENANCE, intended_use="demo"))["mode"] == "T"


def test_the_record_keeps_its_schema_and_the_schema_knows_every_field(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    strict = jsonschema.Draft202012Validator(closed(schema))
    for record in (build(), build(assessments=()), build(cells=(cell(0, None),), refused=(), assessments=())):
        strict.validate(json.loads(record_bytes(record)))
    with pytest.raises(jsonschema.ValidationError):
        strict.validate({**build(), "new": 1})


def test_the_schema_names_every_canonical_key(schema):
    tops = set(schema["properties"])
    assert tops == set(KEYS[""])
    for path in ("slide", "parameter", "assessment", "cell", "provenance", "coded"):
        key = {"parameter": "profile", "assessment": "assessments", "cell": "cells", "coded": "warnings"}.get(
            path, path
        )
        assert set(schema["$defs"][path]["properties"]) == set(KEYS[key])
        assert set(schema["$defs"][path]["required"]) == set(KEYS[key]) - ADDED.get(key, frozenset())


def test_a_reader_of_version_1_accepts_fields_it_does_not_know(schema):
    jsonschema.validate({**build(), "new": 1}, schema)


def test_the_same_record_gives_the_same_bytes_whatever_the_order_of_its_keys():
    record = build()
    content = record_bytes(record)
    shuffled = json.loads(json.dumps(record, sort_keys=True))
    shuffled["counts"] = record["counts"]
    for made, mixed in zip(record["cells"], shuffled["cells"], strict=True):
        mixed["findings"] = made["findings"]
    assert record_bytes(shuffled) == content
    assert record_bytes(json.loads(content)) == content
    assert content.endswith(b"}\n")
    assert content.count(b"\n") == 1
    assert list(json.loads(content)) == list(KEYS[""])


def test_unknown_keys_of_a_later_version_are_kept_behind_the_known_ones():
    record = {"new": {"a": 1}, **build()}
    assert list(json.loads(record_bytes(record)))[-1] == "new"


@pytest.mark.case("B20")
def test_every_changed_count_is_noticed():
    good = json.loads(record_bytes(build()))
    changed = 0
    for part in range(len(list(objects(good)))):
        for key in list(list(objects(good))[part]):
            record = copy.deepcopy(good)
            place = list(objects(record))[part]
            if key == "denominator" and place["numerator"] == 0 and place["name"].endswith("_rate"):
                continue  # a record names no groups: build_result proves these (next test)
            if key in ("slide_no", "more_cells_to_halve_interval", "needed", "wbc", "neutrophil", "neutrophils"):
                continue  # limits and proposals are no counts; the neutrophils are proved like the rates
            if isinstance(place[key], bool) or not isinstance(place[key], int):
                continue
            place[key] += 1
            changed += 1
            assert first_fault(record), f"{key} of {place}"
    assert changed > 150


@pytest.mark.case("B20")
def test_a_rate_over_other_cells_than_its_own_makes_no_record():
    profile = profile_slide(CELLS, CATALOGUE)
    intervals = intervals_from_profile(profile)
    for column in range(17, 114):
        denominators = profile.denominators.copy()
        denominators[column] += 1
        changed = replace(profile, denominators=denominators)
        assert code_of(build, profile=changed, intervals=intervals) == "MDSE-SLIDE-012"


@pytest.mark.case("B20")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("assessments.0.what_would_change.0.name", "ZZ99_rate"),
        ("assessments.0.what_would_change.0", {}),
        ("assessments.0.ci95", [0.5]),
        ("profile.0.numerator", 10**400),
        ("cells", None),
        ("analysed_at", "today"),
        ("provenance", []),
    ],
)
def test_a_field_that_is_missing_or_no_such_value_is_told_in_words_like_any_other_fault(path, value):
    record = json.loads(record_bytes(build()))
    set_at(record, path, value)
    fault = first_fault(record)
    assert fault is not None
    assert ("which is not there" in fault) == path.endswith("name")


def set_at(record: dict[str, Any], path: str, value: object) -> None:
    *outer, leaf = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = record
    for part in outer:
        place = place[part]
    place[leaf] = value


@pytest.mark.case("B20")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "mds-edge.record/2"),
        ("mode", "X"),
        ("status", "Q"),
        ("message_id", "9F3C21AA04B7.R2"),
        ("message_id", "with blank.R1"),
        ("supersedes", "9F3C21AA04B7.R1"),
        ("analysed_at", "2026-11-23T18:00:00"),
        ("analysed_at", "today"),
        ("slide.sample_id", None),
        ("slide.sample_id", ""),
        ("slide.sample_id", "1\r2"),
        ("provenance.bundle.intended_use", "demo"),
        ("cells.0.type", "BNE"),
        ("cells.0.type", None),
        ("cells.6.type", "SNE"),
        ("cells.6.flags", []),
        ("cells.6.flags", ["OOD"]),
        ("cells.6.findings", {"NE01": 0.9}),
        ("cells.0.findings", {"NE01": 0.9}),
        ("cells.0.findings", {"NE01": 0.9, "NE04": 1.2}),
        ("cells.2.findings", {"ZZ01": 0.9}),
        ("cells.0.p", -0.1),
        ("cells.0.id", "0001"),
        ("profile.0.value", 0.41),
        ("profile.0.value", None),
        ("profile.0.ci95", [0.5, 0.9]),
        ("profile.0.name", "XX_share"),
        ("profile.113.value", 0.0),
        ("assessments.0.score", None),
        ("assessments.0.score", 0.3),
        ("assessments.0.score", 1.2),
        ("assessments.0.sufficient", False),
        ("assessments.0.call", "AA-LIKE"),
        ("assessments.0.call", "MDS"),
        ("assessments.0.call", "NOT-REQUESTED"),
        ("assessments.0.call", "NOT-EVALUABLE"),
        ("assessments.0.ci95", [0.9, 0.1]),
        ("assessments.0.threshold", 1.5),
        ("assessments.0.contributions.0.cells", ["0099"]),
        ("assessments.0.contributions.0.name", "NE99_rate"),
        ("assessments.0.groups.0.value", 0.9122),
        ("assessments.0.sufficiency.leucocytes", 6),
        ("assessments.0.sufficiency.neutrophils", 6),
        ("assessments.0.sufficiency.minimum.wbc", 6),
        ("assessments.0.sufficiency.minimum.neutrophil", 4),
        ("assessments.0.contrast.0.value", 0.5),
        ("assessments.0.contrast.0.name", "NE99_rate"),
        ("assessments.0.what_would_change.0.name", "NE99_rate"),
        ("assessments.0.what_would_change.0.counted", 1),
        ("assessments.0.what_would_change.0.of", 4),
        ("assessments.0.what_would_change.0.needed", 2),
        ("assessments.0.what_would_change.0.needed", -1),
        ("assessments.0.what_would_change.0.score", 1.1),
        ("preclass", {"compared": 3, "disagree": 4}),
        ("preclass", {"compared": 99, "disagree": 0}),
        ("cells.0.p", math.nan),
        ("assessments.0.margin", math.inf),
        ("site", "half \ud800 a character"),
        ("counts", None),
        ("leucocytes", "5"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(path, value):
    record = json.loads(record_bytes(build()))
    set_at(record, path, value)
    assert code_of(record_bytes, record) == "MDSE-SLIDE-012"


@pytest.mark.case("B20")
@pytest.mark.parametrize(("call", "score"), [("MDS-SUSPECT", 0.4998), ("AA-LIKE", 0.5002)])
def test_a_call_on_the_wrong_side_of_its_threshold_is_refused(call, score):
    record = json.loads(record_bytes(build()))
    record["assessments"][0] |= {"call": call, "score": score, "ci95": None}
    assert code_of(record_bytes, record) == "MDSE-SLIDE-012"
    record["assessments"][0]["score"] = 0.5
    record_bytes(record)


@pytest.mark.parametrize("key", [key for key in KEYS[""] if key not in ADDED[""]])
def test_a_record_with_a_missing_field_is_refused(key):
    record = build()
    del record[key]
    assert code_of(record_bytes, record) == "MDSE-SLIDE-012"


@pytest.mark.case("B20")
def test_parts_that_do_not_belong_together_make_no_record():
    assert code_of(build, slide=slide_of(11)) == "MDSE-SLIDE-012"
    assert code_of(build, refused=(), slide=slide_of(10)) == "MDSE-SLIDE-012"
    assert code_of(build, refused=(replace(REFUSED[0], cell_id="0000"),), slide=slide_of(10)) == "MDSE-SLIDE-012"
    assert code_of(build, profile=profile_slide(CELLS[1:], CATALOGUE)) == "MDSE-SLIDE-012"
    assert code_of(build, job=replace(JOB, revision=2)) == "MDSE-SLIDE-012"
    assert code_of(build, assessments=(ASSESSMENT, ASSESSMENT)) == "MDSE-SLIDE-012"


@pytest.mark.case("B11")
@pytest.mark.parametrize(
    ("images", "refused", "fraction", "rejected"),
    [
        (10, 0, 0.1, False),
        (10, 1, 0.1, False),
        (10, 2, 0.1, True),
        (1, 1, 1.0, True),
        (100, 1, 0.0, True),
        (9, 1, 0.1, True),
        (100, 29, 0.29, False),
        (180, 63, 0.35, False),
        (180, 64, 0.35, True),
    ],
)
def test_too_many_unreadable_images_give_no_result(images, refused, fraction, rejected):
    cells = tuple(RefusedCell(f"{n:04d}", "MDSE-IMAGE-004", "cut") for n in range(refused))
    if rejected:
        with pytest.raises(EdgeError, match=f"{refused} of {images}") as caught:
            reject_slide(slide_of(images), cells, unreadable_fraction=fraction)
        assert (caught.value.code, caught.value.exit_status) == ("MDSE-SLIDE-008", 5)
    else:
        reject_slide(slide_of(images), cells, unreadable_fraction=fraction)


@pytest.mark.case("B12")
def test_a_damaged_image_beside_copies_of_one_picture_hides_no_stuck_camera():
    slide = slide_of(20)
    files = tuple(replace(file, sha256="0" * 64 if file.cell_id != "0007" else "1" * 64) for file in slide.cell_files)
    damaged = (RefusedCell("0007", "MDSE-IMAGE-004", "cut"),)
    with pytest.raises(EdgeError, match="all 19 images that can be read are byte-identical") as caught:
        reject_slide(replace(slide, cell_files=files), damaged)
    assert caught.value.code == "MDSE-SLIDE-007"


REVISION = dict(
    status="W", revision=2, supersedes="9F3C21AA04B7.R1", reason="wrong label", message_id="9F3C21AA04B7.R2",
    analysed_at="2026-11-24T09:00:00+09:00",
)  # fmt: skip


def test_a_revision_changes_what_it_names_and_nothing_that_was_measured():
    archived = json.loads(record_bytes(build()))
    before = copy.deepcopy(archived)
    revised = revise_record(archived, **REVISION)
    assert archived == before
    assert {key for key in revised if revised[key] != archived[key]} == set(REVISION)
    assert {key: revised[key] for key in REVISION} == REVISION
    record_bytes(revised)


def test_a_record_from_before_a_field_was_added_is_still_revised_and_keeps_its_form():
    archived = json.loads(record_bytes(build()))
    for path, added in ADDED.items():
        for place in [archived] if path == "" else archived[path]:
            for key in added:
                del place[key]
    revised = revise_record(archived, **REVISION)
    assert "quality" not in revised
    assert json.loads(record_bytes(revised)) == {**archived, **REVISION}


@pytest.mark.case("B20")
def test_neutrophils_that_are_not_those_of_the_counts_make_no_record():
    wrong = replace(ASSESSMENT, sufficiency=replace(ASSESSMENT.sufficiency, neutrophils=4))
    assert code_of(build, assessments=(wrong,)) == "MDSE-SLIDE-012"


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "Z"},
        {"revision": 1},
        {"revision": 0},
        {"supersedes": "9F3C21AA04B8.R1"},
        {"reason": "  "},
        {"message_id": "9F3C21AA04B7.R1"},
    ],
)
def test_a_revision_of_the_wrong_record_or_without_reason_is_refused(wrong):
    assert code_of(revise_record, build(), **{**REVISION, **wrong}) == "MDSE-SLIDE-013"


def test_a_revision_under_a_message_id_of_another_number_is_refused():
    assert code_of(revise_record, build(), **{**REVISION, "message_id": "9F3C21AA04B7.R3"}) == "MDSE-SLIDE-012"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([*CATALOGUE.type_codes, None, "OOD"]), min_size=1, max_size=60),
    st.integers(0, 5),
    st.data(),
)
def test_whatever_was_found_the_record_adds_up_and_keeps_its_schema(types, refused_count, data):
    cells = []
    for number, code in enumerate(types):
        if code in (None, "OOD"):
            cells.append(cell(number, None, flag=code or "UNIDENTIFIED"))
            continue
        possible = [finding.code for finding in CATALOGUE.findings_of(code)]
        chosen = data.draw(st.sets(st.sampled_from(possible), max_size=3)) if possible else set()
        present = [finding for finding in possible if finding in chosen]
        cells.append(cell(number, code, *present, p=data.draw(st.floats(0, 1))))
    refused = tuple(RefusedCell(f"{len(cells) + n:04d}", "MDSE-IMAGE-004", "cut") for n in range(refused_count))
    record = json.loads(record_bytes(build(tuple(cells), refused, assessments=())))
    assert sum(record["counts"].values()) + types.count(None) + types.count("OOD") + refused_count == record["images"]
    counts = Counter(code for code in types if code not in (None, "OOD"))
    assert {code: n for code, n in record["counts"].items() if n} == dict(counts)
    for row in record["profile"]:
        assert (row["value"] is None) == (row["denominator"] == 0)
        if row["ci95"] is not None:
            assert row["ci95"][0] <= row["value"] + 1e-6
            assert row["value"] <= row["ci95"][1] + 1e-6


def test_the_page_about_the_record_names_every_warning_about_a_slide(repository):
    page = (repository / "docs" / "record.md").read_text(encoding="utf-8")
    text = "".join((repository / "edge" / name).read_text(encoding="utf-8") for name in ("slide.py", "result.py"))
    codes = set(re.findall(r'"((?:META|EMPTY|LINKS|NESTED|DUPLICATE|UNREADABLE)-[A-Z]+)"', text))
    assert len(codes) == 10
    assert all(code in page for code in codes)


def test_the_pages_about_record_and_score_name_every_code_that_a_report_has_words_for(repository):
    pages = "".join((repository / "docs" / name).read_text(encoding="utf-8") for name in ("record.md", "score.md"))
    rows = [line.partition("|")[2].partition("|")[0] for line in pages.splitlines() if line.startswith("|")]
    named = {code for row in rows for code in re.findall(r"[A-Z]+(?:-[A-Z]+)*", row)}
    assert set(words("code")) - named == set()


def test_the_example_record_warns_of_nothing_that_no_slide_is_warned_of(repository):
    record = json.loads((repository / "docs" / "examples" / "record.json").read_bytes())
    assert record["warnings"]
    reasons = [reason for assessment in record["assessments"] for reason in assessment["reasons"]]
    assert {row["code"] for row in (*record["warnings"], *reasons)} - set(words("code")) == set()


def test_a_target_that_an_earlier_revision_reported_and_this_one_does_not_is_taken_back():
    earlier = {"target": "mds_icus", "positive": "MDS", "negative": "ICUS", "threshold": 0.4}
    known = {"target": "mds_aa", "positive": "MDS", "negative": "AA", "threshold": 0.5}
    record = build(job=replace(JOB, reported=(earlier, known)))
    kept, gone = record["assessments"]
    assert (kept["target"], kept["score"]) == ("mds_aa", 0.8731)
    assert (gone["target"], gone["score"], gone["call"]) == ("mds_icus", None, "NOT-EVALUABLE")
    assert [reason["code"] for reason in gone["reasons"]] == ["TARGET-GONE"]
    assert record_bytes(record)
    # A target that is there but was not asked for this time would leave the old score standing as well.
    silent = replace(ASSESSMENT, call="NOT-REQUESTED", score=None, margin=None, interval=None, contributions=(),
                     groups=(), contrast=(), what_would_change=())  # fmt: skip
    record = build(job=replace(JOB, reported=(known,)), assessments=(silent,))
    assert [(row["target"], row["call"]) for row in record["assessments"]] == [("mds_aa", "NOT-EVALUABLE")]
