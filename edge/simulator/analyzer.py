"""A simulated DI-60 that exports slides: one folder a slide, written the way real exports and copies behave.

    write_slide          one film becomes one folder: atomic, with a marker, or as a slow copy over a share
    deliver_late_files   what was held back arrives after the slide looked complete

Faults are asked for, never random: a truncated file, late files. All bytes of a slide are made before its folder
appears, so that an interrupted simulator leaves what an interrupted copy leaves, and nothing else.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from edge.errors import EdgeError
from edge.simulator.cell_sources import CellSource, count_reasons
from edge.simulator.films import Film
from edge.simulator.scene import random_look
from edge.simulator.slide_metadata import ListedFile, MetadataFormat, SlideFacts, metadata_file

ExportManner = Literal["atomic", "slow-copy", "marker"]
EXPORT_MANNERS: tuple[ExportManner, ...] = get_args(ExportManner)
DEFAULT_MARKER = ".complete"
SENTINEL = ".export_root"

_KEPT_OF_TRUNCATED = 0.6


@dataclass(frozen=True, slots=True)
class SlideFile:
    """A file of a slide before it is written: path below the slide's folder (posix) and bytes."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class WrittenSlide:
    """A slide as exported. `origins` counts cells by source or reason; `late` was held back (`deliver_late_files`).

    `cell_paths` are in the order of the film's cells, so that the truth about each file is known.
    """

    folder: Path
    slide_key: str
    facts: SlideFacts
    film: Film
    cell_paths: tuple[str, ...]
    origins: Counter[str]
    late: tuple[SlideFile, ...]


def write_slide(
    film: Film,
    root: Path,
    slide_key: str,
    sample_id: str,
    *,
    source: CellSource,
    rng: np.random.Generator,
    how: ExportManner = "atomic",
    metadata: MetadataFormat = "json",
    facts: SlideFacts | None = None,
    marker: str | None = DEFAULT_MARKER,
    pause_s: float = 0.0,
    truncated_file: int | None = None,
    late_files: int = 0,
    wait: Callable[[float], None] = time.sleep,
) -> WrittenSlide:
    """Write one film as the folder `root/slide_key` and return what was written.

    how             atomic: the finished folder appears in one step. marker: files appear one by one, then `marker`.
                    slow-copy: every file grows in two steps with `pause_s` before each, then `marker`.
    facts           further facts for the metadata; their sample_id is replaced by `sample_id`
    marker          name of the file written last, or None for an export without one
    truncated_file  index of the cell whose file is cut short, like a copy that failed unseen
    late_files      how many of the last files are held back; the metadata lists them, as a real export list would

    Raises EdgeError MDSE-SIM-009 when the folder exists already or `how` is unknown, MDSE-SIM-008 for the metadata.
    """
    folder = root / slide_key
    if folder.exists():
        raise EdgeError("MDSE-SIM-009", where=str(folder), reason="a slide of this name was exported before")
    if how not in EXPORT_MANNERS:
        raise EdgeError("MDSE-SIM-009", where=str(how), reason=f"the manner is none of {' '.join(EXPORT_MANNERS)}")
    known = facts or SlideFacts(sample_id)
    if known.sample_id != sample_id:
        raise EdgeError("MDSE-SIM-009", where=slide_key, reason="the facts name another sample than the slide")
    look = random_look(rng)
    supplied = source.supply(film.cells, look, rng)
    cells = [SlideFile(f"wbc/{index:04d}{cell.suffix}", cell.data) for index, cell in enumerate(supplied, start=1)]
    listed = [ListedFile(c.path, len(c.data), hashlib.sha256(c.data).hexdigest()) for c in cells]
    described = metadata_file(known, listed, len(cells), metadata)
    head = [SlideFile(*described)] if described else []
    if truncated_file is not None:
        cut = cells[truncated_file]
        cells[truncated_file] = SlideFile(cut.path, cut.data[: int(len(cut.data) * _KEPT_OF_TRUNCATED)])
    present, late = cells[: len(cells) - late_files], cells[len(cells) - late_files :]
    tail = [SlideFile(marker, b"")] if marker else []
    _WRITERS[how](folder, [*head, *present, *tail], pause_s, wait)
    paths = tuple(cell.path for cell in cells)
    return WrittenSlide(folder, slide_key, known, film, paths, count_reasons(supplied), tuple(late))


def deliver_late_files(slide: WrittenSlide) -> None:
    """Write the files that `write_slide` held back."""
    _write_plainly(slide.folder, list(slide.late), 0.0, time.sleep)


def prepare_export_root(root: Path) -> None:
    """Create the export root and its sentinel file, by which a reader tells an empty root from a mount that is away."""
    root.mkdir(parents=True, exist_ok=True)
    (root / SENTINEL).touch()


def _write_atomically(folder: Path, files: list[SlideFile], pause_s: float, wait: Callable[[float], None]) -> None:
    """Build the folder under a hidden name beside its place, then rename it."""
    building = folder.with_name(f".{folder.name}.part")
    _write_plainly(building, files, 0.0, wait)
    wait(pause_s)
    building.rename(folder)


def _write_plainly(folder: Path, files: list[SlideFile], pause_s: float, wait: Callable[[float], None]) -> None:
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if pause_s:
            wait(pause_s)
        path.write_bytes(file.data)


def _write_slowly(folder: Path, files: list[SlideFile], pause_s: float, wait: Callable[[float], None]) -> None:
    """Grow every file in two steps, as a copy over a share does: a reader may meet half a picture at any time."""
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        half = len(file.data) // 2
        wait(pause_s / 2)
        with path.open("wb", buffering=0) as growing:
            growing.write(file.data[:half])
            wait(pause_s / 2)
            growing.write(file.data[half:])


_WRITERS: dict[str, Callable[[Path, list[SlideFile], float, Callable[[float], None]], None]] = {
    "atomic": _write_atomically,
    "marker": _write_plainly,
    "slow-copy": _write_slowly,
}
