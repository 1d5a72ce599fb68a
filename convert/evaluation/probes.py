"""Linear probes: does the frozen embedding hold what other columns of the labels say? Probes, not findings.

For every type and column with enough cells of at least two values, logistic regression on the embedding of the
training split is judged on the test split. High figures say that the network's features carry the attribute; they
report nothing about a patient, because most attributes describe normal variation.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.dataset import ATTRIBUTE_FINDINGS, LabelledCell
from convert.evaluation.predictions import Predictions
from convert.evaluation.statistics import area_with_interval, proportion
from convert.progress import Progress
from edge.errors import EdgeError

MOST_VALUES = 12
FEWEST_TRAINING = 10
FEWEST_TEST = 5
_PLAIN_COLUMNS = frozenset({"file", "cell_type", "patient", "preclass", "label_origin"})
# Fixed beforehand: some hundred cells stand against a thousand features.
_INVERSE_PENALTY = 0.01

Values = Mapping[tuple[Path | None, str], str]  # (label file, cell id) -> value; blank ones are left out


def attributes_from_labels(cells: Sequence[LabelledCell], codes: Sequence[str]) -> dict[str, Values]:
    """Return {column: values} of every column that is neither a finding nor known otherwise.

    Raises EdgeError MDSE-TRAIN-001 where a label file cannot be read any more.
    """
    labels_of = {cell.labels for cell in cells if cell.labels is not None}
    values: dict[str, dict[tuple[Path | None, str], str]] = {}
    for labels in sorted(labels_of):
        try:
            with labels.open(encoding="utf-8-sig", newline="") as stream:
                for row in csv.DictReader(stream):
                    for column, value in row.items():
                        if value and column not in _PLAIN_COLUMNS and column not in codes:
                            values.setdefault(column, {})[labels, (row["file"] or "").strip()] = value.strip()
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise EdgeError("MDSE-TRAIN-001", where=str(labels), reason=str(error)) from error
    return {column: found for column, found in values.items() if 2 <= len(set(found.values())) <= MOST_VALUES}


def probes_of(training: Predictions, test: Predictions, stream: TextIO | None) -> dict[str, Any]:
    """Return {type: {column: row}}; a row has the values, cells, accuracy, the commonest value's share and the AUC."""
    catalogue = test.catalogue
    attributes = attributes_from_labels((*training.cells, *test.cells), catalogue.finding_codes)
    rows: dict[str, Any] = {}
    with Progress("linear probes", len(catalogue.type_codes), stream) as progress:
        for index, code in enumerate(catalogue.type_codes):
            for column, values in sorted(attributes.items()):
                if _is_finding(column, code, test):
                    continue
                row = _probe(_rows(training, index, values), _rows(test, index, values), _patients(test, index, values))
                if row is not None:
                    rows.setdefault(code, {})[column] = row
            progress.advance()
    return {
        "note": "probe, not a finding: logistic regression on the frozen embedding, within a type",
        "fitted_on": "training split",
        "judged_on": "test split",
        "types": rows,
    }


def _is_finding(column: str, code: str, test: Predictions) -> bool:
    """Whether the network reports this column on this type itself: then it needs no probe."""
    if column not in ATTRIBUTE_FINDINGS:
        return False
    finding = ATTRIBUTE_FINDINGS[column][0]
    return any(found.code == finding for found in test.catalogue.findings_of(code))


def _key(predictions: Predictions, row: int) -> tuple[Path | None, str]:
    return predictions.cells[row].labels, predictions.cells[row].cell_id


def _chosen(predictions: Predictions, index: int, values: Values) -> list[int]:
    of_type = np.flatnonzero(predictions.targets.cell_type == index).tolist()
    return [row for row in of_type if _key(predictions, row) in values]


def _rows(predictions: Predictions, index: int, values: Values) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    chosen = _chosen(predictions, index, values)
    said = np.array([values[_key(predictions, row)] for row in chosen], np.str_)
    return predictions.outputs.embedding[chosen], said


def _patients(predictions: Predictions, index: int, values: Values) -> list[str] | None:
    patients = predictions.patients
    return None if patients is None else [patients[row] for row in _chosen(predictions, index, values)]


def _probe(
    training: tuple[NDArray[np.float32], NDArray[np.str_]],
    test: tuple[NDArray[np.float32], NDArray[np.str_]],
    patients: list[str] | None,
) -> dict[str, Any] | None:
    """Fit and judge one probe, None where fewer than two values have enough cells in both splits."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kept = [
        str(value)
        for value in np.unique(training[1])
        if (training[1] == value).sum() >= FEWEST_TRAINING and (test[1] == value).sum() >= FEWEST_TEST
    ]
    if len(kept) < 2:
        return None
    fit, judge = (np.isin(said, kept) for said in (training[1], test[1]))
    regression = LogisticRegression(C=_INVERSE_PENALTY, max_iter=1000, class_weight="balanced")
    model = make_pipeline(StandardScaler(), regression).fit(training[0][fit], training[1][fit])
    features, said = test[0][judge], test[1][judge]
    scores, called = model.predict_proba(features), model.predict(features)
    groups = None if patients is None else [patients[row] for row in np.flatnonzero(judge)]
    recalls = [float((called[said == value] == value).mean()) for value in kept]
    accuracy = proportion(int((called == said).sum()), len(said))
    row = {
        "values": {value: int((said == value).sum()) for value in kept},
        "n_training": int(fit.sum()),
        "n": len(said),
        "accuracy": None if accuracy is None else round(accuracy.value, 4),
        "accuracy_ci95": None if accuracy is None else accuracy.ci95,
        "balanced_accuracy": round(sum(recalls) / len(recalls), 4),
        "auc": None,
        "auc_ci95": None,
    }
    if len(kept) == 2:
        area = area_with_interval(scores[:, 1], said == str(model.classes_[1]), groups=groups)
        if area is not None:
            row |= {"auc": round(area.value, 4), "auc_ci95": area.ci95}
    return row
