"""Our own check of a FHIR R4 bundle before it is published; standard library only.

Public validators each leave something open: a status that does not exist, two values in one observation, an entry
without a request, a reference that leads nowhere. So every resource is held against the exact shape we write, and
the references and statuses are followed through the bundle.

    check_fhir(content)      raises EdgeError MDSE-WRITER-004 with the first fault
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NoReturn

from edge.errors import EdgeError
from edge.strict_json import object_from_json
from edge.writers.fhir_shapes import SHAPES, Shape

_STATUS_OF_REPORT = {"preliminary", "final", "corrected", "entered-in-error", "cancelled"}
_VALUES = ("valueQuantity", "valueString", "valueCodeableConcept", "dataAbsentReason")


# Compiled once: the check runs on every bundle, and the cache of `re` costs more than the match.
_pattern = cache(re.compile)


def check_fhir(content: bytes) -> None:
    """Check that `content` is one whole bundle as we write it. Raises EdgeError MDSE-WRITER-004."""
    bundle = _parsed(content)
    _check_value(bundle, SHAPES["Bundle"], "Bundle")
    resources = []
    for number, entry in enumerate(bundle["entry"]):
        resource = entry["resource"]
        name = resource.get("resourceType")
        if name not in ("Device", "Specimen", "Observation", "DiagnosticReport"):
            _refuse(f"entry {number} is a resource that we do not write")
        _check_value(resource, SHAPES[name], f"entry[{number}].{name}")
        if not entry["request"]["url"].startswith(f"{name}?identifier={resource['identifier'][0]['system']}|"):
            _refuse(f"entry {number} would be written over something else")
        resources.append(resource)
    _check_references(bundle)
    _check_results(bundle, resources)


def _parsed(content: bytes) -> dict[str, Any]:
    if not content.endswith(b"}\n"):
        _refuse("it does not end as a whole bundle does")
    try:
        return object_from_json(content.decode("utf-8"))
    except ValueError as error:
        _refuse(f"it is not one JSON object ({error})")


def _check_value(value: Any, shape: Shape, path: str) -> None:
    """Hold a value against its shape: a pattern for text, `float` for numbers, a list for lists, a dict for objects."""
    if isinstance(shape, str):
        if not isinstance(value, str) or not _pattern(shape).fullmatch(value):
            _refuse(f"{path} has a value that does not belong there")
    elif shape is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(f"{path} is not a number")
    elif shape is dict:
        if not isinstance(value, dict):
            _refuse(f"{path} is not an object")
    elif isinstance(shape, list):
        if not isinstance(value, list) or not value:
            _refuse(f"{path} is not a list with something in it")
        for index, item in enumerate(value):
            _check_value(item, shape[0], f"{path}[{index}]")
    elif isinstance(shape, dict):
        _check_object(value, shape, path)


def _check_object(value: Any, shape: dict[str, Shape], path: str) -> None:
    if not isinstance(value, dict):
        _refuse(f"{path} is not an object")
    seen = 0
    for name, inner in shape.items():
        key = name.removesuffix("?")
        if key in value:
            _check_value(value[key], inner, f"{path}.{key}")
            seen += 1
        elif key == name:
            _refuse(f"{path}.{key} is missing")
    if seen != len(value):
        unknown = sorted(value.keys() - {name.removesuffix("?") for name in shape})
        _refuse(f"{path} has a field that we do not write: {unknown[0]}")


def _check_references(bundle: dict[str, Any]) -> None:
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    if len(set(urls)) != len(urls):
        _refuse("two entries have the same address")
    if unknown := set(_references(bundle)) - set(urls):
        _refuse(f"a reference leads nowhere: {sorted(unknown)[0]}")


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "reference":
                yield str(inner)
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _check_results(bundle: dict[str, Any], resources: list[dict[str, Any]]) -> None:
    reports = [resource for resource in resources if resource["resourceType"] == "DiagnosticReport"]
    observations = [resource for resource in resources if resource["resourceType"] == "Observation"]
    if len(reports) != 1 or resources[-1] is not reports[0] or not observations:
        _refuse("it does not hold observations and one report at its end")
    report = reports[0]
    listed = [row["reference"] for row in report["result"]]
    own = [entry["fullUrl"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Observation"]
    if listed != own:
        _refuse("the report does not list the observations that are there")
    for resource in observations:
        given = [key for key in _VALUES if key in resource]
        if len(given) != 1:
            _refuse("an observation has no value and no reason for that, or more than one")
        absent = given == ["dataAbsentReason"]
        if resource["status"] != report["status"] and not (absent and resource["status"] == "cancelled"):
            _refuse("the status of report and observations do not go together")
        if resource["issued"] != bundle["timestamp"] or report["issued"] != bundle["timestamp"]:
            _refuse("a result is not of the time of its message")
    if report["identifier"][-1]["value"] != bundle["identifier"]["value"]:
        _refuse("the report is of another message")


def _refuse(reason: str) -> NoReturn:
    raise EdgeError("MDSE-WRITER-004", where="fhir", format="FHIR", reason=reason)
