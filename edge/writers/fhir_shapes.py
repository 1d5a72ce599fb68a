"""The shapes of the FHIR R4 resources that we write, for the check before publishing.

A text is a pattern, `float` a number, `dict` any object, a one-element list a list of that, a dict an object. A name
that ends in `?` may be missing, any other must be there, and nothing else may.
"""

from __future__ import annotations

from typing import Any, TypeAlias

# Recursive; spelled with Any inside because a type that names itself cannot be checked entry by entry here.
Shape: TypeAlias = "str | type[float] | type[dict[str, Any]] | list[Any] | dict[str, Any]"

_TEXT = r"[ \t\r\n\S]*\S[ \t\r\n\S]*"
_ID = r".+"
_CODE = r"\S+( \S+)*"
_URI = r"\S+"
_URN = r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_INSTANT = (
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
    r"(Z|[+-](0\d|1[0-3]):[0-5]\d|[+-]14:00)"
)
_CODING = {"system": _URI, "code": _CODE, "display?": _TEXT}
_CONCEPT = {"coding": [_CODING], "text?": _TEXT}
_OWN_IDENTIFIER = {"system": r"urn:mds-edge:[a-z]+", "value": r"\S+"}
_META = {"tag": [_CODING]}
_REFERENCE = {"reference": _URN}
_LOGICAL = {"identifier": {"value": _ID}}
_STATUS = "preliminary|final|corrected|entered-in-error|cancelled"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"

SHAPES: dict[str, dict[str, Shape]] = {
    "Bundle": {
        "resourceType": "Bundle",
        "meta?": _META,
        "identifier": {"system": "urn:mds-edge:message", "value": r"[A-Za-z0-9.-]{1,20}"},
        "type": "transaction",
        "timestamp": _INSTANT,
        "entry": [
            {
                "fullUrl": _URN,
                # Which shape a resource has is told by its type, and checked after this.
                "resource": dict,
                "request": {"method": "PUT", "url": r"[A-Za-z]+\?identifier=\S+\|\S+"},
            }
        ],
    },
    "Device": {
        "resourceType": "Device",
        "meta?": _META,
        "identifier": [_OWN_IDENTIFIER],
        "status?": "active",
        "deviceName": [{"name": _TEXT, "type": "user-friendly-name|model-name"}],
        "serialNumber?": _TEXT,
        "version?": [{"type": {"text": "software|model|engine"}, "value": _TEXT}],
        "note?": [{"text": _TEXT}],
    },
    "Specimen": {
        "resourceType": "Specimen",
        "meta?": _META,
        "identifier": [_OWN_IDENTIFIER],
        "accessionIdentifier": {"value": _ID},
        "type": {"coding": [{"system": f"{_TERMINOLOGY}/v2-0487", "code": "BLD"}], "text": "Blood"},
        "subject?": _LOGICAL,
        "receivedTime?": _INSTANT,
        "container": [{"identifier": [{"value": _ID}], "description": _TEXT}],
    },
    "Observation": {
        "resourceType": "Observation",
        "meta?": _META,
        "identifier": [_OWN_IDENTIFIER],
        "status": _STATUS,
        "category": [
            {"coding": [{"system": f"{_TERMINOLOGY}/observation-category", "code": "laboratory", "display": _TEXT}]}
        ],
        "code": {"coding": [{"system": _URI, "code": _CODE, "display": _TEXT}], "text": _TEXT},
        "subject?": _LOGICAL,
        "effectiveDateTime?": _INSTANT,
        "issued": _INSTANT,
        "valueQuantity?": {"value": float, "unit": _TEXT, "system": "http://unitsofmeasure.org", "code": _CODE},
        "valueString?": _TEXT,
        "valueCodeableConcept?": _CONCEPT,
        "dataAbsentReason?": _CONCEPT,
        "interpretation?": [
            {"coding": [{"system": f"{_TERMINOLOGY}/v3-ObservationInterpretation", "code": "A|H", "display": _TEXT}]}
        ],
        "note?": [{"text": _TEXT}],
        "specimen": _REFERENCE,
        "device": _REFERENCE,
    },
    "DiagnosticReport": {
        "resourceType": "DiagnosticReport",
        "meta?": _META,
        "identifier": [_OWN_IDENTIFIER],
        "basedOn?": [_LOGICAL],
        "status": _STATUS,
        "category": [_CONCEPT],
        "code": {"coding": [_CODING], "text": _TEXT},
        "subject?": _LOGICAL,
        "effectiveDateTime?": _INSTANT,
        "issued": _INSTANT,
        "specimen": [_REFERENCE],
        "result": [_REFERENCE],
        "conclusion": _TEXT,
    },
}
