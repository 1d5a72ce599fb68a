"""What lets a bundle doubt its own cells: made at conversion from labelled cells, each part by its own module.

fitted_decision    temperature, offsets and limits of the types, on the validation cells
honesty_parts      out-of-distribution statistics, quality limits and atlas, by the engine that a site will run
calibration_of     the reliability of that engine on the test cells, for the certificate
"""

# Whoever changes what is fitted here raises `_RULE` in convert/decision_digest.py: trees then know the other decision.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import onnx
from threadpoolctl import threadpool_limits

from convert.atlas import atlas_arrays
from convert.calibration_cells import in_equal_numbers
from convert.cell_calibration import BINS, calibration_document
from convert.cell_pixels import pixels_from_cells
from convert.dataset import LabelledCell
from convert.decision_fit import (
    calibration_from_validation,
    temperature_from_validation,
    temperatures_after,
    tempered,
)
from convert.deterministic_npz import npz_from_arrays
from convert.engine_proof import ProofMaterial, ProvedEngine, with_views
from convert.outlier_fit import arrays_from_rule, outlier_rule_from_reference
from convert.parity import outputs_of_onnx
from convert.progress import Progress
from convert.quality_fit import quality_limits
from convert.reference_cells import MOST_VALIDATION, enough_reference, reference_cells
from convert.unidentified_fit import FEWEST_CELLS, unidentified_limits
from edge.catalogue import Catalogue
from edge.engines.openvino import open_openvino

OOD_FILE, ATLAS_FILE = "decision/ood.npz", "decision/atlas.npz"
# A cell and two other orientations of it: the limits follow less the accident of single cells.
_VIEWS = 3


@dataclass(frozen=True, slots=True, eq=False)
class HonestyParts:
    """Files of the bundle, entries of the manifest's `decision`, and what a person must know."""

    files: Mapping[str, bytes]
    decision: Mapping[str, Any]
    notices: tuple[str, ...]


def cells_of_decision(validation: Sequence[LabelledCell]) -> tuple[LabelledCell, ...]:
    """Return the cells that the decision is fitted on; none where they are fewer than FEWEST_CELLS."""
    cells = in_equal_numbers(validation, MOST_VALIDATION) if len(validation) > MOST_VALIDATION else tuple(validation)
    return cells if len(cells) >= FEWEST_CELLS else ()


def fitted_decision(
    decision: Mapping[str, Any],
    graph: onnx.ModelProto,
    validation: Sequence[LabelledCell],
    catalogue: Catalogue,
    evidence: Mapping[str, str],
    *,
    with_offsets: bool,
    size_px: int,
    threads: int | None,
    stream: TextIO | None,
) -> dict[str, Any]:
    """Return `decision` with temperature, `type_offset` and `unidentified_below` fitted on the validation cells.

    `graph` is the fp32 graph with the temperature of `decision` in it; `with_offsets`: its head can take offsets. With
    fewer than FEWEST_CELLS cells the card's values stay. Raises EdgeError MDSE-TRAIN-*.
    """
    cells = cells_of_decision(validation)
    if not cells:
        return dict(decision)
    images, rows = with_views(pixels_from_cells(cells, size_px), _VIEWS)
    with Progress("validation cells", len(images), stream) as progress:
        outputs = outputs_of_onnx(graph, images, progress, threads=threads or 0)
    place = {code: index for index, code in enumerate(catalogue.type_codes)}
    truth = np.array([place[cell.cell_type] for cell in cells], np.int64)[rows]
    steps = temperatures_after(float(decision["temperature"]))
    if with_offsets:
        step, offsets = calibration_from_validation(outputs.cell_type, truth, copies=_VIEWS, within=steps)
        offset_of: dict[str, Any] = {"type_offset": dict(zip(catalogue.type_codes, offsets.tolist(), strict=True))}
    else:
        step, offset_of = temperature_from_validation(outputs.cell_type, truth, within=steps), {}
        offsets = np.zeros(len(place))
    limits = unidentified_limits(tempered(outputs.cell_type, step, offsets), truth, catalogue, evidence)
    temperature = round(float(decision["temperature"]) * step, 4)
    return {**decision, "temperature": temperature, **offset_of, "unidentified_below": limits}


def honesty_parts(
    network: bytes,
    precision: str,
    training: Sequence[LabelledCell],
    validation: Sequence[LabelledCell],
    catalogue: Catalogue,
    evidence: Mapping[str, str],
    *,
    size_px: int,
    threads: int | None,
    stream: TextIO | None,
) -> HonestyParts:
    """Run known cells through `network` (ONNX bytes) on the CPU engine and fit all that rests on its features.

    Drawn cells stand beside real ones where some type was learned from drawings only.
    """
    lacking = enough_reference(training, validation)
    if lacking:
        return HonestyParts({}, {}, (lacking,))
    with_drawn = any(evidence[code] == "drawn" for code in catalogue.type_codes)
    engine = open_openvino(network, precision=precision, size_px=size_px, cache_dir=None, threads=threads)
    try:
        reference = reference_cells(engine, training, validation, catalogue, with_drawn=with_drawn, stream=stream)
    finally:
        engine.close()
    # One thread: sums of many threads end in other last digits, and the bundle's bytes must come out the same.
    with threadpool_limits(1), Progress("fitting what is known", 1, stream):
        rule = outlier_rule_from_reference(reference)
        files = {
            OOD_FILE: npz_from_arrays(arrays_from_rule(rule)),
            ATLAS_FILE: npz_from_arrays(atlas_arrays(reference)),
        }
        quality = quality_limits(reference)
    ood = {"file": OOD_FILE, "threshold": rule.threshold}
    return HonestyParts(files, {"ood": ood, "quality": quality, "atlas": ATLAS_FILE}, ())


def calibration_of(
    engine: ProvedEngine,
    material: ProofMaterial,
    parity_cells: Sequence[LabelledCell],
    catalogue: Catalogue,
    temperature: float,
) -> dict[str, Any] | None:
    """Return parity.json's `calibration` of an engine on the test cells as they are, None for too few of them."""
    if engine.outputs is None or material.parity_cells is None or len(parity_cells) < 2 * BINS:
        return None
    cells, rows = np.unique(material.parity_cells, return_index=True)
    place = {code: index for index, code in enumerate(catalogue.type_codes)}
    truth = np.array([place[parity_cells[cell].cell_type] for cell in cells], np.int64)
    return calibration_document(engine.outputs.cell_type[rows], truth, temperature=temperature, split="test")
