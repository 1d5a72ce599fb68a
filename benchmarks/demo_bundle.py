"""Writes what README.md says of the demo bundle, from the files in which it was measured; nothing is typed.

    python benchmarks/demo_bundle.py trees.report.json     # writes benchmarks/demo_bundle.json

Read are `benchmarks/validation.json` (edge-validate on the committed bundle), `parity.json` and the card inside the
bundle, `benchmarks/cell_honesty.json`, `benchmarks/slide_scope.json` and the report of `edge-train slides`. Real and
drawn cells never share a row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
LOWEST_NAMED = 4
Row = dict[str, str]


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON document."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def percent(value: float) -> str:
    """Return a fraction as per cent."""
    return f"{100 * value:.1f} %"


def with_interval(value: float, interval: Sequence[float]) -> str:
    """Return an area under the curve with its 95 % interval."""
    return f"{value:.3f} ({interval[0]:.3f}-{interval[1]:.3f})"


def real_rows(found: Mapping[str, Any]) -> list[Row]:
    """Return how good the engine is on real cells kept apart."""
    recall = {code: row["sensitivity"] for code, row in found["cell_types"].items() if row["n"] >= 10}
    lowest = sorted(recall.items(), key=lambda item: item[1])[:LOWEST_NAMED]
    kept = f"real cells kept apart ({found['n']}, by image, normal donors)"
    pooled = found["macro_recall_pooled"]["macro_recall"]
    return [
        {"what": f"{kept}: accuracy over 8 groups", "value": percent(found["groups"]["accuracy"])},
        {
            "what": f"real cells: mean recall of {len(found['macro_recall_types'])} types (band and segmented as one)",
            "value": f"{percent(found['macro_recall'])} ({percent(pooled)})",
        },
        {"what": "real cells: lowest recalls", "value": ", ".join(f"{code} {percent(v)}" for code, v in lowest)},
    ]


def drawn_rows(drawn: Mapping[str, Any]) -> list[Row]:
    """Return how good it is on drawn cells; each row says that they are simulated."""
    areas = [row["auc"] for row in drawn["findings"].values() if row["auc"] is not None]
    kept = f"drawn cells kept apart ({drawn['n']}, simulated)"
    return [
        {
            "what": f"{kept}: mean recall of {len(drawn['macro_recall_types'])} types",
            "value": percent(drawn["macro_recall"]),
        },
        {
            "what": f"drawn cells (simulated): mean AUC of {len(areas)} findings",
            "value": f"{sum(areas) / len(areas):.3f}",
        },
    ]


def slide_rows(found: Mapping[str, Any], trees: Mapping[str, Any], scope: Mapping[str, Any]) -> list[Row]:
    """Return what the simulated slides gave."""
    nested = trees["cross_validation"]
    rows = [
        {
            "what": f"MDS against AA, {nested['slides']} simulated slides, nested cross-validation by patient: AUC",
            "value": f"{with_interval(nested['auc'], nested['auc_ci95'])}, says nothing about patients",
        }
    ]
    for row in found["slides"].values():
        what = f"{row['n']} simulated slides kept apart, {row['scored']} scored: AUC"
        rows.append({"what": what, "value": with_interval(row["auc"], row["auc_ci95"])})
    for kind, what in (("healthy", "films of healthy blood"), ("MDS", "MDS films"), ("AA", "AA films")):
        row = scope["flagged"][kind]
        value = f"{row['with_other_films']} of {row['n']}"
        rows.append({"what": f"simulated {what} kept apart that get no score (PROFILE-OOD)", "value": value})
    return rows


def main() -> int:
    """Read, compose and write."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    benchmarks, bundle = REPOSITORY / "benchmarks", REPOSITORY / "edge/demo/bundle"
    found, manifest = read_json(benchmarks / "validation.json"), read_json(bundle / "manifest.json")
    parity, trees = read_json(bundle / "parity.json"), read_json(Path(sys.argv[1]))
    scope = read_json(benchmarks / "slide_scope.json")
    rows = [
        *real_rows(found),
        {
            "what": f"{parity['engine']} against the original, {parity['cells']} real test cells: same type",
            "value": percent(parity["top1_agreement"]),
        },
        *drawn_rows(found["drawn"]),
        *slide_rows(found, trees, scope),
    ]
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "note": f"{manifest['name']} {manifest['version']}, half width, {manifest['image']['size']} px, on two cores",
        "source": "validation.json, slide_scope.json, parity.json and the report of edge-train slides",
        "slides": trees["cross_validation"],
        "rows": rows,
    }
    (benchmarks / "demo_bundle.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
