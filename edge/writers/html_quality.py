"""Whether the images can be trusted: focus, stain, and where the analyzer's own classes differ."""

from __future__ import annotations

from collections import Counter

from edge.writers.figures import per_hundred, with_decimals
from edge.writers.html_gallery import CellPictures, differs, strip
from edge.writers.html_markup import Html, tag
from edge.writers.names import type_name
from edge.writers.record_explanation import FocusView, PreclassView, StainView
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
        judged = [
            _focus(measured.focus) if measured.focus else None,
            _stain(measured.stain) if measured.stain else None,
        ]
        parts.append(tag("dl", *judged, class_="quality"))
    if preclass is not None and preclass.compared:
        parts.append(_preclass(preclass, view, pictures))
    return tag("section", *parts, class_="card", id="quality")


def _focus(focus: FocusView) -> Html:
    share = with_decimals(100 * focus.low_share, 0)
    if focus.limit is None:
        words = sentence("quality.focus_unjudged", median=with_decimals(focus.median, 2))
        return _measure("quality.focus", "quality.unjudged", words)
    facts = {"median": with_decimals(focus.median, 2), "share": share, "limit": with_decimals(focus.limit, 2)}
    return _measure("quality.focus", None, sentence("quality.focus_words", **facts))


def _stain(stain: StainView) -> Html:
    colour = {
        "hue": with_decimals(stain.hue_degrees, 0),
        "saturation": with_decimals(stain.saturation, 2),
        "lightness": with_decimals(stain.lightness, 2),
    }
    if stain.distance is None or stain.limit is None:
        return _measure("quality.stain", "quality.unjudged", sentence("quality.stain_unjudged", **colour))
    facts = {"distance": with_decimals(stain.distance, 2), "limit": with_decimals(stain.limit, 2)}
    verdict = "quality.within" if stain.distance <= stain.limit else "quality.outside"
    return _measure("quality.stain", verdict, sentence("quality.stain_words", **colour, **facts))


def _measure(name: str, verdict: str | None, words: str) -> Html:
    judged = tag("strong", sentence(verdict), " ") if verdict else None
    return tag("div", tag("dt", sentence(name)), tag("dd", judged, words))


def _preclass(preclass: PreclassView, view: RecordView, pictures: CellPictures) -> Html:
    """Return which classes of the analyzer became which types, the most frequent first, with the cells."""
    facts = {"compared": preclass.compared, "disagree": preclass.disagree}
    percent = per_hundred(preclass.disagree, preclass.compared)
    pairs = Counter((cell.preclass or "", cell.type_code or "") for cell in view.cells if differs(cell))
    rows = []
    for (given, found), count in pairs.most_common(PAIRS_SHOWN):
        cells = [cell for cell in view.cells if differs(cell) and (cell.preclass, cell.type_code) == (given, found)]
        words = sentence("quality.pair", given=type_name(given), found=type_name(found), count=count)
        rows.append(tag("div", tag("p", words, class_="strip-title"), strip(cells, pictures), class_="behind"))
    return tag(
        "div",
        tag("h3", sentence("section.preclass")),
        tag("p", sentence("quality.preclass", percent=percent, **facts)),
        *rows,
    )
