"""How the results of one sample id run through time: a row of small drawings for every sample id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.writers.figures import per_hundred, shortest, with_decimals
from edge.writers.html_markup import Html, tag
from edge.writers.record_view import NOT_EVALUABLE, NOT_REQUESTED, RecordView
from edge.writers.strings import sentence

WIDTH, HEIGHT, MARGIN = 150, 34, 5
WITHOUT_RESULT = ("W", "X")
# Main shares of the differential: the types that are added up for each, in the order of the columns.
SHARES = {"neutrophils": ("SNE", "BNE"), "lymphocytes": ("LY", "VLY"), "monocytes": ("MO",), "blasts": ("BL",)}


@dataclass(frozen=True, slots=True)
class Series:
    """Values at points in time (seconds), None where a slide gave none, with the texts that people read."""

    times_s: tuple[float, ...]
    values: tuple[float | None, ...]
    texts: tuple[str, ...]


def trends(views: Sequence[RecordView]) -> Html | None:
    """Return a table with one row per sample id, the newest first; None where no slide has a result."""
    samples: dict[tuple[str, str], list[RecordView]] = {}
    for view in sorted(views, key=lambda view: (view.analysed_at, view.message_id)):
        if view.status not in WITHOUT_RESULT:
            # A test or simulated slide under a real sample id is no point on that patient's line.
            samples.setdefault((view.slide.sample_id, _mark(view)), []).append(view)
    if not samples:
        return None
    targets = sorted({(a.target, a.positive) for view in views for a in view.assessments})
    heads = [_head(sentence("index.sample")), _head(sentence("trend.slides")), _head(sentence("trend.span"))]
    heads += [_head(sentence("trend.score", name=positive)) for _, positive in targets]
    heads += [_head(sentence(f"trend.{share}")) for share in SHARES]
    newest_first = sorted(samples.items(), key=lambda item: item[1][-1].analysed_at, reverse=True)
    rows = [_row(", ".join(filter(None, key)), slides, targets) for key, slides in newest_first]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="index trends sortable")
    lead = tag("p", sentence("trend.lead"), class_="fine")
    return tag(
        "section",
        tag("h2", sentence("trend.heading")),
        lead,
        tag("div", table, class_="wide", tabindex=0),
        class_="card",
    )


def _mark(view: RecordView) -> str:
    """Return the word that marks a test or a simulated slide; "" for a patient's."""
    key = "test" if view.mode == "T" else "simulated" if view.simulated else ""
    return sentence(f"banner.{key}_title") if key else ""


def _head(text: str) -> Html:
    return tag("th", text, scope="col")


def _row(whose: str, slides: Sequence[RecordView], targets: Sequence[tuple[str, str]]) -> Html:
    first, last = (slide.analysed_at.date().isoformat() for slide in (slides[0], slides[-1]))
    span = first if first == last else f"{first} \u2013 {last}"
    drawings = []
    for target, positive in targets:
        name = sentence("trend.score", name=positive)
        drawings.append(_drawing(name, _scores(slides, target), 1.0, _threshold(slides, target)))
    for share, codes in SHARES.items():
        series = _shares(slides, codes)
        top = max([value for value in series.values if value is not None], default=0.0)
        drawings.append(_drawing(sentence(f"trend.{share}"), series, 1.0 if top > 0.25 else 0.25, None))
    return tag(
        "tr",
        tag("th", whose, scope="row"),
        tag("td", str(len(slides)), class_="n"),
        tag("td", span, data_key=last),
        *drawings,
    )


def _scores(slides: Sequence[RecordView], target: str) -> Series:
    values: list[float | None] = []
    for slide in slides:
        given = [
            a.score for a in slide.assessments if a.target == target and a.call not in (NOT_EVALUABLE, NOT_REQUESTED)
        ]
        values.append(given[0] if given else None)
    texts = tuple("\u2013" if value is None else with_decimals(value, 3) for value in values)
    return Series(_times(slides), tuple(values), texts)


def _threshold(slides: Sequence[RecordView], target: str) -> float | None:
    """Return the threshold of the newest slide that has this target: a new bundle may bring another."""
    found = [a.threshold for slide in slides for a in slide.assessments if a.target == target]
    return found[-1] if found else None


def _shares(slides: Sequence[RecordView], codes: Sequence[str]) -> Series:
    values: list[float | None] = []
    texts = []
    for slide in slides:
        counted = sum(slide.counts.get(code, 0) for code in codes)
        values.append(counted / slide.leucocytes if slide.leucocytes else None)
        texts.append(per_hundred(counted, slide.leucocytes) if slide.leucocytes else "\u2013")
    return Series(_times(slides), tuple(values), tuple(texts))


def _times(slides: Sequence[RecordView]) -> tuple[float, ...]:
    return tuple(slide.analysed_at.timestamp() for slide in slides)


def _drawing(name: str, series: Series, top: float, threshold: float | None) -> Html:
    """Return the newest value and, where there is more than one slide, the line that leads to it."""
    newest = series.texts[-1]
    if len(series.values) == 1:
        return tag("td", tag("b", newest), data_key=newest)
    label = sentence("trend.drawing", name=name, values=", ".join(series.texts))
    return tag("td", sparkline(series, top, threshold, label), tag("b", newest), data_key=newest, class_="trend")


def sparkline(series: Series, top: float, threshold: float | None, label: str) -> Html:
    """Return a small line through the values on an axis from 0 to `top`; a missing value interrupts it."""
    start, span = series.times_s[0], series.times_s[-1] - series.times_s[0] or 1.0
    points = [
        None if value is None else (_across(time, start, span), _up(value, top))
        for time, value in zip(series.times_s, series.values, strict=True)
    ]
    steps, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        steps.append(f"{pen}{shortest(point[0])} {shortest(point[1])}")
        pen = "L"
    parts = [tag("path", d="".join(steps), class_="spark")] if steps else []
    if threshold is not None:
        height = shortest(_up(threshold, top))
        parts.insert(0, tag("line", x1=0, x2=WIDTH, y1=height, y2=height, class_="threshold"))
    parts += [tag("circle", cx=shortest(p[0]), cy=shortest(p[1]), r=2, class_="spark-point") for p in points if p]
    return tag("svg", tag("title", label), *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="sparkline", role="img",
               aria_label=label)  # fmt: skip


def _across(time_s: float, start_s: float, span_s: float) -> float:
    return round(MARGIN + (WIDTH - 2 * MARGIN) * (time_s - start_s) / span_s, 1)


def _up(value: float, top: float) -> float:
    return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(value / top, 1.0), 1)
