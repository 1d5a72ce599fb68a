"""From a record to what each output is to receive: bytes and final name, fixed before anything is written there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from edge.config import OutputSection
from edge.daemon.books import output_name
from edge.delivery.names import final_name_from_record
from edge.errors import EdgeError
from edge.journal_rows import DeliveryIntent
from edge.writers.choose import writer_for


def intent_for(output: OutputSection, record: Mapping[str, object], *, copy: int = 1) -> DeliveryIntent:
    """Render the record for one output. What our own check refuses is parked with the reason and never published."""
    try:
        rendered = writer_for(output.format, output.writer_options).render(record)
        final_name = final_name_from_record(record, rendered.extension, delivery=copy)
    except EdgeError as error:
        return DeliveryIntent(output_name(output), None, None, None, None, parked=str(error))
    digest = hashlib.sha256(rendered.content).hexdigest()
    return DeliveryIntent(output_name(output), final_name, rendered.content, digest, len(rendered.content))


def intents_for(outputs: Iterable[OutputSection], record: Mapping[str, object]) -> list[DeliveryIntent]:
    """Render the record for every output; one that cannot take it does not stop the others."""
    return [intent_for(output, record) for output in outputs]
