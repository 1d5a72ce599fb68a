"""The notice that a slide got no result: status X, for outputs whose site wants it (`notice = true`, off by default).

Without it a ward waits for a result that does not come until a person looks at the quarantine. The notice is a revision
like any other: archived, journalled, audited, and replaced by the result when the slide is analyzed after all.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import edge
from edge.catalogue import load_catalogue
from edge.daemon.archive import store_result
from edge.daemon.books import Books
from edge.daemon.house import House
from edge.daemon.intents import intents_for
from edge.errors import EdgeError
from edge.journal_results import NewRevision
from edge.journal_rows import SlideRow
from edge.record_text import KEYS, SCHEMA, record_bytes

log = logging.getLogger("mds_edge.daemon")
_ALARM = "notice"
NOT_ANALYZED = "NOT-ANALYZED"


class Notices:
    """Plans the notices of a running daemon. One that fails is an alarm until its slide is no longer quarantined."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._missing: set[int] = set()

    def plan(self, slide: SlideRow, *, code: str, model: Mapping[str, Any], message_id: str) -> None:
        """Plan the notice of a slide; raises sqlite3.Error alone.

        The slide is set aside all the same: the notice is a courtesy, the quarantine's alarm is the rule.
        """
        try:
            plan_notice(self._house.books, slide, code=code, model=model, message_id=message_id)
        except (OSError, EdgeError) as error:
            self._missing.add(slide.id)
            self._house.alarms.raise_alarm(_ALARM, f"slide {slide.id}: {error}", self._house.monotonic())
        else:
            self._missing.discard(slide.id)

    def look(self) -> None:
        """Clear the alarm when a person has decided about every slide whose notice is missing."""
        if not self._house.alarms.is_raised(_ALARM):
            return
        quarantined = {slide.id for slide in self._house.books.journal.slides.in_states(["QUARANTINED"])}
        self._missing &= quarantined
        if not self._missing:
            self._house.alarms.clear(_ALARM)


def plan_notice(books: Books, slide: SlideRow, *, code: str, model: Mapping[str, Any], message_id: str) -> bool:
    """Plan the notice for every output that wants one; False when none does, or the slide has a result already.

    A result that stands is never cancelled by a later analysis that fails. Raises OSError, EdgeError, sqlite3.Error.
    """
    wanted = [output for output in books.config.outputs if output.notice]
    if not wanted or slide.sample_id is None or not model:
        return False
    if books.journal.results.revisions_of_folder(slide.source, slide.slide_key):
        return False
    record = record_of_notice(
        slide, code=code, model=model, message_id=message_id, analysed_at=books.site_time(), site=books.config.site.id
    )
    digest, _ = store_result(books.folders.archive, message_id, record_bytes(record), None)
    bundle = str(model["digest"])
    new = NewRevision(1, message_id, "X", str(record["mode"]), digest, None, bundle, None, "daemon", code)
    with books.journal.change():
        books.journal.results.add_revision(slide.id, new, intents_for(wanted, record))
    log.info("slide %d: a notice that it has no result is sent", slide.id)
    return True


def record_of_notice(
    slide: SlideRow, *, code: str, model: Mapping[str, Any], message_id: str, analysed_at: str, site: str
) -> dict[str, Any]:
    """Return the record of a slide that was not analyzed: nothing counted, one warning that says why. Pure."""
    catalogue = load_catalogue()
    text = f"The slide could not be analyzed ({code}). Examine the smear."
    return {
        "schema": SCHEMA, "message_id": message_id, "mode": "T" if model["intended_use"] == "demo" else "P",
        "status": "X", "revision": 1, "supersedes": None, "reason": None, "analysed_at": analysed_at, "site": site,
        "slide": {
            "source": slide.source, "slide_key": slide.slide_key, "sample_id": slide.sample_id, "order_id": None,
            "slide_no": None, "acquired_at": None, "patient_id": None, "manifest_sha256": slide.manifest_sha256,
            "analyzer": {"model": None, "serial": None, "software": None},
        },
        "counts": dict.fromkeys(catalogue.type_codes, 0), "leucocytes": 0, "images": 0, "unreadable": 0,
        "unidentified": 0, "out_of_distribution": 0,
        "profile": [
            {"name": name, "value": None, "numerator": 0, "denominator": 0, "ci95": None}
            for name in catalogue.parameter_names
        ],
        "assessments": [], "cells": [], "warnings": [{"code": NOT_ANALYZED, "text": text}],
        "quality": None, "preclass": None,
        "provenance": {
            "bundle": {
                "name": str(model["bundle"]), "version": str(model["version"]), "digest": str(model["digest"]),
                "intended_use": str(model["intended_use"]),
            },
            "engine": {"name": "none", "device": "none", "precision": "none"}, "trees": "none",
            "software": f"mds-edge {edge.__version__}", "degraded": False,
        },
        "stage_ms": dict.fromkeys(KEYS["stage_ms"], 0),
    }  # fmt: skip
