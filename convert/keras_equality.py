"""Is the written graph the Keras network? Judged on probabilities and features, with float32's own noise left out.

    <= 1e-5 on probabilities, 1e-4 of the largest feature      equal: the same arithmetic moves the last digits only
    up to ten times that                                       asked again in double precision (convert.keras_float64):
                                                               equal where the graph is no farther from the exact
                                                               network than twice as far as Keras' own float32 is
    more                                                       another network

The second line is for deep bodies that blow up the last digits of float32 (2.4e-5 between Keras and the graph in an
untrained ResNet50, and 2.0e-5 between Keras and itself in double precision). What Keras itself loses is measured on the
network in question, never assumed, so a mistake of the writer cannot hide behind the noise of another network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.engines.base import EngineOutputs
from edge.errors import EdgeError

Outputs = Mapping[str, NDArray[np.float32]]

TOLERANCES = {"cell_type": 1e-5, "findings": 1e-5, "embedding_relative": 1e-4}
WORTH_ASKING = 10.0
SHARE_OF_KERAS = 2.0


@dataclass(frozen=True, slots=True)
class KerasEquality:
    """Largest differences by output; `in_float64`: those of the graph and of Keras from the exact network, if asked."""

    differences: Mapping[str, float]
    in_float64: Mapping[str, Mapping[str, float]] | None = None

    def document(self) -> dict[str, object]:
        """Return what parity.json says of it."""
        shown: dict[str, object] = {"keras_max_difference": _shown(self.differences)}
        if self.in_float64 is not None:
            shown["float64_max_difference"] = {name: _shown(values) for name, values in self.in_float64.items()}
        return shown


def require_keras_equality(
    keras: Outputs,
    written: EngineOutputs,
    describe: Callable[[], str] = lambda: "where was not asked",
    exact: Callable[[], Outputs] | None = None,
) -> KerasEquality:
    """Return the largest differences between Keras and the written graph; `describe` says where they part.

    `exact` gives the outputs of the Keras network in double precision; it is called only where the tolerances are
    missed by little. Raises EdgeError MDSE-PARITY-004 where the graph is another network.
    """
    found = {"cell_type": written.cell_type, "findings": written.findings, "embedding": written.embedding}
    differences = differences_of(keras, found)
    if _within(differences, TOLERANCES):
        return KerasEquality(differences)
    if exact is not None and _within(differences, {name: WORTH_ASKING * bar for name, bar in TOLERANCES.items()}):
        reference = exact()
        own, of_graph = differences_of(keras, reference), differences_of(found, reference)
        if _within(of_graph, {name: max(bar, SHARE_OF_KERAS * own[name]) for name, bar in TOLERANCES.items()}):
            return KerasEquality(differences, {"graph": of_graph, "keras": own})
    name = next(name for name, bar in TOLERANCES.items() if not differences[name] <= bar)
    raise EdgeError(
        "MDSE-PARITY-004",
        where=name,
        difference=f"{differences[name]:.3g}",
        limit=f"{TOLERANCES[name]:g}",
        place=describe(),
    )


def differences_of(first: Outputs, second: Outputs) -> dict[str, float]:
    """Return the largest differences of probabilities, and of features relative to the largest of `first`."""
    largest = max(float(np.abs(first["embedding"]).max()), 1e-12)
    return {
        "cell_type": float(np.abs(first["cell_type"] - second["cell_type"]).max()),
        "findings": float(np.abs(first["findings"] - second["findings"]).max()),
        "embedding_relative": float(np.abs(first["embedding"] - second["embedding"]).max()) / largest,
    }


def _within(differences: Mapping[str, float], limits: Mapping[str, float]) -> bool:
    return all(differences[name] <= limit for name, limit in limits.items())


def _shown(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.1e}") for name, value in values.items()}
