"""The parts of a record that explain a score and judge a film; records made before they existed lack them.

A part that is missing or null reads as None or as an empty tuple: the report then leaves its section out or says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.writers.record_reading import Node


@dataclass(frozen=True, slots=True)
class GroupView:
    """What one group of cells (Fig. 3 of the paper, or OTHER) added to the margin, in log-odds."""

    group: str
    value: float


@dataclass(frozen=True, slots=True)
class SufficiencyView:
    """The cells that an assessment rests on beside the least that it asks for.

    `more_cells` is about how many more cells would halve the counting interval; None where that is not known.
    """

    leucocytes: int
    neutrophils: int
    minimum_leucocytes: int
    minimum_neutrophils: int
    more_cells: int | None
    text: str


@dataclass(frozen=True, slots=True)
class ContrastView:
    """One parameter of this slide beside the medians of the training cohort's two sides; None where missing."""

    name: str
    value: float | None
    positive_median: float | None
    negative_median: float | None


@dataclass(frozen=True, slots=True)
class ChangeView:
    """The smallest change of one count that would turn the call: `needed` cells instead of `counted`, of `of`."""

    name: str
    code: str
    counted: int
    of: int
    needed: int
    score: float


@dataclass(frozen=True, slots=True)
class FocusView:
    """Sharpness of the images; `low_share` (0-1) of them lie below `limit`."""

    median: float
    low_share: float
    limit: float | None


@dataclass(frozen=True, slots=True)
class StainView:
    """The film's colour, and how far it lies from that of the training films."""

    hue_degrees: float
    saturation: float
    lightness: float
    distance: float | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class QualityView:
    """What was measured on the images themselves; a measure that could not be taken is None."""

    focus: FocusView | None
    stain: StainView | None


@dataclass(frozen=True, slots=True)
class PreclassView:
    """How many cells the analyzer had classed itself, and on how many of them this result differs."""

    compared: int
    disagree: int


def sufficiency_of(node: Node) -> SufficiencyView | None:
    """Return the sufficiency of an assessment."""
    if not given(node, "sufficiency"):
        return None
    part = node.node("sufficiency")
    minimum = part.node("minimum")
    return SufficiencyView(
        leucocytes=part.integer("leucocytes"),
        neutrophils=part.integer("neutrophils"),
        minimum_leucocytes=minimum.integer("wbc"),
        minimum_neutrophils=minimum.integer("neutrophil"),
        more_cells=part.optional("more_cells_to_halve_interval", part.integer),
        text=part.text("text"),
    )


def groups_of(node: Node) -> tuple[GroupView, ...]:
    """Return the contributions by group of an assessment."""
    return tuple(GroupView(row.text("group"), row.number("value")) for row in _rows(node, "groups"))


def contrast_of(node: Node) -> tuple[ContrastView, ...]:
    """Return the comparison of an assessment with its cohort."""
    return tuple(
        ContrastView(
            name=row.text("name"),
            value=row.optional("value", row.number),
            positive_median=row.optional("positive_median", row.number),
            negative_median=row.optional("negative_median", row.number),
        )
        for row in _rows(node, "contrast")
    )


def changes_of(node: Node) -> tuple[ChangeView, ...]:
    """Return the single counts that would turn the call of an assessment."""
    return tuple(
        ChangeView(
            name=row.text("name"),
            code=row.text("code"),
            counted=row.integer("counted"),
            of=row.integer("of"),
            needed=row.integer("needed"),
            score=row.number("score"),
        )
        for row in _rows(node, "what_would_change")
    )


def quality_of(top: Node) -> QualityView | None:
    """Return the quality of the images of a record."""
    if not given(top, "quality"):
        return None
    quality = top.node("quality")
    return QualityView(
        focus=_focus(quality.node("focus")) if given(quality, "focus") else None,
        stain=_stain(quality.node("stain")) if given(quality, "stain") else None,
    )


def _focus(node: Node) -> FocusView:
    return FocusView(node.number("median"), node.number("low_share"), number_or_none(node, "limit"))


def _stain(node: Node) -> StainView:
    return StainView(
        hue_degrees=node.number("hue_degrees"),
        saturation=node.number("saturation"),
        lightness=node.number("lightness"),
        distance=number_or_none(node, "distance"),
        limit=number_or_none(node, "limit"),
    )


def preclass_of(top: Node) -> PreclassView | None:
    """Return the comparison with the analyzer's own classes."""
    if not given(top, "preclass"):
        return None
    part = top.node("preclass")
    return PreclassView(part.integer("compared"), part.integer("disagree"))


def number_or_none(node: Node, key: str) -> float | None:
    """Return a number, None where the record has none."""
    return node.number(key) if given(node, key) else None


def text_or_none(node: Node, key: str) -> str | None:
    """Return a text, None where the record has none."""
    return node.text(key) if given(node, key) else None


def given(node: Node, key: str) -> bool:
    """Return whether the record holds something under `key`."""
    return node.values.get(key) is not None


def _rows(node: Node, key: str) -> tuple[Node, ...]:
    return tuple(node.nodes(key)) if given(node, key) else ()
