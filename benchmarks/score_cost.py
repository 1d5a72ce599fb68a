"""What a score costs once the cells are counted: one tree row, many rows, the interval, SHAP, and the rest.

python benchmarks/score_cost.py [--bundle DIR --public-key PEM] [--out benchmarks/score_cost.json]

The profile is that of a simulated slide. "inside the library" is the compiled tree library alone, called again and
again from a loop that is subtracted; "through Python" is the call that the pipeline makes, arrays and all.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edge.bench.machine import disturbance, machine_facts, moment
from edge.bundle.reader import open_bundle
from edge.counting_interval import counting_interval, more_cells_to_halve
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.model import open_model
from edge.score import score_from_margin
from edge.slide_profile import SlideProfile, profile_from_counts
from edge.trees import platform_library_name

ROWS = (1, 10, 100, 1000, 2000)
REPEATS = 30
CALLS = 20_000


def ms_of(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median of so many calls in milliseconds, after a warm one."""
    call()
    times = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start_s))
    return round(median(times), 4)


def library_row_us(data: bytes, rows: np.ndarray) -> float:
    """Return microseconds of one row inside of the library: the call less an empty call, the best of several rounds."""
    folder_fd = os.memfd_create("trees")
    os.write(folder_fd, data)
    library = ctypes.CDLL(f"/proc/self/fd/{folder_fd}")
    predict = library.predict
    predict.argtypes, predict.restype = (ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_float)), None
    entries = np.array(rows, np.float32, order="C")
    entries.view(np.int32)[np.isnan(entries)] = -1
    result = ctypes.c_float()
    address, pointer = entries.ctypes.data, ctypes.byref(result)
    nothing = ctypes.CDLL(None).getpid

    def loop(call: Callable[..., object], *arguments: object) -> float:
        start_s = time.perf_counter()
        for _ in range(CALLS):
            call(*arguments)
        return time.perf_counter() - start_s

    best = min(loop(predict, address, 1, pointer) for _ in range(7))
    empty = min(loop(nothing) for _ in range(7))
    return round(1e6 * max(best - empty, 0.0) / CALLS, 3)


def measure(bundle: Path, public_key: Path) -> dict[str, Any]:
    """Return the figures of the bundle's first target."""
    before, load, machine = moment(), os.getloadavg()[0], machine_facts()
    key = public_key.read_bytes()
    model = open_model(bundle, public_key=key)
    spec = model.assessments[0]
    trees, catalogue = model.trees[spec.target], model.catalogue
    profile = common_profile(catalogue)
    row = profile.values.astype(np.float32).reshape(1, -1)
    margin = float(trees.predict_margin(row)[0])
    score = score_from_margin(margin, spec.calibration)
    given: dict[str, Any] = {"trees": trees, "calibration": spec.calibration, "catalogue": catalogue}
    interval = counting_interval(profile, score, **given)
    library = open_bundle(bundle, public_key=key).read(f"trees/{spec.target}/{platform_library_name()}")
    interval_ms = ms_of(lambda: counting_interval(profile, score, **given))
    shap_ms = ms_of(lambda: model.explainers[spec.target].explain(profile, margin))
    figures = {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine,
        "bundle": model.manifest.name,
        "target": spec.target,
        "trees": trees.kind,
        "row_us_inside_the_library": library_row_us(library, row),
        "rows_ms_through_python": {
            str(count): ms_of(partial(trees.predict_margin, np.repeat(row, count, axis=0))) for count in ROWS
        },
        "interval_ms": interval_ms,
        "shap_ms": shap_ms,
        "shap_and_interval_ms": round(interval_ms + shap_ms, 3),
        "more_cells_ms": ms_of(lambda: more_cells_to_halve(profile, interval, **given), 5),
    }
    model.close()
    machine["disturbance"] = disturbance(before, moment(), load)
    return figures


def common_profile(catalogue: Any) -> SlideProfile:
    """Return the profile of a made-up film of 200 leucocytes in which every type occurs and a third show findings."""
    random = np.random.default_rng(7)
    counts = random.integers(3, 30, len(catalogue.cell_types))
    none = np.zeros(len(catalogue.findings), np.int64)
    bearers = profile_from_counts(counts, none, catalogue).denominators[len(counts) :]
    return profile_from_counts(counts, (bearers * random.random(len(bearers)) / 3).astype(np.int64), catalogue)


def main() -> int:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    parser.add_argument("--public-key", type=Path, default=DEMO_PUBLIC_KEY)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    figures = measure(arguments.bundle, arguments.public_key)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
