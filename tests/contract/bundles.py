"""A whole, tiny bundle whose network can be told what to see: colour decides the type, blue decides the findings.

The network compares a cell's mean red and green with one colour per type; a bright blue shows every finding. So a test
paints the slide it wants: `painted_cell("BL", findings=True)`. Trees are trained on random profiles.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnx
import tl2cgen
import treelite
import xgboost
from onnx import TensorProto, helper, numpy_helper
from painted import CATALOGUE, EMBEDDING, SIZE_PX, colour_of, painted_cell, painted_outputs

from edge.bundle.digest import manifest_bytes, sha256_hex
from edge.bundle.signature import generate_key_pair, sign_manifest
from edge.catalogue import json_from_catalogue
from edge.trees import platform_library_name

__all__ = ["CATALOGUE", "EMBEDDING", "SIZE_PX", "painted_cell", "painted_outputs"]  # of painted.py, for the tests
PRIVATE_KEY, PUBLIC_KEY = generate_key_pair()
TARGET = "mds_aa"


def png_of(pixels: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", pixels[:, :, ::-1])
    assert done
    return data.tobytes()


def painted_network(*, type_weight: float = 1.0, outputs=("cell_type", "findings", "embedding"), size_px=SIZE_PX):
    """ONNX bytes of the network; `type_weight` near 0 makes every type equally likely."""
    anchors = np.array([colour_of(code)[:2] for code in CATALOGUE.type_codes], np.float32) / 255
    weights = np.zeros((3, len(anchors)), np.float32)
    weights[:2] = 2 * anchors.T
    bias = -(anchors**2).sum(axis=1)
    sharpness = np.float32(400 * type_weight)
    findings = np.zeros((3, len(CATALOGUE.findings)), np.float32)
    findings[2] = 20
    constants = {
        "scale": np.float32(1 / 255),
        "w": weights * sharpness,
        "b": bias * sharpness,
        "fw": findings,
        "fb": np.full(len(CATALOGUE.findings), -10, np.float32),
        "axes": np.array([1, 2], np.int64),
    }
    cell_type, found, embedding = outputs
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "axes"], [embedding], keepdims=0),
        helper.make_node("Gemm", [embedding, "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [cell_type], axis=1),
        helper.make_node("Gemm", [embedding, "fw", "fb"], ["finding_logits"]),
        helper.make_node("Sigmoid", ["finding_logits"], [found]),
    ]
    made = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
        for name, width in zip(outputs, (len(anchors), len(CATALOGUE.findings), EMBEDDING), strict=True)
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", size_px, size_px, 3])
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "painted", [images], made, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@dataclass(frozen=True)
class Trees:
    """One tree model in every form, with profiles and the margins XGBoost itself gives for them."""

    json: bytes
    checkpoint: bytes
    library: bytes
    profiles: np.ndarray
    margins: np.ndarray
    booster: xgboost.Booster


@cache
def random_trees(seed: int = 1) -> Trees:
    random = np.random.default_rng(seed)
    names = list(CATALOGUE.parameter_names)
    rows = random.gamma(0.7, 0.3, (400, len(names))).astype(np.float32)
    rows[random.random(rows.shape) < 0.2] = np.nan
    labels = np.nan_to_num(rows[:, names.index("NE01_rate")], nan=0.1) > np.nan_to_num(rows[:, 6], nan=0.2)
    matrix = xgboost.DMatrix(rows, label=labels, feature_names=names)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, matrix, 30)
    model_json = bytes(booster.save_raw("json"))
    model = treelite.frontend.from_xgboost_json(model_json.decode())
    profiles = rows[:64]
    margins = booster.predict(xgboost.DMatrix(profiles, feature_names=names), output_margin=True)
    return Trees(model_json, bytes(model.serialize_bytes()), _library(model), profiles, margins, booster)


def _library(model: treelite.Model) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trees.so"
        tl2cgen.export_lib(model, toolchain="gcc", libpath=str(path), params={})
        return path.read_bytes()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def golden_images() -> np.ndarray:
    return np.stack([painted_cell(code, size_px=SIZE_PX) for code in CATALOGUE.type_codes])


def bundle_contents(**changes: bytes | None) -> dict[str, bytes]:
    """The files of the bundle; `changes` replaces one by its name, None leaves it out."""
    trees = random_trees()
    images = golden_images()
    contents = {
        "catalogue.json": json_from_catalogue(CATALOGUE),
        "cells.onnx": painted_network(),
        "golden/images.npz": npz(images=images),
        "golden/expected.npz": npz(**painted_outputs(images)),
        "golden/profiles.npz": npz(profile=trees.profiles, margin=trees.margins.astype(np.float64)[:, None]),
        f"trees/{TARGET}/model.json": trees.json,
        f"trees/{TARGET}/model.treelite": trees.checkpoint,
        f"trees/{TARGET}/{platform_library_name()}": trees.library,
        "parity.json": b"{}\n",
        "MODEL_CARD.md": b"# Painted network, for tests\n",
    }
    return {name: data for name, data in {**contents, **changes}.items() if data is not None}


def manifest_document(contents: dict[str, bytes]) -> dict:
    types, findings, parameters = CATALOGUE.type_codes, CATALOGUE.finding_codes, CATALOGUE.parameter_names
    return {
        "schema": "mds-edge.bundle/1",
        "name": "painted",
        "version": "1",
        "intended_use": "demo",
        "image": {"size": SIZE_PX, "decoder": "strict-v1", "resize": "area-v1"},
        "embedding_dim": EMBEDDING,
        "types": list(types),
        "findings": list(findings),
        "parameters": list(parameters),
        "evidence": dict.fromkeys((*types, *findings), "none"),
        "files": {name: {"sha256": sha256_hex(data), "bytes": len(data)} for name, data in contents.items()},
        "engines": [{"file": "cells.onnx", "device": "cpu", "precision": "fp32", "proof": "NOT PROVEN"}],
        "decision": {
            "temperature": 1.0,
            "finding_threshold": dict.fromkeys(findings, 0.5),
            "unidentified_below": dict.fromkeys(types, 0.3),
            "ood": None,
            "gates": {
                "blast_review_share": 0.01,
                "blast_not_evaluable_share": 0.2,
                "infection_rate": {"NE07": 0.05, "NE08": 0.1, "NE09": 0.05},
            },
        },
        "assessments": [
            {
                "target": TARGET,
                "positive": "MDS",
                "negative": "AA",
                "threshold": 0.5,
                "calibration": {"slope": 1.0, "intercept": 0.0},
                "minimum": {"wbc": 10, "neutrophil": 4},
                "trees": f"trees/{TARGET}",
            }
        ],
        "cohort": {
            TARGET: {
                "simulated": True,
                "cases": {"MDS": 75, "AA": 36},
                "range": {name: [0.0, 200.0] for name in parameters},
                "outside_allowed": 0,
            }
        },
    }


def write_bundle(folder: Path, contents: dict[str, bytes] | None = None, document: dict | None = None, *, sign=True):
    """Write the bundle and return its folder; signed with PRIVATE_KEY unless told otherwise."""
    contents = bundle_contents() if contents is None else contents
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    manifest = manifest_bytes(document or manifest_document(contents))
    (folder / "manifest.json").write_bytes(manifest)
    if sign:
        (folder / "manifest.sig").write_bytes(sign_manifest(manifest, PRIVATE_KEY))
    return folder


def write_slide(folder: Path, types: list[str], *, findings: bool = False, **metadata: object) -> Path:
    """Write a slide of painted cells, one pixel of each made its own so that no two images are alike."""
    (folder / "wbc").mkdir(parents=True, exist_ok=True)
    for number, code in enumerate(types, start=1):
        pixels = painted_cell(code, findings=findings)
        pixels[0, 0] = number % 256, number // 256, 7
        (folder / "wbc" / f"{number:04d}.png").write_bytes(png_of(pixels))
    document = {"sample_id": "0012345678", "targets": [TARGET], **metadata}
    (folder / "slide.json").write_text(json.dumps(document))
    return folder
