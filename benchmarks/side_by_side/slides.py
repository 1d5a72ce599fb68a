"""The slides that are measured: folders of JPEG cells, real ones where they are at hand, drawn ones otherwise."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEED = 20190913


@dataclass(frozen=True, slots=True)
class Pictures:
    """Bytes of JPEG files, and whether they are photographs ("real") or drawings ("drawn")."""

    kind: str
    files: tuple[bytes, ...]


def pictures(cells: Path | None, count: int) -> Pictures:
    """Return `count` pictures: the first of every type in turn from a folder with labels.csv, or drawings."""
    if cells is None:
        return Pictures("drawn", tuple(_drawn(count)))
    by_type: dict[str, list[Path]] = {}
    with (cells / "labels.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["cell_type"]:
                by_type.setdefault(row["cell_type"], []).append(cells / row["file"])
    piles = [sorted(files) for _, files in sorted(by_type.items())]
    in_turn = [pile[turn] for turn in range(max(map(len, piles))) for pile in piles if turn < len(pile)]
    return Pictures("real", tuple(file.read_bytes() for file in in_turn[:count]))


def write_slide_folder(folder: Path, files: Sequence[bytes], sample_id: str, marker: str | None = None) -> None:
    """Write a slide as an analyzer exports it: cells, slide.json with their digests, and the marker last."""
    from edge.simulator.slide_metadata import ListedFile, SlideFacts, metadata_file

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "wbc").mkdir(parents=True)
    listed = []
    for number, data in enumerate(files, start=1):
        name = f"wbc/{number:04d}.jpg"
        (folder / name).write_bytes(data)
        listed.append(ListedFile(name, len(data), hashlib.sha256(data).hexdigest()))
    described = metadata_file(SlideFacts(sample_id), listed, len(files), "json")
    if described is not None:
        (folder / described[0]).write_bytes(described[1])
    if marker is not None:
        (folder / marker).touch()


def _drawn(count: int) -> list[bytes]:
    from edge.simulator.cell_sources import jpeg_from_pixels
    from edge.simulator.cells import DRAWABLE_FINDINGS, draw_cell

    codes = list(DRAWABLE_FINDINGS)
    return [
        jpeg_from_pixels(draw_cell(codes[number % len(codes)], [], np.random.default_rng([SEED, number])))
        for number in range(count)
    ]
