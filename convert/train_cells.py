"""Train the network of single cells: both heads at once, balanced over types, within epochs or a time budget.

From labelled cells to a proved Keras model. The loop itself (averaged weights, checkpoints, early stopping) is
`training_loop.py`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from convert.cell_identity import cells_sha256
from convert.cell_pixels import pixels_from_cells
from convert.cell_training import CellTraining, Learner, network_for
from convert.dataset import LabelledCell
from convert.keras_learner import KerasLearner, predict_cells
from convert.keras_model import load_keras_model
from convert.seen_cells import SeenCells, joined_seen, seen_from_text, text_from_seen
from convert.training_batches import TrainingBatches, sampling_weights, targets_from_cells
from convert.training_loop import learn
from convert.training_loss import positive_weights
from convert.training_state import TrainingState, load_state, save_state
from edge.catalogue import Catalogue
from edge.errors import EdgeError

# Cells are cached a little larger than the network's input, so that rotation does not blur what the network must see.
_CACHE_SCALE = 1.25
_FEWEST_REAL_JUDGES = 10
_PROOF_CELLS = 32
_PROOF_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The trained network at its final size, one row of figures per epoch, and the cells it has seen (None: unsaid)."""

    model: keras.Model
    rows: Sequence[dict[str, float]]
    best_epoch: int
    seen: SeenCells | None = None


def train_network(
    training: CellTraining,
    training_cells: Sequence[LabelledCell],
    validation_cells: Sequence[LabelledCell],
    catalogue: Catalogue,
    *,
    cache_folder: Path,
    checkpoint: Path,
    resume: bool,
    initial: Path | None = None,
    seen: SeenCells | None = None,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Train and return the network with its best averaged weights.

    `seen`: the cells of this run and, unless it goes on from a checkpoint, those of its start; None: not known.
    Raises EdgeError MDSE-TRAIN-008 (a checkpoint that does not fit), -009 (initial weights that do not fit), -010 (the
    loss is not a number), -011 (PyTorch asked for but not installed).
    """
    if training.epochs is None and training.budget_s is None:
        raise ValueError("a training needs a number of epochs or a time budget")
    started = clock()
    keras.utils.set_random_seed(training.seed)
    targets = targets_from_cells(training_cells, catalogue)
    cells = cells_sha256(training_cells, validation_cells)
    identity = {**asdict(training), "cells": cells, "types": list(catalogue.type_codes)}
    state = load_state(checkpoint, identity) if resume else TrainingState(identity)
    # The checkpoint's weights have seen what it says, whatever the files and the start of this run are by now.
    seen = joined_seen(seen_from_text(state.seen), seen) if resume else seen
    state.seen = None if seen is None else text_from_seen(seen)
    batches = TrainingBatches(
        pixels_from_cells(training_cells, round(training.size_px * _CACHE_SCALE), cache_folder),
        targets,
        sampling_weights(training_cells, real_share=training.real_share),
        type_count=len(catalogue.cell_types),
        batch=training.batch,
        seed=training.seed,
        augmentation=training.augmentation,
    )
    size_px = state.size_px or training.schedule().size(0.0)
    learner = _learner(training, catalogue, positive_weights(targets.findings), size_px)
    _restore(learner, state, initial)
    judging_cells = cells_that_judge(validation_cells)
    truth = targets_from_cells(judging_cells, catalogue).cell_type
    say(f"{len(training_cells)} training cells, {len(judging_cells)} validation cells that judge an epoch")
    learn(
        training,
        learner,
        batches,
        state,
        steps=-(-len(training_cells) // training.batch),
        validation=lambda size_px: pixels_from_cells(judging_cells, size_px, cache_folder),
        truth=truth,
        keep=lambda: save_state(checkpoint, state),
        say=say,
        started=started,
        clock=clock,
    )
    model = network_for(training, catalogue, training.size_px)
    model.set_weights(state.best)
    learner.resize(training.size_px)
    learner.set_weights(state.best)
    _prove(learner, model, pixels_from_cells(validation_cells, training.size_px, cache_folder)[:_PROOF_CELLS])
    return Trained(model, state.rows, state.best_epoch, seen)


def cells_that_judge(validation_cells: Sequence[LabelledCell]) -> tuple[LabelledCell, ...]:
    """Return the validation cells by which an epoch is chosen: real ones where a type has enough, else all it has.

    Drawn cells of a type are far easier than real ones; together they would hide what happens to the real ones.
    """
    real = Counter(cell.cell_type for cell in validation_cells if cell.origin == "real")
    return tuple(c for c in validation_cells if c.origin == "real" or real[c.cell_type] < _FEWEST_REAL_JUDGES)


def _learner(
    training: CellTraining, catalogue: Catalogue, positive_weight: NDArray[np.float32], size_px: int
) -> Learner:
    if training.learner == "keras":
        return KerasLearner(training, catalogue, positive_weight, size_px)
    try:
        from convert.torch_learner import TorchLearner  # PyTorch is asked for by an option only
    except ModuleNotFoundError as error:
        raise EdgeError("MDSE-TRAIN-011", reason=str(error)) from error
    return TorchLearner(training, catalogue, positive_weight, size_px)


def _prove(learner: Learner, model: keras.Model, pixels: NDArray[np.uint8]) -> None:
    """Refuse a network whose Keras model says something else than what was trained. Raises EdgeError MDSE-TRAIN-012."""
    trained, saved = learner.predict(pixels), predict_cells(model, pixels)
    largest = max(float(np.abs(trained[name] - saved[name]).max()) for name in ("cell_type", "findings"))
    if not largest <= _PROOF_TOLERANCE:
        raise EdgeError("MDSE-TRAIN-012", difference=f"{largest:.2e}", tolerance=f"{_PROOF_TOLERANCE:.0e}")


def _restore(learner: Learner, state: TrainingState, initial: Path | None) -> None:
    if state.weights:
        learner.set_weights(state.weights)
        learner.set_optimizer_state(state.optimizer)
        return
    if initial is None:
        return
    try:
        # Opened as a conversion opens it: a downloaded file is read before Keras builds anything of it.
        learner.set_weights(load_keras_model(initial).get_weights())
    except EdgeError as error:
        raise EdgeError("MDSE-TRAIN-009", where=str(initial), reason=f"{error.code}: {error.text}") from error
    except (ValueError, RuntimeError) as error:
        raise EdgeError("MDSE-TRAIN-009", where=str(initial), reason=str(error).splitlines()[0]) from error
