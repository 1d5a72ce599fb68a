"""The journal's rows as frozen values, in the words of the tables."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class SlideRow:
    """One arrival of a slide. Times are UTC, ISO 8601; sizes in bytes."""

    id: int
    source: str
    slide_key: str
    folder: bytes
    arrival: int
    state: str
    signature: str | None
    manifest_sha256: str | None
    idempotency_key: str | None
    content_sha256: str | None
    sample_id: str | None
    file_count: int | None
    byte_count: int | None
    spool_name: str | None
    attempts: int
    released: int
    planned_reason: str | None
    planned_by: str | None
    related_slide: int | None
    reason_code: str
    reason_text: str
    seen_at: str
    changed_at: str
    priority: int
    unlisted_at: str | None
    filed_as: str | None


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """One result that was made; `number` counts over all arrivals of the same source and slide key."""

    id: int
    slide_id: int
    number: int
    message_id: str
    status: str
    mode: str
    record_sha256: str
    report_sha256: str | None
    bundle_digest: str
    supersedes: str | None
    made_by: str
    reason: str | None
    made_at: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One revision for one output. The content is read separately: it can be large."""

    id: int
    revision_id: int
    output: str
    state: str
    final_name: str | None
    staged_name: str | None
    sha256: str | None
    size: int | None
    copy: int
    reason_text: str
    made_at: str
    changed_at: str


SIDECAR_COPY = 0
"""The copy number of a report beside its message: published first, answered by nobody, never repeated."""


@dataclass(frozen=True, slots=True)
class DeliveryIntent:
    """What is to be delivered to one output, decided before anything is written there.

    `content` None with a `sha256`: the archived HTML report. `parked` set: our own check refused the bytes.
    `copy`: 1 for a message, SIDECAR_COPY for what is published beside it; a repeated delivery takes 2, 3, ...
    """

    output: str
    final_name: str | None
    content: bytes | None
    sha256: str | None
    size: int | None
    parked: str = ""
    copy: int = 1


ROW_MARK = "row:"
"""Before a journal number where a person names a slide: a bare number may be a slide key, or a sample number."""


def row_name(slide_id: int) -> str:
    """Return the name by which commands take the slide with this journal number."""
    return f"{ROW_MARK}{slide_id}"


SLIDE_COLUMNS = ", ".join(field.name for field in fields(SlideRow))
REVISION_COLUMNS = ", ".join(field.name for field in fields(RevisionRow))
DELIVERY_COLUMNS = ", ".join(field.name for field in fields(DeliveryRow))
