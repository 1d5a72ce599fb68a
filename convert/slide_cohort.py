"""Labelled slides as rows of numbers: the runtime's own functions run over slide folders.

What the runtime would reject cannot be trained on. All such slides are named together; `--allow-unreadable` leaves
them out with a notice instead.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.label_faults import raise_together
from convert.progress import Progress
from convert.slide_labels import LabelledSlide
from edge.engines.base import EngineOutputs
from edge.errors import EXIT_SLIDE_REJECTED, EdgeError
from edge.findings import decode_findings
from edge.image_measures import measures_from_tensors
from edge.images import load_cells
from edge.model import Model
from edge.result import reject_slide
from edge.slide import Slide, read_slide
from edge.slide_profile import SlideProfile, profile_slide
from edge.tensors import tensors_from_cells

SIMULATED_PREFIX = "SIMULATED"
_FEWEST_TO_COMPARE = 50


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Slides as rows, in one order.

    names, groups: of the parameters [P], `groups` the cell group of Fig. 3 of the paper. slides, patients, labels: text
    [N], `labels` the class in the words of the table. positive: bool [N]. profiles: float64 [N, P], NaN = missing.
    denominators: int64 [N, P], the cells that each value rests on. leucocytes, neutrophils: int64 [N], cells counted.
    simulated: bool [N], whether the slide's analyzer calls itself simulated.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    slides: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[str, ...]
    positive: NDArray[np.bool_]
    profiles: NDArray[np.float64]
    denominators: NDArray[np.int64]
    leucocytes: NDArray[np.int64]
    neutrophils: NDArray[np.int64]
    simulated: NDArray[np.bool_]

    def patients_of(self, positive: bool) -> set[str]:
        """Return the patients of a class."""
        return {p for p, kind in zip(self.patients, self.positive, strict=True) if kind == positive}

    def against(self, label: str) -> Cohort:
        """Return the same slides with `label` as the positive class and all other labels as the negative one."""
        return self._with(np.arange(len(self.slides)), np.array([own == label for own in self.labels], np.bool_))

    def taken(self, keep: NDArray[np.bool_]) -> Cohort:
        """Return the slides for which `keep`, bool [slides], is true."""
        return self._with(np.flatnonzero(keep), self.positive)

    def _with(self, chosen: NDArray[np.intp], positive: NDArray[np.bool_]) -> Cohort:
        return Cohort(
            names=self.names,
            groups=self.groups,
            slides=tuple(self.slides[i] for i in chosen),
            patients=tuple(self.patients[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            positive=positive[chosen],
            profiles=self.profiles[chosen],
            denominators=self.denominators[chosen],
            leucocytes=self.leucocytes[chosen],
            neutrophils=self.neutrophils[chosen],
            simulated=self.simulated[chosen],
        )


@dataclass(frozen=True, slots=True)
class SlideReading:
    """How slides are read: `positive` is the positive class, `allow_unreadable` leaves out what is rejected.

    `say` takes notices, `stream` the progress with its time left (None: silent).
    """

    positive: str
    say: Callable[[str], None]
    allow_unreadable: bool = False
    stream: TextIO | None = None


def cohort_from_slides(root: Path, labelled: Sequence[LabelledSlide], model: Model, reading: SlideReading) -> Cohort:
    """Profile every labelled slide below `root`.

    Raises EdgeError MDSE-TRAIN-014 (a slide folder that is not there, two slides with the same cells), the error of a
    slide, -015 (no slide is left). Rejected slides (exit 5) stop it too unless they may be left out; several faults are
    named together as -017.
    """
    require_folders(root, labelled)
    rows: list[tuple[LabelledSlide, SlideProfile, bool]] = []
    rejected: list[EdgeError] = []
    with Progress(f"profiling the slides of {root.name}", len(labelled), reading.stream) as progress:
        for entry in labelled:
            try:
                slide = read_slide(root / entry.slide, hash_files=False)
                profile = profile_from_slide(slide, model)
                rows.append((entry, profile, (slide.analyzer.model or "").startswith(SIMULATED_PREFIX)))
            except EdgeError as error:
                if error.exit_status != EXIT_SLIDE_REJECTED:
                    raise
                rejected.append(error)
            progress.advance()
    if not reading.allow_unreadable:
        raise_together(rejected, str(root))
    for rejection in rejected:
        reading.say(f"note: slide left out: {rejection}")
    if not rows:
        raise EdgeError("MDSE-TRAIN-015", where=str(root), positive=0, negative=0, needed=1)
    cohort = _cohort_from_rows(rows, model, reading.positive)
    require_no_copies([(root, cohort)])
    return cohort


def require_folders(root: Path, labelled: Sequence[LabelledSlide]) -> None:
    """Look for all folders before the first of many minutes is spent on slides.

    Raises EdgeError MDSE-TRAIN-014 for one that is not there, several together as -017.
    """
    absent = [entry.slide for entry in labelled if not (root / entry.slide).is_dir()]
    reason = "the table names it, but there is no such folder"
    raise_together([EdgeError("MDSE-TRAIN-014", where=str(root / name), reason=reason) for name in absent], str(root))


def require_no_copies(folders: Sequence[tuple[Path, Cohort]]) -> None:
    """Refuse every slide with the very counts of an earlier one, of any folder: the same film under two names.

    Only slides of a size at which chance does not repeat 114 numbers and what they rest on. Raises EdgeError
    MDSE-TRAIN-014, several together as -017.
    """
    first: dict[bytes, str] = {}
    faults = []
    for root, cohort in folders:
        for row, slide in enumerate(cohort.slides):
            name = slide if len(folders) == 1 else str(root / slide)
            counts = cohort.profiles[row].tobytes() + cohort.denominators[row].tobytes()
            if counts in first and cohort.leucocytes[row] >= _FEWEST_TO_COMPARE:
                reason = f"the slides {first[counts]} and {name} hold the same cells"
                faults.append(EdgeError("MDSE-TRAIN-014", where=str(root), reason=reason))
            first.setdefault(counts, name)
    raise_together(faults, ", ".join(str(root) for root, _ in folders))


def _cohort_from_rows(rows: Sequence[tuple[LabelledSlide, SlideProfile, bool]], model: Model, positive: str) -> Cohort:
    catalogue = model.catalogue
    group_of = {t.code: t.group for t in catalogue.cell_types} | {f.code: f.group for f in catalogue.findings}
    neutrophil_codes = {t.code for t in catalogue.cell_types if t.leucocyte and t.group == "GN"}
    counts = [_counts(profile, neutrophil_codes) for _, profile, _ in rows]
    return Cohort(
        names=catalogue.parameter_names,
        groups=tuple(group_of[name.partition("_")[0]] for name in catalogue.parameter_names),
        slides=tuple(entry.slide for entry, _, _ in rows),
        patients=tuple(entry.patient for entry, _, _ in rows),
        labels=tuple(entry.label for entry, _, _ in rows),
        positive=np.array([entry.label == positive for entry, _, _ in rows], np.bool_),
        profiles=np.stack([profile.values for _, profile, _ in rows]),
        denominators=np.stack([profile.denominators for _, profile, _ in rows]),
        leucocytes=np.array([leucocytes for leucocytes, _ in counts], np.int64),
        neutrophils=np.array([neutrophils for _, neutrophils in counts], np.int64),
        simulated=np.array([simulated for _, _, simulated in rows], np.bool_),
    )


def profile_from_slide(slide: Slide, model: Model) -> SlideProfile:
    """Return the profile that the runtime would give. Raises EdgeError as `analyze_slide` does."""
    loaded = load_cells(slide)
    reject_slide(slide, loaded.refused)
    size_px, step = model.engine.spec.size_px, model.engine.spec.max_batch

    measured: list[NDArray[np.float32]] = []

    def batches() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(loaded.cells), step):
            batch = tensors_from_cells(loaded.cells[start : start + step], size_px)
            measured.append(measures_from_tensors(batch))
            yield batch

    parts = list(model.engine.infer(batches()))
    outputs = EngineOutputs(
        cell_type=np.concatenate([part.cell_type for part in parts]),
        findings=np.concatenate([part.findings for part in parts]),
        embedding=np.concatenate([part.embedding for part in parts]),
    )
    identities = [cell.cell_id for cell in loaded.cells]
    decision, rule = model.manifest.decision, model.outlier_rule
    measures = np.concatenate(measured)
    cells = decode_findings(outputs, identities, model.catalogue, decision, outlier_rule=rule, measures=measures)
    return profile_slide(cells, model.catalogue)


def write_profiles(path: Path, cohort: Cohort) -> None:
    """Write the cohort as CSV, one row per slide, so that a figure can be traced and an analysis repeated."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["slide", "patient", "class", "simulated", "leucocytes", "neutrophils", *cohort.names])
        for row, slide in enumerate(cohort.slides):
            values = ["" if np.isnan(value) else repr(float(value)) for value in cohort.profiles[row]]
            facts = [int(cohort.simulated[row]), int(cohort.leucocytes[row]), int(cohort.neutrophils[row])]
            writer.writerow([slide, cohort.patients[row], cohort.labels[row], *facts, *values])


def _counts(profile: SlideProfile, neutrophil_codes: set[str]) -> tuple[int, int]:
    shares = [row for row, name in enumerate(profile.names) if name.endswith("_share")]
    numerators = {profile.names[row].removesuffix("_share"): int(profile.numerators[row]) for row in shares}
    return sum(numerators.values()), sum(numerators[code] for code in neutrophil_codes)
