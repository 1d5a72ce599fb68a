"""What all contestants of one size get: the same network in its forms, the same cells, places of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Material:
    """The files of one size. `folder` holds what is made once and kept, `results` what this run writes.

    `network` is a folder as `benchmarks/paper_bundles.py` makes it: model.keras, bundle/, key.pub.pem.
    """

    size_px: int
    network: Path
    folder: Path
    slide: Path
    results: Path

    @property
    def keras_model(self) -> Path:
        """The network as Keras saved it."""
        return self.network / "model.keras"

    @property
    def bundle(self) -> Path:
        """The bundle that edge-convert made of it."""
        return self.network / "bundle"

    @property
    def public_key(self) -> Path:
        """The key that must have signed the bundle."""
        return self.network / "key.pub.pem"

    @property
    def fp32(self) -> Path:
        """The network in ONNX, single precision."""
        return self.bundle / "cells.onnx"

    @property
    def int8(self) -> Path:
        """The network in ONNX, 8 bits, signed: what the shipped engine runs."""
        return self.bundle / "cells.int8.onnx"

    @property
    def trees(self) -> Path:
        """The trees as XGBoost saved them."""
        return self.bundle / "trees" / "mds_aa" / "model.json"

    @property
    def unsigned(self) -> Path:
        """The network as ONNX Runtime's own quantizer makes it (material_files.py)."""
        return self.folder / "unsigned.onnx"

    @property
    def litert(self) -> Path:
        """The network as LiteRT's converter makes it (material_files.py)."""
        return self.folder / "int8.tflite"

    @property
    def images(self) -> Path:
        """The slide's cells, decoded and resized by the shipped code: uint8 [cells, S, S, 3] in .npy."""
        return self.folder / "images.npy"

    @property
    def compiled(self) -> Path:
        """The shipped engine's cache of compiled networks."""
        return self.results / "compiled"

    def as_words(self) -> dict[str, str | int]:
        """Return it as JSON values, for another process."""
        places = {name: str(getattr(self, name)) for name in ("network", "folder", "slide", "results")}
        return {"size_px": self.size_px, **places}


def material_from_words(words: dict[str, str | int]) -> Material:
    """Return what `as_words` gave."""
    places = {name: Path(str(words[name])) for name in ("network", "folder", "slide", "results")}
    return Material(int(words["size_px"]), **places)
