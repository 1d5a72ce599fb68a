"""The drawings of the report as inline SVG: interval bars, the score scale, the contribution chart.

Blue and orange keep their meaning for the colour-blind; in grey the direction and the labels carry it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.writers.figures import shortest, with_decimals
from edge.writers.html_markup import Html, tag
from edge.writers.record_view import AssessmentView
from edge.writers.strings import sentence


def axis_maximum(uppers: Sequence[float]) -> float:
    """Return the end of an axis of fractions that holds every value: 0.1, 0.25, 0.5, 0.75 or 1."""
    highest = max(uppers, default=0.0)
    return next((end for end in (0.1, 0.25, 0.5, 0.75) if highest <= end), 1.0)


def interval_bar(value: float, interval: tuple[float, float] | None, maximum: float) -> Html:
    """Return a bar from 0 to `value` with its interval as a line, on an axis from 0 to `maximum`."""
    scale = 200 / maximum
    parts = [
        tag("rect", x=0, y=4, width=200, height=8, class_="track"),
        tag("rect", x=0, y=4, width=_place(value * scale), height=8, class_="bar"),
    ]
    if interval:
        low, high = (min(end, maximum) * scale for end in interval)
        parts.append(tag("rect", x=_place(low), y=7.25, width=_place(max(high - low, 0.8)), height=1.5, class_="line"))
        parts.extend(
            tag("rect", x=_place(min(end, 198.8)), y=4, width=1.2, height=8, class_="line") for end in (low, high)
        )
    return tag("svg", *parts, viewBox="0 0 200 16", class_="interval", aria_hidden="true", preserveAspectRatio="none")


def score_scale(assessment: AssessmentView) -> Html:
    """Return the score of an assessment on its scale from 0 to 1, with threshold and interval."""
    score, threshold = assessment.score or 0.0, assessment.threshold
    left, width = 30, 640
    cut, dot = left + threshold * width, left + score * width
    parts = [
        tag("rect", x=left, y=46, width=_place(cut - left), height=18, class_="side-negative"),
        tag("rect", x=_place(cut), y=46, width=_place(left + width - cut), height=18, class_="side-positive"),
        *_ticks(left, width),
        tag("line", x1=_place(cut), x2=_place(cut), y1=34, y2=72, class_="threshold"),
        _label(cut, 28, sentence("call.score_threshold", threshold=shortest(threshold)), "middle"),
        _label(left, 108, "\u2190 " + sentence("call.more_like", name=assessment.negative), "start", "negative"),
        _label(left + width, 108, sentence("call.more_like", name=assessment.positive) + " \u2192", "end", "positive"),
    ]
    if assessment.interval:
        low, high = (left + end * width for end in assessment.interval)
        parts.append(tag("rect", x=_place(low), y=53, width=_place(max(high - low, 1)), height=4, class_="line"))
        parts.extend(tag("rect", x=_place(end - 1), y=47, width=2, height=16, class_="line") for end in (low, high))
    parts.append(tag("circle", cx=_place(dot), cy=55, r=8, class_="dot"))
    interval = interval_words(assessment)
    label = sentence(
        "call.scale",
        score=with_decimals(score, 3),
        negative=assessment.negative,
        positive=assessment.positive,
        threshold=shortest(threshold),
        interval=interval,
    )
    return tag("svg", *parts, viewBox="0 0 700 116", class_="scale", role="img", aria_label=label)


def interval_words(assessment: AssessmentView) -> str:
    """Return the interval of a score in words."""
    if assessment.interval is None:
        return sentence("call.score_no_interval")
    low, high = (with_decimals(end, 3) for end in assessment.interval)
    return sentence("call.score_interval", low=low, high=high)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the contribution chart: words, signed value (log-odds) and the anchor of its cells."""

    name: str
    value: float
    anchor: str
    side: str


def contribution_chart(bars: Sequence[Bar], *, negative: str, positive: str) -> Html:
    """Return horizontal bars around zero; each is a link to the cells behind it."""
    longest = max((abs(bar.value) for bar in bars), default=1.0) or 1.0
    height = 34 + 26 * len(bars)
    parts = [
        _label(470, 16, "\u2190 " + sentence("contribution.towards", name=negative), "end", "negative"),
        _label(490, 16, sentence("contribution.towards", name=positive) + " \u2192", "start", "positive"),
        tag("line", x1=480, x2=480, y1=24, y2=height, class_="zero"),
    ]
    for number, bar in enumerate(bars):
        parts.append(_bar(bar, 30 + 26 * number, 150 * bar.value / longest))
    label = sentence("contribution.chart", count=len(bars))
    return tag("svg", *parts, viewBox=f"0 0 700 {height}", class_="chart", role="group", aria_label=label)


def _bar(bar: Bar, top: float, length: float) -> Html:
    towards_positive = length >= 0
    value = ("+" if bar.value > 0 else "") + with_decimals(bar.value, 3).replace("-", "\u2212")
    start = 480 if towards_positive else 480 + length
    words = sentence("contribution.bar", name=bar.name, value=value, side=bar.side)
    shape = tag(
        "rect", x=_place(start), y=top, width=_place(max(abs(length), 1)), height=18,
        class_="positive-bar" if towards_positive else "negative-bar",
    )  # fmt: skip
    end = 480 + length + (6 if towards_positive else -6)
    return tag(
        "a",
        tag("rect", x=0, y=top - 4, width=700, height=26, class_="hit"),
        _label(306, top + 13.5, _shortened(bar.name, 45), "end"),
        shape,
        _label(end, top + 13.5, value, "start" if towards_positive else "end", "figure"),
        tag("title", words),
        href=f"#{bar.anchor}",
        aria_label=words,
    )


def _ticks(left: float, width: float) -> list[Html]:
    ticks = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        place = left + share * width
        ticks.append(tag("line", x1=_place(place), x2=_place(place), y1=64, y2=69, class_="tick"))
        ticks.append(_label(place, 83, shortest(share), "middle", "small"))
    return ticks


def _label(x: float, y: float, text: str, anchor: str, kind: str = "") -> Html:
    return tag("text", text, x=_place(x), y=_place(y), text_anchor=anchor, class_=kind or None)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "\u2026"


def _place(value: float) -> str:
    return shortest(round(value, 2))


HEAT_STEPS = 4


def heat_strip(values: Sequence[float], scale: float) -> Html:
    """Return values as one row of a heat map, blue below 0 and orange above, full colour at `scale`.

    One path for every shade: a strip of sixty slides stays small.
    """
    shades: dict[int, list[int]] = {}
    for place, value in enumerate(values):
        share = max(-1.0, min(1.0, value / scale)) if scale else 0.0
        shades.setdefault(round(share * HEAT_STEPS), []).append(place)
    paths = [
        tag("path", d="".join(f"M{place} 0h1v1h-1z" for place in places), class_=f"heat-{shade + HEAT_STEPS}")
        for shade, places in sorted(shades.items())
    ]
    return tag(
        "svg", *paths, viewBox=f"0 0 {max(len(values), 1)} 1", class_="heat", aria_hidden="true",
        preserveAspectRatio="none", shape_rendering="crispEdges",
    )  # fmt: skip


def place_marks(slide: float | None, positive: float | None, negative: float | None) -> Html:
    """Return a line from 0 to the largest of three values with a mark for each: disc, triangle up, triangle down."""
    known = [value for value in (slide, positive, negative) if value is not None]
    largest = max(known, default=0.0) or 1.0
    parts = [tag("line", x1=8, x2=192, y1=10, y2=10, class_="tick")]
    for kind, value in (("negative", negative), ("positive", positive), ("slide", slide)):
        if value is not None:
            parts.append(_mark(kind, 8 + 184 * value / largest))
    return tag("svg", *parts, viewBox="0 0 200 20", class_="marks", aria_hidden="true")


def _mark(kind: str, x: float) -> Html:
    if kind == "slide":
        return tag("circle", cx=_place(x), cy=10, r=4.5, class_="dot")
    tip, base = (3, 12) if kind == "positive" else (17, 8)
    return tag("path", d=f"M{_place(x)} {tip}l5 {base - tip}h-10z", class_=f"{kind}-bar")
