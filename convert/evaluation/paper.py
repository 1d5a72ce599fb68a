"""What the paper published, as data: Tables 1-3 and the result on slides (Kimura et al., Sci Rep 2019;9:13385).

The paper gives percentages and numbers of images. The exact intervals are ours, computed from both; specificities of
its Table 2 rest on all other validation images.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from edge.intervals import clopper_pearson


@dataclass(frozen=True, slots=True)
class PublishedType:
    """A row of Tables 1 and 2: images and fractions 0-1, with the exact intervals of the fractions."""

    training: int
    validation: int
    sensitivity: float
    specificity: float
    sensitivity_ci95: tuple[float, float]
    specificity_ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PublishedFinding:
    """A row of Table 3. The images are those with the finding; how many lacked it is not published."""

    images: int
    sensitivity: float
    specificity: float
    auc: float
    sensitivity_ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PublishedSlides:
    """The result on the 37 slides kept apart: numbers of slides and fractions 0-1 with exact intervals."""

    positive: int
    negative: int
    sensitivity: float
    specificity: float
    auc: float
    sensitivity_ci95: tuple[float, float]
    specificity_ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Paper:
    """Everything published, by type code, finding code and target."""

    source: str
    cell_types: dict[str, PublishedType]
    findings: dict[str, PublishedFinding]
    slides: dict[str, PublishedSlides]


@cache
def load_paper() -> Paper:
    """Return the published numbers."""
    document = json.loads(resources.files("convert.evaluation").joinpath("paper.json").read_bytes())
    images = sum(row["validation"] for row in document["cell_types"].values())
    return Paper(
        source=document["source"],
        cell_types={
            code: PublishedType(
                **row,
                sensitivity_ci95=_interval(row["sensitivity"], row["validation"]),
                specificity_ci95=_interval(row["specificity"], images - row["validation"]),
            )
            for code, row in document["cell_types"].items()
        },
        findings={
            code: PublishedFinding(**row, sensitivity_ci95=_interval(row["sensitivity"], row["images"]))
            for code, row in document["findings"].items()
        },
        slides={
            target: PublishedSlides(
                **row,
                sensitivity_ci95=_interval(row["sensitivity"], row["positive"]),
                specificity_ci95=_interval(row["specificity"], row["negative"]),
            )
            for target, row in document["slides"].items()
        },
    )


def _interval(fraction: float, images: int) -> tuple[float, float]:
    low, high = clopper_pearson(round(fraction * images), images)
    return float(low), float(high)
