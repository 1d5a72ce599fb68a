"""From a record to what each output is to receive: bytes and final name, fixed before anything is written there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge.config import OutputSection
from edge.daemon.books import output_name
from edge.delivery.names import final_name_from_record
from edge.errors import EdgeError
from edge.journal_rows import SIDECAR_COPY, DeliveryIntent
from edge.writers.choose import writer_for

REPORT_EXTENSION = ".html"


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """The archived HTML report of a revision: SHA-256 and size in bytes."""

    sha256: str
    size: int


def intent_for(output: OutputSection, record: Mapping[str, object], *, copy: int = 1) -> DeliveryIntent:
    """Render the record for one output. What our own check refuses is parked with the reason and never published."""
    try:
        rendered = writer_for(output.format, output.writer_options).render(record)
        final_name = final_name_from_record(record, rendered.extension, delivery=copy)
    except EdgeError as error:
        return DeliveryIntent(output_name(output), None, None, None, None, parked=str(error))
    digest = hashlib.sha256(rendered.content).hexdigest()
    return DeliveryIntent(output_name(output), final_name, rendered.content, digest, len(rendered.content))


def intents_for(
    outputs: Iterable[OutputSection], record: Mapping[str, object], *, report: ReportFacts | None = None
) -> list[DeliveryIntent]:
    """Render the record for every output; one that cannot take it does not stop the others.

    With `report`, an output that wants reports gets it before its message: a message never names what is not there.
    """
    intents = []
    for output in outputs:
        message = intent_for(output, record)
        if output.report and report is not None and message.final_name is not None:
            name = f"{message.final_name.rpartition('.')[0]}{REPORT_EXTENSION}"
            intents.append(DeliveryIntent(message.output, name, None, report.sha256, report.size, copy=SIDECAR_COPY))
        intents.append(message)
    return intents
