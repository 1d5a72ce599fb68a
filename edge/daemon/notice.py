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
from edge.daemon.arrival import spooled_folder
from edge.daemon.books import Books
from edge.daemon.house import House
from edge.daemon.intents import intents_for
from edge.daemon.spool import FILES_NAME
from edge.errors import EdgeError
from edge.journal_results import NewRevision
from edge.journal_rows import SlideRow
from edge.record_text import KEYS, SCHEMA, record_bytes
from edge.slide import read_slide_metadata
from edge.slide_metadata import SlideMetadata

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
        slide, metadata_of_copy(books, slide), code=code, model=model, message_id=message_id,
        analysed_at=books.site_time(), site=books.config.site.id,
    )  # fmt: skip
    digest, _ = store_result(books.folders.archive, message_id, record_bytes(record), None)
    bundle = str(model["digest"])
    new = NewRevision(1, message_id, "X", str(record["mode"]), digest, None, bundle, None, "daemon", code)
    with books.journal.change():
        books.journal.results.add_revision(slide.id, new, intents_for(wanted, record))
    log.info("slide %d: a notice that it has no result is sent", slide.id)
    return True


def metadata_of_copy(books: Books, slide: SlideRow) -> SlideMetadata:
    """Return what the slide's copy says of its order; nothing when it cannot be read or is of another sample.

    A result that follows is filed under the same order and slide number: without them it stands beside the notice.
    Nothing, too, where another folder of the sample has a result: under its order and slide number (a slide that was
    scanned again keeps them) the notice would cancel it. Raises sqlite3.Error.
    """
    folder = spooled_folder(books, slide)
    if folder is None or has_other_result(books, slide):
        return SlideMetadata()
    try:
        # At most 1 MiB a file, by parsers that are bounded and fetch nothing; the scanner has read it before.
        metadata = read_slide_metadata(folder / FILES_NAME, slide_key=slide.slide_key)
    except Exception as error:  # noqa: BLE001 - others wrote it: no trouble with it may stop the supervisor
        log.warning("slide %d: its notice names no order, the metadata is not readable: %s", slide.id, code_of(error))
        return SlideMetadata()
    return metadata if metadata.sample_id in (None, slide.sample_id) else SlideMetadata()


def has_other_result(books: Books, slide: SlideRow) -> bool:
    """Tell whether a result of the slide's sample was made from another folder; raises sqlite3.Error."""
    query = (
        "SELECT 1 FROM slides s JOIN revisions r ON r.slide_id = s.id"
        " WHERE s.sample_id = ? AND (s.source, s.slide_key) <> (?, ?) LIMIT 1"
    )
    values = (slide.sample_id, slide.source, slide.slide_key)
    return books.journal.connection.execute(query, values).fetchone() is not None


def code_of(error: Exception) -> str:
    """Return what may be logged of an error: its code or type, never words of the metadata."""
    return error.code if isinstance(error, EdgeError) else type(error).__name__


def record_of_notice(
    slide: SlideRow, metadata: SlideMetadata, *, code: str, model: Mapping[str, Any], message_id: str,
    analysed_at: str, site: str,
) -> dict[str, Any]:  # fmt: skip
    """Return the record of a slide that was not analyzed: nothing counted, one warning that says why. Pure.

    `metadata` gives order, slide number, patient and analyzer, by which the receiver files it as the result to come.
    """
    catalogue = load_catalogue()
    text = f"The slide could not be analyzed ({code}). Examine the smear."
    return {
        "schema": SCHEMA, "message_id": message_id, "mode": "T" if model["intended_use"] == "demo" else "P",
        "status": "X", "revision": 1, "supersedes": None, "reason": None, "analysed_at": analysed_at, "site": site,
        "slide": {
            "source": slide.source, "slide_key": slide.slide_key, "sample_id": slide.sample_id,
            "order_id": metadata.order_id, "slide_no": metadata.slide_no, "acquired_at": metadata.acquired_at,
            "patient_id": metadata.patient_id, "manifest_sha256": slide.manifest_sha256,
            "analyzer": {
                "model": metadata.analyzer_model, "serial": metadata.analyzer_serial,
                "software": metadata.analyzer_software,
            },
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
