"""How a FHIR server's front door reads a transaction bundle (R4): written from the specification, sharing no code.

A file that was read before it was whole is no JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge.simulator.lis_received import ReceivedMessage, ReceivedResult, unreadable

Resource = Mapping[str, Any]

# v2-to-FHIR: table 0085 to Observation.status, 0123 to DiagnosticReport.status.
_LETTERS = {
    "preliminary": "P",
    "final": "F",
    "corrected": "C",
    "amended": "C",
    "entered-in-error": "W",
    "cancelled": "X",
}
_VALUES = ("valueQuantity", "valueString", "valueCodeableConcept", "valueInteger", "valueBoolean")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_TEST_TAGS = {"HTEST", "HTESTMESSAGE"}


def message_from_bundle(content: bytes) -> ReceivedMessage:
    """Read one bundle. Whatever is wrong with it is in `faults`; never raises."""
    try:
        bundle = json.loads(content.decode("utf-8"), parse_constant=_no_such_number)
    except (ValueError, RecursionError) as error:
        return unreadable("fhir", f"the file is no JSON: {error}", partial=True)
    resources = _resources(bundle)
    if not resources:
        return unreadable("fhir", "the bundle holds no resources", partial=False)
    try:
        faults = [*_bundle_faults(bundle), *_reference_faults(bundle), *_resource_faults(resources)]
        return _understood(bundle, resources, faults)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        return unreadable(
            "fhir", f"a field is missing or of another kind: {type(error).__name__} {error}", partial=False
        )


def _understood(bundle: Resource, resources: Sequence[Resource], faults: Sequence[str]) -> ReceivedMessage:
    specimen = _only(resources, "Specimen")
    report = _only(resources, "DiagnosticReport")
    tags = {tag.get("code") for tag in bundle.get("meta", {}).get("tag", ())}
    accession = specimen.get("accessionIdentifier") or specimen.get("identifier", [{}])[0]
    containers = specimen.get("container", ())
    slide = containers[0].get("identifier", [{}])[0].get("value", "") if containers else ""
    observations = [resource for resource in resources if resource["resourceType"] == "Observation"]
    notes = [note["text"] for resource in observations for note in resource.get("note", ())]
    return ReceivedMessage(
        message_id=str(bundle.get("identifier", {}).get("value", "")),
        mode="T" if tags & _TEST_TAGS else "P",
        sample_id=str(accession.get("value", "")),
        slide=str(slide),
        status=_LETTERS.get(report.get("status", ""), "?"),
        results=tuple(_results(observations)),
        notes=(*str(report.get("conclusion", "")).splitlines(), *notes),
        faults=tuple(faults),
        partial=False,
        format="fhir",
    )


def _resources(bundle: object) -> list[Resource]:
    entries = bundle.get("entry") if isinstance(bundle, dict) else None
    if not isinstance(entries, list):
        return []
    found = [entry.get("resource") for entry in entries if isinstance(entry, dict)]
    return [resource for resource in found if isinstance(resource, dict) and "resourceType" in resource]


def _only(resources: Sequence[Resource], kind: str) -> Resource:
    found = [resource for resource in resources if resource["resourceType"] == kind]
    return found[0] if len(found) == 1 else {}


def _bundle_faults(bundle: Resource) -> Iterator[str]:
    if (bundle.get("resourceType"), bundle.get("type")) != ("Bundle", "transaction"):
        yield "it is no transaction bundle"
    if not bundle.get("identifier", {}).get("value"):
        yield "the bundle has no identifier, by which a repeated one is known"
    if not _INSTANT.fullmatch(str(bundle.get("timestamp", ""))):
        yield "the bundle's timestamp has no offset"
    for number, entry in enumerate(bundle["entry"]):
        request, kind = entry.get("request", {}), entry.get("resource", {}).get("resourceType", "?")
        if request.get("method") not in {"PUT", "POST"} or not str(request.get("url", "")).startswith(kind):
            yield f"entry {number} does not say what to do with its resource"


def _reference_faults(bundle: Resource) -> Iterator[str]:
    addresses = [entry.get("fullUrl") for entry in bundle["entry"]]
    if len(set(addresses)) != len(addresses) or None in addresses:
        yield "two entries have one address, or one has none"
    for reference in sorted(set(_references(bundle)) - set(addresses)):
        yield f"a reference leads nowhere: {reference}"


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "reference":
                yield str(inner)
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _resource_faults(resources: Sequence[Resource]) -> Iterator[str]:
    kinds = [resource["resourceType"] for resource in resources]
    for kind in ("Specimen", "DiagnosticReport"):
        if kinds.count(kind) != 1:
            yield f"there are {kinds.count(kind)} {kind} resources, not one"
    report = _only(resources, "DiagnosticReport")
    letter = _LETTERS.get(report.get("status", ""))
    if letter is None or not report.get("code", {}).get("coding"):
        yield "the report has no status or no code"
    observations = [resource for resource in resources if resource["resourceType"] == "Observation"]
    if len(report.get("result", ())) != len(observations) or not observations:
        yield "the report does not list the observations that are there"
    seen: set[str] = set()
    for number, resource in enumerate(observations, start=1):
        yield from _observation_faults(f"observation {number}", resource, letter)
        key = str(resource.get("identifier", [{}])[0])
        if key in seen:
            yield f"observation {number} has the identifier of another"
        seen.add(key)


def _observation_faults(place: str, resource: Resource, report: str | None) -> Iterator[str]:
    given = [name for name in _VALUES if name in resource]
    letter = _LETTERS.get(resource.get("status", ""))
    if letter is None or (letter != report and letter != "X"):
        yield f"{place} has status {resource.get('status')!r}, which does not go with the report"
    if not resource.get("code", {}).get("coding"):
        yield f"{place} has no code"
    if len(given) + ("dataAbsentReason" in resource) != 1:
        yield f"{place} has no value and no reason for that, or more than one"
    quantity = resource.get("valueQuantity")
    if quantity is not None and (
        isinstance(quantity.get("value"), bool) or not isinstance(quantity["value"], int | float)
    ):
        yield f"{place} is a quantity without a number"
    for name in ("effectiveDateTime", "issued"):
        if name in resource and not _INSTANT.fullmatch(str(resource[name])):
            yield f"{place} has a time without an offset ({name})"


def _results(observations: Sequence[Resource]) -> Iterator[ReceivedResult]:
    for number, resource in enumerate(observations, start=1):
        codings = resource["code"]["coding"]
        quantity = resource.get("valueQuantity", {})
        concept = resource.get("valueCodeableConcept", {})
        value = quantity.get("value", resource.get("valueString", concept.get("text", "")))
        flags = resource.get("interpretation", [{}])[0].get("coding", [{}])
        yield ReceivedResult(
            number=number,
            code=codings[0]["code"],
            name=codings[0].get("display", resource["code"].get("text", "")),
            value=str(value),
            unit=quantity.get("code", ""),
            flag=flags[0].get("code", ""),
            status=_LETTERS.get(resource.get("status", ""), "?"),
            local=codings[-1]["code"],
        )


def _no_such_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
