"""What a writer is: a pure function from a record to the bytes of one file, and a check of those bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """The content of one file and the ending of its name, with the dot (`.hl7`)."""

    extension: str
    content: bytes


class Writer(Protocol):
    """One output format.

    `render` turns a record (schema mds-edge.record/1) into a file that has passed `check`; it raises EdgeError
    MDSE-WRITER-001 to -004 and never returns a file it could not vouch for. `check` reads bytes alone, so that what is
    published can be checked again at any later time, and raises MDSE-WRITER-004.
    """

    name: str

    def render(self, record: Mapping[str, object]) -> RenderedFile:
        """Return the file for this record."""
        ...

    def check(self, content: bytes) -> None:
        """Raise MDSE-WRITER-004 when these bytes are not a whole, sound file of this format."""
        ...
