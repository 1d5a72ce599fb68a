"""Write a folder of drawn, labelled cells in the form that the trainer reads (`labels.csv`)."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.simulator.cell_sources import jpeg_from_pixels
from edge.simulator.cells import DRAWABLE_FINDINGS, draw_cell, sample_findings

README = """SIMULATED blood cells: drawings by edge-analyzer-simulator, not photographs of patients.

labels.csv   file, cell_type, then one column per finding: 1 drawn, 0 not drawn, blank not drawable on this type.
Drawn with: count {count}, seed {seed}, types {types}. The same command draws the same cells again.
A model trained on this folder has seen drawings only, and its evidence must say "drawn".
"""


@dataclass(frozen=True, slots=True)
class LabelledFolder:
    """What was written: the folder, cells per type, cells per finding."""

    folder: Path
    per_type: Counter[str]
    per_finding: Counter[str]


def write_labelled_cells(
    folder: Path,
    count: int,
    seed: int,
    *,
    types: Sequence[str] = (),
    size_px: int = 360,
    mean_findings: float = 0.9,
    progress: Callable[[int, int], None] | None = None,
) -> LabelledFolder:
    """Draw `count` cells, balanced over the types (all 17 by default), and write them with their labels.

    Raises EdgeError MDSE-SIM-001 for an unknown type and MDSE-SIM-009 when the folder already holds labels: a half
    overwritten folder would mix the cells of two seeds.
    """
    chosen = _checked_types(types)
    if (folder / "labels.csv").exists():
        raise EdgeError("MDSE-SIM-009", where=str(folder), reason="it already holds labelled cells")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.txt").write_text(README.format(count=count, seed=seed, types=" ".join(chosen)), encoding="utf-8")
    codes = load_catalogue().finding_codes
    per_type: Counter[str] = Counter()
    per_finding: Counter[str] = Counter()
    rows: list[list[str]] = []
    for index in range(count):
        code = chosen[index % len(chosen)]
        # One generator per cell: any cell can be drawn again without those before it.
        rng = np.random.default_rng([seed, index])
        findings = sample_findings(code, rng, mean=mean_findings)
        name = f"{code}/drawn-{seed}-{index:06d}.jpg"
        (folder / code).mkdir(exist_ok=True)
        (folder / name).write_bytes(jpeg_from_pixels(draw_cell(code, findings, rng, size_px=size_px)))
        drawable = DRAWABLE_FINDINGS[code]
        rows.append([name, code, *(str(int(f in findings)) if f in drawable else "" for f in codes)])
        per_type[code] += 1
        per_finding.update(findings)
        if progress is not None:
            progress(index + 1, count)
    # The labels come last: a folder with labels.csv is a finished folder.
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(["file", "cell_type", *codes])
        table.writerows(rows)
    return LabelledFolder(folder, per_type, per_finding)


def _checked_types(types: Sequence[str]) -> tuple[str, ...]:
    chosen = tuple(types) or tuple(DRAWABLE_FINDINGS)
    for code in chosen:
        if code not in DRAWABLE_FINDINGS:
            known = " ".join(DRAWABLE_FINDINGS)
            raise EdgeError("MDSE-SIM-001", where=code, reason="no such cell type", known=known)
    return chosen
