"""Writes the figures of README.md from the committed JSON files, so that none is ever typed.

python benchmarks/readme_figures.py           # rewrites the marked blocks of README.md
python benchmarks/readme_figures.py --check   # exit status 1 when README.md and the JSON files disagree
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # as a script, this file has only its own folder to import from
FAULTS_BEFORE = REPOSITORY / "benchmarks" / "faults_before.json"
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def first_use(figures: dict[str, Any]) -> str:
    """Return the table of what a newcomer meets."""
    machine = figures["machine"]
    rows = [
        ("installed size of `.[cpu]`", f"{figures['install_mb']:.0f} MB, {figures['packages']} packages"),
        ("`edge-run --help`", f"{figures['help_s_median']:.2f} s"),
        ("`edge-demo`, four slides", f"{figures['demo_s']:.0f} s"),
    ]
    return table(rows, f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}", figures)


def demo_bundle(figures: dict[str, Any]) -> str:
    """Return the table of how good the demo bundle's network is; real and drawn cells never share a row."""
    rows = [(row["what"], row["value"]) for row in figures["rows"]]
    return table(rows, figures["note"], figures)


def speed(figures: dict[str, Any]) -> str:
    """Return the table of the shipped pipeline's speed with the demo bundle."""
    machine, slide_s = figures["machine"], figures["slide_s"]
    rows = [
        ("cells per second, end to end", f"{figures['images_per_s']:.0f}"),
        (f"slide of {figures['cells']} cells, p50 / p99", f"{slide_s['p50']:.2f} s / {slide_s['p99']:.2f} s"),
        ("memory of the process", f"{figures['rss_mb']:.0f} MB"),
    ]
    note = f"{figures['engine']} {figures['precision']}, {figures['image_px']} px, {machine['cores']} cores"
    return table(rows, f"{note} of {machine['cpu']}", figures)


def side_by_side(figures: dict[str, Any]) -> str:
    """Return the table of the pipeline beside other ways to run the same network."""
    from benchmarks.side_by_side.tables import readme_table

    return readme_table(figures)


def faults(figures: dict[str, Any]) -> str:
    """Return the table of what the fault benches counted."""
    from benchmarks.fault_table import readme_table

    before = json.loads(FAULTS_BEFORE.read_text(encoding="utf-8")) if FAULTS_BEFORE.is_file() else None
    return readme_table(figures, before)


def table(rows: list[tuple[str, str]], note: str, figures: dict[str, Any]) -> str:
    """Return a Markdown table of two columns with a note that says where and when it was measured."""
    lines = ["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]
    return "\n".join([*lines, "", f"Measured {figures['date']}: {note}.", ""])


WRITERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "first_use": first_use,
    "demo_bundle": demo_bundle,
    "speed": speed,
    "side_by_side": side_by_side,
    "faults": faults,
}


def filled(text: str) -> str:
    """Return the README's text with every marked block written anew from its JSON file."""

    def block(match: re.Match[str]) -> str:
        name = match[2]
        measured = REPOSITORY / "benchmarks" / f"{name}.json"
        if not measured.exists():
            return match[0]  # a mark may stand before its first measurement
        figures = json.loads(measured.read_text(encoding="utf-8"))
        return match[1] + WRITERS[name](figures) + match[3]

    return BLOCK.sub(block, text)


def main() -> int:
    """Rewrite or check README.md."""
    readme = REPOSITORY / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = filled(before)
    if "--check" in sys.argv[1:]:
        return 0 if before == after else 1
    readme.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
