"""The process in which one contestant lives: opens it, then measures a slice of it whenever it is told to.

    python -m benchmarks.side_by_side.child NAME THREADS MATERIAL_AS_JSON         one JSON line in, one out
    python -m benchmarks.side_by_side.child NAME THREADS MATERIAL_AS_JSON cold    open, one slide, its score, end

    {"do": "open"}                    opens, tries the batch sizes, keeps the fastest, warms up
    {"do": "rate", "seconds": s}      images per second of the network alone, from arrays in memory
    {"do": "latency", "seconds": s}   milliseconds of one image alone, the median of the slice
    {"do": "slide", "seconds": s}     whole slides, from files to the published result, at least one
    {"do": "facts"}                   how it was opened, and the largest memory so far

A contestant that cannot do it answers {"error": reason}. What libraries print goes to standard error.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.side_by_side.contestants import contestant_class
from benchmarks.side_by_side.contestants.base import Batch, Contestant
from benchmarks.side_by_side.material import material_from_words
from benchmarks.side_by_side.memory import peak_memory_mb

TRIAL_S = 0.5
_SET_DEATH_SIGNAL = 1  # prctl PR_SET_PDEATHSIG


class Measurer:
    """One opened contestant with the cells it is measured on."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._images: NDArray[np.uint8] = np.load(contestant.material.images)
        self._batch = 0
        self._facts: dict[str, Any] = {}
        self._prepared: set[int] = set()

    def open(self, _: float) -> dict[str, Any]:
        """Open, try the batch sizes and keep the fastest. Seconds of each are wall time."""
        start_s = time.perf_counter()
        self._contestant.open()
        opened_s = time.perf_counter() - start_s
        trial = {}
        for batch in self._contestant.chosen_batches():
            self._prepare(batch)
            done, seconds = self._timed(batch, TRIAL_S)
            trial[batch] = done / seconds
        self._batch = max(trial, key=lambda batch: trial[batch])
        self._facts = {"open_s": round(opened_s, 2), "batch": self._batch}
        self._facts["trial"] = {str(batch): round(rate, 2) for batch, rate in trial.items()}
        return self._facts

    def rate(self, seconds: float) -> dict[str, Any]:
        """Compute batches for so long and return images and seconds."""
        done, took_s = self._timed(self._batch, seconds)
        return {"value": done / took_s, "images": done, "seconds": took_s}

    def latency(self, seconds: float) -> dict[str, Any]:
        """Compute one image again and again and return the median in milliseconds."""
        self._prepare(1)
        samples: list[float] = []
        until_s = time.perf_counter() + seconds
        while time.perf_counter() < until_s or len(samples) < 3:
            image = self._images[len(samples) % len(self._images)][np.newaxis]
            start_s = time.perf_counter()
            self._contestant.run(1, [image])
            samples.append(1000 * (time.perf_counter() - start_s))
        return {"value": statistics.median(samples), "samples": len(samples)}

    def slide(self, seconds: float) -> dict[str, Any]:
        """Do whole slides for so long, at least one, and return images per second."""
        start_s = time.perf_counter()
        done = 0
        while time.perf_counter() - start_s < seconds or not done:
            self._contestant.slide(self._contestant.material.slide)
            done += len(self._images)
        took_s = time.perf_counter() - start_s
        return {"value": done / took_s, "images": done, "seconds": took_s}

    def facts(self, _: float) -> dict[str, Any]:
        """Return how it was opened, and the largest memory of this process and of what runs below it, in MiB."""
        return {**self._facts, **self._contestant.facts(), **peak_memory_mb(os.getpid())}

    def _prepare(self, batch: int) -> None:
        """Make ready for a batch size and run it once, so that no slice pays for the first time."""
        if batch not in self._prepared:
            self._contestant.prepare(batch)
            self._contestant.run(batch, [self._images[:batch]])
            self._prepared.add(batch)

    def _timed(self, batch: int, seconds: float) -> tuple[int, float]:
        start_s = time.perf_counter()
        done = self._contestant.run(batch, self._batches(batch, start_s + seconds))
        return done, time.perf_counter() - start_s

    def _batches(self, batch: int, until_s: float) -> Iterator[Batch]:
        starts = range(0, len(self._images) - batch + 1, batch)
        for number, start in enumerate(itertools.cycle(starts)):
            if number and time.perf_counter() >= until_s:
                return
            yield self._images[start : start + batch]


def serve(contestant: Contestant, given: Any, answers: Any) -> None:
    """Answer every line of `given` with one line in `answers`, until there is no more."""
    measurer = Measurer(contestant)
    for line in given:
        order = json.loads(line)
        start_cpu_s = time.process_time()
        try:
            answer = getattr(measurer, order["do"])(float(order.get("seconds", 0)))
        except Exception as error:  # noqa: BLE001 - whatever a foreign library raises is the reason to be told
            answer = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[-1:] or ['']}"[:300]}
        answer["cpu_s"] = time.process_time() - start_cpu_s
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(name: str, threads: int, material: str, cold: bool) -> None:
    """Run the contestant on as many processors as it may have threads."""
    # A stopped process cannot notice that nobody asks any more: it ends with the one that started it.
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    # Libraries print to standard output as they like: answers go to a copy of it that they do not know.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    contestant = contestant_class(name)(material_from_words(json.loads(material)), threads)
    if cold:
        contestant.open()
        answers.write(json.dumps({"score": contestant.slide(contestant.material.slide)}) + "\n")
        answers.flush()
        return
    try:
        serve(contestant, sys.stdin, answers)
    finally:
        contestant.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], cold=sys.argv[4:] == ["cold"])
