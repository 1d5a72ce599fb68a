"""Choose the writer that a configuration names."""

from __future__ import annotations

from edge.errors import EdgeError
from edge.writers.base import Writer
from edge.writers.hl7_oru import Hl7OruWriter
from edge.writers.json_record import JsonRecordWriter

WRITERS: tuple[Writer, ...] = (Hl7OruWriter(), JsonRecordWriter())
FORMATS: tuple[str, ...] = tuple(writer.name for writer in WRITERS)


def writer_for(format: str) -> Writer:  # noqa: A002 - `format` is the configuration's own word for it
    """Return the writer named `format` (`hl7`, `json`). Raises EdgeError MDSE-WRITER-005 for any other name."""
    for writer in WRITERS:
        if writer.name == format:
            return writer
    raise EdgeError("MDSE-WRITER-005", where="output", format=format, known=", ".join(FORMATS))
