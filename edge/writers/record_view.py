"""The record as the writers see it: every field typed, every count proved (edge.record_check) to agree with the others.

view_of_record(record)    the only way in; raises MDSE-WRITER-001 before a single byte is written
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from edge.record_check import first_fault
from edge.writers.record_explanation import (
    ChangeView,
    ContrastView,
    GroupView,
    PreclassView,
    QualityView,
    SufficiencyView,
    changes_of,
    contrast_of,
    groups_of,
    number_or_none,
    preclass_of,
    quality_of,
    sufficiency_of,
    text_or_none,
)
from edge.writers.record_reading import Node, record_fault

SCHEMA = "mds-edge.record/1"
STATUS_LETTERS = "P F C W X"
NOT_REQUESTED = "NOT-REQUESTED"
NOT_EVALUABLE = "NOT-EVALUABLE"
INDETERMINATE = "INDETERMINATE"


@dataclass(frozen=True, slots=True)
class CodedText:
    """A stable code with its English text: a warning or a reason."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class SlideView:
    """The slide: identifiers are verbatim and opaque."""

    source: str
    slide_key: str
    sample_id: str
    order_id: str | None
    slide_no: int | None
    acquired_at: str | None
    analyzer_model: str
    analyzer_serial: str | None
    analyzer_software: str | None
    patient_id: str | None


@dataclass(frozen=True, slots=True)
class ParameterView:
    """One of the 114 parameters: `value` is None where nothing could be counted, never 0 instead."""

    name: str
    value: float | None
    numerator: int
    denominator: int
    interval: tuple[float, float] | None

    @property
    def code(self) -> str:
        """The code of the cell type or finding that the parameter is about: SNE of SNE_share."""
        return self.name.split("_", 1)[0]


@dataclass(frozen=True, slots=True)
class ContributionView:
    """What one parameter added to the margin, and the cells behind it."""

    name: str
    value: float
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssessmentView:
    """The score of one target with everything it rests on. Fractions are 0-1; `margin` is in log-odds.

    From `groups` on, what a record made before these fields existed leaves empty.
    """

    target: str
    positive: str
    negative: str
    score: float | None
    margin: float | None
    interval: tuple[float, float] | None
    threshold: float
    call: str
    sufficient: bool
    reasons: tuple[CodedText, ...]
    contributions: tuple[ContributionView, ...]
    groups: tuple[GroupView, ...]
    sufficiency: SufficiencyView | None
    contrast: tuple[ContrastView, ...]
    changes: tuple[ChangeView, ...]


@dataclass(frozen=True, slots=True)
class CellView:
    """One cell: its type (None = unidentified), the type's probability, and the findings with their probabilities.

    `preclass` is the analyzer's own class, `distance` how unlike the training cells it is, `best_type` the
    likeliest type of an unidentified cell; None where not known.
    """

    cell_id: str
    file: str
    type_code: str | None
    probability: float
    findings: Mapping[str, float]
    flags: tuple[str, ...]
    preclass: str | None
    distance: float | None
    best_type: str | None = None


@dataclass(frozen=True, slots=True)
class ProvenanceView:
    """What produced the result."""

    bundle_name: str
    bundle_version: str
    bundle_digest: str
    intended_use: str
    engine_name: str
    engine_device: str
    engine_precision: str
    trees: str
    software: str
    degraded: bool


@dataclass(frozen=True, slots=True)
class RecordView:
    """One revision of one slide's result. `shares`, `per_100` and `rates` split the profile by kind of parameter."""

    message_id: str
    mode: str
    status: str
    revision: int
    supersedes: str | None
    reason: str | None
    analysed_at: datetime
    site: str
    slide: SlideView
    counts: Mapping[str, int]
    leucocytes: int
    images: int
    unreadable: int
    unidentified: int
    out_of_distribution: int
    shares: tuple[ParameterView, ...]
    per_100: tuple[ParameterView, ...]
    rates: tuple[ParameterView, ...]
    assessments: tuple[AssessmentView, ...]
    cells: tuple[CellView, ...]
    warnings: tuple[CodedText, ...]
    provenance: ProvenanceView
    quality: QualityView | None
    preclass: PreclassView | None

    @property
    def others(self) -> int:
        """Cells and objects with a type that is no leucocyte."""
        return sum(self.counts.values()) - self.leucocytes

    @property
    def simulated(self) -> bool:
        """Whether the slide came from the simulator and not from an analyzer."""
        return self.slide.analyzer_model.upper().startswith("SIMULATED")

    @property
    def research_only(self) -> bool:
        """Whether the bundle is not for clinical use, in a result that is no test: a test is marked as that."""
        return self.mode != "T" and self.provenance.intended_use != "clinical"


def view_of_record(record: Mapping[str, object]) -> RecordView:
    """Return the typed view of a record. Raises EdgeError MDSE-WRITER-001 naming the first fault."""
    top = Node(record)
    top.one_of("schema", SCHEMA)
    profile = tuple(_parameter(row) for row in top.nodes("profile"))
    counts_node = top.node("counts")
    view = RecordView(
        message_id=_message_id(top),
        mode=top.one_of("mode", "P T"),
        status=top.one_of("status", STATUS_LETTERS),
        revision=top.integer("revision"),
        supersedes=top.optional("supersedes", top.text),
        reason=top.optional("reason", top.text),
        analysed_at=moment_with_offset(top.text("analysed_at"), "analysed_at"),
        site=top.text("site"),
        slide=_slide(top.node("slide")),
        counts={code: counts_node.integer(code) for code in counts_node.values},
        leucocytes=top.integer("leucocytes"),
        images=top.integer("images"),
        unreadable=top.integer("unreadable"),
        unidentified=top.integer("unidentified"),
        out_of_distribution=top.integer("out_of_distribution"),
        shares=tuple(row for row in profile if row.name.endswith("_share")),
        per_100=tuple(row for row in profile if row.name.endswith("_per_100_wbc")),
        rates=tuple(row for row in profile if row.name.endswith("_rate")),
        assessments=tuple(_assessment(row) for row in top.nodes("assessments")),
        cells=tuple(_cell(row) for row in top.nodes("cells")),
        warnings=_coded_texts(top, "warnings"),
        provenance=_provenance(top.node("provenance")),
        quality=quality_of(top),
        preclass=preclass_of(top),
    )
    fault = first_fault(record)
    if fault:
        raise record_fault(fault)
    return view


def moment_with_offset(text: str, where: str) -> datetime:
    """Return the moment named by an ISO 8601 text. Raises MDSE-WRITER-001 when it has no offset from UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise record_fault(f"{where} is not a time: {text!r}") from error
    if moment.utcoffset() is None:
        raise record_fault(f"{where} has no offset from UTC")
    return moment


def _message_id(top: Node) -> str:
    message_id = top.text("message_id")
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,20}", message_id):
        raise record_fault("message_id is not made of 1 to 20 letters, digits, dots and hyphens")
    return message_id


def _slide(node: Node) -> SlideView:
    analyzer = node.node("analyzer")
    return SlideView(
        source=node.text("source"),
        slide_key=node.text("slide_key"),
        sample_id=node.text("sample_id"),
        order_id=node.optional("order_id", node.text),
        slide_no=node.optional("slide_no", node.integer),
        acquired_at=node.optional("acquired_at", node.text),
        analyzer_model=analyzer.optional("model", analyzer.text) or "",
        analyzer_serial=analyzer.optional("serial", analyzer.text),
        analyzer_software=analyzer.optional("software", analyzer.text),
        patient_id=node.optional("patient_id", node.text),
    )


def _parameter(node: Node) -> ParameterView:
    name = node.text("name")
    if not name.endswith(("_share", "_per_100_wbc", "_rate")):
        raise record_fault(f"{node.path}.name {name!r} is no kind of parameter that is known")
    return ParameterView(
        name=name,
        value=node.optional("value", node.number),
        numerator=node.integer("numerator"),
        denominator=node.integer("denominator"),
        interval=node.optional("ci95", node.interval),
    )


def _assessment(node: Node) -> AssessmentView:
    return AssessmentView(
        target=node.text("target"),
        positive=node.text("positive"),
        negative=node.text("negative"),
        score=node.optional("score", node.number),
        margin=node.optional("margin", node.number),
        interval=node.optional("ci95", node.interval),
        threshold=node.number("threshold"),
        call=node.text("call"),
        sufficient=node.flag("sufficient"),
        reasons=_coded_texts(node, "reasons"),
        contributions=tuple(
            ContributionView(row.text("name"), row.number("value"), row.texts("cells"))
            for row in node.nodes("contributions")
        ),
        groups=groups_of(node),
        sufficiency=sufficiency_of(node),
        contrast=contrast_of(node),
        changes=changes_of(node),
    )


def _cell(node: Node) -> CellView:
    findings = node.node("findings")
    return CellView(
        cell_id=node.text("id"),
        file=node.text("file"),
        type_code=node.optional("type", node.text),
        probability=node.number("p"),
        findings={code: findings.number(code) for code in findings.values},
        flags=node.texts("flags"),
        preclass=text_or_none(node, "preclass"),
        distance=number_or_none(node, "distance"),
        best_type=text_or_none(node, "best_type"),
    )


def _provenance(node: Node) -> ProvenanceView:
    bundle, engine = node.node("bundle"), node.node("engine")
    return ProvenanceView(
        bundle_name=bundle.text("name"),
        bundle_version=bundle.text("version"),
        bundle_digest=bundle.text("digest"),
        intended_use=bundle.text("intended_use"),
        engine_name=engine.text("name"),
        engine_device=engine.text("device"),
        engine_precision=engine.text("precision"),
        trees=node.text("trees"),
        software=node.text("software"),
        degraded=node.flag("degraded"),
    )


def _coded_texts(node: Node, key: str) -> tuple[CodedText, ...]:
    return tuple(CodedText(row.text("code"), row.text("text")) for row in node.nodes(key))
