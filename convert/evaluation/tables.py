"""Tables 1-3 of the paper on any labelled cells, as JSON values; fractions 0-1, every count with its exact interval.

A cell is called what has the highest probability of all types; anything but its label is wrong. Figures of real cells
carry the paper's beside them, figures of drawn cells never do. Findings are judged on annotated cells of the types they
apply to, whatever type the network gave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.cell_scores import FEWEST_TEST_CELLS, PUBLISHED_GROUPS
from convert.dataset import LabelledCells, Origin
from convert.evaluation.networks import Network
from convert.evaluation.paper import load_paper
from convert.evaluation.predictions import Predictions
from convert.evaluation.statistics import (
    Estimate,
    area_with_interval,
    proportion,
    recall_with_interval,
    reliability,
)
from convert.seen_cells import count_seen, words_of_seen
from edge.catalogue import Catalogue

SPLITS = ("training", "validation", "test")
# Band against segmented is soft: readers themselves disagree on about 40 % of the cells of this set.
POOLED_TYPES = ("SNE", "BNE")
# An area under the curve of fewer positives is their accident; it is shown, but not listed as a shortfall.
FEWEST_POSITIVES = 5


def cells_section(predictions: Predictions, network: Network, labelled: LabelledCells, split: str) -> dict[str, Any]:
    """Return everything about one kind of cells, real or drawn: all cells of `predictions` have one origin."""
    origin = predictions.cells[0].origin
    truth, called = predictions.targets.cell_type, predictions.called
    right = called == truth
    seen = None if origin == "drawn" else count_seen(predictions.cells, network.seen)
    averaged = averaged_types(truth, predictions.catalogue)
    return {
        "note": note_of(predictions, split, seen),
        "simulated": origin == "drawn",
        "split": split,
        "seen": seen,
        "n": len(truth),
        **_named("accuracy", proportion(int(right.sum()), len(right))),
        **_named("macro_recall", recall_with_interval(truth, right, averaged, groups=predictions.patients)),
        "macro_recall_types": [predictions.catalogue.type_codes[index] for index in averaged],
        "macro_recall_pooled": _pooled(predictions, averaged),
        "groups": _groups(predictions),
        "counts": counts_per_split(labelled, origin, predictions.catalogue),
        "cell_types": type_rows(predictions, network.evidence, beside_paper=origin == "real"),
        "confusion": confusion(truth, called, predictions.catalogue),
        "findings": finding_rows(predictions, network, beside_paper=origin == "real"),
        "calibration": calibration(predictions),
    }


def note_of(predictions: Predictions, split: str, seen: int | None) -> str:
    """Return the sentence that must stand beside every figure of these cells.

    `seen`: how many of them the network has seen, None where nobody knows. The split itself is that of today's labels.
    """
    if predictions.cells[0].origin == "drawn":
        return "SIMULATED: drawn cells. Says that the parts fit together; says nothing about real cells."
    if split not in ("test", "validation"):
        return f"real cells, {split} split: cells that a network may have been trained on; no proof of anything."
    if split == "validation" and seen is None:
        chosen = "epoch, thresholds and calibration of a network are chosen on such cells; no proof of anything"
        return f"real cells, validation split: {chosen}."
    checked = words_of_seen(seen, len(predictions.cells))
    return f"real cells, {checked}." if seen else f"real cells, {_kind_of_split(predictions)}; {checked}."


def _kind_of_split(predictions: Predictions) -> str:
    unnamed = sum(cell.patient is None for cell in predictions.cells)
    if unnamed == len(predictions.cells):
        return "split by image, no patient identity: optimistic"
    if unnamed:
        rest = f"{unnamed} of {len(predictions.cells)} cells name no patient and are split by image: optimistic"
        return f"split by patient; {rest}"
    return "split by patient"


def averaged_types(truth: NDArray[np.int64], catalogue: Catalogue) -> list[int]:
    """Return the indices of the types with enough cells in `truth` int64 [N] for their recall to enter a mean."""
    counts = np.bincount(truth, minlength=len(catalogue.cell_types))
    return [int(index) for index in np.flatnonzero(counts >= FEWEST_TEST_CELLS)]


def counts_per_split(labelled: LabelledCells, origin: Origin, catalogue: Catalogue) -> dict[str, dict[str, int]]:
    """Return the cells per type in each split of this software (Table 1)."""
    counts = {split: labelled.counts(split, origin) for split in SPLITS}  # type: ignore[arg-type]  # SPLITS are Splits
    return {code: {split: counts[split][code] for split in SPLITS} for code in catalogue.type_codes}


def type_rows(predictions: Predictions, evidence: Mapping[str, str], *, beside_paper: bool) -> dict[str, Any]:
    """Return Table 2: a row per type that has cells."""
    truth, called = predictions.targets.cell_type, predictions.called
    rows: dict[str, Any] = {}
    for index, code in enumerate(predictions.catalogue.type_codes):
        is_type, said = truth == index, called == index
        if not is_type.any():
            continue
        hits = int((is_type & said).sum())
        sensitivity = proportion(hits, int(is_type.sum()))
        specificity = proportion(int((~is_type & ~said).sum()), int((~is_type).sum()))
        rows[code] = {
            "n": int(is_type.sum()),
            "evidence": evidence.get(code, "none"),
            **_sensitivity(sensitivity),
            **_named("specificity", specificity),
            **_named("precision", proportion(hits, int(said.sum()))),
        }
        published = load_paper().cell_types.get(code)
        if beside_paper and published is not None:
            rows[code]["paper"] = _json(asdict(published))
    return rows


def finding_rows(predictions: Predictions, network: Network, *, beside_paper: bool) -> dict[str, Any]:
    """Return Table 3: a row per finding of which at least one annotated cell shows it."""
    rows: dict[str, Any] = {}
    for column, code in enumerate(predictions.catalogue.finding_codes):
        target = predictions.targets.findings[:, column]
        annotated = target >= 0
        shown = target[annotated] == 1
        if not shown.any():
            continue
        values = predictions.outputs.findings[annotated, column]
        rows[code] = {
            "n": len(values),
            "positives": int(shown.sum()),
            "evidence": network.evidence.get(code, "none"),
            **_finding(values, shown, network.thresholds[code], _patients_of(predictions, annotated)),
        }
        published = load_paper().findings.get(code)
        if beside_paper and published is not None:
            rows[code]["paper"] = _json(asdict(published))
    return rows


def confusion(truth: NDArray[np.int64], called: NDArray[np.int64], catalogue: Catalogue) -> dict[str, Any]:
    """Return Fig. 1: counts, one row per labelled type, one column per called type, in the order of the codes.

    `truth` and `called` are int64 [N], indices into the catalogue's types.
    """
    size = len(catalogue.cell_types)
    counts = np.bincount(truth * size + called, minlength=size * size).reshape(size, size)
    return {"codes": list(catalogue.type_codes), "counts": counts.tolist()}


def calibration(predictions: Predictions) -> dict[str, Any]:
    """Return how often the named type is right, against the probability that the network gave it."""
    best = predictions.outputs.cell_type.max(axis=1)
    bins, error = reliability(best, predictions.called == predictions.targets.cell_type)
    return {"n": len(best), "expected_error": round(error, 4), "bins": [_json(asdict(row)) for row in bins]}


def _finding(
    values: NDArray[np.float32], shown: NDArray[np.bool_], threshold: float, patients: Sequence[str] | None
) -> dict[str, Any]:
    said = values >= threshold
    return {
        "threshold": round(float(threshold), 4),
        **_sensitivity(proportion(int((shown & said).sum()), int(shown.sum()))),
        **_named("specificity", proportion(int((~shown & ~said).sum()), int((~shown).sum()))),
        **_named("auc", area_with_interval(values, shown, groups=patients)),
    }


def _groups(predictions: Predictions) -> dict[str, Any]:
    """Return the accuracy over the eight groups in which the Barcelona cells were published."""
    members = {code: name for name, codes in PUBLISHED_GROUPS.items() for code in codes}
    names = np.array([members.get(code, "") for code in predictions.catalogue.type_codes])
    truth, called = names[predictions.targets.cell_type], names[predictions.called]
    rows = {}
    for name in PUBLISHED_GROUPS:
        found = proportion(int((called[truth == name] == name).sum()), int((truth == name).sum()))
        if found is not None:
            rows[name] = {"n": found.n, **_sensitivity(found)}
    grouped = truth != ""
    return {
        **_named("accuracy", proportion(int((truth == called)[grouped].sum()), int(grouped.sum()))),
        "n": int(grouped.sum()),
        "groups": rows,
    }


def _pooled(predictions: Predictions, averaged: Sequence[int]) -> dict[str, Any] | None:
    """Return the mean recall with segmented and band neutrophils taken as one type, None where one is not there."""
    codes = predictions.catalogue.type_codes
    first, second = (codes.index(code) if code in codes else -1 for code in POOLED_TYPES)
    if first not in averaged or second not in averaged:
        return None
    truth, called = (np.where(a == second, first, a) for a in (predictions.targets.cell_type, predictions.called))
    types = [index for index in averaged if index != second]
    found = recall_with_interval(truth, truth == called, types, groups=predictions.patients)
    return {"pooled": list(POOLED_TYPES), "types": len(types), **_named("macro_recall", found)}


def _patients_of(predictions: Predictions, rows: NDArray[np.bool_]) -> list[str] | None:
    patients = predictions.patients
    return None if patients is None else [patients[row] for row in np.flatnonzero(rows)]


def _sensitivity(found: Estimate | None) -> dict[str, Any]:
    """Return the sensitivity, whose interval is the plain `ci95` of the contract."""
    named = _named("sensitivity", found)
    return {"sensitivity": named["sensitivity"], "ci95": named["sensitivity_ci95"]}


def _named(name: str, found: Estimate | None) -> dict[str, Any]:
    if found is None:
        return {name: None, f"{name}_ci95": None}
    return {name: round(found.value, 4), f"{name}_ci95": found.ci95}


def _json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with fractions rounded and tuples as lists."""

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return round(value, 4)
        return [rounded(part) for part in value] if isinstance(value, tuple) else value

    return {name: rounded(value) for name, value in values.items()}
