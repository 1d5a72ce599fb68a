"""Time whole slides through the shipped pipeline: from the folder to record, report and the file in a drop folder."""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from edge.delivery.publish import Drop, prepare_drop, publish_file, stage_file
from edge.model import Model
from edge.pipeline import STAGES, Job, analyze_slide
from edge.result import record_bytes, unsent_job
from edge.simulator.analyzer import write_slide
from edge.simulator.cell_sources import DrawnCells
from edge.simulator.slide_series import plan_slides
from edge.slide import read_slide

CELLS_PER_SLIDE = 200  # what a DI-60 counts on a routine slide
_SEED = 20190913


@dataclass(frozen=True, slots=True)
class Timings:
    """What was measured: seconds of each slide in the order of the runs, images of each, milliseconds a stage a slide.

    `rss_mb`: the largest memory of this process, `base_rss_mb` what it held with the model ready, before any slide.
    """

    slide_s: tuple[float, ...]
    images: tuple[int, ...]
    stage_ms: dict[str, float]
    rss_mb: float
    base_rss_mb: float

    @property
    def images_per_s(self) -> float:
        """Images analyzed per second of wall time, all slides together."""
        return sum(self.images) / sum(self.slide_s)


def time_slides(
    model: Model,
    folders: Sequence[Path],
    runs: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    on_slide: Callable[[int, int], None] | None = None,
) -> Timings:
    """Analyze every folder `runs` times, in turn; the model must be warm (`prove_golden`).

    A slide's time is that of `read_slide` (with hashing), `analyze_slide` (with the HTML report), `record_bytes`, and
    of publishing the record in a drop folder with every fsync. `on_slide` hears how many of how many slides are done.
    Raises EdgeError as these do.
    """
    slide_s: list[float] = []
    images: list[int] = []
    stages = dict.fromkeys(("read", *STAGES, "publish"), 0.0)
    base_rss_mb = peak_rss_mb()
    with TemporaryDirectory(prefix="mds-edge-bench-drop-") as drop_folder:
        drop = prepare_drop(Path(drop_folder))
        for number in range(runs):
            for folder in folders:
                start_s = clock()
                slide = read_slide(folder)
                stages["read"] += 1000 * (clock() - start_s)
                analyzed = analyze_slide(slide, model, _job(number), clock=clock)
                computed_s = clock()
                _publish(drop, record_bytes(analyzed.record), f"slide-{len(slide_s)}.json")
                end_s = clock()
                stages["publish"] += 1000 * (end_s - computed_s)
                slide_s.append(end_s - start_s)
                images.append(len(slide.cell_files))
                for stage in STAGES:
                    stages[stage] += analyzed.stage_ms[stage]
                if on_slide is not None:
                    on_slide(len(slide_s), runs * len(folders))
    per_slide = {stage: total / len(slide_s) for stage, total in stages.items()}
    return Timings(tuple(slide_s), tuple(images), per_slide, peak_rss_mb(), base_rss_mb)


def _publish(drop: Drop, content: bytes, name: str) -> None:
    stage_file(drop, f"{name}.tmp", content)
    publish_file(drop, f"{name}.tmp", name, hashlib.sha256(content).hexdigest(), len(content))


def engine_rate(model: Model, seconds: float, *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return images per second of the network alone, on the golden cells again and again for so many seconds."""
    spec, images = model.engine.spec, model.golden_cells.images
    batch = np.ascontiguousarray(np.resize(images, (spec.max_batch, *images.shape[1:])))
    done, start_s = 0, clock()

    def batches() -> Iterator[NDArray[np.uint8]]:
        while clock() - start_s < seconds:
            yield batch

    for outputs in model.engine.infer(batches()):
        done += len(outputs.findings)
    return done / (clock() - start_s)


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
    return unsent_job("edge-bench", f"BENCH{number}.R1", site="EDGE-BENCH", analysed_at="2019-09-13T00:00:00+00:00")
