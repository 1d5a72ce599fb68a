"""A series of simulated slides: whose film each is, and the tables of truth beside them.

A patient belongs to one kind only. About one patient in eight has two slides under one sample number, as an order may
(docs: slide folder contract), so that a split which forgets patients can be caught.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from edge.simulator.analyzer import WrittenSlide
from edge.simulator.films import FILM_KINDS, Film, FilmKind, draw_patient, film_of
from edge.simulator.slide_metadata import SlideFacts

SeriesKind = Literal["mds", "aa", "normal", "mixed"]
TWO_SLIDES_SHARE = 0.125
TARGET = "mds_aa"


@dataclass(frozen=True, slots=True)
class PlannedSlide:
    """A slide to be exported: its key, what is known of it, its film, and the seed of everything drawn for it."""

    slide_key: str
    facts: SlideFacts
    film: Film
    seed: int


def plan_slides(
    kind: SeriesKind, cells_per_slide: tuple[int, int], seed: int, *, first_number: int | None = None
) -> Iterator[PlannedSlide]:
    """Yield slides without end; the same arguments yield the same slides.

    `first_number` is the first patient's number in sample and patient ids; by default it follows from the seed, so that
    series of different seeds do not share ids. "mixed" takes MDS, AA and normal films in turn of 4 : 3 : 3.
    """
    rng = np.random.default_rng([seed, 60])
    number = (seed % 10_000) * 100_000 + 1 if first_number is None else first_number
    while True:
        patient_kind: FilmKind = _mixed_kind(rng) if kind == "mixed" else _KIND_OF[kind]
        patient = draw_patient(patient_kind, rng)
        slides = 2 if rng.random() < TWO_SLIDES_SHARE else 1
        facts = SlideFacts(
            sample_id=f"SIM{number:010d}",
            patient_id=f"SIMPAT{number:010d}",
            order_id=f"SIMORD{number:010d}",
            slide_count=slides,
        )
        for slide_no in range(1, slides + 1):
            count = int(rng.integers(cells_per_slide[0], cells_per_slide[1] + 1))
            film = film_of(patient, count, rng)
            yield PlannedSlide(
                f"{facts.sample_id}_S{slide_no}", replace(facts, slide_no=slide_no), film, int(rng.integers(0, 2**62))
            )
        number += 1


def write_truth(folder: Path, slides: Sequence[WrittenSlide]) -> tuple[Path, Path]:
    """Write `slides.csv` (slide, patient, mds_aa) and `truth.csv` (every cell) into `folder` and return their paths.

    Rows of other slides that the tables already hold stay, so that a cohort can be exported in several series. A film
    of a healthy person has no value for mds_aa: the target separates two diseases.
    """
    slides_path, truth_path = folder / "slides.csv", folder / "truth.csv"
    rows = [
        [slide.slide_key, slide.facts.patient_id, slide.film.kind if slide.film.kind in ("MDS", "AA") else ""]
        for slide in slides
    ]
    _merge_rows(slides_path, ["slide", "patient", TARGET], rows)
    cells = [
        [slide.slide_key, path, cell.type_code, " ".join(cell.findings), slide.film.kind]
        for slide in slides
        for path, cell in zip(slide.cell_paths, slide.film.cells, strict=True)
    ]
    _merge_rows(truth_path, ["slide", "file", "cell_type", "findings", "kind"], cells)
    return slides_path, truth_path


def _merge_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """Write the table with these rows; rows of slides (first column) that are not among them are kept."""
    new_slides = {row[0] for row in rows}
    kept: list[Sequence[str | None]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as lines:
            kept = [row for row in list(csv.reader(lines))[1:] if row[0] not in new_slides]
    with path.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines, lineterminator="\n").writerows([header, *kept, *rows])


_KIND_OF: dict[str, FilmKind] = {kind.lower(): kind for kind in FILM_KINDS}


def _mixed_kind(rng: np.random.Generator) -> FilmKind:
    return FILM_KINDS[int(rng.choice(3, p=(0.4, 0.3, 0.3)))]
