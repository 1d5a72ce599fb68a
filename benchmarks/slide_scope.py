"""Count how many films of healthy people the scope of a question holds back, and how many of its own cohort.

Run on folders of simulated slides, none of which but `--training` and `--others` has a part in the fit:

    python -m benchmarks.slide_scope --bundle BUNDLE --training cohort/training --others cohort/others \
        --test cohort/test --healthy cohort/healthy --out benchmarks/slide_scope.json

For the committed figures training and others were made by the commands of docs/demo-bundle.md, test and healthy by

    edge-analyzer-simulator slides --out cohort/test --kind mds --count 26 --seed 211 ...
    edge-analyzer-simulator slides --out cohort/test --kind aa --count 11 --seed 213 ...
    edge-analyzer-simulator slides --out cohort/healthy --kind normal --count 15 --seed 241 ...
    edge-analyzer-simulator slides --out cohort/healthy --kind normal --count 15 --seed 242 ... \
        --cells-from cells/ --cells-split test

each with `--cells-per-slide 100-140 --labels --atomic`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from convert.cell_scores import exact_interval
from convert.scope_fit import fit_scope
from convert.slide_cohort import Cohort, SlideReading, cohort_from_slides
from convert.slide_labels import read_slide_labels, read_unlabelled_slides
from convert.train_assessment import outside_allowed, ranges_from_profiles
from edge.model import open_model
from edge.profile_scope import ProfileScope, measures_from_profiles

TARGET, CLASSES, SEED = "mds_aa", ("MDS", "AA"), 1


def figures(training: Cohort, others: Cohort, judged: dict[str, Cohort]) -> dict[str, Any]:
    """Return the shares flagged by ranges alone, by distance alone, and with other films shown to the fit."""
    scope, held_out = fit_scope(training, [others], SEED)
    distance_only, alone = fit_scope(training, [], SEED)
    ranges = ranges_from_profiles(training)
    low, high = (np.array([ranges.get(name, (np.inf, -np.inf))[end] for name in training.names]) for end in (0, 1))
    allowed = outside_allowed(training)
    films = {}
    for name, cohort in judged.items():
        with np.errstate(invalid="ignore"):
            outside = ((cohort.profiles < low) | (cohort.profiles > high)).sum(axis=1) > allowed
        films[name] = {
            "n": len(cohort.slides),
            "ranges_alone": int(outside.sum()),
            "distance_alone": _count(cohort, distance_only),
            "with_other_films": _count(cohort, scope),
            "with_other_films_ci95": [round(b, 4) for b in exact_interval(_count(cohort, scope), len(cohort.slides))],
        }
    return {"held_out": held_out, "held_out_without_other_films": alone, "flagged": films}


def document_from_figures(found: dict[str, Any], bundle: str) -> dict[str, Any]:
    """Return the figures with what they rest on."""
    return {
        "simulated": True,
        "what": "SIMULATED films seen through a bundle's engine; of each kind how many get no score (PROFILE-OOD)",
        "bundle": bundle,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {"cpu_count": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
        **found,
    }


def _count(cohort: Cohort, scope: ProfileScope) -> int:
    distance, nearness = measures_from_profiles(cohort.profiles, cohort.names, scope)
    limit = np.inf if scope.others_limit is None else scope.others_limit
    return int(((distance > scope.distance_limit) | (nearness > limit)).sum())


def main() -> int:
    """Profile the folders, fit, count, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bundle", "training", "others", "test", "healthy", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    model = open_model(given.bundle, public_key=None)
    reading = SlideReading(CLASSES[0], lambda line: print(line, file=sys.stderr), stream=sys.stderr)

    def labelled(folder: Path) -> Cohort:
        table = read_slide_labels(folder / "slides.csv", TARGET, CLASSES, reading.say)
        return cohort_from_slides(folder, table, model, reading)

    def unlabelled(folder: Path) -> Cohort:
        return cohort_from_slides(folder, read_unlabelled_slides(folder / "slides.csv"), model, reading)

    test = labelled(given.test)
    judged = {"MDS": test.taken(test.positive), "AA": test.taken(~test.positive), "healthy": unlabelled(given.healthy)}
    found = figures(labelled(given.training), unlabelled(given.others), judged)
    name = f"{model.manifest.name} {model.manifest.version} {model.digest[:12]}"
    model.close()
    given.out.write_text(json.dumps(document_from_figures(found, name), indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
