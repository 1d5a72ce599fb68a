"""One result as a FHIR R4 Observation: both codings, value or the reason why there is none, flag and notes."""

from __future__ import annotations

import re

from edge.catalogue.codes import load_codes
from edge.writers.fhir_values import CODE_SYSTEM, OBSERVATION_STATUS, coding, text_value
from edge.writers.letters import Outgoing
from edge.writers.observations import Observation

UCUM = "http://unitsofmeasure.org"
_FLAGS = {"H": "High", "A": "Abnormal"}
_CALL = re.compile(r"[A-Z0-9-]{1,64}")


def observation_resource(row: Observation, sent: Outgoing) -> dict[str, object]:
    """Return status, code, value, interpretation and notes of a result; whose it is, is added by the bundle."""
    notes = [{"text": text} for text in map(text_value, row.notes_beside(sent)) if text]
    resource: dict[str, object] = {
        "status": OBSERVATION_STATUS[sent.letter],
        "category": [
            {
                "coding": [
                    coding("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", "Laboratory")
                ]
            }
        ],
        "code": _code(row),
        **_value(row, sent),
    }
    if sent.value is not None and not sent.replaced and row.flag:
        system = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
        resource["interpretation"] = [{"coding": [coding(system, row.flag, _FLAGS[row.flag])]}]
    if notes:
        resource["note"] = notes
    return resource


def _code(row: Observation) -> dict[str, object]:
    codings = []
    if row.loinc:
        codings.append(coding("http://loinc.org", row.loinc.number, row.loinc.name))
    if row.local:
        codings.append(coding(CODE_SYSTEM, row.local, text_value(row.name)))
    return {"coding": codings, "text": text_value(row.name)}


def _value(row: Observation, sent: Outgoing) -> dict[str, object]:
    if sent.value is None or sent.replaced:
        reason = {"text": sent.value} if sent.value else {}
        code = coding("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown", "Unknown")
        return {"dataAbsentReason": {"coding": [code], **reason}}
    if row.kind == "NM":
        # A number without a fraction stays one: 41 cells, not 41.0.
        number: float = int(sent.value) if sent.value.isdigit() else float(sent.value)
        return {"valueQuantity": {"value": number, "unit": row.unit, "system": UCUM, "code": row.unit}}
    detected = load_codes().detected
    if row.loinc and sent.value == "Present":
        return {
            "valueCodeableConcept": {
                "coding": [coding("http://snomed.info/sct", detected.number, detected.name)],
                "text": "Present",
            }
        }
    if row.is_call and _CALL.fullmatch(sent.value):
        return {
            "valueCodeableConcept": {
                "coding": [{"system": f"{CODE_SYSTEM}:call", "code": sent.value}],
                "text": sent.value,
            }
        }
    return {"valueString": text_value(sent.value) or "-"}
