"""What the pipeline found on a slide becomes its record, the one source of every output.

    Job             the order to analyze one slide: who asks, as which revision, under which message id
    build_result    the values of the pipeline -> the record (a plain dict of JSON values, rounded once and here)
    reject_slide    how many unreadable images are too many, and whether the others are one and the same
    record_bytes, revise_record   from `record_text`, which the daemon's books use

At run time only the standard library is imported; what the arrays hold is read element by element.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.catalogue import Catalogue
from edge.errors import EdgeError, printable
from edge.record_text import KEYS, SCHEMA, record_bytes, revise_record
from edge.slide import CellFile, Slide, SlideWarning, require_unlike_images

if TYPE_CHECKING:  # types only: the daemon's books import this module and must stay free of arrays
    import numpy as np
    from numpy.typing import NDArray

    from edge.assessment import Assessment
    from edge.findings import CellFindings
    from edge.gates import Sufficiency
    from edge.images import RefusedCell
    from edge.slide_profile import SlideProfile

__all__ = ["Job", "Provenance", "build_result", "record_bytes", "reject_slide", "revise_record"]

NEUTROPHIL_GROUP = "GN"  # of Fig. 3 of the paper, as the catalogue names it
REFUSED_NAMED_MAX = 5
DISTANCE_MAX = 9999.0  # a flat picture can lie arbitrarily far away; no reader needs to know how far
UNREADABLE_FRACTION = 0.1
_ROUNDING = 1e-9  # 29 of 100 are a share of 0.29, whatever binary fractions make of it
TARGET_GONE = "TARGET-GONE"
NOT_REQUESTED = "NOT-REQUESTED"


@dataclass(frozen=True, slots=True)
class Job:
    """The order to analyze one slide.

    `message_id` is `<first 12 hex digits of the idempotency key, upper case>.R<revision>`; `analysed_at` is ISO 8601
    with offset; `manifest_sha256` that of the spooled files; `degraded`: another engine than the configured one runs.
    `reported`: target, positive, negative and threshold of every assessment that the revision before this one reported.
    """

    source: str
    revision: int
    message_id: str
    supersedes: str | None
    reason: str | None
    status: str
    analysed_at: str
    assess_all: bool
    manifest_sha256: str
    site: str
    degraded: bool
    warnings: tuple[SlideWarning, ...]
    reported: tuple[Mapping[str, Any], ...] = ()


def unsent_job(source: str, message_id: str, *, site: str, analysed_at: str) -> Job:
    """Return the order for a record that is measured or judged and thrown away: nothing of it reaches a LIS."""
    return Job(
        source=source,
        revision=1,
        message_id=message_id,
        supersedes=None,
        reason=None,
        status="P",
        analysed_at=analysed_at,
        assess_all=True,
        manifest_sha256="0" * 64,
        site=site,
        degraded=False,
        warnings=(),
    )


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made the result: bundle, engine, and whether the trees ran `compiled` or through `treelite`."""

    bundle_name: str
    bundle_version: str
    bundle_digest: str
    intended_use: str
    engine_name: str
    engine_device: str
    engine_precision: str
    trees: str


def reject_slide(
    slide: Slide, refused: Sequence[RefusedCell], *, unreadable_fraction: float = UNREADABLE_FRACTION
) -> None:
    """Raise EdgeError MDSE-SLIDE-008 when all images, or more than `unreadable_fraction` of them, cannot be used.

    Raises MDSE-SLIDE-007 when those that can be used are copies of one: a damaged one hides no stuck camera.
    """
    images = len(slide.cell_files)
    most = unreadable_fraction * images + _ROUNDING
    if refused and (len(refused) == images or len(refused) > most):
        raise EdgeError(
            "MDSE-SLIDE-008", where=slide.slide_key, refused=len(refused), images=images, reason=refused[0].text
        )
    unusable = {cell.cell_id for cell in refused}
    require_unlike_images([file for file in slide.cell_files if file.cell_id not in unusable], where=slide.slide_key)


def build_result(
    *,
    slide: Slide,
    job: Job,
    cells: Sequence[CellFindings],
    refused: Sequence[RefusedCell],
    profile: SlideProfile,
    intervals: NDArray[np.float64],
    assessments: Sequence[Assessment],
    provenance: Provenance,
    catalogue: Catalogue,
    stage_ms: Mapping[str, float],
    warnings: Sequence[SlideWarning] = (),
    quality: Mapping[str, Any] | None = None,
    preclass: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return the record of one slide revision: JSON values only, keys in canonical order.

    `intervals` float64 [parameters, 2] is `intervals_from_profile(profile)`. `warnings` are those of the film (gates);
    the slide's, the job's and a warning about refused images are added. `quality` and `preclass` as the schema has
    them, None where nothing was measured. Probabilities are rounded to 4 decimals, profile values to 6.

    Raises EdgeError MDSE-SLIDE-012 when the parts contradict each other: nothing may be staged.
    """
    typed = Counter(cell.cell_type for cell in cells if cell.cell_type is not None)
    counts = {code: typed[code] for code in catalogue.type_codes}
    flags = Counter(flag for cell in cells for flag in cell.flags)
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "message_id": job.message_id,
        "mode": "T" if provenance.intended_use == "demo" else "P",
        "status": job.status,
        "revision": job.revision,
        "supersedes": job.supersedes,
        "reason": job.reason,
        "analysed_at": job.analysed_at,
        "site": job.site,
        "slide": _slide_part(slide, job),
        "counts": counts,
        "leucocytes": sum(counts[code] for code in catalogue.leucocyte_codes),
        "images": len(slide.cell_files),
        "unreadable": len(refused),
        "unidentified": flags["UNIDENTIFIED"],
        "out_of_distribution": flags["OOD"],
        "profile": _profile_part(profile, intervals, counts, catalogue),
        "assessments": _with_gone_targets(
            [_assessment_part(assessment, counts, catalogue) for assessment in assessments], job.reported
        ),
        "cells": _cells_part(slide, cells, refused, catalogue),
        "warnings": _coded([*slide.warnings, *job.warnings, *_refused_warnings(slide, refused), *warnings]),
        "quality": quality,
        "preclass": preclass,
        "provenance": _provenance_part(provenance, degraded=job.degraded),
        "stage_ms": {stage: round(float(stage_ms[stage]), 1) for stage in KEYS["stage_ms"]},
    }
    record_bytes(record)
    return record


def _slide_part(slide: Slide, job: Job) -> dict[str, Any]:
    return {
        "source": job.source,
        "slide_key": slide.slide_key,
        "sample_id": slide.sample_id,
        "order_id": slide.order_id,
        "slide_no": slide.slide_no,
        "acquired_at": slide.acquired_at,
        "analyzer": {
            "model": slide.analyzer.model,
            "serial": slide.analyzer.serial,
            "software": slide.analyzer.software,
        },
        "patient_id": slide.patient_id,
        "manifest_sha256": job.manifest_sha256,
    }


def _profile_part(
    profile: SlideProfile, intervals: NDArray[np.float64], counts: Mapping[str, int], catalogue: Catalogue
) -> list[dict[str, Any]]:
    """Return one row per parameter. The denominators of the rates are proved here, because a record names no groups."""
    of_cells = {f"{f.code}_rate": sum(counts[code] for code in f.applies_to) for f in catalogue.findings}
    denominators = dict(zip(profile.names, profile.denominators, strict=True))
    wrong = [name for name, denominator in of_cells.items() if denominators.get(name) != denominator]
    if wrong or profile.names != catalogue.parameter_names:
        reason = (
            f"{wrong[0]} does not rest on the cells it applies to"
            if wrong
            else "the parameters are not the catalogue's"
        )
        raise EdgeError("MDSE-SLIDE-012", where="profile", reason=reason)
    rows = zip(profile.names, profile.values, profile.numerators, profile.denominators, intervals, strict=True)
    return [
        {
            "name": name,
            "value": _rounded(value, 6),
            "numerator": int(numerator),
            "denominator": int(denominator),
            "ci95": _interval(interval, 6),
        }
        for name, value, numerator, denominator, interval in rows
    ]


def _assessment_part(assessment: Assessment, counts: Mapping[str, int], catalogue: Catalogue) -> dict[str, Any]:
    """Return one assessment. Its neutrophils are proved here, because a record names no groups."""
    neutrophils = sum(counts[t.code] for t in catalogue.cell_types if t.leucocyte and t.group == NEUTROPHIL_GROUP)
    if assessment.sufficiency.neutrophils != neutrophils:
        reason = f"{assessment.target} counts {assessment.sufficiency.neutrophils} of {neutrophils} neutrophils"
        raise EdgeError("MDSE-SLIDE-012", where="assessments", reason=reason)
    return {
        "target": assessment.target,
        "positive": assessment.positive,
        "negative": assessment.negative,
        "score": _rounded(assessment.score, 4),
        "margin": _rounded(assessment.margin, 6),
        "ci95": _interval(assessment.interval, 4),
        "threshold": float(assessment.threshold),
        "call": assessment.call,
        "sufficient": bool(assessment.sufficient),
        "reasons": _coded(assessment.reasons),
        "contributions": [
            {"name": row.name, "value": _rounded(row.value, 6), "cells": list(row.cells)}
            for row in assessment.contributions
        ],
        "groups": [{"group": row.group, "value": _rounded(row.value, 6)} for row in assessment.groups],
        "sufficiency": _sufficiency_part(assessment.sufficiency),
        "contrast": [
            {
                "name": row.name,
                "value": _rounded(row.value, 6),
                "positive_median": _rounded(row.positive_median, 6),
                "negative_median": _rounded(row.negative_median, 6),
            }
            for row in assessment.contrast
        ],
        "what_would_change": [{**asdict(row), "score": _rounded(row.score, 4)} for row in assessment.what_would_change],
    }


def _with_gone_targets(rows: list[dict[str, Any]], reported: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, with one that takes back each score that the earlier revision reported and this one does not.

    A receiver keeps what a revision does not mention: a score of an old model would stand beside the new result.
    """
    said = {row["target"] for row in rows if row["call"] != NOT_REQUESTED}
    gone = [earlier for earlier in reported if earlier["target"] not in said]
    names = {earlier["target"] for earlier in gone}
    return [*(row for row in rows if row["target"] not in names), *(_gone_row(earlier) for earlier in gone)]


def _gone_row(earlier: Mapping[str, Any]) -> dict[str, Any]:
    text = "an earlier revision assessed this target; this one does not, and the earlier score is no longer valid"
    named = {name: earlier[name] for name in ("target", "positive", "negative")}
    return {
        **named, "score": None, "margin": None, "ci95": None, "threshold": earlier["threshold"],
        "call": "NOT-EVALUABLE", "sufficient": False, "reasons": [{"code": TARGET_GONE, "text": text}],
        "contributions": [], "groups": [], "sufficiency": None, "contrast": [], "what_would_change": [],
    }  # fmt: skip


def _sufficiency_part(sufficiency: Sufficiency) -> dict[str, Any]:
    return {
        "leucocytes": sufficiency.leucocytes,
        "neutrophils": sufficiency.neutrophils,
        "minimum": {"wbc": sufficiency.minimum_leucocytes, "neutrophil": sufficiency.minimum_neutrophils},
        "more_cells_to_halve_interval": sufficiency.more_cells_to_halve_interval,
        "text": sufficiency.text,
    }


def _cells_part(
    slide: Slide, cells: Sequence[CellFindings], refused: Sequence[RefusedCell], catalogue: Catalogue
) -> list[dict[str, Any]]:
    """Return one row per usable image, in the slide's order; every image must be accounted for, once."""
    files: dict[str, CellFile] = {file.cell_id: file for file in slide.cell_files}
    accounted = Counter([*(cell.cell_id for cell in cells), *(cell.cell_id for cell in refused)])
    if len(files) != len(slide.cell_files) or accounted != Counter(files.keys()):
        reason = "the analyzed and the refused cells are not the images of the slide"
        raise EdgeError("MDSE-SLIDE-012", where=slide.slide_key, reason=reason)
    column_of = {code: column for column, code in enumerate(catalogue.finding_codes)}
    preclass_of = {cell_id: file.preclass for cell_id, file in files.items()}
    return [
        {
            "id": cell.cell_id,
            "file": printable(files[cell.cell_id].path),
            "sha256": files[cell.cell_id].sha256,
            "type": cell.cell_type,
            "p": _probability(cell.probability),
            "findings": {code: _probability(cell.finding_probabilities[column_of[code]]) for code in cell.present},
            "flags": list(cell.flags),
            "preclass": None if preclass_of[cell.cell_id] is None else printable(str(preclass_of[cell.cell_id])),
            "distance": None if cell.distance is None else _rounded(min(cell.distance, DISTANCE_MAX), 2),
            # What the network would have called it; of a cell unlike all training cells, no guess is worth showing.
            "best_type": catalogue.type_codes[int(cell.type_probabilities.argmax())]
            if "UNIDENTIFIED" in cell.flags
            else None,
        }
        for cell in cells
    ]


def _refused_warnings(slide: Slide, refused: Sequence[RefusedCell]) -> list[SlideWarning]:
    """Name the refused images with their codes; of the first say also what is wrong and what to do."""
    if not refused:
        return []
    first = ", ".join(f"{cell.cell_id} {cell.code}" for cell in refused[:REFUSED_NAMED_MAX])
    more = "" if len(refused) <= REFUSED_NAMED_MAX else f" and {len(refused) - REFUSED_NAMED_MAX} more"
    text = f"{len(refused)} of {len(slide.cell_files)} images could not be used ({first}{more})."
    text += f" The first: {refused[0].text}"
    return [SlideWarning("UNREADABLE-IMAGES", text)]


def _provenance_part(provenance: Provenance, *, degraded: bool) -> dict[str, Any]:
    return {
        "bundle": {
            "name": provenance.bundle_name,
            "version": provenance.bundle_version,
            "digest": provenance.bundle_digest,
            "intended_use": provenance.intended_use,
        },
        "engine": {
            "name": provenance.engine_name,
            "device": provenance.engine_device,
            "precision": provenance.engine_precision,
        },
        "trees": provenance.trees,
        "software": f"mds-edge {__version__}",
        "degraded": degraded,
    }


def _coded(texts: Iterable[Any]) -> list[dict[str, str]]:
    """Return warnings or reasons (anything with `code` and `text`) as rows."""
    return [{"code": coded.code, "text": coded.text} for coded in texts]


def _rounded(value: float | None, decimals: int) -> float | None:
    """Return a plain float, None for a missing value (NaN); minus zero becomes zero."""
    if value is None or math.isnan(value):
        return None
    return round(float(value), decimals) + 0.0


def _probability(value: float) -> float:
    """Round to 4 decimals within 0..1: single precision may end a hair outside."""
    return round(min(max(float(value), 0.0), 1.0), 4)


def _interval(bounds: Iterable[float] | None, decimals: int) -> list[float | None] | None:
    if bounds is None:
        return None
    rounded = [_rounded(bound, decimals) for bound in bounds]
    return None if None in rounded else rounded
