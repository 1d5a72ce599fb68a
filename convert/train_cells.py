"""Train the network of single cells: both heads at once, balanced over types, within epochs or a time budget.

    train_network     from labelled cells to a proved Keras model
    learn             the loop: warm-up + cosine, averaged weights, a checkpoint per epoch, early stopping

What is kept are the averaged weights (an exponential mean over training, batch statistics included) of the epoch with
the best macro recall on the validation split.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from convert.cell_pixels import pixels_from_cells
from convert.cell_training import CellTraining, Learner, network_for
from convert.dataset import LabelledCell
from convert.keras_learner import KerasLearner, predict_cells
from convert.training_batches import Batch, TrainingBatches, sampling_weights, targets_from_cells
from convert.training_loss import positive_weights
from convert.training_state import TrainingState, load_state, save_state
from edge.catalogue import Catalogue
from edge.errors import EdgeError

_AVERAGE_EVERY = 4
_AVERAGE_DECAY = 0.98
# Cells are cached a little larger than the network's input, so that rotation does not blur what the network must see.
_CACHE_SCALE = 1.25
_FEWEST_REAL_JUDGES = 10
_PROOF_CELLS = 32
_PROOF_TOLERANCE = 1e-4


class EpochSource(Protocol):
    """What gives the batches of an epoch: `TrainingBatches`."""

    def epoch(self, epoch: int, steps: int, size_px: int) -> Iterator[Batch]:
        """Yield `steps` batches of images of a size."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The trained network at its final size, and one row of figures per epoch."""

    model: keras.Model
    rows: Sequence[dict[str, float]]
    best_epoch: int


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
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Train and return the network with its best averaged weights.

    Raises EdgeError MDSE-TRAIN-008 (a checkpoint that does not fit), -009 (initial weights that do not fit), -010 (the
    loss is not a number), -011 (PyTorch asked for but not installed).
    """
    if training.epochs is None and training.budget_s is None:
        raise ValueError("a training needs a number of epochs or a time budget")
    started = clock()
    keras.utils.set_random_seed(training.seed)
    targets = targets_from_cells(training_cells, catalogue)
    identity = {**asdict(training), "cells": len(training_cells), "types": list(catalogue.type_codes)}
    state = load_state(checkpoint, identity) if resume else TrainingState(identity)
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
    return Trained(model, state.rows, state.best_epoch)


def learn(
    training: CellTraining,
    learner: Learner,
    batches: EpochSource,
    state: TrainingState,
    *,
    steps: int,
    validation: Callable[[int], NDArray[np.uint8]],
    truth: NDArray[np.int64],
    keep: Callable[[], None],
    say: Callable[[str], None],
    started: float,
    clock: Callable[[], float],
) -> None:
    """Train epoch after epoch until the schedule ends or the recall no longer rises; `state` holds the result.

    `validation` gives the validation cells at an image size, `truth` their type indices; `keep` is called after every
    epoch. `started` is the time on `clock` (seconds) from which the budget counts.
    """
    loop = _Loop(training, learner, batches, state, steps, started, clock)
    while not loop.ended():
        loop.run_epoch()
        loop.judge(validation(learner.size_px), truth)
        loop.report(say)
        keep()


@dataclass(slots=True, eq=False)
class _Loop:
    training: CellTraining
    learner: Learner
    batches: EpochSource
    state: TrainingState
    steps: int
    started: float
    clock: Callable[[], float]
    loss: float = 0.0

    def elapsed(self) -> float:
        return self.state.elapsed_s + self.clock() - self.started

    def progress(self, within_epoch: float = 0.0) -> float:
        return self.training.schedule().progress(self.state.epoch + within_epoch, self.elapsed())

    def ended(self) -> bool:
        late = self.state.epoch - self.state.best_epoch
        return self.state.epoch > 0 and (self.progress() >= 1.0 or late >= self.training.patience)

    def run_epoch(self) -> None:
        """Take one pass of `steps` batches; with a time budget an epoch ends early when its time or its size does."""
        schedule = self.training.schedule()
        size_px = schedule.size(self.progress())
        if size_px != self.learner.size_px:
            self.learner.resize(size_px)
        losses: list[float] = []
        for step, batch in enumerate(self.batches.epoch(self.state.epoch, self.steps, size_px)):
            progress = self.progress(step / self.steps)
            losses.append(self.learner.step(batch, schedule.rate(progress)))
            if not np.isfinite(losses[-1]):
                raise EdgeError("MDSE-TRAIN-010", epoch=self.state.epoch + 1, step=step + 1)
            self.state.updates += 1
            if self.state.updates % _AVERAGE_EVERY == 0:
                self._average()
            if self.training.budget_s and (progress >= 1.0 or schedule.size(progress) != size_px):
                break
        self.loss = float(np.mean(losses))
        self.state.epoch += 1

    def judge(self, pixels: NDArray[np.uint8], truth: NDArray[np.int64]) -> None:
        """Measure the averaged weights on the validation cells; keep them if they are the best so far."""
        state = self.state
        state.weights = self.learner.get_weights()
        if not state.average:
            state.average = [w.copy() for w in state.weights]
        self.learner.set_weights(state.average)
        predicted = self.learner.predict(pixels)["cell_type"].argmax(axis=1)
        self.learner.set_weights(state.weights)
        recall, accuracy = macro_recall(truth, predicted), float(np.mean(predicted == truth))
        # Recall at the small size is no promise for the final size: the first epoch at the final size starts anew.
        if recall > state.best_recall or self.learner.size_px != state.size_px:
            state.best_recall, state.best_epoch = recall, state.epoch
            state.best = [w.copy() for w in state.average]
        state.size_px, state.optimizer = self.learner.size_px, self.learner.optimizer_state()
        now = self.clock()
        state.elapsed_s, self.started = state.elapsed_s + now - self.started, now
        state.rows.append(
            {
                "epoch": state.epoch,
                "size_px": self.learner.size_px,
                "loss": round(self.loss, 5),
                "validation_macro_recall": round(recall, 5),
                "validation_accuracy": round(accuracy, 5),
                "rate": self.training.schedule().rate(self.progress()),
                "elapsed_s": round(state.elapsed_s, 1),
            }
        )

    def report(self, say: Callable[[str], None]) -> None:
        """Say one line about the epoch: loss, recall, time used and time left."""
        row, progress = self.state.rows[-1], self.progress()
        left_s = self.state.elapsed_s * (1 - progress) / max(progress, 1e-9)
        say(
            f"epoch {row['epoch']:3.0f}  {row['size_px']:.0f} px  loss {row['loss']:.3f}  "
            f"macro recall {row['validation_macro_recall']:.4f}  accuracy {row['validation_accuracy']:.4f}  "
            f"rate {row['rate']:.1e}  elapsed {_minutes(row['elapsed_s'])}  left {_minutes(left_s)}"
        )

    def _average(self) -> None:
        weights = self.learner.get_weights()
        if not self.state.average:
            self.state.average = weights
            return
        # A short memory at first: the random start must not linger in the mean.
        count = self.state.updates / _AVERAGE_EVERY
        decay = min(_AVERAGE_DECAY, (1 + count) / (10 + count))
        self.state.average = [
            mean + np.float32(1 - decay) * (value - mean)
            for mean, value in zip(self.state.average, weights, strict=True)
        ]


def cells_that_judge(validation_cells: Sequence[LabelledCell]) -> tuple[LabelledCell, ...]:
    """Return the validation cells by which an epoch is chosen: real ones where a type has enough, else all it has.

    Drawn cells of a type are far easier than real ones; together they would hide what happens to the real ones.
    """
    real = Counter(cell.cell_type for cell in validation_cells if cell.origin == "real")
    return tuple(c for c in validation_cells if c.origin == "real" or real[c.cell_type] < _FEWEST_REAL_JUDGES)


def macro_recall(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the mean over the types that occur in `truth` of the share of their cells that were recognized."""
    return float(np.mean([np.mean(predicted[truth == code] == code) for code in np.unique(truth)]))


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
        source = keras.models.load_model(initial, compile=False, safe_mode=True)
        learner.set_weights(source.get_weights())
    except (OSError, ValueError, RuntimeError) as error:
        raise EdgeError("MDSE-TRAIN-009", where=str(initial), reason=str(error).splitlines()[0]) from error


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
