"""The table of slides, `slides.csv`: slide, patient, <target>. Read whole; all its faults are named together.

A slide without a value for the target is left out with a notice: nobody said what it is. A value that is none of the
classes is a fault, because it may be a misspelt class; `leave_out` names the values that are meant to be left out.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.label_faults import Faults
from edge.errors import EdgeError


@dataclass(frozen=True, slots=True)
class LabelledSlide:
    """A slide folder's name, whose film it is, and its class in the words of the table."""

    slide: str
    patient: str
    label: str


def read_slide_labels(
    table: Path,
    target: str,
    classes: Sequence[str],
    say: Callable[[str], None],
    *,
    leave_out: Collection[str] = (),
) -> tuple[LabelledSlide, ...]:
    """Read the slides of these classes.

    Raises EdgeError MDSE-TRAIN-014 (no such table or column, a slide twice or that is no folder name, no patient, a
    patient of two classes), -018 (a value that is no class), -019 (a class without slides); several faults together
    as -017.
    """
    reading = _Reading(table, target, tuple(classes), frozenset(leave_out))
    for line, row in _rows(table, {"slide", "patient", target}):
        reading.take(line, row)
    reading.finish()
    for value, count in sorted(reading.left_out.items()):
        say(f"note: {count} slides left out: {target} is {value or 'blank'}")
    return tuple(reading.labelled.values())


def read_unlabelled_slides(table: Path) -> tuple[LabelledSlide, ...]:
    """Read slide and patient of every line, whatever the target says; the label is empty. Raises as above."""
    reading = _Reading(table, "", ("",), frozenset())
    for line, row in _rows(table, {"slide", "patient"}):
        reading.take(line, {**row, "": ""})
    reading.finish()
    return tuple(reading.labelled.values())


class _Reading:
    def __init__(self, table: Path, target: str, classes: tuple[str, ...], leave_out: frozenset[str]) -> None:
        self.labelled: dict[str, LabelledSlide] = {}
        self.left_out: dict[str, int] = {}
        self._table, self._target, self._classes, self._leave_out = table, target, classes, leave_out
        self._class_of: dict[str, str] = {}
        self._faults = Faults()

    def take(self, line: int, row: Mapping[str, str | None]) -> None:
        slide, patient, label = ((row[column] or "").strip() for column in ("slide", "patient", self._target))
        where = f"{self._table} line {line}"
        if label not in self._classes and (not label or label in self._leave_out):
            self.left_out[label] = self.left_out.get(label, 0) + 1
        elif label not in self._classes:
            known = ", ".join(self._classes)
            self._faults.add(EdgeError("MDSE-TRAIN-018", where=where, value=label, column=self._target, known=known))
        elif reason := self._reason_against(slide, patient, label):
            self._faults.add(EdgeError("MDSE-TRAIN-014", where=where, reason=reason))
        else:
            self._class_of[patient] = label
            self.labelled[slide] = LabelledSlide(slide, patient, label)

    def finish(self) -> None:
        self._faults.require_none(str(self._table))
        present = {entry.label for entry in self.labelled.values()}
        empty = [label for label in self._classes if label not in present]
        if empty:
            named = ", ".join(label or "slides" for label in empty)
            raise EdgeError("MDSE-TRAIN-019", where=str(self._table), classes=named, column=self._target)

    def _reason_against(self, slide: str, patient: str, label: str) -> str | None:
        if not slide or Path(slide).name != slide or slide in (".", ".."):
            return f"the slide '{slide}' is no folder name"
        if slide in self.labelled:
            return f"the slide {slide} is here twice"
        if not patient:
            return f"the slide {slide} has no patient, so nothing could keep its patient on one side of a split"
        if self._class_of.get(patient, label) != label:
            return f"patient {patient} is in two classes, {self._class_of[patient]} and {label}"
        return None


def _rows(table: Path, needed: set[str]) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = needed - set(reader.fieldnames or ())
            if missing:
                reason = f"it lacks the column {', '.join(sorted(missing))}"
                raise EdgeError("MDSE-TRAIN-014", where=str(table), reason=reason)
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EdgeError("MDSE-TRAIN-014", where=str(table), reason=str(error)) from error
