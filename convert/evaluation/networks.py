"""What is validated: the deployed engine of a bundle, or the Keras original, behind one small face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.model_options import ModelOptions
from convert.seen_cells import SeenCells, seen_from_bundle
from edge.bundle.manifest import Decision
from edge.bundle.reader import open_bundle
from edge.catalogue import Catalogue, load_catalogue
from edge.engines.base import EngineOutputs
from edge.model import Model, open_model

KERAS_SUFFIX = ".keras"
_KERAS_BATCH = 64


class Network(Protocol):
    """A network that may be asked about images. `thresholds` and `evidence` are keyed by code."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Name, version, kind and precision, as JSON values."""
        ...

    @property
    def notices(self) -> tuple[str, ...]:
        """What a reader must know about the figures besides."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """Types and findings in the order of the outputs."""
        ...

    @property
    def evidence(self) -> Mapping[str, str]:
        """Real, drawn or none, per type and finding."""
        ...

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Probability from which a finding counts."""
        ...

    @property
    def seen(self) -> SeenCells | None:
        """The cells that it has seen in training and calibration, None where it does not say."""
        ...

    @property
    def size_px(self) -> int:
        """Side of the input image."""
        ...

    @property
    def batch(self) -> int:
        """Most images at once."""
        ...

    def infer(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[EngineOutputs]:
        """Yield the outputs of each batch uint8 [n, S, S, 3], in order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BundleNetwork:
    """The engine of an opened bundle: what runs beside the analyzer."""

    model: Model
    seen: SeenCells | None

    @property
    def facts(self) -> Mapping[str, Any]:  # noqa: D102 - Network
        manifest, spec = self.model.manifest, self.model.engine.spec
        return {
            "kind": "bundle",
            "name": manifest.name,
            "version": manifest.version,
            "sha256": self.model.digest,
            "intended_use": manifest.intended_use,
            "engine": spec.name,
            "precision": spec.precision,
            "size_px": spec.size_px,
        }

    @property
    def notices(self) -> tuple[str, ...]:  # noqa: D102 - Network
        return ()

    @property
    def catalogue(self) -> Catalogue:  # noqa: D102 - Network
        return self.model.catalogue

    @property
    def evidence(self) -> Mapping[str, str]:  # noqa: D102 - Network
        return dict(self.model.manifest.evidence)

    @property
    def thresholds(self) -> Mapping[str, float]:  # noqa: D102 - Network
        return self.model.manifest.decision.finding_threshold

    @property
    def size_px(self) -> int:  # noqa: D102 - Network
        return self.model.engine.spec.size_px

    @property
    def batch(self) -> int:  # noqa: D102 - Network
        return self.model.engine.spec.max_batch

    def infer(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[EngineOutputs]:  # noqa: D102 - Network
        return self.model.engine.infer(batches)


class KerasNetwork:
    """The original, computed by Keras in float32 as the conversion reads it: scaling, heads, features.

    The temperature of its card acts on the type probabilities until it is calibrated as a bundle is. Raises EdgeError
    as `load_keras_model`, `read_model_card` and `origin_from_keras` do.
    """

    batch = _KERAS_BATCH

    def __init__(self, path: Path, options: ModelOptions) -> None:
        # Imported here: loading TensorFlow takes seconds, and a bundle alone needs none.
        from convert.keras_model import load_keras_model
        from convert.model_card import read_model_card
        from convert.onnx_from_keras import origin_from_keras, watched_model

        self.catalogue = load_catalogue()
        model = load_keras_model(path)
        card = read_model_card(path, self.catalogue)
        self._origin = origin_from_keras(
            model,
            type_count=len(self.catalogue.type_codes),
            finding_count=len(self.catalogue.finding_codes),
            scaling=options.scaling,
            temperature=card.temperature,
            heads=options.heads,
        )
        self._watched = watched_model(self._origin)
        missing = f"{path.name} has no card beside it: evidence is shown as none, every finding is called from 0.5"
        self.notices: tuple[str, ...] = () if card.given else (missing,)
        self.evidence: Mapping[str, str] = card.evidence
        self.thresholds: Mapping[str, float] = card.decision["finding_threshold"]
        self.seen: SeenCells | None = card.seen
        self.size_px = self._origin.size_px
        self.facts: Mapping[str, Any] = {
            "kind": "keras",
            "name": card.name,
            "version": card.version,
            "sha256": _sha256(path),
            "intended_use": card.intended_use,
            "engine": "keras",
            "precision": "fp32",
            "size_px": self.size_px,
        }

    def calibrate_as(self, decision: Decision) -> None:
        """Take temperature and offsets of a bundle with these types: what differs from it then is rounding alone."""
        given = decision.type_offset
        offset = None if given is None else np.array([given[code] for code in self.catalogue.type_codes])
        self._origin = replace(self._origin, temperature=decision.temperature, type_offset=offset)

    def infer(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[EngineOutputs]:  # noqa: D102 - Network
        from convert.onnx_from_keras import compiled_outputs

        for images in batches:
            found = compiled_outputs(self._watched, self._origin, images)
            yield EngineOutputs(found["cell_type"], found["findings"], found["embedding"])


def open_network(
    path: Path, *, public_key: bytes | None, engine: str, threads: int | None, options: ModelOptions
) -> Network:
    """Open a bundle (a folder) or a Keras model (a file that ends in .keras, read with `options`).

    Raises EdgeError as `open_model` and `KerasNetwork` do.
    """
    if path.suffix == KERAS_SUFFIX and not path.is_dir():
        return KerasNetwork(path, options)
    model = open_model(path, public_key=public_key, engine=engine, threads=threads)
    return BundleNetwork(model, seen_from_bundle(open_bundle(path, public_key=public_key)))


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
