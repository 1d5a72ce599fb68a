"""What was proved on the way to a bundle, the page that shows it, and the refusal of an engine that does not hold.

Evidence              collected step by step, so that a refusal can show what was found until then
refuse_bad_engines    raises for the first engine that misses a bar, naming its worst types and layers
write_certificate     the page beside the bundle; write_refusal: the page of a conversion that makes none, under another
                      name where an earlier bundle stands, whose own page stays
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import onnx

from convert.bundle_parts import parity_document
from convert.calibration_audit import CalibrationAudit
from convert.certificate_report import Heading, certificate_html
from convert.conversion_request import ConversionRequest, Preflight
from convert.engine_proof import ProofMaterial, ProvedEngine
from convert.int8_trial import Quantized
from convert.layer_noise import noisiest_layers
from convert.library_from_xgboost import CompiledTrees
from convert.onnx_check import Precision
from convert.parity import EngineParity
from convert.tree_model import TrainedTrees
from edge.bundle.digest import sha256_hex
from edge.bundle.reader import MANIFEST_NAME
from edge.errors import EdgeError

_NOISE_CELLS = 8


@dataclass(slots=True, eq=False)
class Evidence:
    """What was proved so far; filled by the conversion from top to bottom.

    `reference`: what engines are compared with, empty until the fp32 graph was proved to be the Keras original.
    `refused_int8`: `float_layers` and the `worst` of the int8 file that the certificate refused before one with more
    layers in floating point was made; None where there was none.
    """

    reference: Mapping[str, Any] = field(default_factory=dict)
    proved: list[ProvedEngine] = field(default_factory=list)
    compiled: list[tuple[TrainedTrees, CompiledTrees]] = field(default_factory=list)
    slides: dict[str, dict[str, Any]] = field(default_factory=dict)
    audit: CalibrationAudit | None = None
    quantized: Quantized | None = None
    refused_int8: dict[str, Any] | None = None

    def notices(self) -> tuple[str, ...]:
        """Return what a person must know of the int8 file."""
        found = [n for part in (self.audit, self.quantized) if part is not None for n in part.notices()]
        if self.refused_int8 is not None:
            found.append(f"int8 with fewer such layers was refused: {', '.join(self.refused_int8['worst'])}")
        return tuple(found)

    def document(self, calibration: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return parity.json of what is there."""
        document = parity_document(self.proved, self.slides, self.compiled, self.reference, calibration)
        if self.quantized is None or self.audit is None:
            return document
        more = {"refused_before": self.refused_int8, "calibration_cells": self.audit.document()}
        return {**document, "quantization": {**self.quantized.document(), **more}}


def refuse_bad_engines(
    sources: Mapping[Precision, onnx.ModelProto],
    evidence: Evidence,
    models: Mapping[Precision, onnx.ModelProto],
    material: ProofMaterial,
) -> None:
    """Raise EdgeError for the first engine that must not be shipped.

    MDSE-PARITY-001 misses a bar of the certificate; -005 gives other answers on the golden cells. Either names the
    types or findings and the noisiest layers. `sources`: what each model was rounded from, in float32.
    """
    for engine in evidence.proved:
        precision = next(p for p in models if p == engine.entry["precision"])
        if engine.parity is not None and engine.parity.verdict == "REFUSED" and material.parity_images is not None:
            layers = noisiest_layers(sources[precision], models[precision], material.parity_images[:_NOISE_CELLS])
            raise EdgeError(
                "MDSE-PARITY-001",
                where=engine.entry["file"],
                engine=engine.parity.engine,
                worst=", ".join(worst_of(engine.parity)),
                layers=", ".join(layers),
                tried=_tried_in_vain(evidence) if precision == "int8" else "",
            )
        if engine.golden_fault is not None:
            layers = noisiest_layers(sources[precision], models[precision], material.golden_images[:_NOISE_CELLS])
            raise EdgeError(
                "MDSE-PARITY-005",
                where=engine.entry["file"],
                reason=engine.golden_fault.text,
                worst=", ".join(worst_of(engine.parity)) if engine.parity else "not known without labelled cells",
                layers=", ".join(layers),
            )


def _tried_in_vain(evidence: Evidence) -> str:
    if evidence.refused_int8 is None or evidence.quantized is None:
        return ""
    return f" {', '.join(evidence.quantized.float_layers)} in floating point did not suffice."


def worst_of(parity: EngineParity) -> list[str]:
    """Return in words the types and findings that lose most, with the share of their cells, and the bars missed."""
    missed = [
        f"{gate.name} {100 * gate.value:.2f} % (bar {100 * gate.bar:g} %)"
        if gate.lowest is not None
        else f"{gate.name} {gate.value:.4f} (bar {gate.bar:g})"
        for gate in parity.missed()
    ]
    codes = [f"{c.code} {100 * c.loss.value:.1f} % of {c.loss.views}" for c in parity.worst() if c.loss is not None]
    return [*codes, *missed]


def write_certificate(
    request: ConversionRequest, ready: Preflight, size_px: int, parity: Mapping[str, Any], digest: str
) -> Path:
    """Write the page of the bundle `digest`, which is in its place; return the page's path.

    Raises EdgeError MDSE-CONVERT-046.
    """
    path = request.page
    heading = Heading(ready.card.name, ready.card.version, size_px, None, digest)
    try:
        path.write_text(certificate_html(heading, parity, ready.catalogue), encoding="utf-8")
    except OSError as error:
        raise EdgeError("MDSE-CONVERT-046", where=str(path), reason=error.strerror or str(error)) from error
    return path


def write_refusal(
    request: ConversionRequest,
    ready: Preflight,
    size_px: int,
    evidence: Evidence,
    refusal: EdgeError,
    stream: TextIO | None,
) -> None:
    """Write the page of a conversion that was refused. A full disk is said and does not hide the refusal."""
    path = request.page
    try:
        standing = _standing_digest(request.out)
        if standing is not None and (path.is_file() or not path.exists()):  # a device such as /dev/null keeps its name
            path = request.refusal_page
        heading = Heading(ready.card.name, ready.card.version, size_px, refusal, standing)
        path.write_text(certificate_html(heading, evidence.document(), ready.catalogue), encoding="utf-8")
        words = f"the certificate, with what was found, is in {path}"
    except OSError as error:
        words = f"the certificate could not be written to {path}: {error.strerror or error}"
    if stream is not None:
        stream.write(words + "\n")


def _standing_digest(out: Path) -> str | None:
    """Return the digest of the earlier bundle that stands at `out` and stays there; None where there is none."""
    manifest = out / MANIFEST_NAME
    return sha256_hex(manifest.read_bytes()) if manifest.is_file() else None
