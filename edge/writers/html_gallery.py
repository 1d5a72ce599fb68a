"""Every cell as it was seen, by type, with what was read on it; each picture is stored once and shown where needed.

Anchors are made from positions, never from identifiers of the record.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from edge.preclass import types_from_preclass
from edge.writers.figures import with_decimals
from edge.writers.html_markup import Html, joined, tag
from edge.writers.names import finding_name, finding_short_name, type_name
from edge.writers.record_view import CellView, RecordView
from edge.writers.strings import sentence, words

SIDE_PX = 96
CELLS_IN_STRIP = 20


class CellPictures:
    """The pictures of a slide's cells: one definition each, and any number of places that show it."""

    def __init__(self, view: RecordView, thumbnails: Mapping[str, bytes]) -> None:
        self._numbers = {cell.cell_id: number for number, cell in enumerate(view.cells)}
        self._thumbnails = {cell.cell_id: thumbnails[cell.cell_id] for cell in view.cells if cell.cell_id in thumbnails}

    def anchor(self, cell_id: str) -> str | None:
        """Return the place of a cell in the gallery; None for an id that the record does not list."""
        number = self._numbers.get(cell_id)
        return None if number is None else f"cell-{number}"

    def definitions(self) -> Html:
        """Return the pictures themselves, unseen, for `shown` to refer to."""
        images = []
        for cell_id, content in self._thumbnails.items():
            data = "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
            number = self._numbers[cell_id]
            images.append(tag("image", href=data, id=f"picture-{number}", width=SIDE_PX, height=SIDE_PX))
        return tag("svg", tag("defs", *images), class_="pictures", width=0, height=0, aria_hidden="true")

    def shown(self, cell_id: str, label: str) -> Html:
        """Return the picture of a cell, or a frame that says there is none."""
        box = f"0 0 {SIDE_PX} {SIDE_PX}"
        if cell_id in self._thumbnails:
            picture = tag("use", href=f"#picture-{self._numbers[cell_id]}")
        else:
            picture = tag("text", sentence("gallery.no_image"), x=SIDE_PX / 2, y=SIDE_PX / 2, text_anchor="middle")
        return tag("svg", tag("title", label), picture, viewBox=box, role="img", class_="cell-picture")


def strip(cells: Sequence[CellView], pictures: CellPictures, counted: int | None = None) -> Html:
    """Return small pictures of cells, each a link to its place in the gallery.

    `counted` says how many cells there are where `cells` does not hold them all; the rest is told as a number.
    """
    more = max(counted or 0, len(cells)) - min(len(cells), CELLS_IN_STRIP)
    links = [
        tag("a", pictures.shown(cell.cell_id, cell_words(cell)), href=f"#{pictures.anchor(cell.cell_id)}")
        for cell in cells[:CELLS_IN_STRIP]
    ]
    if more:
        links.append(tag("span", sentence("table.more", count=more), class_="more"))
    return tag("div", *links, class_="strip")


def type_anchors(view: RecordView) -> dict[str, str]:
    """Return the place of each type's cells, for the types that have any."""
    present = {cell.type_code for cell in view.cells}
    return {code: f"type-{number}" for number, code in enumerate(view.counts) if code in present}


def gallery(view: RecordView, pictures: CellPictures) -> Html:
    """Return the cells by type in the order of the differential, unidentified ones last."""
    anchors = type_anchors(view)
    groups = []
    for code, anchor in anchors.items():
        cells = [cell for cell in view.cells if cell.type_code == code]
        heading = sentence("gallery.heading", name=type_name(code), count=len(cells))
        groups.append(_group(heading, anchor, cells, pictures))
    unnamed = [cell for cell in view.cells if cell.type_code not in anchors]
    if unnamed:
        heading = sentence("gallery.unidentified", count=len(unnamed))
        groups.append(_group(heading, "type-unidentified", unnamed, pictures))
    lead = tag("p", sentence("gallery.lead"), class_="fine")
    heading = tag("h2", sentence("section.gallery"))
    return tag("section", heading, lead, _order_chooser(), *groups, class_="card", id="gallery")


def _order_chooser() -> Html:
    """Return the choice of an order, hidden until the page's script can follow it."""
    options = [tag("option", sentence(f"gallery.order_{name}"), value=name) for name in ("suspicion", "doubt", "slide")]
    chooser = tag("select", *options, class_="cell-order")
    return tag("label", sentence("gallery.order"), " ", chooser, class_="order", hidden="hidden")


def _group(heading: str, anchor: str, cells: list[CellView], pictures: CellPictures) -> Html:
    ranked = sorted(cells, key=_suspicion, reverse=True)
    figures = [_figure(cell, rank, pictures) for rank, cell in enumerate(ranked)]
    return tag("div", tag("h3", heading, id=anchor), tag("div", *figures, class_="gallery"), class_="gallery-group")


def _suspicion(cell: CellView) -> tuple[int, float, bool, float]:
    """Return how much a cell wants a second look within its type: findings, then dissent, then doubt."""
    return len(cell.findings), max(cell.findings.values(), default=0.0), differs(cell), -cell.probability


def differs(cell: CellView) -> bool:
    """Return whether the analyzer's class of a cell, where it names types that we know, is not the one found here."""
    if cell.preclass is None or cell.type_code is None:
        return False
    may_be = types_from_preclass(cell.preclass)
    return bool(may_be) and cell.type_code not in may_be


def _figure(cell: CellView, rank: int, pictures: CellPictures) -> Html:
    percent = with_decimals(100 * cell.probability, 0)
    flags = [_flag_words(flag) for flag in cell.flags]
    caption = [
        tag(
            "span", tag("b", sentence("gallery.probability", percent=percent)), " ", tag("i", cell.cell_id), class_="id"
        ),
        *(tag("span", finding_short_name(code), class_="finding", title=finding_name(code)) for code in cell.findings),
        *(tag("span", flag, class_="flag") for flag in flags),
        tag("span", sentence("gallery.best_type", type=type_name(cell.best_type)), class_="flag")
        if cell.best_type
        else None,
        tag("span", sentence("gallery.preclass", type=type_name(cell.preclass)), class_="flag")
        if cell.preclass and differs(cell)
        else None,
    ]
    picture = pictures.shown(cell.cell_id, cell_words(cell))
    caption_tag = tag("figcaption", joined(caption))
    anchor = pictures.anchor(cell.cell_id) or ""
    return tag(
        "figure",
        picture,
        caption_tag,
        id=anchor,
        title=cell.file,
        data_suspicion=rank,
        data_doubt=cell.probability,
        data_slide=anchor.removeprefix("cell-"),
    )


def cell_words(cell: CellView) -> str:
    """Return what a cell is, for readers who cannot see the picture."""
    percent = with_decimals(100 * cell.probability, 0)
    kind = type_name(cell.type_code) if cell.type_code else _flag_words("UNIDENTIFIED")
    return sentence("gallery.cell", cell=cell.cell_id, type=kind, percent=percent)


def _flag_words(flag: str) -> str:
    return words("gallery").get(f"flag_{flag}", flag)
