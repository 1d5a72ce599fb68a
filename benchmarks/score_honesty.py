"""Is a score as sure as it says, and is its explanation exact? Writes benchmarks/score_honesty.json.

    python -m benchmarks.score_honesty [--films 10000] [--only time] [--bundle DIR --public-key PEM]

Coverage: SIMULATED films of 20 to 400 cells are drawn from known mixtures (patients of edge/simulator/films.py). A
rate's interval must hold the mixture's own rate, a score's interval the score of a film of 100,000 cells of the same
mixture. Explanation: contributions against the margin of the library that made the score, and against Shapley values
from their definition. Time: interval and contributions of one slide. The network takes no part in any of this.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.first_use import machine
from benchmarks.shapley_by_definition import random_model, shapley_by_definition
from edge.bundle.manifest import AssessmentSpec
from edge.bundle.reader import Bundle, open_bundle
from edge.contributions import Explainer, explainer_from_json
from edge.count_changes import count_changes
from edge.counting_interval import counting_interval, more_cells_to_halve
from edge.findings import applicability_from_catalogue
from edge.gates import count_film, sufficiency_of
from edge.intervals import clopper_pearson
from edge.profile_scope import scope_from_bundle
from edge.score import score_from_margin
from edge.simulator.films import FILM_KINDS, draw_patient
from edge.slide_profile import SlideProfile, intervals_from_profile, profile_from_counts
from edge.trees import TreeModel, open_trees

REPOSITORY = Path(__file__).resolve().parent.parent
SEED = 20190913
SIZES = (20, 35, 50, 75, 100, 150, 200, 300, 400)
ENDLESS = 100_000
RATE_GRID = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99)
PROFILES = 10_000
SMALL_MODELS = 200
TIMED = 200
PARTS = ("time", "contributions_against_margins", "contributions_against_definition", "rates_exact", "coverage")


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """One target of a bundle with what scores and explains it."""

    bundle: Bundle
    spec: AssessmentSpec
    trees: TreeModel
    explainer: Explainer

    def score(self, profile: SlideProfile) -> float:
        """Return the calibrated score, gates aside."""
        return score_from_margin(self.margin(profile), self.spec.calibration)

    def margin(self, profile: SlideProfile) -> float:
        """Return the margin of the trees."""
        return float(self.trees.predict_margin(profile.values.astype(np.float32).reshape(1, -1))[0])

    def interval(self, profile: SlideProfile, score: float) -> tuple[float, float]:
        """Return the counting interval, as the pipeline makes it."""
        catalogue, calibration = self.bundle.catalogue, self.spec.calibration
        return counting_interval(profile, score, trees=self.trees, calibration=calibration, catalogue=catalogue)


@dataclass(frozen=True, slots=True, eq=False)
class Blood:
    """A known mixture: share of every type among all cells, float64 [types]; rate of every finding, [findings]."""

    shares: NDArray[np.float64]
    rates: NDArray[np.float64]

    def film(self, scorer: Scorer, cells: int, random: np.random.Generator) -> SlideProfile:
        """Return the profile of a film of `cells` cells."""
        catalogue = scorer.bundle.catalogue
        counts = random.multinomial(cells, self.shares).astype(np.int64)
        bearers = counts @ applicability_from_catalogue(catalogue).astype(np.int64)
        return profile_from_counts(counts, random.binomial(bearers, self.rates).astype(np.int64), catalogue)

    def parameters(self, scorer: Scorer) -> NDArray[np.float64]:
        """Return the true value of every parameter, float64 [parameters]."""
        leucocyte = np.array([t.leucocyte for t in scorer.bundle.catalogue.cell_types])
        of_leucocytes = self.shares / self.shares[leucocyte].sum()
        return np.concatenate([of_leucocytes[leucocyte], 100 * of_leucocytes[~leucocyte], self.rates])


def blood_of(kind: Any, scorer: Scorer, random: np.random.Generator) -> Blood:
    """Return the mixture of a simulated patient."""
    patient, catalogue = draw_patient(kind, random), scorer.bundle.catalogue
    weights = [patient.shares.get(code, patient.per_100.get(code, 0.0) / 100) for code in catalogue.type_codes]
    shares = np.array(weights) / sum(weights)
    return Blood(shares, np.array([patient.rates[code] for code in catalogue.finding_codes]))


def coverage_of_scores(scorer: Scorer, films: int) -> list[dict[str, Any]]:
    """Return one row per film size: how often rates and scores lie in their intervals."""
    rows = []
    for cells in SIZES:
        random = np.random.default_rng([SEED, cells])
        rates: list[NDArray[np.bool_]] = []
        found: list[tuple[bool, float, bool]] = []
        for number in range(films):
            blood = blood_of(FILM_KINDS[number % len(FILM_KINDS)], scorer, random)
            profile = blood.film(scorer, cells, random)
            low, high = intervals_from_profile(profile).T
            truth = blood.parameters(scorer)
            rates.append(((low <= truth + 1e-12) & (truth <= high + 1e-12))[~np.isnan(low)])
            if sufficiency_of(count_film(profile, scorer.bundle.catalogue), scorer.spec).enough:
                found.append(_covered(scorer, blood, profile, random))
        rows.append(_coverage_row(cells, films, np.concatenate(rates), found))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def _covered(
    scorer: Scorer, blood: Blood, profile: SlideProfile, random: np.random.Generator
) -> tuple[bool, float, bool]:
    endless = scorer.score(blood.film(scorer, ENDLESS, random))
    low, high = scorer.interval(profile, scorer.score(profile))
    return low - 1e-9 <= endless <= high + 1e-9, high - low, low < scorer.spec.threshold <= high


def _coverage_row(
    cells: int, films: int, rates: NDArray[np.bool_], found: list[tuple[bool, float, bool]]
) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": cells, "films": films, "sufficient": len(found), "rates_checked": len(rates)}
    row["rates_covered"] = round(float(rates.mean()), 4)
    if found:
        covered = sum(inside for inside, _, _ in found)
        low, high = clopper_pearson(covered, len(found)).tolist()
        row["score_covered"] = round(covered / len(found), 4)
        row["score_covered_ci95"] = [round(low, 4), round(high, 4)]
        row["score_width_median"] = round(statistics.median(width for _, width, _ in found), 4)
        row["indeterminate"] = round(sum(spans for _, _, spans in found) / len(found), 4)
    return row


def coverage_of_rates() -> dict[str, Any]:
    """Return the exact coverage of the rates' intervals on a grid: summed over all counts, nothing is drawn."""
    from scipy.stats import binom  # type: ignore[import-untyped]  # scipy ships no types

    worst = {"coverage": 1.0, "rate": 0.0, "cells": 0}
    for cells in range(1, 401):
        counts = np.arange(cells + 1)
        bounds = clopper_pearson(counts, np.full(cells + 1, cells))
        for rate in RATE_GRID:
            inside = (bounds[:, 0] <= rate) & (rate <= bounds[:, 1])
            covered = float(binom.pmf(counts, cells, rate)[inside].sum())
            if covered < worst["coverage"]:
                worst = {"coverage": round(covered, 6), "rate": rate, "cells": cells}
    return {"cells": "1-400", "rates": list(RATE_GRID), "grid_points": 400 * len(RATE_GRID), "worst": worst}


def random_profiles(scorer: Scorer, count: int) -> NDArray[np.float32]:
    """Return profiles float32 [count, parameters]: any value, the trees' own thresholds and missing ones."""
    random = np.random.default_rng([SEED, 1])
    manifest = scorer.bundle.manifest
    ranges = manifest.cohort[scorer.spec.target].range
    high: NDArray[np.float64] = np.array([max(ranges.get(name, (0.0, 1.0))[1], 0.01) for name in manifest.parameters])
    values = np.asarray(random.random((count, len(high))) * 1.2 * high, np.float32)
    trees = json.loads(scorer.bundle.read(f"{scorer.spec.trees}/model.json"))
    for tree in trees["learner"]["gradient_booster"]["model"]["trees"]:
        for column, value, left in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        ):
            if left != -1:
                values[random.random(count) < 0.02, column] = value
    values[random.random(values.shape) < 0.2] = np.nan
    return values


def contributions_against_margins(scorer: Scorer) -> dict[str, Any]:
    """Return the largest difference between contributions plus bias and the margin that made the score."""
    rows = random_profiles(scorer, PROFILES)
    margins = scorer.trees.predict_margin(rows)
    counts = np.zeros(rows.shape[1], np.int64)
    worst = 0.0
    for row, margin in zip(rows, margins.tolist(), strict=True):
        profile = SlideProfile(scorer.bundle.manifest.parameters, row.astype(np.float64), counts, counts)
        found = scorer.explainer.explain(profile, margin)
        worst = max(worst, abs(float(found.values.sum()) + found.bias - margin))
    missing = round(float(np.isnan(rows).mean()), 3)
    return {"profiles": PROFILES, "missing_share": missing, "trees": scorer.trees.kind, "worst_difference": worst}


def contributions_against_definition(models: int = SMALL_MODELS) -> dict[str, Any]:
    """Return the largest difference between the pipeline's contributions and Shapley values from their definition."""
    random = np.random.default_rng([SEED, 2])
    worst, explained = 0.0, 0
    for _ in range(models):
        booster, rows = random_model(random)
        data = bytes(booster.save_raw("json"))
        names = tuple(booster.feature_names or ())
        explainer = explainer_from_json(data, "small", names, where="model.json")
        for row in rows:
            counts = np.zeros(len(row), np.int64)
            expected = shapley_by_definition(data, row)
            profile = SlideProfile(names, row.astype(np.float64), counts, counts)
            found = explainer.explain(profile, float(expected.sum()))
            worst = max(worst, float(np.abs(np.append(found.values, found.bias) - expected).max()))
            explained += 1
    return {"models": models, "rows": explained, "worst_difference": worst}


def timing(scorer: Scorer) -> dict[str, Any]:
    """Return milliseconds of one slide of 200 cells: interval and contributions, then the rest of the explanation."""
    random = np.random.default_rng([SEED, 3])
    catalogue, gates = scorer.bundle.catalogue, scorer.bundle.manifest.decision.gates
    spec, trees, calibration = scorer.spec, scorer.trees, scorer.spec.calibration
    cohort, scope = scorer.bundle.manifest.cohort[spec.target], scope_from_bundle(scorer.bundle, spec)
    scored: list[tuple[float, float]] = []
    rest: list[tuple[float, float]] = []
    for number in range(TIMED):
        profile = blood_of(FILM_KINDS[number % len(FILM_KINDS)], scorer, random).film(scorer, 200, random)
        score = scorer.score(profile)

        def score_and_reasons(profile: SlideProfile = profile, score: float = score) -> tuple[float, float]:
            scorer.explainer.explain(profile, scorer.margin(profile))
            return scorer.interval(profile, score)

        spent, interval = _milliseconds(score_and_reasons)
        scored.append(spent)

        def what_else(profile: SlideProfile = profile, score: float = score, interval: Any = interval) -> None:
            more_cells_to_halve(profile, interval, trees=trees, calibration=calibration, catalogue=catalogue)
            count_changes(
                profile, score, spec=spec, gates=gates, cohort=cohort, trees=trees, catalogue=catalogue, scope=scope
            )

        rest.append(_milliseconds(what_else)[0])
    return {
        "slides": TIMED,
        "load_average": round(os.getloadavg()[0], 1),
        "interval_and_contributions_ms": _spread(scored),
        "more_cells_and_changes_ms": _spread(rest),
    }


def _milliseconds(work: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Return the milliseconds on the wall and on the processor, and the result."""
    started, busy = time.perf_counter(), time.process_time()
    result = work()
    return (1000 * (time.perf_counter() - started), 1000 * (time.process_time() - busy)), result


def _spread(values: list[tuple[float, float]]) -> dict[str, float]:
    wall, processor = (sorted(column) for column in zip(*values, strict=True))
    return {
        "p50": round(statistics.median(wall), 2),
        "p95": round(wall[int(0.95 * len(wall))], 2),
        "processor_p50": round(statistics.median(processor), 2),
    }


def main() -> int:
    """Measure, write the JSON file and return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=10_000, help="simulated films in all (default 10,000)")
    parser.add_argument("--bundle", type=Path, default=REPOSITORY / "edge/demo/bundle")
    parser.add_argument("--public-key", type=Path, default=REPOSITORY / "edge/demo/public_key.pem")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/score_honesty.json")
    parser.add_argument("--only", choices=PARTS, help="measure this part anew and keep the others of --out")
    options = parser.parse_args()
    bundle = open_bundle(options.bundle, public_key=options.public_key.read_bytes())
    spec = bundle.manifest.assessments[0]
    model_json = f"{spec.trees}/model.json"
    explainer = explainer_from_json(bundle.read(model_json), spec.target, bundle.manifest.parameters, where=model_json)
    scorer = Scorer(bundle, spec, open_trees(bundle, spec.target), explainer)
    figures = {"simulated": True, "note": "SIMULATED films; counting interval: excludes misclassification"}
    if options.only:
        figures = json.loads(options.out.read_text(encoding="utf-8"))
        if figures["bundle"]["digest"] != bundle.digest:
            parser.error(f"{options.out} was measured with another bundle")
    figures |= {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "bundle": {"name": bundle.manifest.name, "version": bundle.manifest.version, "digest": bundle.digest},
        "target": spec.target,
        "minimum": {"wbc": spec.minimum.wbc, "neutrophil": spec.minimum.neutrophil},
    }
    for part in [options.only] if options.only else PARTS:
        figures[part] = measured(part, scorer, options.films)
    options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in figures.items() if key != "coverage"}, indent=1))
    missed = missed_bars(figures)
    print("\n".join(f"MISSED: {text}" for text in missed) or "every bar is met")
    return 1 if missed else 0


def measured(part: str, scorer: Scorer, films: int) -> Any:
    """Return the figures of one part."""
    measures: dict[str, Callable[[], Any]] = {
        "time": lambda: timing(scorer),
        "contributions_against_margins": lambda: contributions_against_margins(scorer),
        "contributions_against_definition": contributions_against_definition,
        "rates_exact": coverage_of_rates,
        "coverage": lambda: coverage_of_scores(scorer, -(-films // len(SIZES))),
    }
    return measures[part]()


def missed_bars(figures: dict[str, Any]) -> list[str]:
    """Return the bars that the figures miss, in words."""
    checks = [
        (figures["contributions_against_margins"]["worst_difference"] <= 2e-5, "contributions add up within 2e-5"),
        (figures["contributions_against_definition"]["worst_difference"] <= 2e-5, "contributions are Shapley values"),
        # On the wall clock: on a busy machine it measures the others, too (`load_average` says how busy).
        (figures["time"]["interval_and_contributions_ms"]["p50"] <= 15, "a slide's score within 15 ms"),
        (figures["rates_exact"]["worst"]["coverage"] >= 0.95, "rates covered in 95 % at every grid point"),
    ]
    for row in figures["coverage"]:
        checks.append((row["rates_covered"] >= 0.95, f"rates covered in 95 % at {row['cells']} cells"))
        checks.append((row.get("score_covered", 1) >= 0.90, f"scores covered in 90 % at {row['cells']} cells"))
    return [text for met, text in checks if not met]


if __name__ == "__main__":
    sys.exit(main())
