"""An analyzer that needs no model: the worker's real process, with an arithmetic stand-in for the network.

Counts come from the bytes of the images, so that equal files give equal results and nothing else does. A file whose
content begins with one of these words makes trouble on purpose:

    CRASH    the process dies without a word            HANG    it never answers
    REJECT   the slide is refused (exit 5)              FAULT   an unforeseen exception
    CRASH-ONCE <path>   dies when <path> does not exist yet, after making it

The file `version` in the bundle's folder, where there is one, is the version of the model: each counts otherwise.
The speed is set by the environment variable MDS_EDGE_TEST_SECONDS (per slide); MDS_EDGE_TEST_BROKEN_DEVICE names a
device that cannot be opened.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import edge
from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.record_text import KEYS, record_bytes
from edge.slide import read_slide


class FakeAnalyzer:
    def __init__(self, version: str = "1") -> None:
        digest = "0" * 64 if version == "1" else hashlib.sha256(version.encode()).hexdigest()
        self._version = version
        self.facts: Mapping[str, object] = {
            "bundle": "fake", "version": version, "digest": digest, "intended_use": "demo",
        }  # fmt: skip
        self._catalogue = load_catalogue()
        self._seconds = float(os.environ.get("MDS_EDGE_TEST_SECONDS", "0.02"))

    def analyze(self, order: Mapping[str, Any]) -> tuple[bytes, bytes]:
        folder = Path(order["folder"])
        slide = read_slide(
            folder, slide_key=order["slide_key"], sample_id_pattern=order["sample_id_pattern"], is_copy=True
        )
        contents = [(folder / file.path).read_bytes() for file in slide.cell_files]
        for content in contents:
            make_trouble(content)
        time.sleep(self._seconds)
        record = self._record(order["job"], slide, contents)
        return record_bytes(record), b"<!doctype html><title>test</title>"

    def _record(self, job: Mapping[str, Any], slide: Any, contents: list[bytes]) -> dict[str, Any]:
        salt = b"" if self._version == "1" else self._version.encode()
        codes = [self._catalogue.leucocyte_codes[hashlib.sha256(salt + c).digest()[0] % 11] for c in contents]
        counts = Counter(codes)
        cells = [
            {"id": f.cell_id, "file": f.path, "sha256": hashlib.sha256(c).hexdigest(), "type": code, "p": 0.9,
             "findings": {}, "flags": []}
            for f, c, code in zip(slide.cell_files, contents, codes, strict=True)
        ]  # fmt: skip
        return {
            "schema": "mds-edge.record/1", "message_id": job["message_id"], "mode": "T", "status": job["status"],
            "revision": job["revision"], "supersedes": job["supersedes"], "reason": job["reason"],
            "analysed_at": job["analysed_at"], "site": job["site"],
            "slide": {
                "source": job["source"], "slide_key": slide.slide_key, "sample_id": slide.sample_id,
                "order_id": slide.order_id, "slide_no": slide.slide_no, "acquired_at": slide.acquired_at,
                "analyzer": {"model": slide.analyzer.model, "serial": slide.analyzer.serial,
                             "software": slide.analyzer.software},
                "patient_id": slide.patient_id, "manifest_sha256": job["manifest_sha256"],
            },
            "counts": {code: counts.get(code, 0) for code in self._catalogue.type_codes},
            "leucocytes": len(cells), "images": len(cells), "unreadable": 0, "unidentified": 0,
            "out_of_distribution": 0, "profile": self._profile(counts, len(cells)), "assessments": [], "cells": cells,
            "warnings": [{"code": code, "text": text} for code, text in job["warnings"]],
            "provenance": {
                "bundle": {"name": "fake", "version": self._version, "digest": self.facts["digest"],
                           "intended_use": "demo"},
                "engine": {"name": "fake", "device": "cpu", "precision": "fp32"}, "trees": "compiled",
                "software": f"mds-edge {edge.__version__}", "degraded": job["degraded"],
            },
            "stage_ms": dict.fromkeys(KEYS["stage_ms"], 0.0),
        }  # fmt: skip

    def _profile(self, counts: Mapping[str, int], total: int) -> list[dict[str, Any]]:
        rows = []
        for name in self._catalogue.parameter_names:
            code, _, kind = name.partition("_")
            numerator = counts.get(code, 0) if kind != "rate" else 0
            denominator = total if kind != "rate" else 0
            scale = 100.0 if kind == "per_100_wbc" else 1.0
            value = round(scale * numerator / denominator, 6) if denominator else None
            rows.append(
                {"name": name, "value": value, "numerator": numerator, "denominator": denominator, "ci95": None}
            )
        return rows


def make_trouble(content: bytes) -> None:
    if content.startswith(b"CRASH-ONCE "):
        mark = Path(os.fsdecode(content.split()[1]))
        if not mark.exists():
            mark.write_bytes(b"")
            os.abort()
    elif content.startswith(b"CRASH"):
        os.abort()
    elif content.startswith(b"HANG"):
        time.sleep(3600)
    elif content.startswith(b"REJECT"):
        raise EdgeError("MDSE-SLIDE-003", where="test", other=0)
    elif content.startswith(b"FAULT"):
        raise RuntimeError("an unforeseen fault")


def open_fake_analyzer(settings: Mapping[str, Any]) -> FakeAnalyzer:
    if settings["device"] == os.environ.get("MDS_EDGE_TEST_BROKEN_DEVICE"):
        raise RuntimeError("the device fell off the bus")
    version = Path(settings["bundle"]) / "version"
    return FakeAnalyzer(version.read_text() if version.exists() else "1")
