"""What a training leaves behind: the model, its card, the log and the curves.

The card states what the network saw (`evidence`), how its outputs become findings (`decision`, fitted on the validation
split) and what it reaches on the test split, which nothing was fitted on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.cell_pixels import pixels_from_cells
from convert.cell_scores import scores_from_predictions
from convert.dataset import LabelledCell, LabelledCells, Origin
from convert.decision_fit import finding_threshold, temperature_from_validation, tempered
from convert.keras_learner import predict_cells
from convert.seen_cells import text_from_seen
from convert.train_cells import Trained
from convert.trained_files import write_model_and_card
from convert.training_batches import targets_from_cells
from convert.training_log import draw_training_curves, write_training_csv
from convert.training_place import written
from convert.unidentified_fit import FEWEST_CELLS, unidentified_limits
from edge.catalogue import Catalogue
from edge.errors import EdgeError

# Fewer real training cells than this do not outweigh drawn ones.
FEWEST_REAL_CELLS = 20
# The bias of a finding that no cell annotated: its probability stays below one in a million.
_NEVER_BIAS = -20.0
_NEVER_THRESHOLD = 1.0
_NOTES: Mapping[Origin, str] = {
    "real": "real cells: by image, no patient identity",
    "drawn": "drawn cells: simulated",
}
_REAL_BY_PATIENT = "real cells: split by patient"


@dataclass(frozen=True, slots=True)
class CardHead:
    """Who the model is and where its cells come from (`sources`: folder name -> name, licence, attribution)."""

    name: str
    version: str
    intended_use: str
    sources: Mapping[str, Mapping[str, str]]


def read_sources(path: Path | None) -> Mapping[str, Mapping[str, str]]:
    """Read the descriptions of the folders. Raises EdgeError MDSE-TRAIN-013 where the file is not such a table."""
    if path is None:
        return {}
    try:
        document = json.loads(path.read_bytes())
        return {
            str(folder): {k: str(row[k]) for k in ("name", "licence", "attribution")}
            for folder, row in document.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgeError("MDSE-TRAIN-013", where=str(path), reason=repr(error)) from error


def save_trained(
    trained: Trained,
    labelled: LabelledCells,
    catalogue: Catalogue,
    head: CardHead,
    out: Path,
    *,
    cache_folder: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write `out` (.keras), the card, the log and the curves beside it; return the card.

    Raises EdgeError MDSE-TRAIN-024 where the disk refuses.
    """
    evidence = evidence_from_cells(labelled.of("training"), catalogue)
    silence_unseen_findings(trained.model, evidence, catalogue)
    size_px = int(trained.model.input_shape[1])
    decision = _decision(trained.model, labelled, evidence, catalogue, size_px, cache_folder)
    validation: dict[str, Any] = {}
    for origin in _NOTES:
        cells = labelled.of("test", origin)
        if cells:
            validation[origin] = _test(trained.model, cells, origin, decision, catalogue, size_px, cache_folder)
            _say_scores(validation[origin], say)
    card = {
        "name": head.name,
        "version": head.version,
        "intended_use": head.intended_use,
        "image": {"size": size_px, "decoder": "strict-v1", "resize": "area-v1"},
        "outputs": {"types": list(catalogue.type_codes), "findings": list(catalogue.finding_codes)},
        "evidence": evidence,
        "trained_on": _trained_on(labelled, head.sources),
        "decision": decision,
        "limits": limits_from_evidence(evidence, labelled),
        "validation": validation,
        "seen_cells": None if trained.seen is None else text_from_seen(trained.seen),
        "training": {"epochs": len(trained.rows), "kept_epoch": trained.best_epoch, "keras": keras.version()},
    }
    with written(out):
        write_model_and_card(trained.model, card, out)
        write_training_csv(out.with_suffix(".log.csv"), trained.rows)
        draw_training_curves(out.with_suffix(".curves.png"), trained.rows, trained.best_epoch)
    say(f"wrote {out}, {out.with_suffix('.card.json').name}, {out.with_suffix('.log.csv').name}")
    return card


def evidence_from_cells(cells: Sequence[LabelledCell], catalogue: Catalogue) -> dict[str, str]:
    """Return "real", "drawn" or "none" for every type and finding.

    A type counts its training cells, a finding the cells that show it. A handful of real cells beside more drawn ones
    is "drawn": what was learned was learned from the drawings.
    """
    counts: dict[Origin, Counter[str]] = {"real": Counter(), "drawn": Counter()}
    for cell in cells:
        counts[cell.origin].update([cell.cell_type, *(code for code, value in cell.findings.items() if value)])
    evidence = {}
    for code in (*catalogue.type_codes, *catalogue.finding_codes):
        real, drawn = counts["real"][code], counts["drawn"][code]
        mostly_real = real > 0 and real >= min(FEWEST_REAL_CELLS, drawn)
        evidence[code] = "real" if mostly_real else "drawn" if drawn else "none"
    return evidence


def silence_unseen_findings(model: keras.Model, evidence: Mapping[str, str], catalogue: Catalogue) -> None:
    """Lower the bias of every finding that no training cell showed, so that it is never reported by chance."""
    layer = model.get_layer("findings")
    kernel, bias = layer.get_weights()
    bias[[evidence[code] == "none" for code in catalogue.finding_codes]] = _NEVER_BIAS
    layer.set_weights([kernel, bias])


def limits_from_evidence(evidence: Mapping[str, str], labelled: LabelledCells) -> list[str]:
    """Return the sentences that a reader of results must know."""
    limits = [f"{code}: no training cell; never reported" for code, kind in evidence.items() if kind == "none"]
    drawn = [code for code, kind in evidence.items() if kind == "drawn"]
    if drawn:
        limits.append(
            f"{', '.join(drawn)}: learned from drawings only. Real and drawn cells differ in style; a real cell of "
            "these may not be recognized, and figures on drawn cells say nothing about real ones."
        )
    if any(cell.origin == "real" and cell.patient is None for cell in labelled.cells):
        limits.append("Real cells carry no patient identity: the split is by image, and the figures are optimistic.")
    return limits


def _decision(
    model: keras.Model,
    labelled: LabelledCells,
    evidence: Mapping[str, str],
    catalogue: Catalogue,
    size_px: int,
    cache_folder: Path,
) -> dict[str, Any]:
    cells = labelled.of("validation")
    predicted = predict_cells(model, pixels_from_cells(cells, size_px, cache_folder))
    targets = targets_from_cells(cells, catalogue)
    thresholds = {
        code: _NEVER_THRESHOLD
        if evidence[code] == "none"
        else finding_threshold(predicted["findings"][:, column], targets.findings[:, column])
        for column, code in enumerate(catalogue.finding_codes)
    }
    # Doubt is for the films of people: drawn cells are far easier and would hide it.
    real = np.array([cell.origin == "real" for cell in cells], np.bool_)
    judged = real if real.any() else np.ones(len(cells), np.bool_)
    probabilities, truth = predicted["cell_type"][judged], targets.cell_type[judged]
    temperature = temperature_from_validation(probabilities, truth)
    return {
        "temperature": temperature,
        "finding_threshold": thresholds,
        "unidentified_below": _limits(tempered(probabilities, temperature), truth, evidence, catalogue),
    }


def _limits(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], evidence: Mapping[str, str], catalogue: Catalogue
) -> dict[str, float]:
    """Fit the limits of the types; with too few cells every type that was learned is named whatever its probability."""
    if len(truth) < FEWEST_CELLS:
        return {code: 1.0 if evidence[code] == "none" else 0.0 for code in catalogue.type_codes}
    return unidentified_limits(probabilities, truth, catalogue, evidence)


def _test(
    model: keras.Model,
    cells: Sequence[LabelledCell],
    origin: Origin,
    decision: Mapping[str, Any],
    catalogue: Catalogue,
    size_px: int,
    cache_folder: Path,
) -> dict[str, Any]:
    by_patient = origin == "real" and all(cell.patient for cell in cells)
    return scores_from_predictions(
        predict_cells(model, pixels_from_cells(cells, size_px, cache_folder)),
        targets_from_cells(cells, catalogue),
        catalogue,
        decision["finding_threshold"],
        note=_REAL_BY_PATIENT if by_patient else _NOTES[origin],
        simulated=origin == "drawn",
    )


def _trained_on(labelled: LabelledCells, sources: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    counts: Counter[tuple[str, Origin]] = Counter()
    for cell in labelled.of("training"):
        depth = len(Path(cell.cell_id).parts)
        counts[cell.path.parents[depth - 1].name, cell.origin] += 1
    neutral = {"licence": "not stated", "attribution": "not stated"}
    return [
        {"name": folder, "folder": folder, "origin": origin, "cells": count, **{**neutral, **sources.get(folder, {})}}
        for (folder, origin), count in sorted(counts.items())
    ]


def _say_scores(scores: Mapping[str, Any], say: Callable[[str], None]) -> None:
    groups = scores["groups"]
    say(f"test split, {scores['note']}: {scores['n']} cells, accuracy {_shown(scores['accuracy'])}")
    say(f"  mean recall of {scores['macro_recall_types']} types {_shown(scores['macro_recall'])}")
    say(f"  accuracy over 8 groups {_shown(groups['accuracy'])} ({groups['n']} cells)")
    if scores["mean_finding_auc"] is not None:
        say(f"  mean AUC of {len(scores['findings'])} findings {_shown(scores['mean_finding_auc'])}")
    lowest = sorted(scores["cell_types"].items(), key=lambda item: float(item[1]["sensitivity"]))[:4]
    say("  lowest recall: " + ", ".join(f"{code} {row['sensitivity']:.3f} ({row['n']})" for code, row in lowest))


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
