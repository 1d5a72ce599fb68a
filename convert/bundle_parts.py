"""What goes into the bundle beside the networks: the parts of the manifest, the certificate, and the tree files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from convert.code_parity import FINDING_TOLERANCE, TYPE_TOLERANCE
from convert.conversion_request import Preflight
from convert.derived_files import FILE_OF
from convert.engine_proof import ProvedEngine, gpu_entry
from convert.library_from_xgboost import CompiledTrees
from convert.model_card import image_document
from convert.onnx_check import Precision
from convert.onnx_from_keras import OriginModel
from convert.parity import document_from_parity
from convert.tree_model import TrainedTrees

_LIBRARIES = ("keras", "onnx", "onnxruntime", "openvino", "numpy", "xgboost-cpu", "treelite", "tl2cgen")
# Stands in the place of an engine's name where a conversion stopped before one was compared.
NO_ENGINE = "none was compared"


def engine_entries(proved: Sequence[ProvedEngine], precisions: Sequence[Precision]) -> list[dict[str, str]]:
    """Return the manifest's engines: those proved here, then the files for a GPU, float16 first (its default)."""
    for_gpu: list[Precision] = [precision for precision in ("fp16", "int8-fp16") if precision in precisions]
    return [engine.entry for engine in proved] + [gpu_entry(FILE_OF[p], p) for p in for_gpu]


def manifest_parts(
    ready: Preflight, origin: OriginModel, engines: Sequence[Mapping[str, str]], honesty: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every field of the manifest but `schema` and `files`. `honesty`: further entries of `decision`."""
    card, catalogue = ready.card, ready.catalogue
    return {
        "name": card.name,
        "version": card.version,
        "intended_use": card.intended_use,
        "image": image_document(origin.size_px),
        "embedding_dim": origin.heads.embedding_dim,
        "types": list(catalogue.type_codes),
        "findings": list(catalogue.finding_codes),
        "parameters": list(catalogue.parameter_names),
        "evidence": card.evidence,
        "engines": [dict(entry) for entry in engines],
        "decision": {**card.decision, **honesty},
        "assessments": [trees.assessment for trees in ready.trees],
        "cohort": {trees.target: trees.cohort for trees in ready.trees},
    }


def parity_document(
    proved: Sequence[ProvedEngine],
    slides: Mapping[str, Mapping[str, Any]],
    trees: Sequence[tuple[TrainedTrees, CompiledTrees]],
    reference: Mapping[str, Any],
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return parity.json: the engine that runs by default at the top, the others beside it.

    `slides`: composed-slide comparison by engine name. `reference`: what the engines were compared with.
    `calibration`: the reliability of the first engine's probabilities, None where no labelled cells were given.
    """
    engines = [_engine_document(engine, slides) for engine in proved] or [
        {"engine": NO_ENGINE, "n": 0, "verdict": "NOT PROVEN"}
    ]
    return {
        "schema": "mds-edge.parity/1",
        **engines[0],
        "other_engines": engines[1:],
        "reference": dict(reference),
        "calibration": None if calibration is None else dict(calibration),
        "versions": library_versions(),
        "tolerance": {"types": TYPE_TOLERANCE, "findings": FINDING_TOLERANCE, "level": 0.95, "correction": "Holm"},
        "trees": {
            trained.target: {
                "rows": made.rows,
                "checkpoint_max_difference": _short(made.checkpoint_difference),
                "library_max_difference": _short(made.library_difference),
            }
            for trained, made in trees
        },
    }


def library_versions() -> dict[str, str]:
    """Return the versions that made and proved the bundle: a set that was seen to work together."""
    return {name: metadata.version(name) for name in _LIBRARIES}


def tree_files(trained: TrainedTrees, made: CompiledTrees) -> dict[str, bytes]:
    """Return the files of one target by their names in the bundle."""
    folder = f"trees/{trained.target}"
    files = {f"{folder}/model.json": trained.model_json, f"{folder}/model.treelite": made.checkpoint}
    files |= {f"{folder}/{name}": data for name, data in trained.files.items()}
    return files if made.library is None else {**files, f"{folder}/{made.library_name}": made.library}


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Return readable JSON with a fixed order."""
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def _engine_document(engine: ProvedEngine, slides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    types, findings = engine.golden_difference
    proof = {"mean_abs_dp": {"types": _short(types), "findings": _short(findings)}}
    if engine.parity is None:
        name = f"openvino {engine.entry['device']} {engine.entry['precision']}"
        return {"engine": name, "n": 0, "golden": proof, "verdict": "NOT PROVEN"}
    document = document_from_parity(engine.parity)
    on_slides = {"slides": dict(slides[engine.parity.engine])} if slides else {}
    return {**document, "golden": proof, **on_slides}


def _short(value: float | None) -> float | None:
    """Three digits: the rest of a difference is noise, and would change the bundle's digest."""
    return None if value is None else float(f"{value:.3g}")
