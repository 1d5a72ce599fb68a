"""What the writers of layers hand to each other: a value of the graph, and a call of a layer on such values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError


@dataclass(frozen=True, slots=True)
class Feature:
    """A value of the graph: its ONNX name and its shape, (channels, height, width) or (width,)."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A folded batch normalization: y = scale * x + shift, per channel, float64 until written."""

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A layer to be written: its name in the graph, the values it reads, and a normalization to fold into it."""

    layer: Any
    name: str
    inputs: list[Feature]
    fold: Affine | None = None


def weights_of(variable: Any) -> NDArray[Any]:
    """Return a Keras variable as float32."""
    return np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable, dtype=np.float32)


def require_channels_last(call: Call) -> None:
    """Raise EdgeError MDSE-CONVERT-009 for a layer that was built for channels_first data."""
    if call.layer.data_format != "channels_last":
        raise unsupported(call.name, "channels_first data")


def unsupported(name: str, what: str) -> EdgeError:
    """Return the error for a layer or a setting that has no counterpart."""
    return EdgeError("MDSE-CONVERT-009", where=name, what=what)
