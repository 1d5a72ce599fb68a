"""One slide as the analyzer exported it: who it belongs to, which cells it holds, and what is doubtful about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CellFile:
    """One cell image of a slide: its id, its path below the slide folder (posix), size, digest and pre-class."""

    cell_id: str
    path: str
    size_bytes: int
    sha256: str | None
    preclass: str | None


@dataclass(frozen=True, slots=True)
class Analyzer:
    """The instrument that made the slide's images."""

    model: str | None
    serial: str | None
    software: str | None


@dataclass(frozen=True, slots=True)
class SlideWarning:
    """Something doubtful about a slide that does not stop it: a stable code and a sentence."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Slide:
    """One slide: identity, origin, requested targets and its cell images in order of name."""

    slide_key: str
    folder: Path
    sample_id: str | None
    order_id: str | None
    slide_no: int | None
    acquired_at: str | None
    analyzer: Analyzer
    targets: tuple[str, ...]
    patient_id: str | None
    cell_files: tuple[CellFile, ...]
    expected_wbc: int | None
    warnings: tuple[SlideWarning, ...]
