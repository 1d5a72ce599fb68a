"""A report as one SVG picture: where the time of a slide goes, and how long slides took. Drawn by hand, no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edge.bench.report import PARALLEL, STAGE_NAMES, percentile

WIDTH, MARGIN, LABELS, ROW, BAR = 860, 36, 190, 26, 16
_BAR_LEFT, _BAR_WIDTH = MARGIN + LABELS, WIDTH - 2 * MARGIN - LABELS - 90
_INK, _PALE, _LINE, _ON_THREADS, _ACCENT = "#1b2733", "#5c6b7a", "#d5dce3", "#9fb8d3", "#1f5fa8"
_STRIP = 70  # height of the band in which the slides lie
_FONT = "font-family=\"system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\""


def svg_from_report(report: Mapping[str, Any]) -> str:
    """Return the picture as SVG: bars of the stages, then every slide's time with its percentiles."""
    stages = list(report["stage_ms"].items())
    bars_top = 122
    strip_top = bars_top + ROW * len(stages) + 92
    height = strip_top + _STRIP + 92
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'{_FONT} role="img" aria-label="{escape(_title(report), quote=True)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_heading(report),
        *_bars(stages, bars_top),
        *_strip(report, strip_top),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _title(report: Mapping[str, Any]) -> str:
    return f"{report['images_per_s']:.0f} cells/s, {report['slide_s']['p50']:.2f} s a slide of {report['cells']} cells"


def _heading(report: Mapping[str, Any]) -> list[str]:
    machine, simulated = report["machine"], "simulated " if report["simulated"] else ""
    layout = report["layout"]
    threads = f", {layout['copies']} x {layout['threads']} threads" if layout["threads"] else ""
    engine = f"{report['engine']} {report['precision']}{threads}, {report['image_px']} px, {report['bundle']['name']}"
    where = f"{machine['cores']} cores of {machine['cpu']}; {report['slides']} {simulated}slides"
    return [
        _text(MARGIN, 46, _title(report), size=22, weight=600),
        _text(MARGIN, 70, f"{engine}  ·  {where}", colour=_PALE),
        _text(MARGIN, 104, "Milliseconds of one slide", size=15, weight=600),
    ]


def _bars(stages: Sequence[tuple[str, float]], top: int) -> list[str]:
    longest = max(1e-9, *(value for _, value in stages))
    parts = []
    for row, (stage, value) in enumerate(stages):
        y = top + ROW * row
        width = max(_BAR_WIDTH * value / longest, 1.0)
        colour = _ON_THREADS if stage in PARALLEL else _ACCENT
        name = STAGE_NAMES.get(stage, stage).removesuffix(" *")
        parts += [
            _text(_BAR_LEFT - 12, y + 13, name, anchor="end"),
            f'<rect x="{_BAR_LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            _text(_BAR_LEFT + width + 8, y + 13, f"{value:.1f}", colour=_PALE),
        ]
    y = top + ROW * len(stages) + 18
    legend = "on several threads, while the network works: their time together"
    return [
        *parts,
        f'<rect x="{_BAR_LEFT}" y="{y - 10}" width="12" height="12" rx="2" fill="{_ON_THREADS}"/>',
        _text(_BAR_LEFT + 20, y, legend, colour=_PALE, size=12),
    ]


def _strip(report: Mapping[str, Any], top: int) -> list[str]:
    """Return every slide as a dot between nought and the longest, and lines at the percentiles."""
    times = sorted(report["slides_s"])
    longest = _round_up(times[-1])
    left, width = MARGIN, WIDTH - 2 * MARGIN

    def x_of(seconds: float) -> float:
        return left + width * seconds / longest

    bottom = top + _STRIP
    parts = [_text(left, top - 34, f"Seconds of each of the {len(times)} slides", size=15, weight=600)]
    for step in range(6):
        seconds = longest * step / 5
        anchor = "start" if step == 0 else "end" if step == 5 else "middle"
        parts += [
            _line(x_of(seconds), top, x_of(seconds), bottom, _LINE),
            _text(x_of(seconds), bottom + 20, f"{seconds:.3g} s", colour=_PALE, size=12, anchor=anchor),
        ]
    parts.append(_line(left, bottom, left + width, bottom, _PALE))
    for number, seconds in enumerate(times):
        y = bottom - 10 - (number * 7) % (_STRIP - 18)  # spread, so that equal times do not hide each other
        parts.append(f'<circle cx="{x_of(seconds):.1f}" cy="{y}" r="4" fill="{_ACCENT}" fill-opacity="0.55"/>')
    return [*parts, *_percentile_lines(times, x_of, top, bottom)]


def _percentile_lines(times: Sequence[float], x_of: Any, top: int, bottom: int) -> list[str]:
    """Return a line for each percentile; those that fall together share one, and their names."""
    by_place: dict[float, list[str]] = {}
    for share in (50, 95, 99):
        by_place.setdefault(percentile(times, share), []).append(f"p{share}")
    parts: list[str] = []
    for row, (seconds, names) in enumerate(by_place.items()):
        x = x_of(seconds)
        anchor = "end" if x > WIDTH - MARGIN - 110 else "start" if x < MARGIN + 110 else "middle"
        # The first stands above the band, the others below the axis, so that near ones do not run into each other.
        y = top - 12 if row == 0 else bottom + 24 + 18 * row
        parts.append(_line(x, top - 6, x, bottom, _INK))
        parts.append(_text(x, y, f"{', '.join(names)}  {seconds:.3g} s", size=12, weight=600, anchor=anchor))
    return parts


def _round_up(seconds: float) -> float:
    """Return the next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    scale = 1.0
    while scale > seconds:
        scale /= 10
    while scale * 10 <= seconds:
        scale *= 10
    return next(step * scale for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * scale >= seconds)


def _text(
    x: float, y: float, text: str, *, size: int = 13, weight: int = 400, colour: str = _INK, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'
