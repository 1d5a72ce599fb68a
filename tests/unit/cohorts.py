"""Cohorts of numbers for the tests of training: no images, no network."""

from __future__ import annotations

import numpy as np

from convert.slide_cohort import Cohort
from edge.catalogue import load_catalogue
from edge.findings import applicability_from_catalogue
from edge.simulator.films import draw_patient, film_of
from edge.slide_profile import parameters_from_counts

CATALOGUE = load_catalogue()
NAMES = CATALOGUE.parameter_names
GROUP_OF = {t.code: t.group for t in CATALOGUE.cell_types} | {f.code: f.group for f in CATALOGUE.findings}
GROUPS_OF_NAMES = tuple(GROUP_OF[name.partition("_")[0]] for name in NAMES)


def cohort_of(
    patients=30, slides_each=2, *, effect=2.0, seed=0, simulated=True, leucocytes=200, prefix="", labels=("MDS", "AA")
):
    """Patients of the labels in turn; every patient has a value of his own, which gives him away in any split.

    Patients of the first label have higher values of the first five parameters, those of the second label of the next
    five, and so on, but for the last label.
    """
    random = np.random.default_rng(seed)
    rows, names, given = [], [], []
    for patient in range(patients):
        place = patient % len(labels)
        own = random.normal(0, 1, len(NAMES))
        if place < len(labels) - 1 or len(labels) > 2:
            own[5 * place : 5 * place + 5] += effect
        for _ in range(slides_each):
            rows.append(np.abs(own + random.normal(0, 0.05, len(NAMES))))
            names.append(f"{prefix}P{patient}")
            given.append(labels[place])
    profiles = np.array(rows)
    profiles[:, 50] = np.nan
    profiles[::3, 51] = np.nan
    count = len(rows)
    return Cohort(
        names=NAMES,
        groups=GROUPS_OF_NAMES,
        slides=tuple(f"{prefix}S{index}" for index in range(count)),
        patients=tuple(names),
        labels=tuple(given),
        positive=np.array([label == labels[0] for label in given]),
        profiles=profiles,
        denominators=np.full(profiles.shape, 100),
        leucocytes=np.full(count, leucocytes),
        neutrophils=np.full(count, 100),
        simulated=np.full(count, simulated),
    )


def changed(cohort, **changes):
    return Cohort(**{name: getattr(cohort, name) for name in Cohort.__slots__} | changes)


def films_of(kinds, seed, *, cells=150, missed=0.12, invented=0.01):
    """A simulated cohort of counts: films as the simulator composes them, seen by a recognizer that errs.

    `kinds` maps MDS, AA or NORMAL to a number of patients, one film each. No picture is drawn.
    """
    random = np.random.default_rng(seed)
    applies = applicability_from_catalogue(CATALOGUE)
    counts, shown, labels = [], [], []
    for kind, number in kinds.items():
        for _ in range(number):
            film = film_of(draw_patient(kind, random), cells, random)
            row = np.array([CATALOGUE.type_codes.index(cell.type_code) for cell in film.cells])
            truth = np.array([[code in cell.findings for code in CATALOGUE.finding_codes] for cell in film.cells])
            seen = (truth & (random.random(truth.shape) >= missed)) | (random.random(truth.shape) < invented)
            counts.append(np.bincount(row, minlength=len(CATALOGUE.type_codes)))
            shown.append((seen & applies[row]).sum(axis=0))
            labels.append(kind)
    numerators, denominators, profiles = parameters_from_counts(np.array(counts), np.array(shown), CATALOGUE)
    count = len(labels)
    return Cohort(
        names=NAMES,
        groups=GROUPS_OF_NAMES,
        slides=tuple(f"{seed}-{index}" for index in range(count)),
        patients=tuple(f"{seed}-{index}" for index in range(count)),
        labels=tuple(labels),
        positive=np.array([label == "MDS" for label in labels]),
        profiles=profiles,
        denominators=denominators,
        leucocytes=denominators[:, 0],
        neutrophils=numerators[:, :2].sum(axis=1),
        simulated=np.ones(count, bool),
    )
