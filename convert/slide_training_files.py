"""What a training of slides leaves appears together: no trees of one lie beside profiles or figures of another.

Trees of classes that only an earlier training had, and their reports, stay: they are nobody's business here.
"""

from __future__ import annotations

import glob
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convert.assessment_report import save_assessment
from convert.durable import sync_path
from convert.slide_cohort import Cohort, write_profiles
from convert.train_assessment import TrainedAssessment
from convert.training_place import written


def write_slide_training(
    out: Path,
    cohort: Cohort,
    others: Sequence[Cohort],
    trained: Sequence[tuple[TrainedAssessment, Path]],
    family: Mapping[str, Any] | None,
) -> None:
    """Write the assessments (each with the path of its trees), the profiles and, of several classes, their figures.

    All of it is written beside `out` first. Raises EdgeError MDSE-TRAIN-024 where the disk refuses: what an earlier
    training left is then as it was, or its trees are gone.
    """
    with written(out):
        partial = Path(tempfile.mkdtemp(prefix=f".{out.stem}.", suffix=".partial", dir=out.parent))
        try:
            for one, path in trained:
                save_assessment(one, partial / path.name)
            write_profiles(partial / out.with_suffix(".profiles.csv").name, cohort)
            for number, group in enumerate(others, start=1):
                write_profiles(partial / out.with_suffix(f".others{number}.profiles.csv").name, group)
            if family is not None:
                figures = json.dumps(family, indent=1) + "\n"
                (partial / out.with_suffix(".classes.json").name).write_text(figures, encoding="utf-8")
            _put_together(partial, out.parent, out.stem, [path.name for _, path in trained])
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # empty when all went well


def _put_together(partial: Path, folder: Path, stem: str, trees: Sequence[str]) -> None:
    """Move all files; earlier trees go first and the new ones come last, whenever the power fails."""
    for path in partial.iterdir():
        sync_path(path)
    for name in trees:
        (folder / name).unlink(missing_ok=True)
    for path in (folder / f"{stem}.classes.json", *folder.glob(f"{glob.escape(stem)}.others*.profiles.csv")):
        path.unlink(missing_ok=True)
    sync_path(folder)
    beside = sorted(path.name for path in partial.iterdir() if path.name not in trees)
    for name in (*beside, *trees):
        (partial / name).replace(folder / name)
    sync_path(folder)
