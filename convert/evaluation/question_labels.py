"""Which column and which labels of the table of slides belong to a question, alone or in a family."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.evaluation.training_table import require_apart
from convert.slide_cohort import require_folders
from convert.slide_labels import LabelledSlide, read_slide_labels
from edge.bundle.manifest import AssessmentSpec
from edge.errors import EdgeError


@dataclass(frozen=True, slots=True, eq=False)
class SlideTables:
    """What the tables say: the questions that `table` labels, and the labelled slides below `root` by target.

    `trained_on`: the table of the training, whose patients and slides were found to be others; None: not compared.
    """

    root: Path
    table: Path
    trained_on: Path | None
    specs: tuple[AssessmentSpec, ...]
    labelled: Mapping[str, tuple[LabelledSlide, ...]]

    @property
    def slides(self) -> dict[str, LabelledSlide]:
        """Every labelled slide once, by its name."""
        return {entry.slide: entry for entries in self.labelled.values() for entry in entries}


def read_slide_tables(
    root: Path,
    table: Path,
    questions: Sequence[AssessmentSpec],
    say: Callable[[str], None],
    *,
    trained_on: Path | None = None,
    leave_out: Collection[str] = (),
    rest: Sequence[str] = (),
) -> SlideTables:
    """Read the tables and look for the slide folders, before the first minute is spent on a cell or a slide.

    `leave_out` are labels that are no class of ours, `rest` classes of a family without a question in the bundle:
    slides of its negative class. A patient or a slide that is in `trained_on`, too, is refused. Raises EdgeError
    MDSE-VALIDATE-006 (no target in the table), -013 (`rest` without a family), -007, -012 (patient, slide on both
    sides), MDSE-TRAIN-014 (a table, a slide folder that is not there), -017, -018, -019 (the tables).
    """
    columns = _columns(table)
    specs = tuple(spec for spec in questions if column_of(spec) in columns)
    if not specs:
        targets = ", ".join(spec.target for spec in questions) or "none"
        raise EdgeError("MDSE-VALIDATE-006", where=str(table), columns=", ".join(columns), targets=targets)
    if rest and all(spec.family is None for spec in specs):
        raise EdgeError("MDSE-VALIDATE-013", where="--rest", targets=", ".join(spec.target for spec in specs))
    labelled = {
        spec.target: read_slide_labels(table, column_of(spec), labels_of(spec, specs, rest), say, leave_out=leave_out)
        for spec in specs
    }
    tables = SlideTables(root, table, trained_on, specs, labelled)
    if trained_on is not None:
        require_apart(list(tables.slides.values()), trained_on)
    require_folders(root, list(tables.slides.values()))
    return tables


def column_of(spec: AssessmentSpec) -> str:
    """Return the column that labels a question: its own, or that of the family of one-versus-rest questions."""
    return spec.family or spec.target


def labels_of(spec: AssessmentSpec, specs: Sequence[AssessmentSpec], rest: Sequence[str] = ()) -> list[str]:
    """Return the labels that a question knows: its two classes, or the positive ones of its family and the `rest`."""
    if spec.family is None:
        return [spec.positive, spec.negative]
    return list(dict.fromkeys([*(other.positive for other in specs if other.family == spec.family), *rest]))


def negatives_of(note: str, entries: Sequence[LabelledSlide], spec: AssessmentSpec) -> dict[str, Any]:
    """Say which classes the negative slides of a family's question are of: a hard one may be missing among them."""
    counts = dict(sorted(Counter(entry.label for entry in entries if entry.label != spec.positive).items()))
    named = ", ".join(f"{count} of {label}" for label, count in counts.items())
    return {"negatives": counts, "note": f"{note[:-1]}; {spec.negative} is {named}."}


def _columns(table: Path) -> list[str]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream).fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EdgeError("MDSE-TRAIN-014", where=str(table), reason=str(error)) from error
