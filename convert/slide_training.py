"""From labelled slide folders to trees: read the table, profile every slide once, train one or several questions.

Two classes make one question. More than two make one question for each class against the rest (ADR 0002): binary
models with the target <family>_<class>, on the same slides and the same folds, that share the family's name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from convert.slide_cohort import Cohort, SlideReading, cohort_from_slides, require_no_copies
from convert.slide_labels import LabelledSlide, read_slide_labels, read_unlabelled_slides
from convert.slide_training_files import write_slide_training
from convert.train_assessment import AssessmentTraining, TrainedAssessment, train_assessment
from convert.training_place import training_place
from convert.training_request import REST
from edge.bundle.reader import Bundle, open_bundle
from edge.model import open_model


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

    Raises EdgeError MDSE-TRAIN-014 to -020, -022 to -024 (the place), and what opening the bundle and reading the
    slides raise. What is refused leaves the files of an earlier training as they are.
    """
    classes = request.classes or (request.training.positive, request.training.negative)
    labelled = read_slide_labels(request.table, request.training.target, classes, say, leave_out=request.leave_out)
    tables = [read_unlabelled_slides(folder / "slides.csv") for folder in request.others]
    with training_place(request.out):
        request, cohort, others = _profiled(request, labelled, tables, say, stream)
        if request.classes is None:
            trained = [(train_assessment(cohort, request.training, say, others=others, stream=stream), request.out)]
            family = None
        else:
            trained = _trained_family(request, request.classes, cohort, others, say, stream)
            family = figures_of_family([one for one, _ in trained], request.classes)
        write_slide_training(request.out, cohort, others, trained, family)
    if family is not None:
        _say_family(request.training.target, family, say)
    return trained


def _profiled(
    request: SlideRequest,
    labelled: Sequence[LabelledSlide],
    tables: Sequence[Sequence[LabelledSlide]],
    say: Callable[[str], None],
    stream: TextIO | None,
) -> tuple[SlideRequest, Cohort, list[Cohort]]:
    """Return the request with the digests of its bundle, and the profiles of all slides."""
    reading = SlideReading(request.training.positive, say, request.allow_unreadable, stream)
    bundle = open_bundle(request.bundle, public_key=request.public_key)
    network, decision = network_of_bundle(bundle), decision_of_bundle(bundle)
    model = open_model(request.bundle, public_key=request.public_key, threads=request.threads)
    request = replace(request, training=replace(request.training, network=network, decision=decision))
    try:
        cohort = cohort_from_slides(request.folder, labelled, model, reading)
        others = [
            cohort_from_slides(folder, slides, model, reading)
            for folder, slides in zip(request.others, tables, strict=True)
        ]
    finally:
        model.close()
    require_no_copies([(request.folder, cohort), *zip(request.others, others, strict=True)])
    return request, cohort, others


def network_of_bundle(bundle: Bundle) -> str | None:
    """Return the digest of the network that a bundle was made of, from its certificate; None in older bundles."""
    found = _reference_of(bundle).get("network_sha256")
    return None if found is None else str(found)


def decision_of_bundle(bundle: Bundle) -> dict[str, str] | None:
    """Return the digests of how a bundle decides cells, by part, from its certificate; None in older bundles."""
    found = _reference_of(bundle).get("decision_sha256")
    return None if found is None else {str(part): str(digest) for part, digest in found.items()}


def _reference_of(bundle: Bundle) -> Mapping[str, Any]:
    if "parity.json" not in bundle:
        return {}
    found: Mapping[str, Any] = json.loads(bundle.read("parity.json")).get("reference", {})
    return found


def _trained_family(
    request: SlideRequest,
    classes: tuple[str, ...],
    cohort: Cohort,
    others: Sequence[Cohort],
    say: Callable[[str], None],
    stream: TextIO | None,
) -> list[tuple[TrainedAssessment, Path]]:
    """Train one question a class, each against the rest; return each with the path of its trees."""
    trained, family = [], request.training.target
    for label in classes:
        question = replace(request.training, target=f"{family}_{label}", positive=label, negative=REST, family=family)
        found = train_assessment(cohort.against(label), question, say, others=others, stream=stream)
        trained.append((found, request.out.with_name(f"{request.out.stem}.{label}{request.out.suffix}")))
    return trained


def _say_family(target: str, figures: Mapping[str, Any], say: Callable[[str], None]) -> None:
    recalls = ", ".join(f"{label} {recall:.3f}" for label, recall in figures["recall"].items())
    say(f"{target}: the class with the highest score is right in {figures['accuracy']:.1%}; recall {recalls}")


def figures_of_family(trained: Sequence[TrainedAssessment], classes: Sequence[str]) -> dict[str, Any]:
    """Return how well the highest score of the outer folds (first repeat) tells the classes apart, as JSON values.

    All questions were judged on the same slides and folds, so every slide counts once. `confusion[truth][called]`.
    """
    scores = np.stack([one.nested.scores[0] for one in trained])
    truth = trained[0].cohort.labels
    called = [classes[place] for place in scores.argmax(axis=0)]
    confusion = {own: dict.fromkeys(classes, 0) for own in classes}
    for own, found in zip(truth, called, strict=True):
        confusion[own][found] += 1
    recall = {own: round(row[own] / sum(row.values()), 4) for own, row in confusion.items()}
    return {
        "simulated": bool(trained[0].cohort.simulated.any()),
        "slides": len(truth),
        "accuracy": round(sum(confusion[own][own] for own in classes) / len(truth), 4),
        "macro_recall": round(sum(recall.values()) / len(recall), 4),
        "recall": recall,
        "confusion": confusion,
    }
