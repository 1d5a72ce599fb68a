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
from records import assessment, example_record
from report_examples import STATES, drawn_thumbnails
from test_report_in_browser import BROWSER_FOLDER, chromium, install_packages

from edge.commands.report import main as write_report_index
from edge.record_text import record_bytes
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
THRESHOLD = 0.5
SERIES = (
    (0.31, 0.42, 0.53, 0.71, 0.85, 0.88),
    (0.35, None, 0.51, 0.64),
    (0.36, 0.48, 0.49),
    (0.41, 0.5),
    (None,),
    (0.4,),
)
"""The scores of each made-up sample in the picture of the index; None: a slide without a score."""


def main() -> int:
    """Write every picture of the report into the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    images = Path(sys.argv[1]).resolve()
    install_packages()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        take([*write_pages(work), write_index(work)], work)
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


def write_index(work: Path) -> dict[str, object]:
    """Write an archive of made-up slides, a film a month, and its index; return what to take of it."""
    archive = work / "archive"
    archive.mkdir()
    for sample, scores in enumerate(SERIES):
        for month, score in enumerate(scores, start=5):
            interval = None if score is None else (max(score - 0.2, 0.0), min(score + 0.2, 1.0))
            call = (
                "NOT-EVALUABLE" if interval is None else "INDETERMINATE" if interval[0] < THRESHOLD else "MDS-SUSPECT"
            )
            record = example_record(
                message_id=f"9F3C21AA{sample:02d}{month:02d}.R1", analysed_at=f"2026-{month:02d}-03T18:00:00+09:00",
                assessments=[assessment(call, score, interval)],
            )  # fmt: skip
            record["slide"] |= {
                "sample_id": f"00123456{sample:02d}",
                "slide_key": f"A{sample}{month}_S1",
                "acquired_at": f"2026-{month:02d}-03T17:00:00+09:00",
            }
            (archive / f"{record['message_id']}.json").write_bytes(record_bytes(record))
    write_report_index([str(archive), "--output", str(work / "index.html")])
    return {"page": str(work / "index.html"), "file": "report-index.png", "width": 1400, "height": 1000}


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
