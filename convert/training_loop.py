"""The loop of a training: epoch after epoch, averaged weights, the best of them kept, until the schedule ends.

What is kept are the averaged weights (an exponential mean over training, batch statistics included) of the epoch with
the best macro recall on the validation cells at the final image size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from convert.cell_training import CellTraining, Learner
from convert.training_batches import Batch
from convert.training_state import TrainingState
from edge.errors import EdgeError

_AVERAGE_EVERY = 4
_AVERAGE_DECAY = 0.98


class EpochSource(Protocol):
    """What gives the batches of an epoch: `TrainingBatches`."""

    def epoch(self, epoch: int, steps: int, size_px: int) -> Iterator[Batch]:
        """Yield `steps` batches of images of a size."""
        ...


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
    if state.size_px != training.size_px:
        loop.judge_at_final_size(validation(training.size_px), truth)
        say(f"the training ended before its images reached {training.size_px} px: its last weights are kept")
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
        # What the recall does at the small size says nothing about when the final size has taught all it can.
        stalled = self.state.size_px == self.training.size_px and late >= self.training.patience
        return self.state.epoch > 0 and (self.progress() >= 1.0 or stalled)

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
        recall, accuracy = self._measure(pixels, truth)
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

    def judge_at_final_size(self, pixels: NDArray[np.uint8], truth: NDArray[np.int64]) -> None:
        """Measure the last averaged weights at the size of the network that leaves; the last row then says it."""
        self.learner.resize(self.training.size_px)
        recall, accuracy = self._measure(pixels, truth)
        self.state.rows[-1] |= {
            "size_px": self.learner.size_px,
            "validation_macro_recall": round(recall, 5),
            "validation_accuracy": round(accuracy, 5),
        }

    def _measure(self, pixels: NDArray[np.uint8], truth: NDArray[np.int64]) -> tuple[float, float]:
        """Return macro recall and accuracy of the averaged weights; keep these weights if they are the best so far."""
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
        return recall, accuracy

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


def macro_recall(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the mean over the types that occur in `truth` of the share of their cells that were recognized."""
    return float(np.mean([np.mean(predicted[truth == code] == code) for code in np.unique(truth)]))


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
