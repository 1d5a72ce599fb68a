"""Take the pictures of a report that README and docs show, from the example records of the tests.

    PYTHONPATH=.:tests/unit:tests/real python -m tests.real.report_pictures docs/images

Drawn cells and made-up figures, as docs/report.md says. Needs Node, Chromium and pdftoppm (Debian: nodejs, npm,
chromium, poppler-utils).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from report_examples import STATES, drawn_thumbnails
from test_report_in_browser import BROWSER_FOLDER, chromium, install_packages

from edge.writers.html_report import render_report

TOP = {"width": 1180, "height": 1180}
WINDOW_POINTS = 1104
PARTS: dict[str, tuple[str, int]] = {
    "differential": ("#differential", 1000),
    "evidence": ("#contributions-0", 1560),
    "atlas": ("#atlas", 1000),
    "quality": ("#quality", 1000),
    "gallery": ("#gallery", 760),
}
"""Picture: the section it shows, and how many points of its height at most."""
PRINT_DPI = 82


def main() -> int:
    """Write every picture of the report into the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    images = Path(sys.argv[1]).resolve()
    install_packages()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        take(write_pages(work), work)
        pages = [picture(work / f"{page}.png") for page in (f"sheet-{number}" for number in (1, 2))]
        cv2.imwrite(str(images / "report-print.png"), beside(*pages))
        top, evidence = picture(work / "report-top.png"), picture(work / "report-evidence.png")
        cv2.imwrite(str(images / "report.png"), at_two_thirds(beside(top, evidence[: len(top)])))
        for path in sorted(work.glob("report-*.png")):
            (images / path.name).write_bytes(path.read_bytes())
    return 0


def write_pages(work: Path) -> list[dict[str, object]]:
    """Write the pages; return what to take of them, as tests/real/browser/pictures.mjs reads it."""
    for name in ("demo", "japanese"):
        record, context = STATES[name]()
        (work / f"{name}.html").write_bytes(render_report(record, drawn_thumbnails(record), context))
    demo = {"page": str(work / "demo.html"), "width": WINDOW_POINTS}
    return [
        {**demo, **TOP, "file": "report-top.png"},
        {**demo, "height": 1, "file": "sheets.pdf"},
        {**TOP, "page": str(work / "japanese.html"), "file": "report-japanese.png"},
        *(
            {**demo, "file": f"report-{part}.png", "selector": selector, "height": height}
            for part, (selector, height) in PARTS.items()
        ),
    ]


def take(wanted: list[dict[str, object]], work: Path) -> None:
    """Let the browser take them, and turn the sheets into pictures."""
    command = ["node", "pictures.mjs", chromium(), str(work)]
    subprocess.run(command, cwd=BROWSER_FOLDER, input=json.dumps(wanted), text=True, check=True)
    subprocess.run(["pdftoppm", "-r", str(PRINT_DPI), "-png", "sheets.pdf", "sheet"], cwd=work, check=True)


def picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture, uint8 [height, width, 3]; raises OSError for one that cannot be read."""
    found = cv2.imread(str(path))
    if found is None:
        raise OSError(f"{path} is no picture")
    return np.asarray(found, np.uint8)


def beside(*pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures side by side on white, as high as the highest."""
    height = max(len(one) for one in pictures)
    padded = [cv2.copyMakeBorder(one, 0, height - len(one), 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3)
              for one in pictures]  # fmt: skip
    return np.asarray(np.hstack(padded), np.uint8)


def at_two_thirds(one: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture at two thirds of its size: README shows it small."""
    return np.asarray(cv2.resize(one, None, fx=2 / 3, fy=2 / 3, interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
