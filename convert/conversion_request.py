"""What a conversion is asked for, and every check that needs no network: made before the first long step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from convert.calibration_cells import FEWEST_CALIBRATION_CELLS
from convert.golden import FEWEST as FEWEST_GOLDEN_CELLS
from convert.library_from_xgboost import find_compiler
from convert.model_card import ModelCard, card_path, image_size_of_card, read_model_card
from convert.pack import require_writable
from convert.report import model_card_text
from convert.tree_model import TrainedTrees, read_trained_trees
from edge.bundle.manifest import fault_in_field
from edge.bundle.signature import public_from_private
from edge.catalogue import Catalogue, catalogue_from_json, load_catalogue
from edge.errors import EdgeError


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """All settings of edge-convert. `trees` maps targets to files; None keeps what the card says.

    `labels`: name of the label file in `cells`, None for labels.csv. `leave_out`: types of it that are no cells to use.
    """

    model: Path
    out: Path
    trees: Mapping[str, Path] = field(default_factory=dict)
    cells: Path | None = None
    labels: str | None = None
    leave_out: tuple[str, ...] = ()
    catalogue: Path | None = None
    precision: Literal["fp32", "fp16", "int8"] = "fp16"
    target: Literal["cpu", "tensorrt", "rtx"] = "cpu"
    key: Path | None = None
    name: str | None = None
    version: str | None = None
    intended_use: str | None = None
    golden: Literal["drawn", "cells"] = "drawn"
    scaling: str | None = None
    heads: tuple[str, str] | None = None
    float_layers: tuple[str, ...] = ()
    search: bool = True
    calibration_count: int = 512
    parity_views: int = 1
    threads: int | None = None
    with_fp32: bool = True
    with_library: bool = True
    report: Path | None = None
    replace: bool = False
    dry_run: bool = False

    @property
    def page(self) -> Path:
        """Where the certificate's page goes: --report, else beside the bundle."""
        return self.report or self.out.with_name(f"{self.out.name}.certificate.html")

    @property
    def refusal_page(self) -> Path:
        """Where the page of a refusal goes while an earlier bundle, with a page of its own, stands at `out`."""
        return self.page.with_name(f"{self.page.stem}.refused{self.page.suffix}")


@dataclass(frozen=True, slots=True, eq=False)
class Preflight:
    """Everything that was read and checked before the network was opened."""

    catalogue: Catalogue
    card: ModelCard
    card_size: object
    trees: tuple[TrainedTrees, ...]
    private_key: bytes | None


def preflight(request: ConversionRequest) -> Preflight:
    """Check the request as far as possible without the network.

    Raises EdgeError: MDSE-CONVERT-001 (files that are not there), -012 (card), -020 and -043 (options that contradict
    each other), -030 to -034 (trees, compiler), -041 (the places of bundle and page), -045 (name and version),
    MDSE-BUNDLE-010 (key).
    """
    if not request.model.is_file():
        raise EdgeError("MDSE-CONVERT-001", where=str(request.model), kind="model")
    _require_options(request)
    require_writable(request.out, replace=request.replace)
    _require_place_of_page(request)
    catalogue = _read_catalogue(request.catalogue)
    card = _with_overrides(read_model_card(request.model, catalogue), request)
    _require_names(card, request)
    _require_text(card, catalogue, request)
    trees = tuple(read_trained_trees(path, target, catalogue) for target, path in sorted(request.trees.items()))
    if trees and request.with_library:
        find_compiler(trees[0].target)
    return Preflight(catalogue, card, image_size_of_card(request.model), trees, _read_key(request.key))


def _require_options(request: ConversionRequest) -> None:
    if request.precision == "int8" and request.cells is None:
        raise EdgeError("MDSE-CONVERT-020", where="--precision int8")
    if request.golden == "cells" and request.cells is None:
        raise EdgeError(
            "MDSE-CONVERT-043", where="--golden cells", reason="it takes them from --cells, which is missing"
        )
    for option, given in (("--labels", request.labels), ("--leave-out", request.leave_out)):
        if given and request.cells is None:
            raise EdgeError("MDSE-CONVERT-043", where=option, reason="it is about --cells, which is missing")
    if not 1 <= request.parity_views <= 8:
        raise EdgeError("MDSE-CONVERT-043", where="--parity-views", reason="a cell has 1 to 8 orientations")
    needed, use = _calibration_need(request)
    if request.calibration_count < needed:
        reason = f"{use} needs at least {needed}"
        raise EdgeError("MDSE-CONVERT-043", where="--calibration-cells", reason=reason)
    if not request.with_fp32 and request.precision == "fp32":
        raise EdgeError("MDSE-CONVERT-043", where="--without-fp32", reason="no network file would be left")
    if request.float_layers and request.precision != "int8":
        raise EdgeError("MDSE-CONVERT-043", where="--float-layers", reason="only int8 leaves layers in floating point")


def _calibration_need(request: ConversionRequest) -> tuple[int, str]:
    """Return the fewest cells that --calibration-cells may ask for, and what needs them."""
    if request.precision == "int8":
        return FEWEST_CALIBRATION_CELLS, "int8"
    if request.golden == "cells":
        return FEWEST_GOLDEN_CELLS, "--golden cells"
    return 1, "every conversion with --cells"


def _require_place_of_page(request: ConversionRequest) -> None:
    """Raise EdgeError MDSE-CONVERT-041 unless the page can lie where it is to, outside of the sealed folder."""
    page = request.page
    if page.resolve().is_relative_to(request.out.resolve()):
        raise EdgeError("MDSE-CONVERT-041", where=str(page), reason="the page would lie inside of the bundle")
    if page.is_dir():
        raise EdgeError("MDSE-CONVERT-041", where=str(page), reason="the page is a file, and this is a folder")
    if not page.absolute().parent.is_dir():
        raise EdgeError("MDSE-CONVERT-041", where=str(page), reason="the folder for the page does not exist")


def _require_names(card: ModelCard, request: ConversionRequest) -> None:
    """Raise EdgeError MDSE-CONVERT-045 where the manifest would refuse name or version."""
    for what, value, given in (("name", card.name, request.name), ("version", card.version, request.version)):
        if fault_in_field(what, value) is not None:
            source = card_path(request.model) if card.given else request.model
            where = str(source) if given is None else f"--{what}"
            raise EdgeError("MDSE-CONVERT-045", where=where, field=what, value=repr(value))


def _require_text(card: ModelCard, catalogue: Catalogue, request: ConversionRequest) -> None:
    """Raise EdgeError MDSE-CONVERT-012, now and not when everything is proved, where MODEL_CARD.md cannot be made."""
    nothing_proved = {"reference": {"compared_with": "-"}}
    try:
        model_card_text(card, catalogue, [], nothing_proved, [], {}).encode("utf-8")
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise EdgeError("MDSE-CONVERT-012", where=str(card_path(request.model)), reason=str(error)) from error


def _read_catalogue(path: Path | None) -> Catalogue:
    if path is None:
        return load_catalogue()
    if not path.is_file():
        raise EdgeError("MDSE-CONVERT-001", where=str(path), kind="catalogue")
    return catalogue_from_json(path.read_bytes())


def _read_key(path: Path | None) -> bytes | None:
    if path is None:
        return None
    if not path.is_file():
        raise EdgeError("MDSE-CONVERT-001", where=str(path), kind="private key")
    data = path.read_bytes()
    public_from_private(data)
    return data


def _with_overrides(card: ModelCard, request: ConversionRequest) -> ModelCard:
    return ModelCard(
        name=card.name if request.name is None else request.name,
        version=card.version if request.version is None else request.version,
        intended_use=request.intended_use or card.intended_use,
        evidence=card.evidence,
        decision=card.decision,
        trained_on=card.trained_on,
        limits=card.limits,
        validation=card.validation,
        given=card.given,
        seen=card.seen,
    )
