"""The card that training writes beside a model (`model.card.json`): what the numbers rest on, and how they are decided.

Without a card a model converts with neutral settings, no evidence for anything, and the intended use `demo`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.seen_cells import SeenCells, seen_from_text
from edge.bundle.manifest import Gates, fault_in_field, fault_in_gates
from edge.catalogue import Catalogue
from edge.errors import EdgeError

_DECODER, _RESIZE = "strict-v1", "area-v1"
_INFECTION_RATES = {"NE07": 0.05, "NE08": 0.10, "NE09": 0.05}


@dataclass(frozen=True, slots=True, eq=False)
class ModelCard:
    """A card completed with neutral settings. `given` is false where no card lay beside the model.

    `seen`: the cells that the network has seen, None where the card does not say it.
    """

    name: str
    version: str
    intended_use: str
    evidence: dict[str, str]
    decision: dict[str, Any]
    trained_on: list[dict[str, Any]]
    limits: list[str]
    validation: dict[str, Any]
    given: bool
    seen: SeenCells | None = None

    @property
    def temperature(self) -> float:
        """Temperature of the softmax, written into the graph."""
        return float(self.decision["temperature"])


def card_path(model: Path) -> Path:
    """Return where the card of a model lies: model.keras -> model.card.json."""
    return model.with_suffix(".card.json")


def read_model_card(model: Path, catalogue: Catalogue) -> ModelCard:
    """Read the card beside `model`. Raises EdgeError MDSE-CONVERT-012 where it is not what training writes."""
    path = card_path(model)
    document = _read_document(path)
    try:
        return _card_from_document(document, model, catalogue, given=path.is_file())
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise EdgeError("MDSE-CONVERT-012", where=str(path), reason=str(error)) from error


def seen_of_card(model: Path) -> SeenCells | None:
    """Return the cells that the card beside `model` says it has seen, None without any. Raises as `read_model_card`."""
    path = card_path(model)
    try:
        return seen_from_text(_read_document(path).get("seen_cells"))
    except ValueError as error:
        raise EdgeError("MDSE-CONVERT-012", where=str(path), reason=str(error)) from error


def require_image(card_document_size: object, size_px: int, where: str) -> None:
    """Raise EdgeError MDSE-CONVERT-012 where the card was written for another image size than the model takes."""
    if card_document_size not in (None, size_px):
        reason = f"it says {card_document_size} px, the model takes {size_px} px"
        raise EdgeError("MDSE-CONVERT-012", where=where, reason=reason)


def image_size_of_card(model: Path) -> object:
    """Return the image size that the card states, or None. Raises EdgeError MDSE-CONVERT-012 for another form."""
    path = card_path(model)
    if not path.is_file():
        return None
    image = json.loads(path.read_bytes()).get("image")
    if image is None:
        return None
    if not isinstance(image, dict) or not isinstance(image.get("size"), int | None):
        reason = f"its image is {image!r}, no object with a size in px"
        raise EdgeError("MDSE-CONVERT-012", where=str(path), reason=reason)
    for key, known in (("decoder", _DECODER), ("resize", _RESIZE)):
        if image.get(key, known) != known:
            raise EdgeError("MDSE-CONVERT-012", where=str(path), reason=f"its {key} is {image[key]!r}, not {known!r}")
    return image.get("size")


def image_document(size_px: int) -> dict[str, Any]:
    """Return the manifest's image part."""
    return {"size": size_px, "decoder": _DECODER, "resize": _RESIZE}


def _read_document(path: Path) -> dict[str, Any]:
    """Return what the card says, nothing where there is no card."""
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise EdgeError("MDSE-CONVERT-012", where=str(path), reason=f"it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise EdgeError("MDSE-CONVERT-012", where=str(path), reason="it is not an object")
    return document


def _card_from_document(document: dict[str, Any], model: Path, catalogue: Catalogue, *, given: bool) -> ModelCard:
    codes = (*catalogue.type_codes, *catalogue.finding_codes)
    evidence = dict(document.get("evidence", {}))
    unknown = sorted(set(evidence) - set(codes))
    if unknown:
        raise ValueError(f"its evidence names {unknown[0]!r}, which the catalogue does not have")
    trained_on = document.get("trained_on", [])
    if not isinstance(trained_on, list) or not all(isinstance(source, dict) for source in trained_on):
        raise ValueError("its trained_on is no list of objects with name and cells")
    _require_order(dict(document.get("outputs", {})), catalogue)
    stem = "".join(c if c.isalnum() else "-" for c in model.name.split(".")[0]).strip("-") or "model"
    card = ModelCard(
        name=str(document.get("name", stem)),
        version=str(document.get("version", "1")),
        intended_use=str(document.get("intended_use", "demo")),
        evidence={code: evidence.get(code, "none") for code in codes},
        decision=_decision(dict(document.get("decision", {})), catalogue),
        trained_on=trained_on,
        limits=[str(limit) for limit in document.get("limits", [])],
        validation=dict(document.get("validation", {})),
        given=given,
        seen=seen_from_text(document.get("seen_cells")),
    )
    _require_manifest_parts(card, catalogue)
    return card


def _require_manifest_parts(card: ModelCard, catalogue: Catalogue) -> None:
    """Raise ValueError, now and not when everything is proved, for what the manifest would be refused for."""
    for field in ("intended_use", "evidence", "decision"):
        if fault := fault_in_field(field, getattr(card, field)):
            raise ValueError(fault)
    gates = Gates.model_validate_json(json.dumps(card.decision["gates"]))
    if fault := fault_in_gates(gates, catalogue.finding_codes):
        raise ValueError(fault)


def _require_order(outputs: dict[str, Any], catalogue: Catalogue) -> None:
    """Outputs have no names inside of a network: training says which is which, and the catalogue must say the same."""
    for what, known in (("types", catalogue.type_codes), ("findings", catalogue.finding_codes)):
        trained = outputs.get(what)
        if trained is None or tuple(trained) == known:
            continue
        place = next((i for i, pair in enumerate(zip(trained, known, strict=False)) if pair[0] != pair[1]), None)
        difference = (
            f"{len(trained)} {what} instead of {len(known)}"
            if place is None
            else f"number {place + 1} of the {what} was trained as {trained[place]}, the catalogue has {known[place]}"
        )
        raise ValueError(difference)


def _decision(given: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    infection = {code: rate for code, rate in _INFECTION_RATES.items() if code in catalogue.finding_codes}
    gates = {"blast_review_share": 0.01, "blast_not_evaluable_share": 0.20, "infection_rate": infection}
    thresholds = dict(given.get("finding_threshold", {}))
    unidentified = dict(given.get("unidentified_below", {}))
    decision: dict[str, Any] = {
        "temperature": float(given.get("temperature", 1.0)),
        "finding_threshold": {code: float(thresholds.get(code, 0.5)) for code in catalogue.finding_codes},
        "unidentified_below": {code: float(unidentified.get(code, 0.0)) for code in catalogue.type_codes},
        "gates": given.get("gates", gates),
    }
    for what, found, known in (
        ("finding_threshold", thresholds, catalogue.finding_codes),
        ("unidentified_below", unidentified, catalogue.type_codes),
    ):
        unknown = sorted(set(found) - set(known))
        if unknown:
            raise ValueError(f"its {what} names {unknown[0]!r}, which the catalogue does not have")
    if not 0 < decision["temperature"] <= 100:
        raise ValueError(f"its temperature is {decision['temperature']}")
    return decision
