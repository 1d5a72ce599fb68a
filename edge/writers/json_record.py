"""The record itself as a file: the whole truth from which every other output is rendered."""

from __future__ import annotations

from collections.abc import Mapping

from edge.errors import EdgeError
from edge.record_text import record_bytes
from edge.strict_json import object_from_json
from edge.writers.base import RenderedFile
from edge.writers.record_view import view_of_record


class JsonRecordWriter:
    """Writes a record as its canonical bytes, the very bytes that the archive keeps."""

    name = "json"

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the record as a `.json` file. Raises EdgeError MDSE-WRITER-001 or -004."""
        view_of_record(record)
        content = record_bytes(record)
        self.check(content)
        return RenderedFile(".json", content)

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not one whole record."""
        check_json(content)


def check_json(content: bytes) -> None:
    """Check that `content` is one whole, sound record. Raises EdgeError MDSE-WRITER-004."""
    if not content.endswith(b"}\n"):
        raise _refused("it does not end as a whole record does")
    try:
        record = object_from_json(content.decode("utf-8"))
    except ValueError as error:
        raise _refused(f"it is not one JSON object ({error})") from error
    try:
        view_of_record(record)
        canonical = record_bytes(record)
    except EdgeError as error:
        raise _refused(error.text) from error
    if canonical != content:
        raise _refused("it is not written as a record is")


def _refused(reason: str) -> EdgeError:
    return EdgeError("MDSE-WRITER-004", where="json", format="json", reason=reason)
