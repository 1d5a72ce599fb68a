"""Values of FHIR R4: identifiers, codings, instants, texts, references and the tags that mark a test."""

from __future__ import annotations

import unicodedata
import uuid
from datetime import datetime, timedelta

from edge.errors import EdgeError
from edge.writers.record_reading import record_fault
from edge.writers.record_view import RecordView

IDENTIFIER_LIMIT = 150
SYSTEM = "urn:mds-edge"
CODE_SYSTEM = f"{SYSTEM}:codes"
TAG_SYSTEM = f"{SYSTEM}:marks"
# FHIR status of an observation and of the report by the letter that leaves (v2-to-FHIR tables 0085 and 0123).
OBSERVATION_STATUS = {"P": "preliminary", "F": "final", "C": "corrected", "W": "entered-in-error", "X": "cancelled"}
REPORT_STATUS = dict(OBSERVATION_STATUS)

Reference = dict[str, str]
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, SYSTEM)


def identifier(kind: str, value: str) -> dict[str, str]:
    """Return an identifier of ours; `kind` says of what."""
    return {"system": f"{SYSTEM}:{kind}", "value": value}


def foreign_identifier(value: str, field: str) -> str:
    """Return an identifier of somebody else's unchanged. Raises EdgeError MDSE-WRITER-002 where that cannot be."""
    if not value.strip() or not value.isprintable() or len(value) > IDENTIFIER_LIMIT:
        raise EdgeError("MDSE-WRITER-002", where="fhir", field=field, limit_characters=IDENTIFIER_LIMIT)
    return value


def coding(system: str, code: str, display: str) -> dict[str, str]:
    """Return one coding."""
    return {"system": system, "code": code, "display": display}


def urn_from_key(key: str) -> str:
    """Return the `urn:uuid` of an entry: the same key gives the same one (RFC 4122, version 5)."""
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, key)}"


def instant(moment: datetime) -> str:
    """Return a time with offset, to the second. Raises MDSE-WRITER-001 for an offset that has seconds."""
    offset = moment.utcoffset() or timedelta()
    if offset.total_seconds() % 60 or abs(offset) > timedelta(hours=14):
        raise record_fault("an offset from UTC has seconds or is beyond 14 hours, which no bundle can carry")
    # FHIR wants four digits of the year, which isoformat gives.
    return moment.replace(microsecond=0).isoformat()


def text_value(text: str) -> str:
    """Return free text that every FHIR reader takes: no control or format characters, plain blanks, not padded."""
    if text.isascii() and text.isprintable():
        return text.strip()
    spaced = "".join(" " if character.isspace() else character for character in text)
    return "".join(c for c in spaced if unicodedata.category(c)[0] != "C").strip()


def tags_of_record(view: RecordView) -> list[dict[str, str]]:
    """Return the tags that mark a test, research use only, simulated data and a degraded run for machines."""
    tags = []
    if view.mode == "T":
        tags.append(coding("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST", "test health data"))
    if view.research_only:
        tags.append(coding(TAG_SYSTEM, "RESEARCH", "Made with a bundle that is not for clinical use"))
    if view.simulated:
        tags.append(coding(TAG_SYSTEM, "SIMULATED", "Simulated data of no patient"))
    if view.provenance.degraded:
        tags.append(coding(TAG_SYSTEM, "DEGRADED", "Made on the fallback engine"))
    return tags
