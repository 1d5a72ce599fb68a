"""The picture of a certificate: for every type or finding how often an engine decides otherwise, with its interval.

One row per code: a dot at the loss, a line over its 95 % interval, the tolerance as a dashed line across all rows. The
verdict stands beside each row in words and as a shape, so that nothing depends on colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_ROW_PX, _LEFT_PX, _WIDTH_PX, _RIGHT_PX, _TOP_PX = 24, 250, 560, 210, 34
_LEAST_AXIS, _MOST_AXIS, _FEWEST_FOR_AXIS = 0.04, 0.20, 20
_SHAPES = {"PROVEN": "circle", "NOT PROVEN": "ring", "REFUSED": "square"}


def losses_svg(rows: Sequence[tuple[str, str, Mapping[str, Any]]], tolerance: float, title: str) -> str:
    """Return an SVG of rows (code, name, entry of parity.json); losses and `tolerance` are fractions 0 to 1."""
    # One cell of a type has an interval from 0 to 98 points: it must not press all others together.
    highest = max((entry["hi"] for _, _, entry in rows if entry["n"] >= _FEWEST_FOR_AXIS), default=0.0)
    axis = min(max(_LEAST_AXIS, highest), _MOST_AXIS)
    height = _TOP_PX + _ROW_PX * len(rows) + 30
    width = _LEFT_PX + _WIDTH_PX + _RIGHT_PX
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" class="losses">',
        *_axis(axis, tolerance, height),
    ]
    for place, (code, name, entry) in enumerate(rows):
        parts += _row(_TOP_PX + _ROW_PX * place + _ROW_PX // 2, code, name, entry, axis)
    return "\n".join([*parts, "</svg>"])


def _x(share: float, axis: float) -> float:
    return round(_LEFT_PX + _WIDTH_PX * min(share, axis) / axis, 1)


def _axis(axis: float, tolerance: float, height: int) -> list[str]:
    step = 0.01 if axis <= 0.06 else 0.02 if axis <= 0.12 else 0.05
    bottom = height - 26
    lines = []
    for number in range(int(axis / step + 1e-9) + 1):
        x = _x(number * step, axis)
        lines.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP_PX}" y2="{bottom}"/>')
        lines.append(f'<text class="tick" x="{x}" y="{height - 8}">{100 * number * step:g}</text>')
    x = _x(tolerance, axis)
    lines.append(f'<line class="limit" x1="{x}" x2="{x}" y1="{_TOP_PX - 8}" y2="{bottom}"/>')
    lines.append(f'<text class="tick" x="{x}" y="{_TOP_PX - 14}">tolerance {100 * tolerance:g}</text>')
    lines.append(f'<text class="unit" x="{_LEFT_PX + _WIDTH_PX + 12}" y="{height - 8}">points of loss</text>')
    return lines


def _row(y: int, code: str, name: str, entry: Mapping[str, Any], axis: float) -> list[str]:
    label = (
        f'<text class="code" x="8" y="{y + 5}">{escape(code)} <tspan class="name">{escape(_short(name))}</tspan></text>'
    )
    right = _LEFT_PX + _WIDTH_PX + 12
    if entry["loss"] is None:
        words = f'<text class="none" x="{_LEFT_PX}" y="{y + 5}">no cell: nothing is known</text>'
        return [label, words, f'<text class="verdict" x="{right}" y="{y + 5}">NOT PROVEN</text>']
    kind = entry["verdict"].lower().replace(" ", "-")
    cut = entry["hi"] > axis
    line = (
        f'<line class="interval {kind}" x1="{_x(entry["lo"], axis)}" x2="{_x(entry["hi"], axis)}" y1="{y}" y2="{y}"/>'
    )
    beyond = f'<text class="tick" x="{_LEFT_PX + _WIDTH_PX - 4}" y="{y - 3}">&#8594;</text>' if cut else ""
    numbers = f"{100 * entry['loss']:.2f} % of {entry['n']}"
    words = f'<text class="verdict {kind}" x="{right}" y="{y + 5}">{entry["verdict"]} <tspan>{numbers}</tspan></text>'
    return [label, line, beyond, _mark(_x(entry["loss"], axis), y, entry["verdict"], kind), words]


def _mark(x: float, y: int, verdict: str, kind: str) -> str:
    if _SHAPES[verdict] == "square":
        return f'<rect class="mark {kind}" x="{x - 5}" y="{y - 5}" width="10" height="10"/>'
    return f'<circle class="mark {kind}" cx="{x}" cy="{y}" r="5"/>'


def _short(name: str) -> str:
    return name if len(name) <= 30 else name[:29] + "…"
