"""Makes the files that a run needs and keeps them: pictures of a slide, LiteRT's file, ONNX Runtime's own int8 file.

    python -m benchmarks.side_by_side.material_files STEP MATERIAL_AS_JSON

Each step is a process of its own, because the converters hold gigabytes. What is there already is not made again; the
folder's name carries a digest of the Keras model, so that another network never meets another's files.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side.material import Material, material_from_words

# Timing needs no good ranges, only ranges of real cells; LiteRT calibrates with slow reference kernels.
CALIBRATION_CELLS = 8


def material_of(networks: Path, size_px: int, root: Path, slide: Path, results: Path) -> Material:
    """Return the material of a size. Raises FileNotFoundError where the network is not there."""
    network = (networks / f"paper{size_px}").resolve()
    digest = hashlib.sha256((network / "model.keras").read_bytes()).hexdigest()
    folder = root / f"{size_px}-{digest[:12]}"
    return Material(size_px, network, folder, slide, results / str(size_px))


def make_files(material: Material, log: Path, tell: Callable[[str], None]) -> None:
    """Make whatever is missing. Raises RuntimeError with the last words of a step that failed."""
    material.folder.mkdir(parents=True, exist_ok=True)
    for step, made in (("images", material.images), ("unsigned", material.unsigned), ("litert", material.litert)):
        if made.exists():
            continue
        tell(f"{material.size_px} px: making {made.name} (once)")
        words = [sys.executable, "-m", __spec__.name, step, json.dumps(material.as_words())]
        with log.open("ab") as stream:
            done = subprocess.run(words, stdout=stream, stderr=stream, check=False)
        if done.returncode:
            raise RuntimeError(f"making {made.name} failed; see {log}")


def images(material: Material) -> None:
    """Decode and resize the slide with the shipped code."""
    from edge.images import load_cells
    from edge.slide import read_slide
    from edge.tensors import tensors_from_cells

    cells = load_cells(read_slide(material.slide)).cells
    with _whole(material.images) as partial:
        np.save(partial, tensors_from_cells(cells, material.size_px))


def unsigned(material: Material) -> None:
    """Quantize the fp32 file as ONNX Runtime's documentation advises for x86: unsigned activations, MinMax."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
    from onnxruntime.quantization.quantize import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    chosen = np.load(material.images)[:: max(1, 200 // CALIBRATION_CELLS)][:CALIBRATION_CELLS]

    class Cells(CalibrationDataReader):  # type: ignore[misc]  # the library ships no types
        def __init__(self) -> None:
            self._cells: Iterator[dict[str, Any]] = iter([{"images": cell[np.newaxis]} for cell in chosen])

        def get_next(self) -> dict[str, Any] | None:
            return next(self._cells, None)

    prepared = material.folder / "prepared.onnx"
    quant_pre_process(str(material.fp32), str(prepared), skip_symbolic_shape=True)
    with _whole(material.unsigned) as partial:
        quantize_static(
            str(prepared),
            str(partial),
            Cells(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    prepared.unlink()


def litert(material: Material) -> None:
    """Quantize the Keras model with LiteRT's converter, calibrated on the same cells.

    As its documentation shows it first: what has no int8 form stays in floating point.
    """
    from benchmarks.side_by_side.contestants.keras_plain import quiet_tensorflow

    tensorflow = quiet_tensorflow(os.cpu_count() or 1)
    import keras

    chosen = np.load(material.images)[:: max(1, 200 // CALIBRATION_CELLS)][:CALIBRATION_CELLS]
    model = keras.models.load_model(material.keras_model, compile=False)
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([cell[np.newaxis]] for cell in chosen)
    with _whole(material.litert) as partial:
        partial.write_bytes(converter.convert())


class _whole:  # noqa: N801 - a context manager, read as a verb
    """Gives a name beside `path` to write to, and moves the file to `path` when that went well."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_name(f"partial-{path.name}")

    def __enter__(self) -> Path:
        return self._partial

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._partial.rename(self._path)


STEPS: dict[str, Callable[[Material], None]] = {"images": images, "unsigned": unsigned, "litert": litert}

if __name__ == "__main__":
    STEPS[sys.argv[1]](material_from_words(json.loads(sys.argv[2])))
