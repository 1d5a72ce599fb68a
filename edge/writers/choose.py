"""Choose the writer that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge.errors import EdgeError
from edge.writers.base import Writer, WriterOptions
from edge.writers.csv_long import CsvLongWriter
from edge.writers.csv_wide import CsvWideWriter
from edge.writers.fhir_bundle import FhirBundleWriter
from edge.writers.hl7_oru import Hl7OruWriter
from edge.writers.hl7_oul import Hl7OulWriter
from edge.writers.json_record import JsonRecordWriter
from edge.writers.lis2 import Lis2Writer

_WRITERS: Mapping[str, Callable[[WriterOptions], Writer]] = {
    "hl7": Hl7OruWriter,
    "hl7-oul": Hl7OulWriter,
    "lis2": Lis2Writer,
    "csv": CsvLongWriter,
    "csv-wide": CsvWideWriter,
    "fhir": FhirBundleWriter,
    "json": lambda _: JsonRecordWriter(),  # the record itself knows no options
}
FORMATS: tuple[str, ...] = tuple(_WRITERS)


def writer_for(format: str, options: WriterOptions | None = None) -> Writer:  # noqa: A002 - the configuration's word
    """Return the writer named `format` with the site's options. Raises EdgeError MDSE-WRITER-005 for any other name."""
    make = _WRITERS.get(format)
    if make is None:
        raise EdgeError("MDSE-WRITER-005", where="output", format=format, known=", ".join(FORMATS))
    return make(options or WriterOptions())
