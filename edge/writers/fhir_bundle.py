"""FHIR R4 transaction bundle: Device, Specimen, one Observation a result, DiagnosticReport.

Every entry is a conditional update (`PUT Type?identifier=system|value`) on an identifier of ours, so that a bundle that
arrives twice makes nothing twice, and a revision replaces what it revises. Patient, order and sample belong to the LIS:
they are named by their identifiers and no resource of theirs is ever written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from edge.catalogue.codes import load_codes
from edge.writers.base import RenderedFile, WriterOptions
from edge.writers.fhir_check import check_fhir
from edge.writers.fhir_observation import observation_resource
from edge.writers.fhir_values import (
    REPORT_STATUS,
    Reference,
    coding,
    foreign_identifier,
    identifier,
    instant,
    tags_of_record,
    text_value,
    urn_from_key,
)
from edge.writers.hl7_text import site_time
from edge.writers.observations import observations_of_record
from edge.writers.record_view import RecordView, view_of_record
from edge.writers.report_facts import acquired_moment, report_notes, slide_number

Resource = dict[str, object]
BLOOD = {"system": "http://terminology.hl7.org/CodeSystem/v2-0487", "code": "BLD"}


@dataclass(frozen=True, slots=True)
class FhirBundleWriter:
    """Writes a record as a FHIR R4 transaction bundle."""

    options: WriterOptions = field(default_factory=WriterOptions)
    name = "fhir"

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the bundle as a `.json` file. Raises EdgeError MDSE-WRITER-001 to -004."""
        view = view_of_record(record)
        bundle = bundle_from_view(view, self.options)
        text = json.dumps(bundle, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        content = (text + "\n").encode("utf-8")
        self.check(content)
        return RenderedFile(".json", content)

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not one whole, sound bundle."""
        check_fhir(content)


def bundle_from_view(view: RecordView, options: WriterOptions) -> Resource:
    """Return the bundle as plain JSON values."""
    resources = [*_devices(view), _specimen(view), *_observations(view, options)]
    resources.append(_report(view, options, resources))
    return {
        "resourceType": "Bundle",
        **_meta(view),
        "identifier": identifier("message", view.message_id),
        "type": "transaction",
        "timestamp": instant(view.analysed_at),
        "entry": [_entry(resource) for resource in resources],
    }


def slide_value(view: RecordView) -> str:
    """Return the value that identifies a slide among all slides of all sites; every part percent-encoded.

    The source is a part: two analyzers may both call a slide of one sample the first. A test has a value of its own, so
    that no test ever replaces a patient's result.
    """
    parts = (view.site, view.slide.source, view.slide.sample_id, slide_number(view))
    return "/".join(quote(part, safe="") for part in (("T", *parts) if view.mode == "T" else parts))


def _meta(view: RecordView) -> Resource:
    tags = tags_of_record(view)
    return {"meta": {"tag": tags}} if tags else {}


def _own_identifier(resource: Resource) -> dict[str, str]:
    rows = resource["identifier"]
    if not isinstance(rows, list):
        raise TypeError("every resource of ours has a list of identifiers")
    first: dict[str, str] = rows[0]
    return first


def _entry(resource: Resource) -> Resource:
    own = _own_identifier(resource)
    url = f"{resource['resourceType']}?identifier={quote(own['system'], safe=':')}|{quote(own['value'], safe='/')}"
    return {
        "fullUrl": _reference(resource)["reference"],
        "resource": resource,
        "request": {"method": "PUT", "url": url},
    }


def _reference(resource: Resource) -> Reference:
    own = _own_identifier(resource)
    return {"reference": urn_from_key(f"{resource['resourceType']} {own['system']} {own['value']}")}


def _devices(view: RecordView) -> Iterator[Resource]:
    made_by, slide = view.provenance, view.slide
    engine = f"{made_by.engine_name} {made_by.engine_device} {made_by.engine_precision}, trees {made_by.trees}"
    versions = {
        "software": made_by.software,
        "model": f"{made_by.bundle_name} {made_by.bundle_version} sha256:{made_by.bundle_digest}",
        "engine": engine,
    }
    yield {
        "resourceType": "Device",
        **_meta(view),
        "identifier": [identifier("software", f"{quote(view.site, safe='')}/{made_by.bundle_digest}")],
        "status": "active",
        "deviceName": [{"name": "MDSEDGE", "type": "user-friendly-name"}],
        "version": [{"type": {"text": kind}, "value": text_value(text)} for kind, text in versions.items()],
        "note": [{"text": f"Intended use of the model: {text_value(made_by.intended_use)}"}],
    }
    model, serial = text_value(slide.analyzer_model), text_value(slide.analyzer_serial or "")
    if model:
        key = "/".join(quote(part, safe="") for part in (view.site, model, serial) if part)
        yield {
            "resourceType": "Device",
            **_meta(view),
            "identifier": [identifier("analyzer", key)],
            "deviceName": [{"name": model, "type": "model-name"}],
            **({"serialNumber": serial} if serial else {}),
        }


def _specimen(view: RecordView) -> Resource:
    acquired = acquired_moment(view)
    key = foreign_identifier(view.slide.slide_key, "slide_key")
    return {
        "resourceType": "Specimen",
        **_meta(view),
        "identifier": [identifier("slide", slide_value(view))],
        "accessionIdentifier": {"value": foreign_identifier(view.slide.sample_id, "sample_id")},
        "type": {"coding": [BLOOD], "text": "Blood"},
        **_subject(view),
        **({"receivedTime": instant(site_time(acquired, view.analysed_at))} if acquired else {}),
        "container": [{"identifier": [{"value": key}], "description": "Blood film on a slide"}],
    }


def _subject(view: RecordView) -> Resource:
    if not view.slide.patient_id:
        return {}
    return {"subject": {"identifier": {"value": foreign_identifier(view.slide.patient_id, "patient_id")}}}


def _observations(view: RecordView, options: WriterOptions) -> Iterator[Resource]:
    slide = slide_value(view)
    acquired = acquired_moment(view)
    same: Resource = {
        **_subject(view),
        **({"effectiveDateTime": instant(site_time(acquired, view.analysed_at))} if acquired else {}),
        "issued": instant(view.analysed_at),
        "specimen": _reference(_specimen(view)),
        "device": _reference(next(_devices(view))),
    }
    for row in observations_of_record(view):
        sent = options.letters.sent(row.value, view.status, fact=row.fact)
        own = {
            "resourceType": "Observation",
            **_meta(view),
            "identifier": [identifier("observation", f"{slide}/{row.code}")],
        }
        yield {**own, **observation_resource(row, sent), **same}


def _report(view: RecordView, options: WriterOptions, resources: list[Resource]) -> Resource:
    panel = load_codes().panel
    acquired = acquired_moment(view)
    order: Resource = {}
    if view.slide.order_id:
        order = {"basedOn": [{"identifier": {"value": foreign_identifier(view.slide.order_id, "order_id")}}]}
    notes = [text_value(line) for note in report_notes(view) for line in note.splitlines()]
    return {
        "resourceType": "DiagnosticReport",
        **_meta(view),
        "identifier": [identifier("report", slide_value(view)), identifier("message", view.message_id)],
        **order,
        "status": REPORT_STATUS[options.letters.letter(view.status)],
        "category": [{"coding": [coding("http://terminology.hl7.org/CodeSystem/v2-0074", "HM", "Hematology")]}],
        "code": {"coding": [coding("http://loinc.org", panel.number, panel.name)], "text": panel.name},
        **_subject(view),
        **({"effectiveDateTime": instant(site_time(acquired, view.analysed_at))} if acquired else {}),
        "issued": instant(view.analysed_at),
        "specimen": [_reference(_specimen(view))],
        "result": [_reference(resource) for resource in resources if resource["resourceType"] == "Observation"],
        "conclusion": "\n".join(note for note in notes if note),
    }
