"""Writes the figures of docs/science.md from benchmarks/validation.json, so that none is ever typed.

edge-validate BUNDLE cells/ --drawn drawn/ --slides cohort/test --robustness --probes --out report
python benchmarks/science_figures.py report/validation.json   # keeps the JSON here and rewrites the page
python benchmarks/science_figures.py --check                  # exit status 1 when page and JSON disagree
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "science.md"
KEPT = REPOSITORY / "benchmarks" / "validation.json"
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
NOT_MEASURED = "Not measured yet.\n"
LOWEST_FINDING_AUC = 0.95


def percent(value: float | None, interval: Sequence[float] | None = None) -> str:
    """Return a fraction as per cent with its interval."""
    if value is None:
        return "-"
    bounds = "" if interval is None else f" ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})"
    return f"{100 * value:.1f}{bounds}"


def area(value: float | None, interval: Sequence[float] | None = None) -> str:
    """Return an area under the curve with its interval."""
    if value is None:
        return "-"
    return f"{value:.3f}" + ("" if interval is None else f" ({interval[0]:.3f}-{interval[1]:.3f})")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def real_cells(found: dict[str, Any]) -> str:
    """Return the short figures, Table 2 and the findings of real cells, and where they fall short of the paper."""
    if found.get("simulated", True):
        return NOT_MEASURED
    pooled = found["macro_recall_pooled"]
    short = [
        ["accuracy over 8 groups", percent(found["groups"]["accuracy"], found["groups"]["accuracy_ci95"])],
        [
            f"mean recall of {len(found['macro_recall_types'])} types",
            percent(found["macro_recall"], found["macro_recall_ci95"]),
        ],
        ["the same with SNE + BNE as one", percent(pooled["macro_recall"], pooled["macro_recall_ci95"])],
    ]
    types = [
        [
            code,
            str(row["n"]),
            row["evidence"],
            percent(row["sensitivity"], row["ci95"]),
            percent(row["specificity"], row["specificity_ci95"]),
            percent(row["precision"]),
            percent(row["paper"]["sensitivity"]),
            percent(row["paper"]["specificity"]),
        ]
        for code, row in found["cell_types"].items()
    ]
    findings = [
        [code, f"{row['positives']} of {row['n']}", area(row["auc"], row["auc_ci95"]), area(row["paper"]["auc"])]
        for code, row in found["findings"].items()
        if "paper" in row
    ]
    type_head = ["type", "cells", "evidence", "sensitivity %", "specificity %", "precision %"]
    model = found["model"]
    return "\n".join(
        [
            f"{model['name']} {model['version']}, {model['engine']} {model['precision']}, {model['size_px']} px; "
            f"{found['n']} cells; {found['note']} Measured {found['made_at'][:10]}.\n",
            table(["%", "with 95 % interval"], short),
            table([*type_head, "paper sens. %", "paper spec. %"], types),
            table(["finding", "cells with it", "AUC", "paper AUC"], findings),
            "Below the paper, or not measurable here:\n",
            *(f"- {line}" for line in found["shortfalls"]),
            "",
        ]
    )


def robustness(found: dict[str, Any]) -> str:
    """Return the cost of every change in points of mean recall."""
    if "robustness" not in found:
        return NOT_MEASURED
    rows = [
        [name, percent(row["macro_recall"]), percent(row["cost"], row["cost_ci95"])]
        for name, row in found["robustness"]["changes"].items()
    ]
    return table(["change", "mean recall %", "cost in points"], rows)


def probes(found: dict[str, Any]) -> str:
    """Return the probes within each type."""
    if "probes" not in found:
        return NOT_MEASURED
    rows = [
        [
            code,
            column.replace("_", " "),
            str(row["n"]),
            area(row["auc"], row["auc_ci95"]),
            percent(row["accuracy"], row["accuracy_ci95"]),
            percent(row["balanced_accuracy"]),
        ]
        for code, columns in found["probes"]["types"].items()
        for column, row in columns.items()
    ]
    return table(["type", "attribute", "test cells", "AUC", "accuracy %", "balanced accuracy %"], rows)


def simulated(found: dict[str, Any]) -> str:
    """Return the figures of drawn cells and simulated slides, each called so."""
    drawn = found if found.get("simulated") else found.get("drawn")
    rows = []
    if drawn is not None:
        types = len(drawn["macro_recall_types"])
        recall = percent(drawn["macro_recall"], drawn["macro_recall_ci95"])
        rows.append([f"SIMULATED cells ({drawn['n']}), mean recall of {types} types, %", recall])
        low = {
            c: r["auc"] for c, r in drawn["findings"].items() if r["auc"] is not None and r["auc"] < LOWEST_FINDING_AUC
        }
        judged = sum(row["auc"] is not None for row in drawn["findings"].values())
        named = ", ".join(f"{code} {value:.3f}" for code, value in sorted(low.items(), key=lambda item: item[1]))
        rows.append([f"SIMULATED findings ({judged}) with an AUC below {LOWEST_FINDING_AUC}", named or "none"])
    for target, row in found["slides"].items():
        if row["simulated"]:
            what = f"SIMULATED slides, {target}, {row['scored']} of {row['n']} scored"
            rows.append([f"{what}: AUC", area(row["auc"], row["auc_ci95"])])
            rows.append([f"{what}: sensitivity %", percent(row["sensitivity"], row["sensitivity_ci95"])])
            rows.append([f"{what}: specificity %", percent(row["specificity"], row["specificity_ci95"])])
    return table(["", "with 95 % interval"], rows) if rows else NOT_MEASURED


WRITERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "real_cells": real_cells,
    "robustness": robustness,
    "probes": probes,
    "simulated": simulated,
}


def filled(text: str, found: dict[str, Any]) -> str:
    """Return the page with every marked block written anew."""
    return BLOCK.sub(lambda match: match[1] + WRITERS[match[2]](found) + match[3], text)


def main() -> int:
    """Rewrite or check the page."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] != "--check":
        # Cases and notices name slides and folders of the machine that measured; the page needs neither.
        found = json.loads(Path(arguments[0]).read_text(encoding="utf-8")) | {"notices": []}
        for row in found["slides"].values():
            row["cases"] = []
        KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not KEPT.is_file():
        return 0
    before = PAGE.read_text(encoding="utf-8")
    after = filled(before, json.loads(KEPT.read_text(encoding="utf-8")))
    if "--check" in arguments:
        return 0 if before == after else 1
    PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
