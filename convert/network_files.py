"""The network files of a bundle, each proved on the engine that runs it; int8 once more where the certificate refuses.

int8 that decides otherwise than the original is made once more, with the layers in floating point that cost most. Which
and how many is measured on the cells that judge int8 before the proof; the test cells are asked twice at most, so that
nothing passes by being tried until it does. What was refused is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.calibration_audit import audit_calibration
from convert.cell_pixels import pixels_from_cells
from convert.certificate import Evidence, worst_of
from convert.derived_files import FILE_OF, Models, check_models, derive_models, sources_of
from convert.engine_proof import ProofMaterial, ProvedEngine, prove_cpu_engine
from convert.float_layers import FloatLayerSearch
from convert.int8_trial import Quantized
from convert.native_memory import give_back_unused_memory
from convert.onnx_check import Precision
from convert.onnx_graph import bytes_from_onnx
from convert.opened_model import OpenedModel
from convert.progress import Progress
from convert.quantization import quantize
from convert.weight_check import require_equal_network, require_weights

# Within a device the first engine of the manifest runs unless another one is asked for.
_CPU_ORDER: tuple[Precision, ...] = ("int8", "fp32", "fp16")
_EQUALIZED_CELLS = 8


def proved_models(opened: OpenedModel, evidence: Evidence, material: ProofMaterial) -> Models:
    """Make the files of the request and prove each; `evidence` takes the proofs and what was decided for int8.

    An engine that is refused is kept there, too: `convert.certificate.refuse_bad_engines` raises for it. Raises
    EdgeError MDSE-CONVERT-021 to -027, MDSE-PARITY-012 for files that do not hold the network.
    """
    models = _models_with_int8_proved(opened, evidence, material)
    give_back_unused_memory()  # cells and network of the search
    for precision in _CPU_ORDER:
        if precision in models and precision != "int8":
            evidence.proved.append(_prove(opened, precision, models, material))
    return models


def _quantized(opened: OpenedModel, evidence: Evidence) -> tuple[Quantized | None, FloatLayerSearch | None]:
    request, chosen = opened.request, opened.chosen
    if request.precision != "int8" or chosen is None:
        return None, None
    cells, judges = chosen.calibration, chosen.judges()
    with Progress("decoding calibration cells", len(cells) + len(judges), opened.stream):
        calibration = pixels_from_cells(cells, opened.origin.size_px)
        codes = opened.ready.catalogue.type_codes
        evidence.audit = audit_calibration(calibration, [cell.cell_type for cell in cells], codes)
        judged = pixels_from_cells(judges, opened.origin.size_px)
    return quantize(
        opened.graph,
        calibration,
        judged,
        float_layers=request.float_layers,
        search=request.search,
        threads=request.threads,
        stream=opened.stream,
    )


def _checked_models(
    opened: OpenedModel, evidence: Evidence, quantized: Quantized | None, golden: NDArray[np.uint8]
) -> Models:
    """Derive the files; each keeps our own rules and holds the network's weights, rounded as its precision rounds."""
    request, evidence.quantized = opened.request, quantized
    models = derive_models(
        opened.graph,
        quantized,
        precision=request.precision,
        for_gpu=request.target != "cpu",
        with_fp32=request.with_fp32,
    )
    check_models(
        models,
        size_px=opened.origin.size_px,
        widths=opened.origin.heads.widths(),
        float_layers=quantized.float_layers if quantized else (),
    )
    sources = sources_of(opened.graph, models, quantized)
    if "int8" in sources:
        images = golden[:_EQUALIZED_CELLS]
        require_equal_network(opened.graph, sources["int8"], images, threads=request.threads or 0)
    for precision, model in models.items():
        require_weights(FILE_OF[precision], model, sources[precision])
    return models


def _models_with_int8_proved(opened: OpenedModel, evidence: Evidence, material: ProofMaterial) -> Models:
    """Make the files and prove int8; where it is refused, make it once more with fewer layers in int8."""
    quantized, search = _quantized(opened, evidence)
    models = _checked_models(opened, evidence, quantized, material.golden_images)
    if quantized is None:
        return models
    proved = _prove(opened, "int8", models, material)
    why = _lost_by_rounding(proved)
    if why and search is not None:
        _say(opened, f"int8 is refused ({', '.join(why)}); looking for layers to leave in floating point")
        finer = search.finer(quantized)
        if finer is not None:
            evidence.refused_int8 = {"float_layers": list(quantized.float_layers), "worst": why}
            _say(opened, f"int8 once more, in floating point {', '.join(finer.float_layers)}")
            models = _checked_models(opened, evidence, finer, material.golden_images)
            proved = _prove(opened, "int8", models, material)
    evidence.proved.append(proved)
    return models


def _lost_by_rounding(proved: ProvedEngine) -> list[str]:
    """Return what the certificate refuses the engine for; nothing where two runtimes read one file differently."""
    parity = proved.parity
    if parity is None or parity.verdict != "REFUSED":
        return []
    if any(gate.name == "reference_agreement" for gate in parity.missed()):
        return []
    return worst_of(parity)


def _say(opened: OpenedModel, words: str) -> None:
    if opened.stream is not None:
        opened.stream.write(words + "\n")


def _prove(opened: OpenedModel, precision: Precision, models: Models, material: ProofMaterial) -> ProvedEngine:
    return prove_cpu_engine(
        FILE_OF[precision],
        precision,
        bytes_from_onnx(models[precision]),
        material,
        opened.ready.catalogue,
        threads=opened.request.threads,
        stream=opened.stream,
    )
