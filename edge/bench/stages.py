"""Time whole slides through the shipped pipeline: from the folder to the record's bytes and the report."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edge.model import Model
from edge.pipeline import STAGES, Job, analyze_slide
from edge.result import record_bytes
from edge.simulator.analyzer import write_slide
from edge.simulator.cell_sources import DrawnCells
from edge.simulator.slide_series import plan_slides
from edge.slide import read_slide

CELLS_PER_SLIDE = 200  # what a DI-60 counts on a routine slide
_SEED = 20190913


@dataclass(frozen=True, slots=True)
class Timings:
    """What was measured: seconds of each slide, images of each slide, milliseconds of each stage per slide."""

    slide_s: tuple[float, ...]
    images: tuple[int, ...]
    stage_ms: dict[str, float]
    rss_mb: float

    @property
    def images_per_s(self) -> float:
        """Images analyzed per second of wall time, all slides together."""
        return sum(self.images) / sum(self.slide_s)


def time_slides(
    model: Model, folders: Sequence[Path], runs: int, *, clock: Callable[[], float] = time.perf_counter
) -> Timings:
    """Analyze every folder `runs` times, in turn; the model must be warm (`prove_golden`).

    A slide's time is that of `read_slide` (with hashing), `analyze_slide` (with the HTML report) and `record_bytes`.
    Raises EdgeError as these do.
    """
    slide_s: list[float] = []
    images: list[int] = []
    stages = dict.fromkeys(STAGES, 0.0)
    for number in range(runs):
        for folder in folders:
            start_s = clock()
            slide = read_slide(folder)
            analyzed = analyze_slide(slide, model, _job(number), clock=clock)
            record_bytes(analyzed.record)
            slide_s.append(clock() - start_s)
            images.append(len(slide.cell_files))
            for stage in STAGES:
                stages[stage] += analyzed.record["stage_ms"][stage]
    per_slide = {stage: total / len(slide_s) for stage, total in stages.items()}
    return Timings(tuple(slide_s), tuple(images), per_slide, peak_rss_mb())


def peak_rss_mb() -> float:
    """Return the largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def synthetic_slides(count: int, *, cells_per_slide: int = CELLS_PER_SLIDE) -> Iterator[list[Path]]:
    """Draw slides into a temporary folder and give their folders; the same ones every time. They are simulated."""
    with TemporaryDirectory(prefix="mds-edge-bench-") as root:
        plan = plan_slides("mixed", (cells_per_slide, cells_per_slide), _SEED)
        folders = []
        for _, planned in zip(range(count), plan, strict=False):
            written = write_slide(
                planned.film,
                Path(root),
                planned.slide_key,
                planned.facts.sample_id,
                source=DrawnCells(),
                rng=np.random.default_rng(planned.seed),
                facts=planned.facts,
            )
            folders.append(written.folder)
        yield folders


def _job(number: int) -> Job:
    return Job(
        source="edge-bench",
        revision=1,
        message_id=f"BENCH{number}.R1",
        supersedes=None,
        reason=None,
        status="P",
        analysed_at="2019-09-13T00:00:00+00:00",
        assess_all=True,
        manifest_sha256="0" * 64,
        site="EDGE-BENCH",
        degraded=False,
        warnings=(),
    )
