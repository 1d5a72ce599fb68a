"""The pipeline of this project: the calls that the daemon's worker makes, with its engine, and the publishing."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.side_by_side.contestants.base import Batch, Contestant

AT = "2019-09-13T00:00:00+00:00"


class Pipeline(Contestant):
    """open_model with the worker's cache, proved on the golden cells; analyze_slide; archive and HL7 drop, synced."""

    def open(self) -> None:
        """Open the bundle as the worker does."""
        from edge.model import open_model

        self.material.compiled.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._model = open_model(
            self.material.bundle,
            public_key=self.material.public_key.read_bytes(),
            cache_dir=self.material.compiled,
            threads=self.threads,
        )
        self._model.prove_golden()
        self._numbers = itertools.count()

    def chosen_batches(self) -> tuple[int, ...]:
        """Return the one batch that the engine itself takes."""
        return (self._model.engine.spec.max_batch,)

    def run(self, batch: int, batches: Iterable[Batch]) -> int:  # noqa: ARG002 - it takes any batch
        """Hand the batches to the engine, as the pipeline does."""
        return sum(len(outputs.cell_type) for outputs in self._model.engine.infer(batches))

    def slide(self, folder: Path) -> float:
        """Analyze and publish: record and report into the archive, the HL7 message into the drop folder, all synced."""
        from edge.daemon.archive import store_result
        from edge.delivery.publish import prepare_drop, publish_file, stage_file
        from edge.pipeline import analyze_slide
        from edge.result import record_bytes
        from edge.slide import read_slide
        from edge.writers.choose import writer_for

        number = next(self._numbers)
        slide = read_slide(folder)
        analyzed = analyze_slide(slide, self._model, _job(number))
        archive, place = self.material.results / "archive", self.material.results / "drop"
        place.mkdir(parents=True, exist_ok=True)
        archive.mkdir(exist_ok=True)
        store_result(archive, f"SIDE{number}.R1", record_bytes(analyzed.record), analyzed.report_html)
        message = writer_for("hl7").render(analyzed.record)
        drop, name = prepare_drop(place), f"SIDE{number}.R1{message.extension}"
        (place / name).unlink(missing_ok=True)  # of an earlier run: the LIS of this benchmark takes nothing away
        stage_file(drop, name, message.content)
        publish_file(drop, name, name, hashlib.sha256(message.content).hexdigest(), len(message.content))
        # A network of random weights rarely passes the gates: then there is an interval of nothing, and no score.
        return next((float(a["score"]) for a in analyzed.record["assessments"] if a["score"] is not None), float("nan"))

    def facts(self) -> dict[str, Any]:
        """Return precision and layout, and whether the workstation's libraries are installed beside it."""
        spec = self._model.engine.spec
        layout = {"precision": spec.precision, "copies": spec.copies, "threads_per_copy": spec.threads}
        return {**layout, "workstation_environment": find_spec("keras") is not None}


def _job(number: int) -> Any:
    from edge.result import unsent_job

    return unsent_job("side-by-side", f"SIDE{number}.R1", site="BENCHMARK", analysed_at=AT)
