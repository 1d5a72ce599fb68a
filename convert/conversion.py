"""From a Keras model to a sealed bundle: the steps of edge-convert, in order, each proving what the one before it made.

preflight -> Keras -> fp32 graph -> equality -> derived files -> engines proved -> trees proved -> manifest -> folder
A refusal on the way leaves the certificate as a page for people, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bias_check import require_biases
from convert.bundle_parts import engine_entries, json_bytes, manifest_parts, tree_files
from convert.calibration_cells import ChosenCells
from convert.cell_honesty import HonestyParts, calibration_of, honesty_parts
from convert.cell_pixels import decode_labelled, pixels_from_cells, read_labelled
from convert.certificate import Evidence, refuse_bad_engines, write_certificate, write_refusal
from convert.conversion_request import ConversionRequest
from convert.derived_files import FILE_OF, sources_of
from convert.engine_proof import ProofMaterial, ProvedEngine, with_views
from convert.first_difference import describe_difference
from convert.folder_exchange import words_of_left
from convert.golden import chosen_golden_images, drawn_golden_images, golden_files
from convert.keras_equality import KerasEquality, require_keras_equality
from convert.keras_float64 import outputs_in_float64
from convert.library_from_xgboost import compile_trees
from convert.name_check import require_own_names
from convert.native_memory import give_back_unused_memory
from convert.network_digest import network_sha256
from convert.network_files import proved_models
from convert.onnx_from_keras import keras_outputs
from convert.onnx_graph import bytes_from_onnx
from convert.opened_model import OpenedModel, open_model, with_fitted_decision
from convert.pack import manifest_from_parts, write_bundle
from convert.parity import outputs_of_onnx
from convert.pixel_proof import CELLS as PIXEL_CELLS
from convert.pixel_proof import jpeg_of_drawn_cell, require_pixels
from convert.progress import Progress
from convert.report import model_card_text
from convert.seen_cells import document_of_test_cells, files_from_seen, notices_of_test_cells
from convert.slide_parity import prove_slides, require_slides
from edge.catalogue import json_from_catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EXIT_PARITY_REFUSED, EdgeError

_KERAS_CHECKED_CELLS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """What the conversion made: the digest (None for a dry run) and the facts for people and for --json."""

    digest: str | None
    facts: dict[str, Any]


def convert(request: ConversionRequest, stream: TextIO | None) -> Converted:
    """Run the conversion; progress goes to `stream`. Raises EdgeError MDSE-CONVERT-*, MDSE-PARITY-* and those below."""
    opened = open_model(request, stream)
    facts = _plain_facts(opened)
    if request.dry_run:
        return Converted(None, facts)
    evidence = Evidence()
    try:
        sealed = _sealed(opened, evidence)
    except EdgeError as error:
        if error.exit_status == EXIT_PARITY_REFUSED:
            write_refusal(request, opened.ready, opened.origin.size_px, evidence, error, stream)
        raise
    written = write_bundle(
        request.out,
        sealed.manifest,
        sealed.files,
        opened.ready.private_key,
        replace=request.replace,
        outdated=(request.page, request.refusal_page),
    )
    # Only now: a page must not say PROVEN of a bundle that the disk had no room for.
    page = write_certificate(request, opened.ready, opened.origin.size_px, sealed.parity, written.digest)
    sizes = {name: len(data) for name, data in sorted(sealed.files.items())}
    return Converted(
        written.digest,
        {
            **facts,
            "digest": written.digest,
            "files": sizes,
            "engines": sealed.engines,
            "parity": sealed.parity,
            "certificate": str(page),
            "notices": [*facts["notices"], *sealed.notices, *words_of_left(written.left)],
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Sealed:
    """Everything that goes into the folder, proved, and not yet written."""

    manifest: bytes
    files: dict[str, bytes]
    engines: list[dict[str, str]]
    parity: dict[str, Any]
    notices: tuple[str, ...]


def _sealed(opened: OpenedModel, evidence: Evidence) -> _Sealed:
    """Make and prove every part; `evidence` keeps what was proved on the way, for the page of a refusal."""
    opened = with_fitted_decision(opened)
    material = _proof_material(opened, evidence)
    models = proved_models(opened, evidence, material)
    networks = {FILE_OF[precision]: bytes_from_onnx(model) for precision, model in models.items()}
    sources = sources_of(opened.graph, models, evidence.quantized)
    refuse_bad_engines(sources, evidence, models, material)
    # Only now: steps that cut activations off move biases, too, and then the cells say what suffers.
    for precision, model in models.items():
        require_biases(FILE_OF[precision], model, sources[precision])
    for trees in opened.ready.trees:
        evidence.compiled.append((trees, compile_trees(trees, with_library=opened.request.with_library)))
    evidence.slides = prove_slides(opened.ready, material, evidence.proved, evidence.compiled, opened.stream)
    require_slides(evidence.slides)
    honesty = _honesty(opened, evidence.proved, networks)
    parity = evidence.document(_calibration(opened, evidence.proved, material))
    engines = engine_entries(evidence.proved, tuple(models))
    parts = manifest_parts(opened.ready, opened.origin, engines, honesty.decision)
    files = networks | dict(honesty.files) | _other_files(opened, material, parity, parts)
    fitted_on = () if opened.chosen is None else (*opened.chosen.training, *opened.chosen.validation)
    files |= files_from_seen(opened.ready.card.seen, fitted_on)
    for trained, made in evidence.compiled:
        files |= tree_files(trained, made)
    notices = (*honesty.notices, *evidence.notices(), *notices_of_test_cells(parity["reference"]["test_cells"]))
    return _Sealed(manifest_from_parts(parts, files), files, engines, parity, notices)


def _honesty(opened: OpenedModel, proved: Sequence[ProvedEngine], networks: Mapping[str, bytes]) -> HonestyParts:
    """Fit what a site needs to doubt a cell, with the engine that runs there by default."""
    if opened.chosen is None:
        return HonestyParts({}, {}, ())
    entry = proved[0].entry
    return honesty_parts(
        networks[entry["file"]],
        entry["precision"],
        opened.chosen.training,
        opened.chosen.validation,
        opened.ready.catalogue,
        opened.ready.card.evidence,
        size_px=opened.origin.size_px,
        threads=opened.request.threads,
        stream=opened.stream,
    )


def _calibration(opened: OpenedModel, proved: Sequence[ProvedEngine], material: ProofMaterial) -> dict[str, Any] | None:
    if opened.chosen is None:
        return None
    return calibration_of(proved[0], material, opened.chosen.parity, opened.ready.catalogue, opened.origin.temperature)


def _proof_material(opened: OpenedModel, evidence: Evidence) -> ProofMaterial:
    """Decode, run the reference, and prove in the same run that the fp32 graph is the Keras model, for `evidence`."""
    size_px, chosen = opened.origin.size_px, opened.chosen
    parity = None
    if chosen is not None and chosen.parity:
        with Progress("decoding test cells", len(chosen.parity), opened.stream):
            parity = pixels_from_cells(chosen.parity, size_px)
    if opened.request.golden == "cells" and chosen is not None:
        calibration = pixels_from_cells(chosen.calibration, size_px)
        golden = chosen_golden_images(calibration, [cell.cell_type for cell in chosen.calibration])
    else:
        golden = drawn_golden_images(opened.ready.catalogue, size_px)
    checked = golden if parity is None else np.concatenate([golden, parity[:_KERAS_CHECKED_CELLS]])
    pixels = require_pixels(_files_of_cells(opened), size_px)
    with Progress("comparing with Keras", len(checked), opened.stream) as progress:
        # One thread: the golden outputs must come out the same, bit by bit, whenever the bundle is built again.
        written = outputs_of_onnx(opened.graph, checked, progress, threads=1)
        equality = _require_equality(opened, checked, written)
    give_back_unused_memory()
    expected = _first_rows(written, len(golden))
    evidence.reference = {
        "compared_with": "the fp32 graph in ONNX Runtime, equal to the Keras original in the same run",
        "keras_cells": len(checked),
        "network_sha256": network_sha256(opened.origin.keras_model),
        "decision_sha256": dict(opened.decision),
        "pixels_max_difference": float(f"{pixels:.2g}"),
        "test_cells": document_of_test_cells(() if chosen is None else chosen.parity, opened.ready.card.seen),
        **equality.document(),
    }
    return _with_parity(opened, golden, expected, parity)


def _require_equality(opened: OpenedModel, images: NDArray[np.uint8], written: EngineOutputs) -> KerasEquality:
    expected = keras_outputs(opened.origin, images)
    codes = (opened.ready.catalogue.type_codes, opened.ready.catalogue.finding_codes)
    return require_keras_equality(
        expected,
        written,
        lambda: describe_difference(opened.origin, opened.graph, images, expected, written, codes),
        lambda: outputs_in_float64(opened.origin, images),
    )


def _files_of_cells(opened: OpenedModel) -> list[tuple[str, bytes]]:
    """Files for the pixel proof: labelled cells where there are some, else a drawn cell as the analyzer stores one.

    Raises EdgeError MDSE-TRAIN-004, -021 for a labelled cell that cannot be read or used.
    """
    cells = (opened.chosen.parity or opened.chosen.calibration) if opened.chosen is not None else ()
    if not cells:
        return [("a drawn cell", jpeg_of_drawn_cell())]
    files = []
    for cell in cells[:: max(1, len(cells) // PIXEL_CELLS)]:
        data = read_labelled(cell)
        decode_labelled(data, cell)  # a damaged one is a mistake of the labels' folder, and told as that
        files.append((cell.cell_id, data))
    return files


def _first_rows(outputs: EngineOutputs, count: int) -> EngineOutputs:
    return EngineOutputs(outputs.cell_type[:count], outputs.findings[:count], outputs.embedding[:count])


def _with_parity(
    opened: OpenedModel, golden: NDArray[np.uint8], expected: EngineOutputs, parity: NDArray[np.uint8] | None
) -> ProofMaterial:
    threshold = opened.ready.card.decision["finding_threshold"]
    if parity is None:
        return ProofMaterial(golden, expected, None, None, None, threshold)
    images, cells = with_views(parity, opened.request.parity_views)
    with Progress("reference of the test cells", len(images), opened.stream) as progress:
        outputs = outputs_of_onnx(opened.graph, images, progress, threads=opened.request.threads or 0)
    if opened.chosen is not None:
        require_own_names(outputs, cells, [c.cell_type for c in opened.chosen.parity], opened.ready.catalogue)
    return ProofMaterial(golden, expected, images, outputs, cells, threshold)


def _other_files(
    opened: OpenedModel, material: ProofMaterial, parity: dict[str, Any], parts: dict[str, Any]
) -> dict[str, bytes]:
    ready = opened.ready
    card = model_card_text(ready.card, ready.catalogue, parts["engines"], parity, parts["assessments"], parts["cohort"])
    golden = golden_files(
        material.golden_images, material.golden_expected, ready.trees, len(ready.catalogue.parameter_names)
    )
    return {
        **golden,
        "catalogue.json": json_from_catalogue(ready.catalogue),
        "parity.json": json_bytes(parity),
        "MODEL_CARD.md": card.encode("utf-8"),
    }


def cell_counts(chosen: ChosenCells) -> dict[str, Any]:
    """Return how many cells calibrate and how many prove, the latter by type."""
    by_type = Counter(cell.cell_type for cell in chosen.parity)
    return {
        "calibration": len(chosen.calibration),
        "parity": len(chosen.parity),
        "parity_by_type": dict(sorted(by_type.items())),
    }


def planned_files(precision: str, *, for_gpu: bool, with_fp32: bool) -> list[str]:
    """Return the network files that a conversion to `precision` makes, in the order of the engines."""
    made = {"fp32": with_fp32, "fp16": precision != "fp32", "int8": precision == "int8"}
    made["int8-fp16"] = made["int8"] and for_gpu
    return [file for key, file in FILE_OF.items() if made[key]]


def _plain_facts(opened: OpenedModel) -> dict[str, Any]:
    """What is known before anything long ran; all that a dry run says."""
    request, card = opened.request, opened.ready.card
    return {
        "model": str(request.model),
        "out": str(request.out),
        "name": card.name,
        "version": card.version,
        "intended_use": card.intended_use,
        "card": card.given,
        "size_px": opened.origin.size_px,
        "embedding_dim": opened.origin.heads.embedding_dim,
        "layers": len(opened.origin.unrolled.calls),
        "precision": request.precision,
        "target": request.target,
        "assessments": [trees.target for trees in opened.ready.trees],
        "signed": opened.ready.private_key is not None,
        "notices": list(opened.notices),
        "network_sha256": network_sha256(opened.origin.keras_model),
        "golden": request.golden,
        "planned_files": planned_files(request.precision, for_gpu=request.target != "cpu", with_fp32=request.with_fp32),
        "cells": cell_counts(opened.chosen) if opened.chosen else None,
        "digest": None,
    }
