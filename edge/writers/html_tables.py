"""The differential and the findings as tables: counts, shares and intervals, each with a bar on a common axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from edge.writers.figures import per_hundred, shortest, with_decimals
from edge.writers.html_charts import axis_maximum, interval_bar
from edge.writers.html_gallery import CellPictures, strip
from edge.writers.html_markup import Html, joined, tag
from edge.writers.names import finding_name, finding_short_name, findings, type_name
from edge.writers.record_view import ParameterView, RecordView
from edge.writers.report_context import ReferenceIntervals
from edge.writers.strings import sentence, words


def differential(view: RecordView, anchors: Mapping[str, str], reference: ReferenceIntervals) -> Html:
    """Return the differential: shares of the leucocytes, then what lies beside them per 100.

    `anchors` gives, by type code, the place of that type's cells on the page; `reference` the laboratory's intervals.
    """
    column = ["table.reference"] if reference.limits else []
    beside = ReferenceIntervals(limits={row.code: reference.limits[row.code] for row in view.per_100
                                        if row.code in reference.limits})  # fmt: skip
    maximum = axis_maximum([row.interval[1] if row.interval else row.value or 0.0 for row in view.shares])
    head = _head(["table.type", "table.count", "table.percent", "table.interval", *column], maximum)
    shares = [_share_row(row, maximum, anchors, reference) for row in view.shares]
    others = [_beside_row(row, anchors, beside) for row in view.per_100]
    return tag(
        "section",
        tag("h2", sentence("section.differential")),
        tag("p", sentence("table.leucocytes", count=view.leucocytes), class_="fine"),
        tag("table", head, tag("tbody", *shares), class_="differential"),
        tag("p", sentence("table.others"), class_="fine"),
        tag(
            "table",
            _head(
                [
                    "table.type",
                    "table.count",
                    "table.per_hundred",
                    "table.interval",
                    *(column if beside.limits else []),
                ],
                None,
            ),
            tag("tbody", *others),
            class_="beside",
        ),
        tag("p", _reference_words(reference), class_="fine"),
        class_="card",
        id="differential",
    )


def _head(keys: Sequence[str], maximum: float | None) -> Html:
    cells = [tag("th", sentence(key), scope="col", class_="n" if number else None) for number, key in enumerate(keys)]
    if maximum is not None:
        axis = sentence("table.axis", maximum=shortest(round(100 * maximum, 1)))
        cells.append(tag("th", axis, scope="col", class_="axis"))
    return tag("thead", tag("tr", *cells))


def _reference_words(reference: ReferenceIntervals) -> str:
    """Say where the reference column is from, or that the site has set none: the product brings no limits itself."""
    if not reference.limits:
        return sentence("table.no_reference")
    source = reference.source or sentence("report.not_given")
    return sentence("table.reference_source", source=source)


def _reference_cell(row: ParameterView, reference: ReferenceIntervals) -> Html | None:
    """Return the laboratory's interval and, in words, on which side of it the value lies."""
    if not reference.limits:
        return None
    if row.code not in reference.limits:
        return tag("td", class_="n quiet")
    low, high = reference.limits[row.code]
    text = sentence("table.to", low=shortest(low), high=shortest(high))
    if not row.denominator:
        return tag("td", text, class_="n quiet")
    value = Fraction(100 * row.numerator, row.denominator)
    side = "table.below" if value < Fraction(repr(low)) else "table.above" if value > Fraction(repr(high)) else None
    return tag("td", text, *((" ", tag("strong", sentence(side))) if side else ()), class_="n quiet")


def _share_row(row: ParameterView, maximum: float, anchors: Mapping[str, str], reference: ReferenceIntervals) -> Html:
    percent = per_hundred(row.numerator, row.denominator) if row.denominator else sentence("table.nothing")
    drawing = interval_bar(row.numerator / row.denominator, row.interval, maximum) if row.denominator else None
    return tag(
        "tr",
        tag("th", _type_link(row.code, anchors), scope="row"),
        tag("td", str(row.numerator), class_="n"),
        tag("td", percent, class_="n strong"),
        tag("td", _interval_words(row), class_="n quiet"),
        _reference_cell(row, reference),
        tag("td", drawing, class_="axis"),
        class_=None if row.numerator else "zero",
    )


def _beside_row(row: ParameterView, anchors: Mapping[str, str], reference: ReferenceIntervals) -> Html:
    return tag(
        "tr",
        tag("th", _type_link(row.code, anchors), scope="row"),
        tag("td", str(row.numerator), class_="n"),
        tag("td", per_hundred(row.numerator, row.denominator) if row.denominator else sentence("table.nothing"),
            class_="n strong"),
        tag("td", _interval_words(row), class_="n quiet"),
        _reference_cell(row, reference),
        class_=None if row.numerator else "zero",
    )  # fmt: skip


def _type_link(code: str, anchors: Mapping[str, str]) -> Html:
    name = joined((type_name(code), " ", tag("abbr", code)))
    return tag("a", name, href=f"#{anchors[code]}") if code in anchors else tag("span", name)


def _interval_words(row: ParameterView) -> str:
    if row.interval is None:
        return ""
    factor = 1 if row.name.endswith("_per_100_wbc") else 100
    low, high = (with_decimals(factor * end, 1) for end in row.interval)
    return sentence("table.to", low=low, high=high)


def findings_table(view: RecordView, pictures: CellPictures) -> Html:
    """Return the findings by lineage: those seen with their rates, then the names of those that were not."""
    groups: dict[str, list[ParameterView]] = {}
    for row in view.rates:
        known = findings().get(row.code)
        groups.setdefault(known.group if known else "other", []).append(row)
    seen = [group for group in groups if any(row.numerator for row in groups[group])]
    bodies = [_group_body(group, groups[group], view, pictures) for group in seen]
    head = _head(["table.finding", "table.shown", "table.rate", "table.interval"], 1.0)
    content = tag("table", head, *bodies, class_="findings") if bodies else tag("p", sentence("table.none"))
    return tag(
        "section",
        tag("h2", sentence("section.findings")),
        content,
        _unseen(groups),
        class_="card",
        id="findings",
    )


def _group_body(group: str, rows: list[ParameterView], view: RecordView, pictures: CellPictures) -> Html:
    title = tag("tr", tag("th", _group_name(group), colspan=5, scope="rowgroup", class_="group"))
    shown = sorted((row for row in rows if row.numerator), key=lambda row: -row.numerator)
    # Each finding is a body of its own, so that no page break parts it from its cells.
    return joined((tag("tbody", title, class_="title"), *(_finding_body(row, view, pictures) for row in shown)))


def _finding_body(row: ParameterView, view: RecordView, pictures: CellPictures) -> Html:
    cells = [cell for cell in view.cells if row.code in cell.findings]
    if not cells:
        return tag("tbody", _finding_row(row, None))
    figures = _finding_row(row, "with-cells")
    return tag("tbody", figures, tag("tr", tag("td", strip(cells, pictures), colspan=5, class_="cells")))


def _finding_row(row: ParameterView, look: str | None) -> Html:
    of = sentence("table.of", numerator=row.numerator, denominator=row.denominator)
    return tag(
        "tr",
        tag("th", finding_name(row.code), " ", tag("abbr", row.code), _other_name(row.code), scope="row"),
        tag("td", of, class_="n"),
        tag("td", f"{per_hundred(row.numerator, row.denominator)} %", class_="n strong"),
        tag("td", _interval_words(row), class_="n quiet"),
        tag("td", interval_bar(row.numerator / row.denominator, row.interval, 1.0), class_="axis"),
        class_=look,
    )


def _other_name(code: str) -> Html | None:
    """Return the short name by which the cells carry a finding, where it differs: one thing, two names, said once."""
    short = finding_short_name(code)
    return None if short == finding_name(code) else tag("span", short, class_="fine other-name")


def _unseen(groups: Mapping[str, list[ParameterView]]) -> Html:
    """Name what was looked for and not seen, and what could not be looked for: these are two different things."""
    parts = []
    for group, rows in groups.items():
        absent = [finding_name(row.code) for row in rows if row.denominator and not row.numerator]
        if absent:
            title = tag("strong", f"{_group_name(group)}. ")
            parts.append(tag("p", title, sentence("table.unseen", names="; ".join(absent)), class_="fine"))
    without = [_group_name(group) for group, rows in groups.items() if not any(row.denominator for row in rows)]
    if without:
        parts.append(tag("p", sentence("table.no_cells", names="; ".join(without)), class_="fine"))
    return tag("div", *parts, class_="unseen")


def _group_name(group: str) -> str:
    return words("group").get(group, group)
