"""Reports for tests and for looking at: one record for every state in which a report can be, with all its sections.

STATES                 name -> () -> (record, context), cells drawn by the simulator's rules or by plain fixtures
full_record(**changes) the example of `records` with everything that explains a score
full_context()         an atlas and a cohort, made up: they are there to be drawn, and mean nothing
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from records import CATALOGUE, assessment, example_record, record_from_cells

from edge.simulator.cells import DRAWABLE_FINDINGS, draw_cell
from edge.thumbnails import thumbnail_from_pixels
from edge.writers.report_context import AtlasPoints, CohortRows, CohortSlide, ReferenceIntervals, ReportContext

GROUPS = ("GN", "LY", "EO", "BA", "MY", "MMY", "EB", "BL", "PMY", "PLT", "VLY", "MK", "OTHER")
# Not limits for anybody: round numbers that put one value below, one within and one above.
MADE_UP_LIMITS = {"SNE": (50.0, 70.0), "BNE": (1.0, 10.0), "LY": (20.0, 40.0), "MO": (2.0, 8.0)}
VARIANTS = 4
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(1)</script>\u202e&lt;'


def full_record(**changes: Any) -> dict[str, Any]:
    """Return a scored slide with every field that a report can show."""
    record = example_record()
    scored = record["assessments"][0]
    total = sum(row["value"] for row in scored["contributions"])
    shares = {"GN": 0.85, "LY": -0.14, "EO": -0.02, "EB": 0.09, "BL": 0.16, "PLT": 0.12}
    values = {group: round(shares.get(group, 0.0) * total, 6) for group in GROUPS}
    values["OTHER"] = round(total - sum(values.values()) + values["OTHER"], 6)
    scored["groups"] = [{"group": group, "value": value} for group, value in values.items()]
    scored["sufficiency"] = sufficiency(100, 50, more=310)
    profile = {row["name"]: row for row in record["profile"]}
    medians = {"NE04_rate": (0.31, 0.04), "NE01_rate": (0.12, 0.01), "BL_share": (0.02, 0.0), "LY_share": (0.22, 0.61)}
    scored["contrast"] = [
        {"name": name, "value": profile[name]["value"], "positive_median": high, "negative_median": low}
        for name, (high, low) in medians.items()
    ] + [{"name": "PL01_rate", "value": profile["PL01_rate"]["value"], "positive_median": 0.3, "negative_median": None}]
    scored["what_would_change"] = [
        change(profile["NE04_rate"], "NE04", 3, 0.4712),
        change(profile["NE01_rate"], "NE01", 0, 0.4903),
    ]
    record["quality"] = {
        "focus": {"median": 1.84, "low_share": 0.03, "limit": 0.9},
        "stain": {"hue_degrees": 281.4, "saturation": 0.31, "lightness": 0.72, "distance": 1.21, "limit": 3.0},
    }
    dissent = add_preclass(record)
    record["preclass"] = {
        "compared": sum(cell["preclass"] is not None for cell in record["cells"]),
        "disagree": dissent,
    }
    return {**record, **changes}


def sufficiency(leucocytes: int, neutrophils: int, *, more: int | None) -> dict[str, Any]:
    text = f"{leucocytes} leucocytes and {neutrophils} neutrophils were counted"
    return {
        "leucocytes": leucocytes,
        "neutrophils": neutrophils,
        "minimum": {"wbc": 50, "neutrophil": 20},
        "more_cells_to_halve_interval": more,
        "text": text,
    }


def change(row: dict[str, Any], code: str, needed: int, score: float) -> dict[str, Any]:
    counted = {"counted": row["numerator"], "of": row["denominator"], "needed": needed}
    return {"name": row["name"], "code": code, **counted, "score": score}


def add_preclass(record: dict[str, Any]) -> int:
    """Give every typed cell the analyzer's class: the same but for three bands and a blast. Returns the dissent."""
    dissent = 0
    for cell in record["cells"]:
        other = {"BNE": "SNE", "BL": "VLY"}.get(cell["type"]) if dissent < 4 else None
        cell["preclass"] = other or cell["type"]
        cell["distance"] = round(0.5 + cell["p"], 2)
        dissent += other is not None
    return dissent


def full_context(language: str = "en") -> ReportContext:
    """Return an atlas of 1,500 cells in seventeen clouds and a cohort of 26 and 11 slides."""
    chance = random.Random(11)
    places = {}
    for number, code in enumerate(CATALOGUE.type_codes):
        middle = (
            60 * math.cos(number * 2.4) * (1 + number % 3) / 3,
            60 * math.sin(number * 2.4) * (1 + number % 3) / 3,
        )
        places[code] = (middle, tuple((chance.gauss(middle[0], 4), chance.gauss(middle[1], 4)) for _ in range(88)))
    cells = {}
    for cell in example_record()["cells"]:
        middle = places[cell["type"] or "ART"][0]
        cells[cell["id"]] = (chance.gauss(middle[0], 5), chance.gauss(middle[1], 5))
    slides = []
    for number in range(37):
        positive = number < 26
        pull = chance.gauss(1.6 if positive else -1.4, 0.9)
        parts = tuple(round(pull * share + chance.gauss(0, 0.05), 4) for share in [0.6, 0.2, 0.05] + [0.015] * 10)
        slides.append(CohortSlide(positive, round(1 / (1 + math.exp(-pull)), 4), parts))
    return ReportContext(
        language=language,
        reference=ReferenceIntervals("made up for a test", MADE_UP_LIMITS),
        atlas=AtlasPoints({code: clouds for code, (_, clouds) in places.items()}, cells),
        cohorts={"mds_aa": CohortRows(GROUPS, tuple(slides))},
    )


def indeterminate() -> dict[str, Any]:
    record = full_record()
    scored = record["assessments"][0]
    scored |= {"score": 0.5312, "margin": 0.125, "ci95": [0.3120, 0.7417], "call": "INDETERMINATE"}
    text = "counting alone leaves the score between 0.31 and 0.74, on both sides of 0.50"
    scored["reasons"] = [{"code": "INDETERMINATE", "text": text}, *scored["reasons"]]
    scored["what_would_change"] = []
    return record


def not_evaluable() -> dict[str, Any]:
    """Return a film of few cells: no score, and so nothing that explains one."""
    cells = [("SNE", {"NE04": 0.91}), ("LY", {}), ("MO", {}), ("SMU", {}), (None, {})]
    record = record_from_cells([*cells, *[("LY", {})] * 20, *[("SNE", {})] * 4])
    reasons = [
        {"code": "WBC-TOO-FEW", "text": "counted 27 leucocytes, at least 50 needed"},
        {"code": "NEUTROPHILS-TOO-FEW", "text": "counted 5 neutrophils, at least 20 needed"},
    ]
    empty = {"groups": [], "contrast": [], "what_would_change": []}
    made = assessment("NOT-EVALUABLE", None, reasons=reasons, sufficiency=sufficiency(27, 5, more=None), **empty)
    record["assessments"] = [made]
    record["quality"] = {
        "focus": {"median": 0.41, "low_share": 0.62, "limit": 0.9},
        "stain": {"hue_degrees": 200.0, "saturation": 0.2, "lightness": 0.8, "distance": 4.2, "limit": 3.0},
    }
    record["warnings"] = [
        {"code": "FOCUS", "text": "62 % of the images are less sharp than the limit"},
        {"code": "STAIN-OOD", "text": "the stain lies 4.20 from the training films, limit 3.00"},
    ]
    return record


def demo() -> dict[str, Any]:
    record = full_record(mode="T")
    record["provenance"]["bundle"] = {**record["provenance"]["bundle"], "intended_use": "demo"}
    analyzer = {"model": "SIMULATED DI-60", "serial": "SIM-0001", "software": None}
    record["slide"] = {**record["slide"], "analyzer": analyzer}
    return record


def withdrawn() -> dict[str, Any]:
    return full_record(
        status="W", revision=2, message_id="9F3C21AA04B7.R2", supersedes="9F3C21AA04B7.R1", reason="wrong sample"
    )


def degraded() -> dict[str, Any]:
    record = full_record()
    record["provenance"]["degraded"] = True
    return record


def hostile() -> dict[str, Any]:
    record = full_record()
    visible = HOSTILE.replace("\u202e", "")  # a sample id must be printable
    record["slide"] = {
        **record["slide"],
        "sample_id": visible,
        "slide_key": HOSTILE,
        "patient_id": "javascript:alert(1)",
    }
    record["warnings"] = [{"code": HOSTILE, "text": HOSTILE}]
    record["cells"][0] = {**record["cells"][0], "file": HOSTILE, "preclass": HOSTILE}
    return record


def drawn_thumbnails(record: dict[str, Any]) -> dict[str, bytes]:
    """Return a drawn picture for every cell of a record: the same few drawings again and again, to save time."""
    drawn: dict[tuple[str, str | None, int], bytes] = {}
    thumbnails = {}
    for number, cell in enumerate(record["cells"]):
        kind = cell["type"] or "ART"
        finding = next((code for code in cell["findings"] if code in DRAWABLE_FINDINGS.get(kind, ())), None)
        key = (kind, finding, number % VARIANTS)
        if key not in drawn:
            pixels = draw_cell(kind, [finding] if finding else [], np.random.default_rng(number), size_px=192)
            drawn[key] = thumbnail_from_pixels(pixels)
        thumbnails[cell["id"]] = drawn[key]
    return thumbnails


def old_record() -> dict[str, Any]:
    """Return a record as it was written before anything explained a score."""
    record = example_record()
    added = {
        "assessments": ("groups", "sufficiency", "contrast", "what_would_change"),
        "cells": ("preclass", "distance", "best_type"),
    }
    for part, keys in added.items():
        record[part] = [{key: value for key, value in row.items() if key not in keys} for row in record[part]]
    return {key: value for key, value in record.items() if key not in ("quality", "preclass")}


STATES: dict[str, Callable[[], tuple[dict[str, Any], ReportContext]]] = {
    "scored": lambda: (full_record(), full_context()),
    "indeterminate": lambda: (indeterminate(), full_context()),
    "not-evaluable": lambda: (not_evaluable(), ReportContext()),
    "demo": lambda: (demo(), full_context()),
    "withdrawn": lambda: (withdrawn(), full_context()),
    "degraded": lambda: (degraded(), full_context()),
    "hostile": lambda: (hostile(), full_context()),
    "japanese": lambda: (demo(), full_context("ja")),
    "old": lambda: (old_record(), ReportContext()),
}
