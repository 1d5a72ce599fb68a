"""The manifest of a bundle: what it holds, what it decides, and what it was made for. Schema `mds-edge.bundle/1`.

    manifest_from_bytes   parses and checks canonical manifest.json
    fault_in_field, fault_in_gates   say why a part would be refused, before there is a manifest
    Manifest              the frozen, checked value; every field of the schema is required unless it says otherwise

Nothing here touches the file system: `reader.py` compares the manifest with the folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from edge.bundle.digest import manifest_bytes
from edge.bundle.file_names import is_network, may_be_in_bundle
from edge.errors import EdgeError

SCHEMA = "mds-edge.bundle/1"
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILES = 256
MAX_FILE_BYTES = 1 << 30
MAX_BUNDLE_BYTES = 4 << 30
MIN_IMAGE_PX, MAX_IMAGE_PX = 16, 1024

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,16}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class ImageSpec(_Part):
    """How pixels reach the network: side in pixels, and the names of the decoder and of the resizing rule."""

    size: Annotated[int, Field(ge=MIN_IMAGE_PX, le=MAX_IMAGE_PX)]
    decoder: Literal["strict-v1"]
    resize: Literal["area-v1"]


class FileEntry(_Part):
    """SHA-256 and size of one file of the bundle."""

    sha256: Sha256
    size_bytes: Annotated[int, Field(alias="bytes", ge=0, le=MAX_FILE_BYTES)]


class EngineEntry(_Part):
    """One network file: the device and precision it was made for, and the verdict or place of its proof."""

    file: str
    device: Literal["cpu", "gpu"]
    precision: Literal["fp32", "fp16", "int8", "int8-fp16"]
    proof: Annotated[str, Field(max_length=200)]


class OutOfDistribution(_Part):
    """Statistics file (`decision/<name>.npz`) and distance above which a cell is unlike the training cells."""

    file: str
    threshold: Annotated[float, Field(gt=0)]


class QualityLimits(_Part):
    """What the reference cells looked like: the least sharpness, and the stain's centre, whitening and limit.

    A slide is warned of when many of its cells are less sharp than `focus_limit` (grey levels), or when its mean stain
    (L*, a*, b* of CIE 1976) lies farther than `stain_limit` from the centre after whitening; see edge/quality.py.
    """

    focus_limit: Annotated[float, Field(gt=0)]
    stain_centre: tuple[float, float, float]
    stain_whitening: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    stain_limit: Annotated[float, Field(gt=0)]


class Gates(_Part):
    """Rules that hold back a score or add a warning whatever the network says (design section 2).

    `doubtful_review_share`: share of cells without a type from which on the film is to be reviewed; None: no limit.
    """

    blast_review_share: Fraction
    blast_not_evaluable_share: Fraction
    infection_rate: dict[Code, Fraction]
    doubtful_review_share: Fraction | None = None


class Decision(_Part):
    """How outputs become findings: temperature (already inside the graph), thresholds, and the gates.

    `type_offset` is what calibration added to the logits of each type after the temperature; it too is in the graph.
    `ood`, `quality` and `atlas` (a file `decision/<name>.npz`) are made from labelled cells; a bundle that was made
    without any has none of them.
    """

    temperature: Annotated[float, Field(gt=0, le=100)]
    finding_threshold: dict[Code, Fraction]
    unidentified_below: dict[Code, Fraction]
    type_offset: dict[Code, float] | None = None
    ood: OutOfDistribution | None = None
    quality: QualityLimits | None = None
    atlas: str | None = None
    gates: Gates


class Calibration(_Part):
    """score = sigmoid(slope * margin + intercept)."""

    slope: Annotated[float, Field(gt=0)]
    intercept: float


class Minimum(_Part):
    """Cells that must have been counted before a score may be given."""

    wbc: Count
    neutrophil: Count


class Scope(_Part):
    """Which films the question is about (edge/profile_scope.py): statistics file and the limits of two measures.

    `distance_limit`: how far a profile may lie from both classes. `others_limit`: how much nearer it may lie to films
    known to be of neither class; None where the trainer was shown no such films.
    """

    file: str
    distance_limit: Annotated[float, Field(gt=0)]
    others_limit: float | None = None


class AssessmentSpec(_Part):
    """One question the bundle answers about a slide, and the folder of trees that answers it.

    `family`: the common name of one-versus-rest questions that together tell several classes apart; an order may ask
    for them by it, and at most one of them may suspect its class.
    """

    target: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    positive: Code
    negative: Code
    threshold: Fraction
    calibration: Calibration
    minimum: Minimum
    trees: str
    cohort_file: str | None = None
    scope: Scope | None = None
    family: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None


class Cohort(_Part):
    """Slides a tree model was trained on: whether simulated, cases per class, range per parameter.

    A parameter without a range was never observed in the cohort. `outside_allowed` is how many parameters of a slide
    may lie outside before the slide counts as unlike the cohort.
    """

    simulated: bool
    cases: dict[str, Count]
    range: dict[str, tuple[float, float]]
    outside_allowed: Count


class Manifest(_Part):
    """The whole manifest. `cohort` is keyed by target, `evidence` by type and finding code."""

    schema_id: Literal["mds-edge.bundle/1"] = Field(alias="schema")
    name: Name
    version: Name
    intended_use: Literal["demo", "research", "clinical"]
    image: ImageSpec
    embedding_dim: Annotated[int, Field(ge=1, le=65536)]
    types: tuple[Code, ...]
    findings: tuple[Code, ...]
    parameters: tuple[str, ...]
    evidence: dict[Code, Literal["real", "drawn", "none"]]
    files: Annotated[dict[str, FileEntry], Field(max_length=MAX_FILES)]
    engines: Annotated[tuple[EngineEntry, ...], Field(min_length=1)]
    decision: Decision
    assessments: tuple[AssessmentSpec, ...]
    cohort: dict[str, Cohort]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Manifest:
        fault = _fault_in_files(self) or _fault_in_decision(self) or _fault_in_assessments(self)
        if fault:
            raise ValueError(fault)
        return self


def manifest_from_bytes(data: bytes, *, where: str = "manifest.json") -> Manifest:
    """Parse a manifest. Raises EdgeError MDSE-BUNDLE-002 naming the first fault.

    Only the canonical spelling (`digest.manifest_bytes`) is taken, so that doubled keys and hidden text are refused.
    """
    try:
        document = json.loads(data)
        manifest = Manifest.model_validate_json(data)
        canonical = manifest_bytes(document)
    except ValidationError as error:
        raise EdgeError("MDSE-BUNDLE-002", where=where, reason=_first_fault(error)) from error
    except (ValueError, RecursionError) as error:
        raise EdgeError("MDSE-BUNDLE-002", where=where, reason=f"it is not JSON ({error})") from error
    if canonical != data:
        raise EdgeError("MDSE-BUNDLE-002", where=where, reason="it is not in canonical form, so it was edited by hand")
    return manifest


def fault_in_field(name: str, value: object) -> str | None:
    """Return why a manifest would be refused for `value` in its field `name`, None where that field is well.

    How fields fit together is left to `manifest_from_bytes`.
    """
    field: TypeAdapter[Any] = TypeAdapter(Manifest.model_fields[name].rebuild_annotation())
    try:
        field.validate_json(json.dumps(value))
    except ValidationError as error:
        return _first_fault(error, name)
    return None


def fault_in_gates(gates: Gates, findings: Iterable[str]) -> str | None:
    """Return why a manifest with these findings would be refused for its gates, None where they are well."""
    if gates.blast_review_share > gates.blast_not_evaluable_share:
        return "decision.gates: blast_review_share is above blast_not_evaluable_share"
    unknown = set(gates.infection_rate) - set(findings)
    return f"decision.gates.infection_rate: unknown finding {min(unknown)}" if unknown else None


def _first_fault(error: ValidationError, *outer: str) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in (*outer, *first["loc"])) or "manifest"
    return f"{place}: {first['msg']}"


def _fault_in_files(manifest: Manifest) -> str | None:
    for path in manifest.files:
        if not may_be_in_bundle(path):
            return f"files: {path!r} is not a file that a bundle may hold"
    if sum(entry.size_bytes for entry in manifest.files.values()) > MAX_BUNDLE_BYTES:
        return f"files: together they exceed {MAX_BUNDLE_BYTES} bytes"
    # Whatever an engine runs must have been looked into as a network: another file may point outside of the bundle.
    strange = [engine.file for engine in manifest.engines if not is_network(engine.file)]
    if strange:
        return f"engines: {strange[0]!r} is not a network file such as cells.int8.onnx"
    needed = ["catalogue.json", *(engine.file for engine in manifest.engines)]
    needed += [f"golden/{name}.npz" for name in ("images", "expected", "profiles")]
    needed += [f"{a.trees}/{name}" for a in manifest.assessments for name in ("model.json", "model.treelite")]
    needed += _decision_files(manifest.decision) + [a.cohort_file for a in manifest.assessments if a.cohort_file]
    needed += [a.scope.file for a in manifest.assessments if a.scope]
    missing = [path for path in needed if path not in manifest.files]
    return f"files: {missing[0]!r} is needed but not listed" if missing else None


def _decision_files(decision: Decision) -> list[str]:
    files = [decision.ood.file] if decision.ood else []
    return [*files, decision.atlas] if decision.atlas else files


def _fault_in_decision(manifest: Manifest) -> str | None:
    if len({*manifest.types, *manifest.findings}) != len(manifest.types) + len(manifest.findings):
        return "types and findings: a code appears twice"
    if len(manifest.parameters) != len(set(manifest.parameters)):
        return "parameters: a name appears twice"
    if set(manifest.evidence) != {*manifest.types, *manifest.findings}:
        return "evidence: it must name every type and finding and nothing else"
    if set(manifest.decision.finding_threshold) != set(manifest.findings):
        return "decision.finding_threshold: it must name every finding and nothing else"
    if set(manifest.decision.unidentified_below) != set(manifest.types):
        return "decision.unidentified_below: it must name every type and nothing else"
    offsets = manifest.decision.type_offset
    if offsets is not None and set(offsets) != set(manifest.types):
        return "decision.type_offset: it must name every type and nothing else"
    outside = [path for path in _decision_files(manifest.decision) if not path.startswith("decision/")]
    if outside:
        return f"decision: the file {outside[0]!r} must lie in decision/"
    return fault_in_gates(manifest.decision.gates, manifest.findings)


def _fault_in_assessments(manifest: Manifest) -> str | None:
    targets = [assessment.target for assessment in manifest.assessments]
    if len(set(targets)) != len(targets):
        return "assessments: a target appears twice"
    if set(manifest.cohort) != set(targets):
        return "cohort: it must have one entry for every target and nothing else"
    for assessment in manifest.assessments:
        if assessment.positive == assessment.negative:
            return f"assessments: {assessment.target} has twice the same class"
        if assessment.trees != f"trees/{assessment.target}":
            return f"assessments: the trees of {assessment.target} must lie in trees/{assessment.target}"
        if assessment.cohort_file not in (None, f"{assessment.trees}/cohort.npz"):
            return f"assessments: the cohort file of {assessment.target} must be {assessment.trees}/cohort.npz"
        if assessment.scope and assessment.scope.file != f"{assessment.trees}/scope.npz":
            return f"assessments: the scope file of {assessment.target} must be {assessment.trees}/scope.npz"
        if assessment.family in targets:
            return f"assessments: the family {assessment.family} has the name of a target"
        ranges = manifest.cohort[assessment.target].range
        if not set(ranges) <= set(manifest.parameters):
            return f"cohort.{assessment.target}.range: it names a parameter that the bundle does not have"
        if any(low > high for low, high in ranges.values()):
            return f"cohort.{assessment.target}.range: a lower bound lies above its upper bound"
    return None
