"""A test result that goes the whole way a real one goes: archive, journal, every output, acknowledgement, audit.

Its mode is T in every format that can say so, its analyzer is called SIMULATED, its sample is one that the laboratory
keeps for tests. Nothing was measured: the cells are numbers that a person can compare on two screens.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

import edge
from edge.audit import AuditEvent
from edge.catalogue import load_catalogue
from edge.daemon.archive import store_result
from edge.daemon.books import Books
from edge.daemon.intents import intents_for
from edge.errors import EdgeError
from edge.journal_results import NewRevision
from edge.journal_rows import RevisionRow
from edge.record_text import SCHEMA, record_bytes

SOURCE = "site-test"
SAMPLE_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,22}")
COUNTS = dict(SNE=41, BNE=9, MMY=3, MY=2, PMY=1, BL=1, LY=28, VLY=2, MO=9, EO=3, BA=1, LP=6, ERB=4, SMU=5)
"""What every test result counts: 100 leucocytes, every share another one where that can be."""
FINDING, FINDING_CELLS = "NE04", 18
SCORE = {"score": 0.8731, "margin": 1.9292, "ci95": [0.6912, 0.9507], "threshold": 0.5, "call": "MDS-SUSPECT"}


def send_test(books: Books, *, sample_id: str, by: str, reason: str) -> tuple[RevisionRow, dict[str, Any]]:
    """Plan the delivery of a test result to every output; return its row and its record.

    Raises EdgeError MDSE-DAEMON-012 when the sample id is not `[A-Za-z0-9._-]`, 1 to 22 characters.
    """
    if not SAMPLE_PATTERN.fullmatch(sample_id):
        raise EdgeError("MDSE-DAEMON-012", reason="the sample must be 1 to 22 letters, digits, dots, dashes")
    serial = secrets.token_hex(4).upper()
    record = record_of_test(
        message_id=f"TEST{serial}.R1", slide_key=f"SITE-TEST-{serial}", sample_id=sample_id,
        analysed_at=books.site_time(), site=books.config.site.id,
    )  # fmt: skip
    message_id = str(record["message_id"])
    digest, _ = store_result(books.folders.archive, message_id, record_bytes(record), None)
    new = NewRevision(1, message_id, "P", "T", digest, None, "0" * 64, None, by, reason)
    slides = books.journal.slides
    with books.journal.change():
        # One transaction: the worker never sees this slide, and nothing is ever looked for in the export folder.
        slide = slides.add(SOURCE, f"SITE-TEST-{serial}", b"", sample_id=sample_id)
        books.journal.note(AuditEvent(by, "test sent", f"slide:{slide.id}", "", "", {"reason": reason}))
        for state in ("SETTLED", "SPOOLED"):
            slides.move(slide.id, state, by=by)
        revision = books.journal.results.add_revision(slide.id, new, intents_for(books.config.outputs, record))
        slides.move(slide.id, "COMPUTED", by=by)
    return revision, record


def record_of_test(*, message_id: str, slide_key: str, sample_id: str, analysed_at: str, site: str) -> dict[str, Any]:
    """Return the record of a test result. Pure; `analysed_at` is ISO 8601 with an offset."""
    cells = _cells()
    return {
        "schema": SCHEMA, "message_id": message_id, "mode": "T", "status": "P", "revision": 1, "supersedes": None,
        "reason": None, "analysed_at": analysed_at, "site": site,
        "slide": {
            "source": SOURCE, "slide_key": slide_key, "sample_id": sample_id, "order_id": None,
            # No number: as slide 1 of a sample that a person mistyped it would replace that patient's result.
            "slide_no": None,
            "acquired_at": analysed_at, "patient_id": None, "manifest_sha256": "0" * 64,
            "analyzer": {"model": "SIMULATED site test", "serial": None, "software": None},
        },
        "counts": {kind.code: COUNTS.get(kind.code, 0) for kind in load_catalogue().cell_types},
        "leucocytes": 100, "images": len(cells), "unreadable": 0, "unidentified": 0, "out_of_distribution": 0,
        "profile": _profile(), "assessments": [_assessment()], "cells": cells,
        "warnings": [{"code": "SITE-TEST", "text": "Test of the connection. No slide, no patient, nothing measured."}],
        "quality": None, "preclass": None,
        "provenance": {
            "bundle": {"name": "site-test", "version": "0", "digest": "0" * 64, "intended_use": "demo"},
            "engine": {"name": "none", "device": "none", "precision": "none"}, "trees": "none",
            "software": f"mds-edge {edge.__version__}", "degraded": False,
        },
        "stage_ms": dict.fromkeys(("decode", "resize", "infer", "findings", "profile", "assess", "explain"), 0),
    }  # fmt: skip


def expected_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return what a person should see at the LIS: name and value as text, one row a result worth comparing."""
    names = {kind.code: kind.name for kind in load_catalogue().cell_types}
    rows = [["sample", record["slide"]["sample_id"]], ["message id", record["message_id"]]]
    for row in record["profile"]:
        code, _, kind = row["name"].partition("_")
        if code in names and row["numerator"]:
            value = f"{row['value'] * 100:.1f} %" if kind == "share" else f"{row['value']:.1f} per 100 leucocytes"
            rows.append([names[code], value])
    assessment = record["assessments"][0]
    return [*rows, ["MDS versus AA score", f"{assessment['score']:.3f}"], ["MDS versus AA call", assessment["call"]]]


def _cells() -> list[dict[str, Any]]:
    kinds = [code for code, count in COUNTS.items() for _ in range(count)]
    return [
        {
            "id": f"c{number:04d}", "file": f"wbc/{number:04d}.jpg",
            "sha256": hashlib.sha256(f"{number}".encode()).hexdigest(), "type": kind, "p": 0.9,
            "findings": {FINDING: 0.9} if number <= FINDING_CELLS else {}, "flags": [], "preclass": None,
            "distance": None,
        }
        for number, kind in enumerate(kinds, start=1)
    ]  # fmt: skip


def _profile() -> list[dict[str, Any]]:
    rows = []
    for kind in load_catalogue().cell_types:
        count = COUNTS.get(kind.code, 0)
        name, value = (f"{kind.code}_share", count / 100) if kind.leucocyte else (f"{kind.code}_per_100_wbc", count)
        rows.append({"name": name, "value": value, "numerator": count, "denominator": 100, "ci95": None})
    neutrophils = COUNTS["SNE"] + COUNTS["BNE"]
    rate = {"value": FINDING_CELLS / neutrophils, "numerator": FINDING_CELLS, "denominator": neutrophils}
    return [*rows, {"name": f"{FINDING}_rate", **rate, "ci95": None}]


def _assessment() -> dict[str, Any]:
    return {
        "target": "mds_aa", "positive": "MDS", "negative": "AA", **SCORE, "sufficient": True, "reasons": [],
        "contributions": [], "groups": [], "sufficiency": None, "contrast": [], "what_would_change": [],
    }  # fmt: skip
