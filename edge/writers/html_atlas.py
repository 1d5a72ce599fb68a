"""The atlas: where the network sees this slide's cells among reference cells of every type (Fig. 2 of the paper).

Reference types are told apart by their labels; colour only helps. This slide's cells are marks of three shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from edge.writers.figures import shortest
from edge.writers.html_gallery import CellPictures, cell_words
from edge.writers.html_markup import Html, tag
from edge.writers.names import cell_types, type_name
from edge.writers.record_view import CellView, RecordView
from edge.writers.report_context import AtlasPoints, Point
from edge.writers.strings import sentence

WIDTH, HEIGHT, MARGIN = 700, 520, 18
SHAPES = ("plain", "finding", "unnamed")


def atlas(view: RecordView, points: AtlasPoints | None, pictures: CellPictures) -> Html | None:
    """Return the section with the atlas; None where the bundle has none or no cell was placed."""
    placed = [cell for cell in view.cells if points is not None and cell.cell_id in points.cells]
    if points is None or not placed:
        return None
    frame = _Frame([*(p for places in points.references.values() for p in places), *points.cells.values()])
    drawn = [_references(code, places, frame) for code, places in points.references.items() if places]
    marks = [_mark(cell, frame.place(points.cells[cell.cell_id]), pictures) for cell in placed]
    labels = _labels(points.references, frame)
    count = sum(len(places) for places in points.references.values())
    label = sentence("atlas.picture", cells=len(placed), references=count)
    picture = tag("svg", *drawn, *marks, *labels, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="atlas", role="group",
                  aria_label=label)  # fmt: skip
    lead = tag("p", sentence("atlas.lead", references=count), class_="fine")
    return tag(
        "section", tag("h2", sentence("section.atlas")), lead, picture, _legend(points), class_="card", id="atlas"
    )


class _Frame:
    """The window of the picture: all points within the margins, both axes in the same unit."""

    def __init__(self, points: Sequence[Point]) -> None:
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        self._left, self._top = min(xs), min(ys)
        wide, high = max(xs) - self._left or 1.0, max(ys) - self._top or 1.0
        self._scale = min((WIDTH - 2 * MARGIN) / wide, (HEIGHT - 2 * MARGIN) / high)
        self._shift = ((WIDTH - wide * self._scale) / 2, (HEIGHT - high * self._scale) / 2)

    def place(self, point: Point) -> Point:
        """Return where a point lies in the picture."""
        x, y = (point[0] - self._left) * self._scale, (point[1] - self._top) * self._scale
        return x + self._shift[0], y + self._shift[1]


def _references(code: str, places: Sequence[Point], frame: _Frame) -> Html:
    """Return the reference cells of a type as one path of dots: 1,500 elements would make the page heavy."""
    steps = "".join(f"M{_written(frame.place(place))}h0" for place in places)
    known = cell_types().get(code)
    return tag("path", d=steps, class_=f"reference lineage-{known.group if known else 'other'}")


def _labels(references: Mapping[str, Sequence[Point]], frame: _Frame) -> list[Html]:
    """Return the code of each type in the middle of its reference cells, moved down where another label stands."""
    taken: list[Point] = []
    labels = []
    for code, places in references.items():
        if not places:
            continue
        x, y = frame.place((median(p[0] for p in places), median(p[1] for p in places)))
        while any(abs(x - other[0]) < 34 and abs(y - other[1]) < 14 for other in taken):
            y += 14
        taken.append((x, y))
        labels.append(tag("text", code, x=shortest(round(x, 1)), y=shortest(round(y + 4, 1)), text_anchor="middle",
                          class_="type-label"))  # fmt: skip
    return labels


def _mark(cell: CellView, place: Point, pictures: CellPictures) -> Html:
    kind = "unnamed" if cell.type_code is None else "finding" if cell.findings else "plain"
    label = cell_words(cell)
    return tag("a", tag("title", label), _shape(kind, place), href=f"#{pictures.anchor(cell.cell_id)}",
               aria_label=label)  # fmt: skip


def _shape(kind: str, place: Point) -> Html:
    if kind == "unnamed":
        x, y = place
        corners = ((x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y))
        return tag("path", d="M" + "L".join(_written(corner) for corner in corners) + "z", class_="mark unnamed")
    x_text, y_text = _written(place).split(" ")
    return tag("circle", cx=x_text, cy=y_text, r=4.5 if kind == "finding" else 3.5, class_=f"mark {kind}")


def _legend(points: AtlasPoints) -> Html:
    keys = [
        tag(
            "li",
            tag("svg", _shape(kind, (8, 8)), viewBox="0 0 16 16", class_="key", aria_hidden="true"),
            sentence(f"atlas.{kind}"),
        )
        for kind in SHAPES
    ]
    types = "; ".join(f"{code} {type_name(code)}" for code, places in points.references.items() if places)
    return tag("div", tag("ul", *keys, class_="keys"), tag("p", sentence("atlas.types", types=types), class_="fine"))


def _written(point: Point) -> str:
    return " ".join(shortest(round(float(part), 1)) for part in point)
