"""What a writer is: a pure function from a record to the bytes of one file, and a check of those bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from edge.writers.letters import LetterTable

RecordEnd = Literal["crlf", "cr", "lf"]


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """The content of one file and the ending of its name, with the dot (`.hl7`)."""

    extension: str
    content: bytes


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """What a site may set for one output: status letters, the end of a LIS2-A2 record, the offset of HL7 times.

    `times_with_offset` False writes bare local time, for receivers that cannot read an offset.
    """

    letters: LetterTable = field(default_factory=LetterTable)
    record_end: RecordEnd = "crlf"
    times_with_offset: bool = True


class Writer(Protocol):
    """One output format.

    `render` turns a record (schema mds-edge.record/1) into a file that has passed `check`; it raises EdgeError
    MDSE-WRITER-001 to -004 and -007, and never returns a file it could not vouch for. `check` reads bytes alone, so
    that what is published can be checked again at any later time, and raises MDSE-WRITER-004.
    """

    name: str

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the file for this record."""
        ...

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not a whole, sound file of this format."""
        ...
