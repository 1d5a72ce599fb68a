"""Whether the images can be trusted: focus, stain, and where the analyzer's own classes differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edge.writers.figures import per_hundred, with_decimals
from edge.writers.html_gallery import CellPictures, differs, strip
from edge.writers.html_markup import Html, tag
from edge.writers.names import type_name
from edge.writers.record_explanation import FocusView, PreclassView, QualityView, StainView
from edge.writers.record_view import RecordView
from edge.writers.strings import sentence

PAIRS_SHOWN = 8


def quality(view: RecordView, pictures: CellPictures) -> Html | None:
    """Return the section on image quality; None where the record measured nothing and compared nothing."""
    measured, preclass = view.quality, view.preclass
    if measured is None and preclass is None:
        return None
    parts: list[Html | None] = [tag("h2", sentence("section.quality"))]
    if measured is not None:
        parts.append(tag("dl", *map(_row, judgements(measured)), class_="quality"))
    if preclass is not None and preclass.compared:
        parts.append(_preclass(preclass, view, pictures))
    return tag("section", *parts, class_="card", id="quality")


@dataclass(frozen=True, slots=True)
class Judgement:
    """One measure in words: its name, the verdict (None where only the figures speak), and the figures."""

    name: str
    verdict: str | None
    figures: str


def judgements(measured: QualityView) -> tuple[Judgement, ...]:
    """Return what was measured on the images, each beside its limit where the bundle sets one."""
    found = (measured.focus and _focus(measured.focus), measured.stain and _stain(measured.stain))
    return tuple(judgement for judgement in found if judgement)


def _focus(focus: FocusView) -> Judgement:
    name, median = sentence("quality.focus"), with_decimals(focus.median, 2)
    if focus.limit is None:
        return Judgement(name, sentence("quality.unjudged"), sentence("quality.focus_unjudged", median=median))
    facts = {"share": with_decimals(100 * focus.low_share, 0), "limit": with_decimals(focus.limit, 2)}
    return Judgement(name, None, sentence("quality.focus_words", median=median, **facts))


def _stain(stain: StainView) -> Judgement:
    name = sentence("quality.stain")
    colour = {
        "hue": with_decimals(stain.hue_degrees, 0),
        "saturation": with_decimals(stain.saturation, 1),
        "lightness": with_decimals(stain.lightness, 1),
    }
    if stain.distance is None or stain.limit is None:
        return Judgement(name, sentence("quality.unjudged"), sentence("quality.stain_unjudged", **colour))
    facts = {"distance": with_decimals(stain.distance, 2), "limit": with_decimals(stain.limit, 2)}
    verdict = sentence("quality.within" if stain.distance <= stain.limit else "quality.outside")
    return Judgement(name, verdict, sentence("quality.stain_words", **colour, **facts))


def _row(judgement: Judgement) -> Html:
    verdict = tag("strong", judgement.verdict, " ") if judgement.verdict else None
    return tag("div", tag("dt", judgement.name), tag("dd", verdict, judgement.figures))


def preclass_words(preclass: PreclassView) -> str:
    """Return on how many cells the analyzer's own class differs."""
    percent = per_hundred(preclass.disagree, preclass.compared)
    return sentence("quality.preclass", percent=percent, compared=preclass.compared, disagree=preclass.disagree)


def _preclass(preclass: PreclassView, view: RecordView, pictures: CellPictures) -> Html:
    """Return which classes of the analyzer became which types, the most frequent first, with the cells."""
    pairs = Counter((cell.preclass or "", cell.type_code or "") for cell in view.cells if differs(cell))
    rows = []
    for (given, found), count in pairs.most_common(PAIRS_SHOWN):
        cells = [cell for cell in view.cells if differs(cell) and (cell.preclass, cell.type_code) == (given, found)]
        words = sentence("quality.pair", given=type_name(given), found=type_name(found), count=count)
        rows.append(tag("div", tag("p", words, class_="strip-title"), strip(cells, pictures), class_="behind"))
    return tag(
        "div",
        tag("h3", sentence("section.preclass")),
        tag("p", preclass_words(preclass)),
        *rows,
    )
