"""How the cost of one score and of one explanation grows with the number of trees, in every form they can take.

    python -m benchmarks.side_by_side.trees FOLDER ROUNDS        prints one JSON line; compiled trees are kept in FOLDER

Trees of depth 4 on 114 parameters, fitted to noise: their answers mean nothing, their shape is that of real ones. One
row at a time, one thread, as a slide is scored; every form in turn, several rounds, medians.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COUNTS = (1, 10, 100, 500, 2000)
PARAMETERS = 114
ROWS = 1000
SLICE_S = 0.15
SEED = 20190913


def measured(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Return, for each number of trees, the microseconds of each form by its name, [median, lowest, highest]."""
    return [_row(count, folder, rounds) for count in COUNTS]


def _row(count: int, folder: Path, rounds: int) -> dict[str, Any]:
    forms = _forms(count, folder)
    samples: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, (call, rows) in forms.items():
            samples[name].append(_microseconds(call, rows))
    figures = {name: [round(f(values), 3) for f in (statistics.median, min, max)] for name, values in samples.items()}
    return {"trees": count, "us": figures}


def _forms(count: int, folder: Path) -> dict[str, tuple[Callable[[int], object], int]]:
    """Return every form as a call on row number n, another each time, and the rows that one call scores."""
    import shap
    import xgboost

    from edge.contributions import explainer_from_json
    from edge.slide_profile import SlideProfile
    from edge.trees import trees_from_checkpoint, trees_from_library

    names = [f"parameter{number}" for number in range(PARAMETERS)]
    model_json, checkpoint, library = _made(count, folder, names)
    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(model_json))
    compiled = trees_from_library(library, "timing", PARAMETERS, where="library")
    interpreted = trees_from_checkpoint(checkpoint, "timing", PARAMETERS, where="checkpoint")
    explainer = explainer_from_json(model_json, "timing", names, where="model.json")
    rows = np.random.default_rng(SEED).gamma(0.7, 0.3, (ROWS, PARAMETERS)).astype(np.float32)
    single = [rows[number : number + 1] for number in range(ROWS)]
    margins = [float(margin) for margin in compiled.predict_margin(rows)]
    whole = np.zeros(PARAMETERS, np.int64)
    profiles = [SlideProfile(tuple(names), row.astype(np.float64), whole, whole) for row in rows]
    tree_explainer = shap.TreeExplainer(booster)
    return {
        "library_row": (lambda _: compiled.predict_margin(rows), ROWS),
        "library_call": (lambda n: compiled.predict_margin(single[n]), 1),
        "gtil": (lambda n: interpreted.predict_margin(single[n]), 1),
        "booster": (lambda n: booster.predict(xgboost.DMatrix(single[n], feature_names=names, nthread=1)), 1),
        "inplace": (lambda n: booster.inplace_predict(single[n], validate_features=False), 1),
        "contributions": (lambda n: explainer.explain(profiles[n], margins[n]), 1),
        "shap": (lambda n: tree_explainer.shap_values(single[n]), 1),
    }


def _made(count: int, folder: Path, names: list[str]) -> tuple[bytes, bytes, bytes]:
    """Return model.json, checkpoint and compiled library, made once: a compiler works for minutes on many trees."""
    place = folder / f"trees-{count}"
    files = [place / name for name in ("model.json", "model.treelite", "trees.so")]
    if not all(file.exists() for file in files):
        from convert.library_from_xgboost import compile_trees

        trained = _trained(count, names)
        made = compile_trees(trained)
        place.mkdir(parents=True, exist_ok=True)
        for file, data in zip(files, (trained.model_json, made.checkpoint, made.library or b""), strict=True):
            file.write_bytes(data)
    model_json, checkpoint, library = (file.read_bytes() for file in files)
    return model_json, checkpoint, library


def _trained(count: int, names: list[str]) -> Any:
    import xgboost

    from convert.tree_model import TrainedTrees

    random = np.random.default_rng(SEED)
    rows = random.gamma(0.7, 0.3, (400, PARAMETERS)).astype(np.float32)
    matrix = xgboost.DMatrix(rows, label=random.random(400) < 0.5, feature_names=names)
    settings = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.05, "subsample": 0.8, "colsample_bytree": 0.3}
    settings |= {"base_score": 0.5, "seed": SEED, "nthread": 1, "min_child_weight": 0, "reg_lambda": 0.1}
    booster = xgboost.train(settings, matrix, num_boost_round=count)
    model_json = bytes(booster.save_raw("json"))
    return TrainedTrees("timing", {}, {}, model_json, booster, np.empty(0, np.float32))


def _microseconds(call: Callable[[int], object], rows: int) -> float:
    """Return microseconds a row: the median of calls, as many as fit into a slice, three at least."""
    samples: list[float] = []
    until_s = time.perf_counter() + SLICE_S
    while time.perf_counter() < until_s or len(samples) < 3:
        start_s = time.perf_counter()
        call(len(samples) % ROWS)
        samples.append(1e6 * (time.perf_counter() - start_s) / rows)
    return statistics.median(samples)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # shap has no other way to be told, and XGBoost is imported only below
    print(json.dumps(measured(Path(sys.argv[1]), int(sys.argv[2]))))
