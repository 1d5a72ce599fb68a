"""The pieces of the validation report: tables, pictures, numbers with their intervals."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from edge.writers.html_markup import Html, joined, tag

Cell = str | Html | None


def percent(value: float | None, interval: Sequence[float] | None = None, *, below: float | None = None) -> Html:
    """Return a fraction as per cent with its interval; marked where it is below `below`, the paper's."""
    if value is None:
        return tag("span", "-")
    mark = "below" if below is not None and value < below else None
    return joined((tag("span", f"{100 * value:.1f}", class_=mark), _range(interval, 100, 1)))


def number(value: float | None, interval: Sequence[float] | None = None, *, below: float | None = None) -> Html:
    """Return a figure with three decimals and its interval; marked where it is below `below`, the paper's."""
    if value is None:
        return tag("span", "-")
    mark = "below" if below is not None and value < below else None
    return joined((tag("span", f"{value:.3f}", class_=mark), _range(interval, 1, 3)))


def table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    paper: Sequence[int] = (),
    text: Sequence[int] = (),
) -> Html:
    """Return a table; columns in `paper` hold published figures and are shaded, those in `text` hold words."""

    def kind(column: int) -> str | None:
        return "paper" if column in paper else "text" if column in text else None

    header = tag("tr", *(tag("th", name, class_=kind(i), scope="col") for i, name in enumerate(head)))
    body = [tag("tr", *(tag("td", cell or "", class_=kind(i)) for i, cell in enumerate(row))) for row in rows]
    made = tag("table", tag("caption", caption), tag("thead", header), tag("tbody", *body))
    return tag("div", made, class_="scroll")


def picture(pictures: Mapping[str, bytes], name: str, alternative: str, caption: str) -> Html | None:
    """Return a picture as a figure of the page, None where it was not drawn."""
    if name not in pictures:
        return None
    data = base64.b64encode(pictures[name]).decode("ascii")
    image = tag("img", src=f"data:image/svg+xml;base64,{data}", alt=alternative)
    return tag("figure", image, tag("figcaption", caption))


def facts(rows: Sequence[tuple[str, Any]]) -> Html:
    """Return a list of facts."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", str(value))) for name, value in rows))


def bullets(lines: Sequence[str]) -> Html:
    """Return a list of sentences."""
    return tag("ul", *(tag("li", line) for line in lines))


def section(title: str, *children: Cell, simulated: bool = False) -> Html:
    """Return a part of the page; a simulated one says so in words and by its frame."""
    banner = tag(
        "p", "SIMULATED: drawn or composed by a program. Never compare with figures of patients.", class_="banner"
    )
    return tag(
        "section", tag("h2", title), banner if simulated else None, *children, class_="simulated" if simulated else None
    )


def _range(interval: Sequence[float] | None, factor: float, digits: int) -> Html | None:
    if interval is None:
        return None
    low, high = (f"{factor * bound:.{digits}f}" for bound in interval)
    return tag("span", f" ({low}\u2013{high})", class_="range")
