"""Compiles a tree model: XGBoost JSON to a Treelite checkpoint, to C by TL2cgen, to a shared library by gcc.

Both forms are kept: the checkpoint runs anywhere through Treelite's interpreter, the library without it. Each is proved
against XGBoost's own margin on 10,000 rows with missing values and values that lie exactly on split thresholds.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tl2cgen
import treelite
from numpy.typing import NDArray

from convert.native_messages import native_messages_kept
from convert.tree_model import TrainedTrees
from edge.errors import EdgeError
from edge.trees import platform_library_name, trees_from_checkpoint, trees_from_library

PROOF_ROWS = 10_000
# Sums of float32 leaves in another order differ in the last digit; 1e-5 of a margin moves no score shown to anyone.
TOLERANCE = 1e-5
# Fixed flags and relative names: equal trees give equal bytes. No contraction: the sums must be those of the C code.
_FLAGS = ("-O2", "-std=c99", "-shared", "-fPIC", "-ffp-contract=off", "-s", "-Wl,--build-id=none")


@dataclass(frozen=True, slots=True)
class CompiledTrees:
    """The files of one target, and the largest difference of their margins from XGBoost's."""

    checkpoint: bytes
    library: bytes | None
    library_name: str
    rows: int
    checkpoint_difference: float
    library_difference: float | None


def compile_trees(trees: TrainedTrees, *, with_library: bool = True) -> CompiledTrees:
    """Compile and prove.

    Raises EdgeError: MDSE-CONVERT-034 no compiler; -035 it failed; MDSE-PARITY-002 the margins differ.
    """
    with native_messages_kept():
        model = treelite.frontend.from_xgboost_json(trees.model_json.decode("utf-8"))
        checkpoint = bytes(model.serialize_bytes())
        library = _library(model, trees.target) if with_library else None
    rows = proof_rows(trees)
    expected = trees.margins(rows)
    # By the runtime's own loaders, so that what is proved is what will run.
    width = rows.shape[1]
    interpreted = trees_from_checkpoint(checkpoint, trees.target, width, where="model.treelite")
    checkpoint_difference = _require_equal(trees.target, "checkpoint", interpreted.predict_margin(rows), expected)
    library_difference = None
    if library is not None:
        native = trees_from_library(library, trees.target, width, where=platform_library_name())
        library_difference = _require_equal(trees.target, "library", native.predict_margin(rows), expected)
    return CompiledTrees(
        checkpoint, library, platform_library_name(), len(rows), checkpoint_difference, library_difference
    )


def find_compiler(target: str) -> str:
    """Return the path of gcc or cc. Raises EdgeError MDSE-CONVERT-034 where there is none."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise EdgeError("MDSE-CONVERT-034", where=target)
    return compiler


def proof_rows(trees: TrainedTrees, count: int = PROOF_ROWS) -> NDArray[np.float32]:
    """Return rows f32 [count, parameters]: half random, a quarter on split values, a fifth of all values missing."""
    random = np.random.default_rng(20190913)
    shape = (count, trees.booster.num_features())
    rows = random.gamma(0.7, 0.3, shape).astype(np.float32)
    if len(trees.split_values):
        on_split = random.random(shape) < 0.25
        rows[on_split] = random.choice(trees.split_values, int(on_split.sum()))
    rows[random.random(shape) < 0.2] = np.nan
    rows[0] = np.nan
    return rows


def _library(model: treelite.Model, target: str) -> bytes:
    compiler = find_compiler(target)
    with tempfile.TemporaryDirectory() as folder:
        tl2cgen.generate_c_code(model, dirpath=folder, params={})
        sources = sorted(path.name for path in Path(folder).glob("*.c"))
        done = subprocess.run(
            [compiler, *_FLAGS, "-o", "trees.so", *sources, "-lm"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EdgeError("MDSE-CONVERT-035", where=target, reason=last)
        return (Path(folder) / "trees.so").read_bytes()


def _require_equal(target: str, form: str, found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise EdgeError("MDSE-PARITY-002", where=target, form=form, difference=f"{difference:.3g}", rows=len(expected))
    return difference
