"""Labelled slides as rows of numbers: the runtime's own functions run over slide folders.

`slides.csv`: slide, patient, <target>. A slide without a value for the target, or with a value that is neither of the
two classes, is left out with a notice; so is a slide that the runtime itself would reject.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.findings import decode_findings
from edge.images import load_cells
from edge.model import Model
from edge.result import reject_slide
from edge.slide import Slide, read_slide
from edge.slide_profile import SlideProfile, profile_slide
from edge.tensors import tensors_from_cells

SIMULATED_PREFIX = "SIMULATED"


@dataclass(frozen=True, slots=True)
class LabelledSlide:
    """A slide folder's name, whose film it is and its class: True for the positive one."""

    slide: str
    patient: str
    positive: bool


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Slides as rows, in one order: profiles float64 [N, P] (NaN = missing), counts, labels bool [N], patients.

    `leucocytes` and `neutrophils` int64 [N] are the cells counted; `simulated` bool [N] whether the slide's analyzer
    calls itself simulated.
    """

    names: tuple[str, ...]
    slides: tuple[str, ...]
    patients: tuple[str, ...]
    positive: NDArray[np.bool_]
    profiles: NDArray[np.float64]
    leucocytes: NDArray[np.int64]
    neutrophils: NDArray[np.int64]
    simulated: NDArray[np.bool_]

    def patients_of(self, positive: bool) -> set[str]:
        """Return the patients of a class."""
        return {p for p, kind in zip(self.patients, self.positive, strict=True) if kind == positive}

    def taken(self, keep: NDArray[np.bool_]) -> Cohort:
        """Return the slides for which `keep` is true."""
        chosen = np.flatnonzero(keep)
        return Cohort(
            self.names,
            tuple(self.slides[i] for i in chosen),
            tuple(self.patients[i] for i in chosen),
            self.positive[chosen],
            self.profiles[chosen],
            self.leucocytes[chosen],
            self.neutrophils[chosen],
            self.simulated[chosen],
        )


def read_slide_labels(
    table: Path, target: str, positive: str, negative: str, say: Callable[[str], None]
) -> tuple[LabelledSlide, ...]:
    """Read slides.csv. Raises EdgeError MDSE-TRAIN-014 (no such table or column, a slide twice, a patient twice)."""
    labelled: dict[str, LabelledSlide] = {}
    class_of: dict[str, bool] = {}
    left_out: dict[str, int] = {}
    for line, row in _rows(table, target):
        slide, value = (row["slide"] or "").strip(), (row[target] or "").strip()
        patient = (row.get("patient") or "").strip() or slide
        if value not in (positive, negative):
            left_out[value] = left_out.get(value, 0) + 1
            continue
        where = f"{table} line {line}"
        if not slide or slide in labelled or Path(slide).name != slide or slide in (".", ".."):
            reason = f"the slide '{slide}' is no folder name, or is here twice"
            raise EdgeError("MDSE-TRAIN-014", where=where, reason=reason)
        if class_of.setdefault(patient, value == positive) != (value == positive):
            raise EdgeError("MDSE-TRAIN-014", where=where, reason=f"patient {patient} is in both classes")
        labelled[slide] = LabelledSlide(slide, patient, value == positive)
    for value, count in sorted(left_out.items()):
        say(f"note: {count} slides left out: {target} is {value or 'blank'}")
    return tuple(labelled.values())


def cohort_from_slides(
    root: Path, labelled: Sequence[LabelledSlide], model: Model, say: Callable[[str], None]
) -> Cohort:
    """Profile every labelled slide below `root`. Raises the EdgeError of a slide, but for a rejected one (exit 5)."""
    rows: list[tuple[LabelledSlide, SlideProfile, bool]] = []
    for number, entry in enumerate(labelled, start=1):
        try:
            slide = read_slide(root / entry.slide, hash_files=False)
            profile = profile_from_slide(slide, model)
        except EdgeError as error:
            if error.exit_status != 5:
                raise
            say(f"note: slide left out: {error}")
            continue
        rows.append((entry, profile, (slide.analyzer.model or "").startswith(SIMULATED_PREFIX)))
        if number % 10 == 0 or number == len(labelled):
            say(f"profiled {number} of {len(labelled)} slides")
    if not rows:
        raise EdgeError("MDSE-TRAIN-015", where=str(root), positive=0, negative=0, needed=1)
    neutrophil_codes = {t.code for t in model.catalogue.cell_types if t.leucocyte and t.group == "GN"}
    counts = [_counts(profile, neutrophil_codes) for _, profile, _ in rows]
    return Cohort(
        names=model.catalogue.parameter_names,
        slides=tuple(entry.slide for entry, _, _ in rows),
        patients=tuple(entry.patient for entry, _, _ in rows),
        positive=np.array([entry.positive for entry, _, _ in rows], np.bool_),
        profiles=np.stack([profile.values for _, profile, _ in rows]),
        leucocytes=np.array([leucocytes for leucocytes, _ in counts], np.int64),
        neutrophils=np.array([neutrophils for _, neutrophils in counts], np.int64),
        simulated=np.array([simulated for _, _, simulated in rows], np.bool_),
    )


def profile_from_slide(slide: Slide, model: Model) -> SlideProfile:
    """Return the profile that the runtime would give. Raises EdgeError as `analyze_slide` does."""
    loaded = load_cells(slide)
    reject_slide(slide, loaded.refused)
    size_px, step = model.engine.spec.size_px, model.engine.spec.max_batch

    def batches() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(loaded.cells), step):
            yield tensors_from_cells(loaded.cells[start : start + step], size_px)

    parts = list(model.engine.infer(batches()))
    outputs = EngineOutputs(
        cell_type=np.concatenate([part.cell_type for part in parts]),
        findings=np.concatenate([part.findings for part in parts]),
        embedding=np.concatenate([part.embedding for part in parts]),
    )
    identities = [cell.cell_id for cell in loaded.cells]
    decision, rule = model.manifest.decision, model.outlier_rule
    cells = decode_findings(outputs, identities, model.catalogue, decision, outlier_rule=rule)
    return profile_slide(cells, model.catalogue)


def write_profiles(path: Path, cohort: Cohort, positive: str, negative: str) -> None:
    """Write the cohort as CSV, one row per slide, so that a figure can be traced and an analysis repeated."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["slide", "patient", "class", "simulated", "leucocytes", "neutrophils", *cohort.names])
        for row, slide in enumerate(cohort.slides):
            values = ["" if np.isnan(value) else repr(float(value)) for value in cohort.profiles[row]]
            kind = positive if cohort.positive[row] else negative
            facts = [int(cohort.simulated[row]), int(cohort.leucocytes[row]), int(cohort.neutrophils[row])]
            writer.writerow([slide, cohort.patients[row], kind, *facts, *values])


def _rows(table: Path, target: str) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = {"slide", target} - set(reader.fieldnames or ())
            if missing:
                raise EdgeError("MDSE-TRAIN-014", where=str(table), reason=f"it lacks the column {min(missing)}")
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EdgeError("MDSE-TRAIN-014", where=str(table), reason=str(error)) from error


def _counts(profile: SlideProfile, neutrophil_codes: set[str]) -> tuple[int, int]:
    shares = [row for row, name in enumerate(profile.names) if name.endswith("_share")]
    numerators = {profile.names[row].removesuffix("_share"): int(profile.numerators[row]) for row in shares}
    return sum(numerators.values()), sum(numerators[code] for code in neutrophil_codes)
