"""Measures whether a bundle knows what it does not know: unknown pictures, calibration, cells without a name.

    python -m benchmarks.cell_honesty [--bundle DIR] [--cells DIR] [--pictures N] [--out FILE]

Test split of the real cells only (`sha256(name)[0] % 8` of 0-1), through the engine that a site runs. Unknown pictures
are made from test cells (odd_pictures.py) and are therefore of the same scanner; the figures say nothing of others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.odd_pictures import KINDS
from convert.cell_calibration import calibration_document
from convert.cell_scores import group_indices
from convert.dataset import LabelledCell, read_labelled_cells
from convert.decision_fit import area_under_curve
from edge.bench.report import machine_facts
from edge.image_measures import measures_from_tensors
from edge.images import CellImage, decode_image
from edge.model import Model, open_model
from edge.outliers import OutlierRule, distances_from_cells
from edge.pipeline import Job, analyze_slide
from edge.quality import quality_from_measures, quality_warnings
from edge.slide import read_slide
from edge.tensors import tensors_from_cells

REPOSITORY = Path(__file__).resolve().parent.parent
SLIDE_CELLS, ROUNDS = 200, 7


def outputs_of(model: Model, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return type probabilities, embedding and measures of tensors uint8 [N,S,S,3]."""
    step = model.engine.spec.max_batch
    parts = list(model.engine.infer(batch[start : start + step] for start in range(0, len(batch), step)))
    measures = [measures_from_tensors(batch[start : start + step]) for start in range(0, len(batch), step)]
    return (
        np.concatenate([part.cell_type for part in parts]),
        np.concatenate([part.embedding for part in parts]),
        np.concatenate(measures),
    )


def rule_of(model: Model) -> OutlierRule:
    """Return what the bundle doubts by; this page measures nothing else."""
    if model.outlier_rule is None:
        raise SystemExit("the bundle has no statistics of known cells (decision.ood)")
    return model.outlier_rule


def tensors_of(pictures: list[np.ndarray], size_px: int) -> np.ndarray:
    """Return pictures of any size as the network takes them, uint8 [N,S,S,3]."""
    return tensors_from_cells([CellImage("", np.ascontiguousarray(p)) for p in pictures], size_px)


def warnings_of(model: Model, measures: np.ndarray) -> list[str]:
    """Return the codes of what would be said about a slide of these cells."""
    return [w.code for w in quality_warnings(quality_from_measures(measures, model.manifest.decision.quality))]


def slides_warned(model: Model, measures: np.ndarray) -> dict[str, int]:
    """Return how many of 200 slides, each of 100 known test cells drawn at random, are warned of without a reason."""
    random, slides = np.random.default_rng(11), 200
    codes = [warnings_of(model, measures[random.choice(len(measures), 100)]) for _ in range(slides)]
    return {"slides": slides, "focus": sum("FOCUS" in c for c in codes), "stain": sum("STAIN-OOD" in c for c in codes)}


def unknown_pictures(model: Model, cells: list[np.ndarray], known: np.ndarray) -> dict[str, object]:
    """Return AUROC against the known cells and the share beyond the threshold, per kind of picture."""
    found: dict[str, object] = {}
    for group, kinds in KINDS.items():
        rows: dict[str, dict[str, Any]] = {}
        for name, change in kinds.items():
            random = np.random.default_rng(7)
            batch = tensors_of([change(cell, random) for cell in cells], model.engine.spec.size_px)
            _, embedding, measures = outputs_of(model, batch)
            far = distances_from_cells(embedding, measures, rule_of(model))
            both = np.concatenate([known, far])
            area = area_under_curve(both, np.arange(len(both)) >= len(known))
            if area is None:
                raise SystemExit("no known cells, or no pictures, to compare")
            rows[name] = {
                "auroc": round(area, 4),
                "flagged": round(float((far > rule_of(model).threshold).mean()), 4),
                "slide_warnings": warnings_of(model, measures),
            }
            print(f"  {group:8s} {name:28s} AUROC {area:.4f}, flagged {rows[name]['flagged']:.3f}", flush=True)
        found[group] = {"lowest_auroc": min(row["auroc"] for row in rows.values()), "kinds": rows}
    return found


def unidentified(model: Model, probabilities: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the share of cells without a name and which share of the wrong names goes with them."""
    catalogue = model.catalogue
    limits = np.array([model.manifest.decision.unidentified_below[code] for code in catalogue.type_codes])
    group, called = group_indices(catalogue), probabilities.argmax(axis=1)
    unnamed = probabilities.max(axis=1) < limits[called]
    wrong_type, wrong_group = called != truth, group[called] != group[truth]
    return {
        "share": round(float(unnamed.mean()), 4),
        "wrong_types": round(float(wrong_type.mean()), 4),
        "wrong_groups": round(float(wrong_group.mean()), 4),
        "removed_of_wrong_types": round(float(unnamed[wrong_type].mean()), 4),
        "removed_of_wrong_groups": round(float(unnamed[wrong_group].mean()), 4),
    }


def added_time(model: Model, cells: list[LabelledCell], folder: Path) -> dict[str, float]:
    """Return the seconds of a slide of 200 cells, and of what this page measures within them (medians)."""
    folder.mkdir(parents=True)
    chosen = cells[:SLIDE_CELLS]
    for number, cell in enumerate(chosen, 1):
        (folder / f"{number:04d}.jpg").write_bytes(cell.path.read_bytes())
    (folder / "slide.json").write_text('{"sample_id": "BENCH"}')
    slide = read_slide(folder)
    job = Job(
        source="bench", revision=1, message_id="BENCH.R1", supersedes=None, reason=None, status="P",
        analysed_at="2026-01-01T00:00:00+00:00", assess_all=False, manifest_sha256="0" * 64, site="bench",
        degraded=False, warnings=(),
    )  # fmt: skip
    batch = tensors_of([decode_image(cell.path.read_bytes(), where="") for cell in chosen], model.engine.spec.size_px)
    _, embedding, _ = outputs_of(model, batch)
    slides, added, step = [], [], model.engine.spec.max_batch
    for _ in range(ROUNDS):
        started = time.perf_counter()
        analyze_slide(slide, model, job)
        slides.append(time.perf_counter() - started)
        started = time.perf_counter()
        parts = [measures_from_tensors(batch[start : start + step]) for start in range(0, len(batch), step)]
        measures = np.concatenate(parts)
        distances_from_cells(embedding, measures, rule_of(model))
        quality_from_measures(measures, model.manifest.decision.quality)
        added.append(time.perf_counter() - started)
    slide_s, added_s = float(np.median(slides)), float(np.median(added))
    share = added_s / (slide_s - added_s)
    return {"slide_s": round(slide_s, 4), "added_s": round(added_s, 5), "added_share": round(share, 4)}


def measure(model: Model, cells: list[LabelledCell], pictures: int, scratch: Path) -> dict[str, object]:
    """Return all figures of cell_honesty.json but those of the machine."""
    size_px, place = model.engine.spec.size_px, {code: i for i, code in enumerate(model.catalogue.type_codes)}
    decoded = (decode_image(cell.path.read_bytes(), where=str(cell.path)) for cell in cells)
    batch = tensors_from_cells([CellImage("", pixels) for pixels in decoded], size_px)
    truth = np.array([place[cell.cell_type] for cell in cells])
    probabilities, embedding, measures = outputs_of(model, batch)
    decision = model.manifest.decision
    calibration = calibration_document(probabilities, truth, temperature=decision.temperature, split="test")
    print(f"calibration error, debiased, 15 bins: {calibration['ece_debiased']}")
    named = unidentified(model, probabilities, truth)
    print(json.dumps(named))
    known = distances_from_cells(embedding, measures, rule_of(model))
    alarms = round(float((known > rule_of(model).threshold).mean()), 4)
    print(f"false alarms on {len(known)} known cells: {alarms}")
    statistics_bytes = sum(model.manifest.files[part.file].size_bytes for part in (decision.ood,) if part is not None)
    print(f"statistics: {statistics_bytes} bytes")
    timed = added_time(model, cells, scratch / "slide")
    print(json.dumps(timed), flush=True)
    originals = [decode_image(cell.path.read_bytes(), where="") for cell in cells[:pictures]]
    return {
        "test_cells": len(cells),
        "pictures_per_kind": len(originals),
        "calibration": calibration,
        "unidentified": named,
        "false_alarm_rate": alarms,
        "statistics_bytes": statistics_bytes,
        "time": timed,
        "slides_warned_without_reason": slides_warned(model, measures),
        "unknown": unknown_pictures(model, originals, known),
    }


def main() -> None:
    """Measure and write the JSON file."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=REPOSITORY / "edge" / "demo" / "bundle")
    parser.add_argument("--cells", type=Path, default=Path(os.environ.get("MDS_EDGE_CELLS", "../shared/cells")))
    parser.add_argument("--pictures", type=int, default=200, help="pictures of every unknown kind")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "cell_honesty.json")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    model = open_model(asked.bundle, public_key=None)
    if model.outlier_rule is None:
        raise SystemExit(f"{asked.bundle} carries no out-of-distribution statistics: make it with edge-convert --cells")
    labelled = read_labelled_cells([(asked.cells, "real")], model.catalogue).of("test")
    cells = sorted(labelled, key=lambda cell: hashlib.sha256(cell.cell_id.encode()).digest())
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(model, cells, asked.pictures, Path(scratch))
    document = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine_facts(),
        "bundle": {"name": model.manifest.name, "version": model.manifest.version, "digest": model.digest},
        "engine": f"{model.engine.spec.name} {model.engine.spec.device} {model.engine.spec.precision}",
        "image_px": model.engine.spec.size_px,
        **figures,
    }
    asked.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
