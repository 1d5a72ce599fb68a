"""Are these slides apart from those of the training? Answered from the training's own table, or the answer is refused.

A table without patients, or without a line, would let everything pass: nothing in it could ever be equal.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

from convert.slide_labels import LabelledSlide
from edge.errors import EdgeError

_NEEDED = ("slide", "patient")


def require_apart(labelled: Collection[LabelledSlide], trained_on: Path) -> None:
    """Compare patients and names of slides with those of the training's table, whatever its rows are labelled.

    Raises EdgeError MDSE-TRAIN-014 for a table that cannot be compared (unreadable, no column slide or patient, a row
    that leaves one of them blank, no row), MDSE-VALIDATE-007 (a patient in both), -012 (a slide in both).
    """
    ours = {"patient": {entry.patient for entry in labelled}, "slide": {entry.slide for entry in labelled}}
    theirs = _training_names(trained_on)
    if shared := sorted(ours["patient"] & theirs["patient"]):
        raise EdgeError("MDSE-VALIDATE-007", where=str(trained_on), count=len(shared), first=shared[0])
    if shared := sorted(ours["slide"] & theirs["slide"]):
        raise EdgeError("MDSE-VALIDATE-012", where=str(trained_on), count=len(shared), first=shared[0])


def _training_names(trained_on: Path) -> Mapping[str, set[str]]:
    names: dict[str, set[str]] = {column: set() for column in _NEEDED}
    try:
        with trained_on.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in _NEEDED if column not in (reader.fieldnames or ())]
            if missing:
                raise _refused(str(trained_on), f"it lacks the column {', '.join(missing)}")
            for row in reader:
                for column in _NEEDED:
                    name = (row[column] or "").strip()
                    if not name:
                        raise _refused(f"{trained_on} line {reader.line_num}", f"the {column} is blank")
                    names[column].add(name)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _refused(str(trained_on), str(error)) from error
    if not names["slide"]:
        raise _refused(str(trained_on), "it has no line below its columns")
    return names


def _refused(where: str, reason: str) -> EdgeError:
    return EdgeError("MDSE-TRAIN-014", where=where, reason=reason)
