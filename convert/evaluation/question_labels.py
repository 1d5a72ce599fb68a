"""Which column and which labels of the table of slides belong to a question, alone or in a family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from convert.slide_labels import LabelledSlide
from edge.bundle.manifest import AssessmentSpec


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
