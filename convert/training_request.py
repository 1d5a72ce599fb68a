"""What edge-train may be asked for: every option is held to its bounds before the first cell or slide is read.

A name that no bundle can hold, a number that means nothing or a file that cannot be written would else be found after
hours, when everything else is done. Only the standard library is imported at once: --help needs no more.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

SMALLEST_SIZE_PX = 32  # of convert/network.py, repeated here because importing it loads TensorFlow
MODEL_SUFFIX = ".keras"
REST = "OTHER"  # the negative class of a question of one class against the rest
_LARGEST_SEED = 2**32 - 1  # of NumPy's generator, which Keras sets
_MOST_CELLS = 1_000_000  # of a manifest's minimum


def fault_of_cells(arguments: argparse.Namespace) -> str | None:
    """Return what is wrong with the options of `edge-train cells`, None where nothing is."""
    if not arguments.folders and not arguments.drawn:
        return "give a folder of cells"
    if arguments.out.suffix != MODEL_SUFFIX:
        return f"--out must end in {MODEL_SUFFIX}, the only form that edge-convert takes: {arguments.out}"
    if arguments.epochs is None and arguments.minutes is None:
        return "give --epochs, --minutes or both: a training must know when it ends"
    return _fault_of_cell_numbers(arguments)


def fault_of_slides(arguments: argparse.Namespace) -> str | None:
    """Return what is wrong with the options of `edge-train slides`, None where nothing is."""
    two = arguments.positive is not None and arguments.negative is not None
    if arguments.classes is None and not two:
        return "give --positive and --negative, or --classes for more than two"
    if arguments.classes is not None and (arguments.positive is not None or arguments.negative is not None):
        return "--classes takes the place of --positive and --negative"
    if arguments.classes is not None and not 3 <= len(set(arguments.classes)) == len(arguments.classes):
        return "--classes needs three or more different classes; for two give --positive and --negative"
    if two and arguments.positive == arguments.negative:
        return "--positive and --negative must differ"
    return _fault_of_names(arguments) or _fault_of_slide_numbers(arguments)


def _fault_of_cell_numbers(arguments: argparse.Namespace) -> str | None:
    given = (arguments.epochs, arguments.minutes, arguments.batch, arguments.rate)
    if any(value is not None and not 0 < value < math.inf for value in given):
        return "--epochs, --minutes, --batch and --rate must be positive"
    if not 0 < arguments.width <= 2:
        return "--width must be above 0 and at most 2"
    if min(arguments.size, arguments.start_size or arguments.size) < SMALLEST_SIZE_PX:
        return f"--size and --start-size must be at least {SMALLEST_SIZE_PX} px"
    if arguments.start_size is not None and arguments.start_size > arguments.size:
        return "--start-size must be at most --size: the images of a training grow"
    if arguments.start_size not in (None, arguments.size) and arguments.start_share == 1:
        return "--start-share must be below 1 with a smaller --start-size: no epoch would see images of the final size"
    if not (0 <= arguments.real_share <= 1 and 0 <= arguments.start_share <= 1):
        return "--real-share and --start-share must lie between 0 and 1"
    if not 0 <= arguments.findings_weight < math.inf:
        return "--findings-weight must be 0 or more"
    if arguments.patience < 1:
        return "--patience must be at least 1"
    return _fault_of_seed(arguments)


def _fault_of_slide_numbers(arguments: argparse.Namespace) -> str | None:
    if (arguments.rounds is not None and arguments.rounds < 1) or arguments.repeats < 1:
        return "--rounds and --repeats must be at least 1"
    if arguments.specificity is not None and not 0 < arguments.specificity <= 1:
        return "--specificity must be above 0 and at most 1"
    if not all(0 <= count <= _MOST_CELLS for count in (arguments.minimum_wbc, arguments.minimum_neutrophil)):
        return f"--minimum-wbc and --minimum-neutrophil must lie between 0 and {_MOST_CELLS}"
    if arguments.threads is not None and arguments.threads < 1:
        return "--threads must be at least 1"
    return _fault_of_seed(arguments)


def _fault_of_seed(arguments: argparse.Namespace) -> str | None:
    return None if 0 <= arguments.seed <= _LARGEST_SEED else f"--seed must lie between 0 and {_LARGEST_SEED}"


def _fault_of_names(arguments: argparse.Namespace) -> str | None:
    """Hold target and classes to the patterns of the manifest, which they enter when the trees are converted."""
    classes = arguments.classes or (arguments.positive, arguments.negative)
    wrong = [label for label in classes if not _fits("positive", label)]
    if wrong:
        named = ", ".join(repr(label) for label in wrong)
        return (
            f"{named} cannot be the name of a class in a bundle: 1 to 16 of the characters A-Z, a-z and 0-9. "
            "Rename the class in the column of slides.csv and in the command"
        )
    if arguments.classes is not None and REST in arguments.classes:
        return f"{REST} stands for all other classes in a question of one class against the rest; rename that class"
    targets = [arguments.target]
    if arguments.classes is not None:
        targets += [f"{arguments.target}_{label}" for label in arguments.classes]
    unfit = [target for target in targets if not _fits("target", target)]
    if unfit:
        return (
            f"--target: {unfit[0]!r} cannot be the name of a question in a bundle: 1 to 64 of the characters A-Z, a-z, "
            "0-9, _ and -. Rename the column of slides.csv and give the new name"
        )
    return None


def _fits(field: str, value: str) -> bool:
    # Imported here: --help must start where pydantic is not installed.
    from pydantic import TypeAdapter, ValidationError

    from edge.bundle.manifest import AssessmentSpec

    known: TypeAdapter[Any] = TypeAdapter(AssessmentSpec.model_fields[field].rebuild_annotation())
    try:
        known.validate_python(value)
    except ValidationError:
        return False
    return True
