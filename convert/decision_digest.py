"""How are cells decided? Digests of what turns a network's outputs into types and findings, by which trees know it.

    input      size of the images (px), range of the pixels before the network, and which outputs are its heads
    catalogue  codes in order, which types are leucocytes, which findings apply to which types
    card       temperature, thresholds of findings and limits of types, as training wrote them
    cells      labelled cells that temperature, offsets, limits and outlier statistics are fitted on, and the evidence

Taken of what a decision is made from, not of the numbers that were fitted: these may end in another digit on another
processor, and the outlier statistics differ between precisions, whose agreement the certificate proves. The same card,
catalogue and cells give the same digests on every machine. Names of cells and folders do not count, their pixels do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from convert.calibration_cells import ChosenCells
from convert.cell_honesty import cells_of_decision
from convert.cell_identity import content_sha256
from convert.dataset import LabelledCell
from convert.model_card import ModelCard
from convert.onnx_from_keras import OriginModel
from convert.reference_cells import cells_of_reference
from convert.tree_model import TrainedTrees
from edge.catalogue import Catalogue
from edge.errors import EdgeError

# Raised where the same inputs come to be fitted to another decision.
_RULE = "mds-edge.decision/1"
_OF_CARD = ("temperature", "finding_threshold", "unidentified_below")


def decision_digests(
    origin: OriginModel, catalogue: Catalogue, card: ModelCard, chosen: ChosenCells | None
) -> dict[str, str]:
    """Return the SHA-256 of every part by its name; `card` as it was read, before anything was fitted.

    Raises EdgeError MDSE-TRAIN-004 for a cell whose file cannot be read.
    """
    return {
        "input": _sha256(_input_of(origin)),
        "catalogue": _sha256(
            [
                [[cell_type.code, cell_type.leucocyte] for cell_type in catalogue.cell_types],
                [[finding.code, sorted(finding.applies_to)] for finding in catalogue.findings],
            ]
        ),
        "card": _sha256([card.decision[name] for name in _OF_CARD]),
        "cells": _sha256(_fitted_on(card, chosen)),
    }


def require_same_decision(trees: Sequence[TrainedTrees], digests: Mapping[str, str]) -> tuple[str, ...]:
    """Return a notice for trees that do not say what decided the cells of their profiles.

    Raises EdgeError MDSE-CONVERT-037 for trees that say it was another decision, naming the parts that differ.
    """
    for model in trees:
        if model.decision is None:
            continue
        differing = [part for part, digest in digests.items() if model.decision.get(part) != digest]
        if differing:
            raise EdgeError("MDSE-CONVERT-037", where=model.target, parts=", ".join(differing))
    silent = [model.target for model in trees if model.decision is None]
    if not silent:
        return ()
    return (
        f"trees {', '.join(silent)}: they do not say what decided the cells of their profiles; they hold only if card, "
        "catalogue and cells are those of the bundle that made the profiles",
    )


def _input_of(origin: OriginModel) -> list[Any]:
    # The size belongs here: the same weights at another size are the same network, and see other cells.
    return [origin.size_px, origin.scaling, origin.heads.cell_type_output, origin.heads.findings_output]


def _fitted_on(card: ModelCard, chosen: ChosenCells | None) -> list[Any]:
    """Return what is fitted and on which cells; empty where they are too few and the card's values stay."""
    if chosen is None:
        return []
    of_decision = cells_of_decision(chosen.validation)
    training, validation = cells_of_reference(chosen.training, chosen.validation)
    if not of_decision and not training:
        return []
    parts = (("decision", of_decision), ("training", training), ("validation", validation))
    return [card.evidence, *([name, sorted(_identity(cell) for cell in cells)] for name, cells in parts)]


def _identity(cell: LabelledCell) -> tuple[str, str]:
    return cell.cell_type, content_sha256(cell).hex()


def _sha256(part: Any) -> str:
    return hashlib.sha256(json.dumps([_RULE, part], sort_keys=True).encode("ascii")).hexdigest()
