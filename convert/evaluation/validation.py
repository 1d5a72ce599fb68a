"""A whole validation, step by step: cells, drawn cells, studies, slides; then the page and the JSON.

`report_folder.write_validation` puts what comes out into a folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from convert.dataset import LabelledCell, LabelledCells, Origin, read_labelled_cells
from convert.evaluation.comparison import comparison_of, require_same_catalogue
from convert.evaluation.figures import calibration_figure, confusion_figure, embedding_figure
from convert.evaluation.missing_intervals import note_of_missing_intervals
from convert.evaluation.networks import BundleNetwork, KerasNetwork, Network
from convert.evaluation.paper import load_paper
from convert.evaluation.preclass import preclass_of
from convert.evaluation.predictions import Predictions, predict
from convert.evaluation.probes import probes_of
from convert.evaluation.question_labels import SlideTables, read_slide_tables
from convert.evaluation.robustness import robustness_of
from convert.evaluation.shortfalls import shortfalls_of
from convert.evaluation.slide_figures import roc_figure, shap_figure
from convert.evaluation.slides import SlideResult, evaluate_slides
from convert.evaluation.tables import cells_section
from convert.evaluation.withheld import withheld_of
from convert.model_options import ModelOptions
from edge import __version__
from edge.bundle.reader import open_bundle
from edge.catalogue import Catalogue
from edge.errors import EdgeError
from edge.model import Model

SCHEMA = "mds-edge.validation/1"
_LEAST_FOR_EMBEDDING = 10


@dataclass(frozen=True, slots=True)
class Request:
    """What to validate on what. `split` is training, validation, test or all; folders may be empty lists.

    `leave_out`: labels of slides and types of cells that are meant to be left out. `rest`: classes of a family
    without a question in the bundle.
    """

    network_path: Path
    folders: Sequence[Path] = ()
    drawn: Sequence[Path] = ()
    labels_name: str = "labels.csv"
    split: str = "test"
    original: Path | None = None
    model_options: ModelOptions = field(default_factory=ModelOptions)
    slides: Path | None = None
    slide_table: Path | None = None
    trained_on: Path | None = None
    leave_out: Sequence[str] = ()
    rest: Sequence[str] = ()
    robustness: bool = False
    probes: bool = False
    preclass: bool = False
    embedding: bool = True


@dataclass(slots=True)
class Validation:
    """The validation as JSON values, the pictures as SVG by name, and the catalogue in whose codes both speak."""

    document: dict[str, Any]
    catalogue: Catalogue
    pictures: dict[str, bytes] = field(default_factory=dict)


def validate(
    request: Request,
    network: Network,
    stream: TextIO | None,
    say: Callable[[str], None],
    *,
    made_at: str,
    public_key: bytes | None = None,
) -> Validation:
    """Run a validation; progress goes to `stream`. Raises EdgeError MDSE-VALIDATE-*, -TRAIN-* and others."""
    catalogue = network.catalogue
    labelled = _labelled(request, catalogue)
    notices = (*network.notices, *labelled.notices)
    for notice in notices:
        say(f"note: {notice}")
    _require_studies(request, labelled)
    tables = _slide_tables(request, network, say)
    original = _original(request, network)
    found = Validation(_head(network, notices, made_at), catalogue)
    origins: list[Origin] = [origin for origin in ("real", "drawn") if any(c.origin == origin for c in labelled.cells)]
    for place, origin in enumerate(origins):
        predictions = _predict(request, labelled, origin, network, stream)
        section = _cells(predictions, network, labelled, request, found.pictures, say)
        if place == 0:
            found.document |= section | _studies(request, labelled, predictions, network, original, stream)
        else:
            found.document["drawn"] = section
    if tables is not None and isinstance(network, BundleNetwork):
        for target, result in _slides(request, tables, network.model, stream, public_key).items():
            found.document["slides"][target] = result.section
            _draw_slides(target, result, found.pictures)
    if note := note_of_missing_intervals(found.document):
        say(f"note: {note}")
        found.document["notices"].append(note)
    return found


def _head(network: Network, notices: Sequence[str], made_at: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model": dict(network.facts),
        "software": f"mds-edge {__version__}",
        "made_at": made_at,
        "paper_source": load_paper().source,
        "notices": list(notices),
        "evidence": dict(network.evidence),
        "slides": {},
    }


def _labelled(request: Request, catalogue: Catalogue) -> LabelledCells:
    folders: list[tuple[Path, Origin]] = [(folder, "real") for folder in request.folders]
    folders += [(folder, "drawn") for folder in request.drawn]
    return read_labelled_cells(folders, catalogue, labels_name=request.labels_name, leave_out=request.leave_out)


def _chosen(labelled: LabelledCells, origin: Origin, split: str) -> tuple[LabelledCell, ...]:
    return tuple(c for c in labelled.cells if c.origin == origin and split in ("all", c.split))


def _require_studies(request: Request, labelled: LabelledCells) -> None:
    """Refuse what these cells cannot answer, before anything is computed."""
    if request.probes:
        training, test = len(labelled.of("training")), len(labelled.of("test"))
        if not training or not test:
            raise EdgeError("MDSE-VALIDATE-003", training=training, test=test)
    if request.preclass and not any(cell.preclass for cell in labelled.cells):
        raise EdgeError("MDSE-VALIDATE-004", where=request.labels_name)


def _predict(
    request: Request, labelled: LabelledCells, origin: Origin, network: Network, stream: TextIO | None
) -> Predictions:
    cells = _chosen(labelled, origin, request.split)
    if not cells:
        raise EdgeError("MDSE-VALIDATE-002", origin=origin, split=request.split, cells=len(labelled.cells))
    return predict(cells, network, f"{origin} cells", stream)


def _cells(
    predictions: Predictions,
    network: Network,
    labelled: LabelledCells,
    request: Request,
    pictures: dict[str, bytes],
    say: Callable[[str], None],
) -> dict[str, Any]:
    section = cells_section(predictions, network, labelled, request.split)
    section["shortfalls"] = shortfalls_of(section)
    section["withheld"] = withheld_of(predictions, network.model) if isinstance(network, BundleNetwork) else None
    origin = predictions.cells[0].origin
    mark = "SIMULATED: " if section["simulated"] else ""
    title = f"{mark}{section['n']} {origin} cells, {request.split} split"
    pictures[f"{origin}-confusion"] = confusion_figure(section["confusion"], title)
    bins = section["calibration"]["bins"]
    names = ("probability of the named type", "share that is right")
    pictures[f"{origin}-calibration"] = calibration_figure(bins, title, *names)
    if request.embedding and section["n"] >= _LEAST_FOR_EMBEDDING:
        say(f"{origin} cells: t-SNE of the embedding ...")
        codes = predictions.catalogue.type_codes
        truth, embedding = predictions.targets.cell_type, predictions.outputs.embedding
        pictures[f"{origin}-embedding"] = embedding_figure(embedding, truth, codes, title)
    return section


def _original(request: Request, network: Network) -> KerasNetwork | None:
    """Open the original before anything is computed; calibrated as the bundle is, whose cells may have fitted that."""
    if request.original is None:
        return None
    original = KerasNetwork(request.original, request.model_options)
    require_same_catalogue(network, original, str(request.original))
    if isinstance(network, BundleNetwork):
        original.calibrate_as(network.model.manifest.decision)
    return original


def _studies(
    request: Request,
    labelled: LabelledCells,
    predictions: Predictions,
    network: Network,
    original: KerasNetwork | None,
    stream: TextIO | None,
) -> dict[str, Any]:
    """Return the optional studies of the first kind of cells: original, preclass, robustness, probes."""
    found: dict[str, Any] = {}
    if original is not None:
        found["original"] = comparison_of(
            predictions, predict(predictions.cells, original, "original", stream), original
        )
    if request.preclass:
        found["preclass"] = preclass_of(predictions)
    if request.robustness:
        found["robustness"] = robustness_of(predictions, network, stream)
    if request.probes:
        found["probes"] = _probes(labelled, predictions, network, stream)
    return found


def _probes(
    labelled: LabelledCells, predictions: Predictions, network: Network, stream: TextIO | None
) -> dict[str, Any]:
    """Probe on the test split whatever split was asked for: a probe judged on its own training cells says nothing."""
    origin = predictions.cells[0].origin
    training, test = labelled.of("training", origin), labelled.of("test", origin)
    if not training or not test:  # of this origin: the other kind of cells may have had both
        raise EdgeError("MDSE-VALIDATE-003", training=len(training), test=len(test))
    fitted = predict(training, network, "probes: training cells", stream)
    judged = predictions if predictions.cells == test else predict(test, network, "probes: test cells", stream)
    return probes_of(fitted, judged, stream)


def _slide_tables(request: Request, network: Network, say: Callable[[str], None]) -> SlideTables | None:
    """Read what is said of the slides; None where none are to be judged."""
    if request.slides is None:
        return None
    if not isinstance(network, BundleNetwork):
        raise EdgeError("MDSE-VALIDATE-010", where=str(request.network_path))
    return read_slide_tables(
        request.slides,
        request.slide_table or request.slides / "slides.csv",
        network.model.assessments,
        say,
        trained_on=request.trained_on,
        leave_out=request.leave_out,
        rest=request.rest,
    )


def _slides(
    request: Request, tables: SlideTables, model: Model, stream: TextIO | None, public_key: bytes | None
) -> Mapping[str, SlideResult]:
    bundle = open_bundle(request.network_path, public_key=public_key)
    return evaluate_slides(tables, model, lambda target: bundle.read(f"trees/{target}/model.json"), stream)


def _draw_slides(target: str, result: SlideResult, pictures: dict[str, bytes]) -> None:
    section = result.section
    mark = "SIMULATED slides" if section["simulated"] else "slides"
    title = f"{section['scored']} scored {mark}, {target}"
    if section["auc"] is not None:
        pictures[f"{target}-roc"] = roc_figure(result.cases, section, title)
    if result.shap is not None:
        pictures[f"{target}-shap"] = shap_figure(result.cases, result.shap, section, title)
        names = ("score", f"share of {section['positive']}")
        pictures[f"{target}-calibration"] = calibration_figure(section["calibration"], title, *names)
