"""The model as the conversion has it: Keras and the fp32 graph, with the checked request and the labelled cells.

open_model              loads, checks and writes the network; refuses what does not fit together
with_fitted_decision    temperature and limits of the types, fitted on validation cells and written into the graph
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TextIO

import numpy as np
import onnx

from convert.calibration_cells import ChosenCells, choose_cells
from convert.cell_honesty import fitted_decision
from convert.conversion_request import ConversionRequest, Preflight, preflight
from convert.dataset import LABELS_NAME
from convert.decision_digest import decision_digests, require_same_decision
from convert.derived_files import check_models
from convert.keras_model import load_keras_model
from convert.model_card import require_image
from convert.native_memory import give_back_unused_memory
from convert.network_digest import network_sha256, require_same_network
from convert.onnx_from_keras import OriginModel, has_linear_type_head, onnx_from_keras, origin_from_keras
from convert.progress import Progress
from edge.errors import EdgeError


@dataclass(frozen=True, slots=True, eq=False)
class OpenedModel:
    """The checked request with the network as Keras and as fp32 graph.

    `decision`: the digests of how cells are decided (convert/decision_digest.py). `notices`: what a person must know of
    cells and trees.
    """

    request: ConversionRequest
    ready: Preflight
    origin: OriginModel
    graph: onnx.ModelProto
    chosen: ChosenCells | None
    decision: Mapping[str, str]
    notices: tuple[str, ...]
    stream: TextIO | None


def open_model(request: ConversionRequest, stream: TextIO | None) -> OpenedModel:
    """Check the request, load the model, write its fp32 graph and choose cells. Raises EdgeError MDSE-CONVERT-*.

    MDSE-PARITY-003: int8 that no test cell can prove; only a demo goes without.
    """
    ready = preflight(request)
    with Progress("opening the model", 1, stream):
        origin = origin_from_keras(
            load_keras_model(request.model),
            type_count=len(ready.catalogue.type_codes),
            finding_count=len(ready.catalogue.finding_codes),
            scaling=request.scaling,
            temperature=ready.card.temperature,
            heads=request.heads,
        )
        require_image(ready.card_size, origin.size_px, str(request.model))
        require_same_network(ready.trees, network_sha256(origin.keras_model))
        graph = onnx_from_keras(origin)
    give_back_unused_memory()
    check_models({"fp32": graph}, size_px=origin.size_px, widths=origin.heads.widths())
    chosen = None
    if request.cells is not None:
        for_int8 = request.precision == "int8"
        chosen = choose_cells(
            request.cells,
            ready.catalogue,
            calibration_count=request.calibration_count,
            for_int8=for_int8,
            labels_name=request.labels or LABELS_NAME,
            leave_out=request.leave_out,
        )
        if for_int8 and not chosen.parity and ready.card.intended_use != "demo":
            raise EdgeError("MDSE-PARITY-003", where=str(request.cells))
    decision = decision_digests(origin, ready.catalogue, ready.card, chosen)
    notices = (*(chosen.notices if chosen else ()), *require_same_decision(ready.trees, decision))
    return OpenedModel(request, ready, origin, graph, chosen, decision, notices, stream)


def with_fitted_decision(opened: OpenedModel) -> OpenedModel:
    """Fit temperature and limits of the types on the validation cells, and write the temperature into the graph."""
    ready, origin, chosen = opened.ready, opened.origin, opened.chosen
    if chosen is None:
        return opened
    decision = fitted_decision(
        ready.card.decision,
        opened.graph,
        chosen.validation,
        ready.catalogue,
        ready.card.evidence,
        with_offsets=has_linear_type_head(origin),
        size_px=origin.size_px,
        threads=opened.request.threads,
        stream=opened.stream,
    )
    offsets = decision.get("type_offset")
    fitted = replace(
        origin,
        temperature=float(decision["temperature"]),
        type_offset=None if offsets is None else np.array([offsets[code] for code in ready.catalogue.type_codes]),
    )
    ready = replace(ready, card=replace(ready.card, decision=decision))
    return replace(opened, ready=ready, origin=fitted, graph=onnx_from_keras(fitted))
