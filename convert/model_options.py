"""What a Keras model may leave open and a command line says: the scaling outside of it, the names of its heads."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

SCALING_NAMES = ("0..255", "0..1", "-1..1")  # of convert/onnx_from_keras.py, which loads TensorFlow


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """`scaling`: pixels as training had them, for a model without a Rescaling layer. `heads`: types and findings."""

    scaling: str | None = None
    heads: tuple[str, str] | None = None


def two_names(text: str) -> tuple[str, str]:
    """Return the names of an option TYPES,FINDINGS. Raises argparse.ArgumentTypeError for anything else."""
    types, separator, findings = text.partition(",")
    if not separator or not types or not findings or "," in findings:
        raise argparse.ArgumentTypeError(f"{text!r} is not TYPES,FINDINGS, such as kind,signs")
    return types, findings
