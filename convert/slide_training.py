"""From labelled slide folders to trees: read the table, profile every slide once, train one or several questions.

Two classes make one question. More than two make one question for each class against the rest (ADR 0002): binary
models with the target <family>_<class>, on the same slides and the same folds, that share the family's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from convert.assessment_report import save_assessment
from convert.slide_cohort import Cohort, SlideReading, cohort_from_slides, write_profiles
from convert.slide_labels import read_slide_labels, read_unlabelled_slides
from convert.train_assessment import AssessmentTraining, TrainedAssessment, train_assessment
from edge.model import open_model

REST = "OTHER"


@dataclass(frozen=True, slots=True)
class SlideRequest:
    """What is trained on what. `classes` None: the two classes of `training`; `others`: folders of neither class."""

    folder: Path
    table: Path
    bundle: Path
    public_key: bytes | None
    classes: tuple[str, ...] | None
    others: tuple[Path, ...]
    leave_out: tuple[str, ...]
    allow_unreadable: bool
    out: Path
    threads: int | None
    training: AssessmentTraining


def train_slides(
    request: SlideRequest, say: Callable[[str], None], stream: TextIO | None
) -> list[tuple[TrainedAssessment, Path]]:
    """Train, write the files beside `request.out`, and return every assessment with the path of its trees.

    Raises EdgeError MDSE-TRAIN-014 to -020, and what opening the bundle and reading the slides raise.
    """
    training = request.training
    classes = request.classes or (training.positive, training.negative)
    labelled = read_slide_labels(request.table, training.target, classes, say, leave_out=request.leave_out)
    tables = [read_unlabelled_slides(folder / "slides.csv") for folder in request.others]
    reading = SlideReading(training.positive, say, request.allow_unreadable, stream)
    model = open_model(request.bundle, public_key=request.public_key, threads=request.threads)
    try:
        cohort = cohort_from_slides(request.folder, labelled, model, reading)
        others = [
            cohort_from_slides(folder, slides, model, reading)
            for folder, slides in zip(request.others, tables, strict=True)
        ]
    finally:
        model.close()
    request.out.parent.mkdir(parents=True, exist_ok=True)
    write_profiles(request.out.with_suffix(".profiles.csv"), cohort)
    for number, group in enumerate(others, start=1):
        write_profiles(request.out.with_suffix(f".others{number}.profiles.csv"), group)
    if request.classes is None:
        return [_trained(cohort, training, request.out, others, say, stream)]
    return [
        _trained(
            cohort.against(label),
            replace(
                training, target=f"{training.target}_{label}", positive=label, negative=REST, family=training.target
            ),
            request.out.with_name(f"{request.out.stem}.{label}{request.out.suffix}"),
            others,
            say,
            stream,
        )
        for label in request.classes
    ]


def _trained(
    cohort: Cohort,
    training: AssessmentTraining,
    out: Path,
    others: Sequence[Cohort],
    say: Callable[[str], None],
    stream: TextIO | None,
) -> tuple[TrainedAssessment, Path]:
    trained = train_assessment(cohort, training, say, others=others, stream=stream)
    save_assessment(trained, out)
    return trained, out
