"""Records for tests: a realistic example, a builder that keeps every count in agreement, and hostile variations.

example_record(**changes)                 one slide of 120 cells, the same every time
record_from_cells(cells, **changes)       counts, profile and cells from a list of (type code, findings)
records()                                 a hypothesis strategy: any counts, any text, every status
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from edge.catalogue import load_catalogue

CATALOGUE = load_catalogue()
HOSTILE = st.text(
    st.one_of(
        st.sampled_from("|^~\\&\r\n\t\x00\x0b\x1c\x1b<>\"'`{}%é漢\u202eßµ≥\u2028\x85"),
        st.characters(exclude_categories=("Cs",)),
    ),
    max_size=60,
)
OFFSETS = ("+09:00", "+00:00", "-03:30", "+05:45", "-11:00", "+14:00")
IDENTIFIERS = st.text(
    st.one_of(st.sampled_from("|^~\\&<>\"' 0AÉ漢"), st.characters(min_codepoint=32, max_codepoint=126)),
    min_size=1,
    max_size=24,
).filter(str.strip)  # blanks alone name nothing: refused, by a test of its own


def wilson(numerator: int, denominator: int) -> list[float] | None:
    if not denominator:
        return None
    z, share = 1.96, numerator / denominator
    centre = (share + z * z / (2 * denominator)) / (1 + z * z / denominator)
    half = z * math.sqrt(share * (1 - share) / denominator + z * z / (4 * denominator**2)) / (1 + z * z / denominator)
    return [round(max(0.0, centre - half), 6), round(min(1.0, centre + half), 6)]


def profile_of(cells: Sequence[tuple[str | None, Mapping[str, float]]]) -> list[dict[str, Any]]:
    counts = Counter(kind for kind, _ in cells if kind)
    leucocytes = sum(counts[code] for code in CATALOGUE.leucocyte_codes)
    rows = []
    for kind in CATALOGUE.cell_types:
        per_100 = not kind.leucocyte
        name = f"{kind.code}_per_100_wbc" if per_100 else f"{kind.code}_share"
        count = counts[kind.code]
        value = count / leucocytes * (100 if per_100 else 1) if leucocytes else None
        rows.append(row(name, value, count, leucocytes, None if per_100 else wilson(count, leucocytes)))
    rows.sort(key=lambda r: r["name"].endswith("_per_100_wbc"))
    for finding in CATALOGUE.findings:
        denominator = sum(counts[code] for code in finding.applies_to)
        shown = sum(1 for kind, found in cells if kind in finding.applies_to and finding.code in found)
        value = shown / denominator if denominator else None
        rows.append(row(f"{finding.code}_rate", value, shown, denominator, wilson(shown, denominator)))
    return rows


def row(name: str, value: float | None, numerator: int, denominator: int, interval: list[float] | None) -> dict:
    rounded = None if value is None else round(value, 6)
    return {"name": name, "value": rounded, "numerator": numerator, "denominator": denominator, "ci95": interval}


def record_from_cells(cells: Sequence[tuple[str | None, Mapping[str, float]]], **changes: Any) -> dict[str, Any]:
    counts = Counter(kind for kind, _ in cells if kind)
    leucocytes = sum(counts[code] for code in CATALOGUE.leucocyte_codes)
    record: dict[str, Any] = {
        "schema": "mds-edge.record/1",
        "message_id": "9F3C21AA04B7.R1",
        "mode": "P",
        "status": "P",
        "revision": 1,
        "supersedes": None,
        "reason": None,
        "analysed_at": "2026-11-23T18:00:00+09:00",
        "site": "HEMLAB",
        "slide": {
            "source": "di60",
            "slide_key": "A0042_S1",
            "sample_id": "0012345678",
            "order_id": "ORD-77",
            "slide_no": 1,
            "acquired_at": "2026-11-23T08:00:00+00:00",
            "analyzer": {"model": "DI-60", "serial": "A1234", "software": "7.0.1"},
            "patient_id": None,
            "manifest_sha256": "4e" * 32,
        },
        "counts": {code: counts[code] for code in CATALOGUE.type_codes},
        "leucocytes": leucocytes,
        "images": len(cells),
        "unreadable": 0,
        "unidentified": sum(1 for kind, _ in cells if kind is None),
        "out_of_distribution": 0,
        "profile": profile_of(cells),
        "assessments": [],
        "cells": [cell_row(number, kind, found) for number, (kind, found) in enumerate(cells, start=1)],
        "warnings": [],
        "quality": None,
        "preclass": None,
        "provenance": {
            "bundle": {"name": "wbc", "version": "2026.1", "digest": "ab" * 32, "intended_use": "research"},
            "engine": {"name": "openvino", "device": "CPU", "precision": "int8"},
            "trees": "compiled",
            "software": "mds-edge 0.1.0",
            "degraded": False,
        },
        "stage_ms": dict.fromkeys(("decode", "resize", "infer", "findings", "profile", "assess", "explain"), 12),
    }
    return {**record, **changes}


def cell_row(number: int, kind: str | None, found: Mapping[str, float]) -> dict[str, Any]:
    name = f"wbc/{number:04d}.jpg"
    return {
        "id": f"c{number:04d}",
        "file": name,
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "type": kind,
        "p": round(0.99 - (number * 37 % 60) / 100, 4),
        "findings": dict(found),
        "flags": [] if kind else ["UNIDENTIFIED"],
        "preclass": None,
        "distance": None,
        "best_type": None if kind else "MY",
    }


EXAMPLE_COUNTS = "SNE 41 BNE 9 MMY 3 MY 2 PMY 1 BL 1 LY 28 VLY 2 MO 9 EO 3 BA 1 LP 6 ERB 4 SMU 5 TAG 1 ART 2".split()
EXAMPLE_FINDINGS = {
    "NE01": 0.16, "NE04": 0.24, "NE03": 0.06, "NE07": 0.04, "NE10": 0.08, "LY02": 0.07, "EB06": 0.5, "PL01": 0.34,
    "BL05": 1.0, "MM01": 0.34, "EO04": 0.3,
}  # fmt: skip


def example_cells() -> list[tuple[str | None, dict[str, float]]]:
    chance = random.Random(7)
    cells: list[tuple[str | None, dict[str, float]]] = []
    for code, count in zip(EXAMPLE_COUNTS[::2], EXAMPLE_COUNTS[1::2], strict=True):
        for _ in range(int(count)):
            possible = [f.code for f in CATALOGUE.findings_of(code)]
            found = [f for f in possible if chance.random() < EXAMPLE_FINDINGS.get(f, 0)]
            cells.append((code, {f: round(0.55 + chance.random() * 0.44, 4) for f in found}))
    chance.shuffle(cells)
    return [*cells, (None, {}), (None, {})]


def example_record(**changes: Any) -> dict[str, Any]:
    """A slide with a call above the threshold, findings in several lineages and two warnings."""
    record = record_from_cells(example_cells())
    with_finding = {
        code: [cell["id"] for cell in record["cells"] if code in cell["findings"]] for code in CATALOGUE.finding_codes
    }
    blasts = [cell["id"] for cell in record["cells"] if cell["type"] == "BL"]
    large = [cell["id"] for cell in record["cells"] if cell["type"] == "LP"]
    contributions = [
        ("NE04_rate", 0.912, with_finding["NE04"]), ("NE01_rate", 0.641, with_finding["NE01"]),
        ("BL_share", 0.322, blasts), ("LY_share", -0.287, []), ("PL01_rate", 0.201, with_finding["PL01"]),
        ("EB06_rate", 0.188, with_finding["EB06"]), ("NE10_rate", 0.12, with_finding["NE10"]),
        ("MO_share", -0.094, []), ("LP_per_100_wbc", 0.061, large), ("EO_share", -0.033, []),
        ("NE07_rate", -0.012, with_finding["NE07"]),
    ]  # fmt: skip
    record["assessments"] = [
        {
            "target": "mds_aa",
            "positive": "MDS",
            "negative": "AA",
            "score": 0.8731,
            "margin": 1.9292,
            "ci95": [0.6912, 0.9507],
            "threshold": 0.5,
            "call": "MDS-SUSPECT",
            "sufficient": True,
            "reasons": [{"code": "BLAST-REVIEW", "text": "1 blast among 100 leucocytes: look at it on the smear."}],
            "contributions": [{"name": n, "value": v, "cells": cells} for n, v, cells in contributions],
            **explanation_of(record, contributions),
        }
    ]
    record["warnings"] = [
        {"code": "META-MISSING", "text": "The export gave no metadata; the sample id was read from the folder name."},
        {"code": "LOW-CELLS", "text": "Fewer neutrophils than the assessment was made with: 50 of 60."},
    ]
    return {**record, **changes}


def explanation_of(record: dict[str, Any], contributions: Sequence[tuple[str, float, list[str]]]) -> dict[str, Any]:
    """Groups, sufficiency, contrast and changes that agree with the record; the medians and scores are made up."""
    rows = {row["name"]: row for row in record["profile"]}
    groups = dict.fromkeys((*"GN LY EO BA MY MMY EB BL PMY PLT VLY MK".split(), "OTHER"), 0.0)
    group_of = {part.code: part.group for part in (*CATALOGUE.cell_types, *CATALOGUE.findings)}
    for name, value, _ in contributions:
        group = group_of[name.split("_")[0]]
        groups[group if group in groups else "OTHER"] += value
    neutrophils = record["counts"]["SNE"] + record["counts"]["BNE"]
    changed = rows["NE04_rate"]
    return {
        "groups": [{"group": group, "value": round(value, 6)} for group, value in groups.items()],
        "sufficiency": {
            "leucocytes": record["leucocytes"],
            "neutrophils": neutrophils,
            "minimum": {"wbc": 50, "neutrophil": 20},
            "more_cells_to_halve_interval": 300,
            "text": f"counted {record['leucocytes']} leucocytes (at least 50 needed) and {neutrophils} neutrophils "
            "(at least 20 needed); count about 300 more leucocytes to halve the counting interval",
        },
        "contrast": [
            {"name": n, "value": rows[n]["value"], "positive_median": 0.31, "negative_median": None if v < 0 else 0.05}
            for n, v, _ in contributions[:6]
        ],
        "what_would_change": [
            {"name": "NE04_rate", "code": "NE04", "counted": changed["numerator"], "of": changed["denominator"],
             "needed": 2, "score": 0.4872},
        ],
    }  # fmt: skip


def assessment(call: str, score: float | None, interval: Sequence[float] | None = None, **changes: Any) -> dict:
    """One assessment of MDS against AA with the given call."""
    made = {
        "target": "mds_aa",
        "positive": "MDS",
        "negative": "AA",
        "score": score,
        "margin": None if score is None else 0.1,
        "ci95": None if interval is None else list(interval),
        "threshold": 0.5,
        "call": call,
        "sufficient": call != "NOT-EVALUABLE",
        "reasons": [],
        "contributions": [],
        "groups": [],
        "sufficiency": None,
        "contrast": [],
        "what_would_change": [],
    }
    return {**made, **changes}


@st.composite
def coded_texts(draw: st.DrawFn) -> list[dict[str, str]]:
    texts = draw(st.lists(HOSTILE, max_size=3))
    return [{"code": f"WARN-{number:03d}", "text": text} for number, text in enumerate(texts)]


@st.composite
def cell_lists(draw: st.DrawFn) -> list[tuple[str | None, dict[str, float]]]:
    cells: list[tuple[str | None, dict[str, float]]] = []
    for kind in draw(st.lists(st.sampled_from((*CATALOGUE.type_codes, None)), max_size=40)):
        possible = [finding.code for finding in CATALOGUE.findings_of(kind)] if kind else []
        found = draw(st.lists(st.sampled_from(possible), unique=True, max_size=3)) if possible else []
        cells.append((kind, dict.fromkeys(found, 0.75)))
    return cells


@st.composite
def assessments(draw: st.DrawFn) -> list[dict[str, Any]]:
    fractions = st.integers(0, 10_000).map(lambda tenth_per_mille: tenth_per_mille / 10_000)
    low, score, high = sorted(draw(st.tuples(fractions, fractions, fractions)))
    threshold = draw(fractions)
    sided = "MDS-SUSPECT" if score >= threshold else "AA-LIKE"
    call = draw(st.sampled_from((sided, "INDETERMINATE", "NOT-EVALUABLE", "NOT-REQUESTED")))
    scored = call not in ("NOT-REQUESTED", "NOT-EVALUABLE")
    interval = (low, high) if scored and draw(st.booleans()) else None
    made = [assessment(call, score if scored else None, interval, reasons=draw(coded_texts()), threshold=threshold)]
    if draw(st.booleans()):
        made.append(assessment("INDETERMINATE", score, None, target="second target", positive="X"))
    return made


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """Any record that the pipeline could hand over, with hostile text wherever people or machines supply text."""
    # Half of them first results: these leave out what was not seen, revisions repeat everything.
    revision = draw(st.just(1) | st.integers(1, 12))
    record = record_from_cells(
        draw(cell_lists()),
        status=draw(st.sampled_from("PFCWX")),
        mode=draw(st.sampled_from("PT")),
        revision=revision,
        message_id=f"9F3C21AA04B7.R{revision}",
        supersedes=f"9F3C21AA04B7.R{revision - 1}" if revision > 1 else None,
        analysed_at=f"2026-11-23T18:00:00{draw(st.sampled_from(OFFSETS))}",
        reason=draw(st.none() | HOSTILE),
        site=draw(IDENTIFIERS),
        assessments=draw(assessments()),
        warnings=draw(coded_texts()),
    )
    record["unreadable"] = draw(st.integers(0, 9))
    record["images"] += record["unreadable"]
    slide = {
        "slide_key": draw(IDENTIFIERS),
        "sample_id": draw(IDENTIFIERS),
        "order_id": draw(st.none() | IDENTIFIERS),
        "slide_no": draw(st.none() | st.integers(1, 9)),
        "acquired_at": draw(st.none() | st.datetimes().map(str) | st.just("2026-11-23T23:30:00-11:00") | HOSTILE),
        "patient_id": draw(st.none() | IDENTIFIERS),
        "analyzer": {"model": draw(HOSTILE | st.just("SIMULATED DI-60")), "serial": draw(st.none() | HOSTILE),
                     "software": None},
    }  # fmt: skip
    record["slide"] = {**record["slide"], **slide}
    record["provenance"] = {**record["provenance"], "degraded": draw(st.booleans())}
    return with_use(record, draw(st.sampled_from(("research", "clinical"))))


def with_use(record: dict[str, Any], intended_use: str) -> dict[str, Any]:
    """The record as a bundle with this intended use makes it."""
    provenance = record["provenance"]
    return {**record, "provenance": {**provenance, "bundle": {**provenance["bundle"], "intended_use": intended_use}}}


def carried_by(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record with identifiers and marks that this format can carry; the refusals have tests of their own."""
    slide = dict(record["slide"])
    site = record["site"]
    if name == "lis2":
        for key in ("sample_id", "slide_key", "order_id", "patient_id"):
            if slide[key] is not None:
                slide[key] = slide[key].encode("ascii", "replace").decode()
        site = site.encode("ascii", "replace").decode()
    if name == "csv-wide":
        slide["sample_id"] = re.sub(r"[^\w.-]", "_", slide["sample_id"], flags=re.ASCII)
        slide["slide_no"] = None
        slide["analyzer"] = {**slide["analyzer"], "model": "DI-60"}
        status = record["status"] if record["status"] in "PFC" else "P"
        first = {"revision": 1, "supersedes": None, "message_id": "9F3C21AA04B7.R1"}
        return {**record, **first, "slide": slide, "mode": "P", "status": status}
    return {**record, "slide": slide, "site": site}
