"""One slide, from its images to its record and report: the calls, in order.

    read and decode -> resize -> infer -> findings -> profile -> assess -> explain -> record, report

Images are read, decoded and resized on threads of their own (preparation.py) while the engine works on earlier ones,
and none is kept: only a thumbnail of each remains. State is in the engine alone; the same slide, model and job give the
same record, except for the times in `stage_ms`.

In `stage_ms` "decode" and "resize" are the threads' time, added up. "wait" is the time in which no cell was ready for
the network, "infer" the rest of the time from the first cell to the last output; a record's "infer" holds both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.assessment import Assessment, assess_profile
from edge.bundle.manifest import AssessmentSpec
from edge.class_families import names_of, settle_families, unanswered
from edge.engines.base import EngineOutputs
from edge.engines.process_memory import give_back_freed_memory
from edge.explanation import explain_assessment
from edge.findings import CellFindings, decode_findings
from edge.gates import count_film, doubtful_warnings, film_warnings
from edge.image_measures import MEASURES, measures_from_tensors
from edge.images import DEFAULT_LIMITS, ImageLimits, RefusedCell
from edge.model import Model
from edge.preclass import PreclassComparison, compare_preclasses, preclass_warnings
from edge.preparation import PreparedCell, prepared_cells
from edge.quality import document_from_quality, quality_from_measures, quality_warnings
from edge.report_material import report_context
from edge.result import UNREADABLE_FRACTION, Job, Provenance, build_result, reject_slide
from edge.slide import Slide, SlideWarning
from edge.slide_profile import SlideProfile, intervals_from_profile, profile_slide
from edge.writers.html_report import render_report
from edge.writers.report_context import NO_REFERENCE, ReferenceIntervals
from edge.writers.strings import ENGLISH

__all__ = ["AnalyzedSlide", "Job", "Rules", "analyze_slide"]

STAGES = ("decode", "resize", "wait", "infer", "findings", "profile", "assess", "explain", "record", "render")
_BATCHES_AHEAD = 4
"""Batches of cells that are in hand while the network works: two that run, one that waits, one that is being made."""
_MANY_CELLS = 500
TARGET_UNKNOWN = "TARGET-UNKNOWN"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the site decides.

    Bounds of images, the share of unreadable ones, the targets it uses (empty: all), and the language and the reference
    intervals of its reports.
    """

    limits: ImageLimits = DEFAULT_LIMITS
    unreadable_fraction: float = UNREADABLE_FRACTION
    targets: Collection[str] = ()
    language: str = ENGLISH
    reference: ReferenceIntervals = NO_REFERENCE


@dataclass(frozen=True, slots=True, eq=False)
class AnalyzedSlide:
    """What leaves the pipeline: the record (JSON values, see result.py), the self-contained HTML report, every time."""

    record: dict[str, Any]
    report_html: bytes
    stage_ms: dict[str, float]


@dataclass(slots=True, eq=False)
class _Reading:
    """What reading a slide leaves behind besides tensors: ids and measures in their order, thumbnails, refusals."""

    cell_ids: list[str] = field(default_factory=list)
    measures: list[NDArray[np.float32]] = field(default_factory=list)
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    refused: list[RefusedCell] = field(default_factory=list)


class StageClock:
    """Adds up the milliseconds of each stage, from a monotonic clock in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.stage_ms: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Count the time spent inside as time of `stage`."""
        start_s = self._clock()
        try:
            yield
        finally:
            self.add(stage, self._clock() - start_s)

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self.stage_ms[stage] += 1000 * seconds

    @property
    def clock(self) -> Callable[[], float]:
        """The clock itself, for threads that measure their own time."""
        return self._clock


def analyze_slide(
    slide: Slide,
    model: Model,
    job: Job,
    *,
    rules: Rules = Rules(),
    clock: Callable[[], float] = time.monotonic,
) -> AnalyzedSlide:
    """Analyze one slide.

    Raises EdgeError MDSE-SLIDE-008 when too many images cannot be used, -007 when the others are copies of one, -010
    when its folder is away, -012 when the result contradicts itself, and what engine, trees and explanation raise.
    """
    stages = StageClock(clock)
    reading = _Reading()
    outputs = _infer(slide, model, rules, stages, reading)
    reject_slide(slide, reading.refused, unreadable_fraction=rules.unreadable_fraction)
    with stages.timing("findings"):
        measures = np.concatenate([np.empty((0, len(MEASURES)), np.float32), *reading.measures])
        cells = _cells_from_outputs(outputs, reading.cell_ids, measures, model)
        del outputs  # the cells hold what is needed of them: 8 kB a cell less while the report is made
        quality = quality_from_measures(measures, model.manifest.decision.quality)
        preclass = _compare_preclasses(slide, cells)
    with stages.timing("profile"):
        profile = profile_slide(cells, model.catalogue)
        intervals = intervals_from_profile(profile)
    assessments = _assess(slide, model, job, rules, profile, cells, stages)
    with stages.timing("record"):
        record = build_result(
            slide=slide,
            job=job,
            cells=cells,
            refused=reading.refused,
            profile=profile,
            intervals=intervals,
            assessments=assessments,
            provenance=provenance_of(model),
            catalogue=model.catalogue,
            stage_ms={**stages.stage_ms, "infer": stages.stage_ms["infer"] + stages.stage_ms["wait"]},
            warnings=[
                *_warnings(slide, model, rules, profile),
                *doubtful_warnings(cells, model.manifest.decision.gates),
                *quality_warnings(quality),
                *preclass_warnings(preclass),
            ],
            quality=document_from_quality(quality),
            preclass=None if preclass is None else {"compared": preclass.compared, "disagree": preclass.disagree},
        )  # fmt: skip
    if len(cells) >= _MANY_CELLS:
        give_back_freed_memory()  # what decoding and the network left: the report of many cells needs as much again
    with stages.timing("render"):
        context = report_context(model, cells, language=rules.language, reference=rules.reference)
        report = render_report(record, reading.thumbnails, context)
    return AnalyzedSlide(record, report, stages.stage_ms)


def provenance_of(model: Model) -> Provenance:
    """Return what a record says about the model that made it."""
    manifest, spec = model.manifest, model.engine.spec
    return Provenance(
        bundle_name=manifest.name,
        bundle_version=manifest.version,
        bundle_digest=model.digest,
        intended_use=manifest.intended_use,
        engine_name=spec.name,
        engine_device=spec.device,
        engine_precision=spec.precision,
        trees=model.trees_kind,
    )


def _infer(slide: Slide, model: Model, rules: Rules, stages: StageClock, reading: _Reading) -> list[EngineOutputs]:
    """Run every readable cell through the engine, in order; an error on either side ends the threads of the other."""
    spec = model.engine.spec
    prepared = prepared_cells(
        slide, limits=rules.limits, size_px=spec.size_px, ahead=_BATCHES_AHEAD * spec.max_batch, clock=stages.clock
    )
    with stages.timing("infer"), closing(prepared):
        outputs = list(model.engine.infer(_batches(prepared, model, stages, reading)))
    stages.stage_ms["infer"] -= stages.stage_ms["wait"]
    return outputs


def _batches(
    prepared: Iterator[PreparedCell | RefusedCell], model: Model, stages: StageClock, reading: _Reading
) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of the network's size, in one memory: the engine has copied one before it asks for the next."""
    spec = model.engine.spec
    batch = np.empty((spec.max_batch, spec.size_px, spec.size_px, 3), np.uint8)
    filled = 0
    while True:
        with stages.timing("wait"):
            cell = next(prepared, None)
        if isinstance(cell, RefusedCell):
            reading.refused.append(cell)
            continue
        if cell is not None:
            batch[filled] = cell.pixels
            filled += 1
            _note(cell, stages, reading)
        if filled and (cell is None or filled == spec.max_batch):
            reading.measures.append(measures_from_tensors(batch[:filled]))
            yield batch[:filled]
            filled = 0
        if cell is None:
            return


def _note(cell: PreparedCell, stages: StageClock, reading: _Reading) -> None:
    reading.cell_ids.append(cell.cell_id)
    reading.thumbnails[cell.cell_id] = cell.thumbnail
    stages.add("decode", cell.decode_s)
    stages.add("resize", cell.resize_s)


def _cells_from_outputs(
    outputs: list[EngineOutputs], cell_ids: list[str], measures: NDArray[np.float32], model: Model
) -> tuple[CellFindings, ...]:
    joined = EngineOutputs(
        cell_type=np.concatenate([part.cell_type for part in outputs]),
        findings=np.concatenate([part.findings for part in outputs]),
        embedding=np.concatenate([part.embedding for part in outputs]),
    )
    decision = model.manifest.decision
    return decode_findings(
        joined, cell_ids, model.catalogue, decision, outlier_rule=model.outlier_rule, measures=measures
    )


def _compare_preclasses(slide: Slide, cells: tuple[CellFindings, ...]) -> PreclassComparison | None:
    given = {file.cell_id: file.preclass for file in slide.cell_files}
    return compare_preclasses((given[cell.cell_id], cell.cell_type) for cell in cells)


def _assess(
    slide: Slide,
    model: Model,
    job: Job,
    rules: Rules,
    profile: SlideProfile,
    cells: tuple[CellFindings, ...],
    stages: StageClock,
) -> list[Assessment]:
    assessments = []
    for spec in model.assessments:
        if not _is_used(spec, rules):
            continue
        with stages.timing("assess"):
            assessment = assess_profile(
                profile,
                spec=spec,
                cohort=model.manifest.cohort[spec.target],
                gates=model.manifest.decision.gates,
                trees=model.trees[spec.target],
                catalogue=model.catalogue,
                requested=job.assess_all or bool(names_of(spec) & set(slide.targets)),
                scope=model.scopes[spec.target],
            )
        with stages.timing("explain"):
            explained = explain_assessment(
                assessment,
                profile,
                cells,
                spec=spec,
                gates=model.manifest.decision.gates,
                trees=model.trees[spec.target],
                explainer=model.explainers[spec.target],
                cohort=model.cohorts[spec.target],
                ranges=model.manifest.cohort[spec.target],
                scope=model.scopes[spec.target],
                catalogue=model.catalogue,
            )
        assessments.append(explained)
    return settle_families(assessments, model.assessments)


def _is_used(spec: AssessmentSpec, rules: Rules) -> bool:
    return not rules.targets or bool(names_of(spec) & set(rules.targets))


def _warnings(slide: Slide, model: Model, rules: Rules, profile: SlideProfile) -> list[SlideWarning]:
    used = {spec.target for spec in model.assessments if _is_used(spec, rules)}
    said = [unanswered(name, model.assessments, used, bundle=model.manifest.name) for name in slide.targets]
    unknown = [SlideWarning(TARGET_UNKNOWN, text) for text in said if text]
    counted = count_film(profile, model.catalogue)
    return [*unknown, *film_warnings(profile, counted, model.catalogue, model.manifest.decision.gates)]
