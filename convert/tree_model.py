"""Reads a trained tree model: XGBoost JSON with the attribute `mds_edge`, which says what question it answers and how.

The attribute travels inside of trees.json, so that a threshold can never be paired with another model's trees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from pydantic import ValidationError

from convert import cohort_arrays, scope_fit
from edge.bundle.manifest import AssessmentSpec, Cohort
from edge.catalogue import Catalogue
from edge.errors import EdgeError

ATTRIBUTE = "mds_edge"
_OBJECTIVES = ("binary:logistic", "binary:logitraw", "reg:logistic")
_SPEC_KEYS = ("target", "positive", "negative", "threshold", "calibration", "minimum", "parameters", "cohort")


@dataclass(frozen=True, slots=True, eq=False)
class TrainedTrees:
    """One tree model with its specification. `model_json` is the file as it was given (UBJ as JSON).

    `network`, `decision`: digests of the network and of the decision (by part) whose profiles it was trained on, None
    where the trees do not say. `files` are further files of the target's folder by name (cohort.npz, scope.npz), if the
    model carries them.
    """

    target: str
    assessment: dict[str, Any]
    cohort: dict[str, Any]
    model_json: bytes
    booster: xgboost.Booster
    split_values: NDArray[np.float32]
    network: str | None = None
    decision: Mapping[str, str] | None = None
    files: dict[str, bytes] = field(default_factory=dict)

    def margins(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return XGBoost's own raw margin for rows f32 [N, parameters]; NaN is missing."""
        matrix = xgboost.DMatrix(rows, feature_names=self.booster.feature_names)
        return np.asarray(self.booster.predict(matrix, output_margin=True), np.float64)


def read_trained_trees(path: Path, target: str, catalogue: Catalogue) -> TrainedTrees:
    """Read and check trees.json for `target`.

    Raises EdgeError: MDSE-CONVERT-001 no such file; -030 not an XGBoost JSON model; -031 the attribute is missing or
    wrong; -032 its parameters are not those of the catalogue; -033 another objective or number of parameters.
    """
    if not path.is_file():
        raise EdgeError("MDSE-CONVERT-001", where=str(path), kind="tree model")
    data = path.read_bytes()
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(data))
        if not data.lstrip().startswith(b'{"'):  # UBJ, XGBoost's other format: kept as JSON, which contributions need
            data = bytes(booster.save_raw("json"))
        document = json.loads(data)
    except (ValueError, xgboost.core.XGBoostError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EdgeError("MDSE-CONVERT-030", where=str(path), reason=reason) from error
    spec = _read_spec(booster, target, str(path))
    _require_parameters(spec, booster, catalogue, str(path))
    _require_objective(document, catalogue, str(path))
    assessment = {key: spec[key] for key in ("positive", "negative", "threshold", "calibration", "minimum")}
    assessment |= {"target": target, "trees": f"trees/{target}"}
    if spec.get("family"):
        assessment["family"] = spec["family"]
    files = _carried_files(spec, assessment, str(path))
    cohort = spec["cohort"]
    try:
        AssessmentSpec.model_validate_json(json.dumps(assessment))
        Cohort.model_validate_json(json.dumps(cohort))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise EdgeError("MDSE-CONVERT-031", where=str(path), reason=f"{place}: {first['msg']}") from error
    return TrainedTrees(
        target,
        assessment,
        cohort,
        data,
        booster,
        _split_values(document),
        spec.get("network"),
        _decision(spec, str(path)),
        files,
    )


def _decision(spec: dict[str, Any], where: str) -> Mapping[str, str] | None:
    given = spec.get("decision")
    if given is not None and not isinstance(given, dict):
        raise EdgeError("MDSE-CONVERT-031", where=where, reason="decision is no object of digests")
    return given


def _carried_files(spec: dict[str, Any], assessment: dict[str, Any], where: str) -> dict[str, bytes]:
    """Return the files that the attribute carries, and name them in the assessment; older trees carry none."""
    files: dict[str, bytes] = {}
    try:
        if "cohort_arrays" in spec:
            files["cohort.npz"] = cohort_arrays.file_from_document(spec["cohort_arrays"], len(spec["parameters"]))
            assessment["cohort_file"] = f"{assessment['trees']}/cohort.npz"
        if "scope" in spec:
            files["scope.npz"] = scope_fit.file_from_document(spec["scope"], spec["parameters"])
            limits = {name: spec["scope"][name] for name in ("distance_limit", "others_limit")}
            # A manifest spells only what it says: an absent limit is left out.
            given = {name: limit for name, limit in limits.items() if limit is not None}
            assessment["scope"] = {"file": f"{assessment['trees']}/scope.npz", **given}
    except (ValueError, TypeError) as error:
        raise EdgeError("MDSE-CONVERT-031", where=where, reason=str(error)) from error
    return files


def _read_spec(booster: xgboost.Booster, target: str, where: str) -> dict[str, Any]:
    text = booster.attr(ATTRIBUTE)
    if text is None:
        raise EdgeError("MDSE-CONVERT-031", where=where, reason=f"it has no attribute {ATTRIBUTE}")
    try:
        spec = json.loads(text)
    except ValueError as error:
        raise EdgeError("MDSE-CONVERT-031", where=where, reason=f"{ATTRIBUTE} is not JSON") from error
    missing = [key for key in _SPEC_KEYS if not isinstance(spec, dict) or key not in spec]
    if missing:
        raise EdgeError("MDSE-CONVERT-031", where=where, reason=f"{ATTRIBUTE} lacks {', '.join(missing)}")
    if spec["target"] != target:
        reason = f"it was trained for {spec['target']!r}, and was given for {target!r}"
        raise EdgeError("MDSE-CONVERT-031", where=where, reason=reason)
    return dict(spec)


def _require_parameters(spec: dict[str, Any], booster: xgboost.Booster, catalogue: Catalogue, where: str) -> None:
    expected = list(catalogue.parameter_names)
    for found in (spec["parameters"], booster.feature_names or expected):
        if list(found) == expected:
            continue
        place = next((i for i, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), None)
        difference = (
            f"{len(found)} instead of {len(expected)}"
            if place is None
            else f"number {place + 1} is {found[place]!r}, expected {expected[place]!r}"
        )
        raise EdgeError("MDSE-CONVERT-032", where=where, difference=difference)


def _require_objective(document: dict[str, Any], catalogue: Catalogue, where: str) -> None:
    try:
        learner = document["learner"]
        objective, features = learner["objective"]["name"], int(learner["learner_model_param"]["num_feature"])
        booster_kind = learner["gradient_booster"]["name"]
    except (KeyError, TypeError, ValueError) as error:
        raise EdgeError("MDSE-CONVERT-030", where=where, reason=f"its JSON lacks {error}") from error
    if objective not in _OBJECTIVES or booster_kind != "gbtree" or features != len(catalogue.parameter_names):
        found = f"{booster_kind}, {objective}, {features} parameters"
        raise EdgeError("MDSE-CONVERT-033", where=where, found=found, expected=len(catalogue.parameter_names))


def _split_values(document: dict[str, Any]) -> NDArray[np.float32]:
    trees = document["learner"]["gradient_booster"]["model"]["trees"]
    values = {float(value) for tree in trees for value in tree["split_conditions"]}
    return np.array(sorted(values), np.float32)
