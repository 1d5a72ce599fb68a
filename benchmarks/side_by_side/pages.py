"""Fills the marked blocks of benchmarks/README.md from the results; the words between them are written by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.side_by_side.tables import BLOCKS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "benchmarks" / "README.md"
_BLOCK = re.compile(r"(<!-- side by side: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def filled(text: str, results: dict[str, Any]) -> str:
    """Return the page with every marked block written anew. Raises KeyError for a mark that nothing fills."""
    return _BLOCK.sub(lambda found: found[1] + "\n" + BLOCKS[found[2]](results) + "\n" + found[3], text)


def write_pages(results: dict[str, Any]) -> None:
    """Write benchmarks/README.md, and README.md by its own generator."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    subprocess.run([sys.executable, REPOSITORY / "benchmarks" / "readme_figures.py"], check=True)
