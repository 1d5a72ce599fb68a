"""The report's part about slides: rates, calls, Fig. 3 and Fig. 4, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convert.evaluation.html_parts import Cell, bullets, number, percent, picture, section, table
from edge.writers.html_markup import Html, joined, tag


def slides_part(target: str, found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> Html:
    """Return the section of one target."""
    return section(
        f"Slides: {target}, {found['positive']} against {found['negative']}",
        tag("p", f"{found['n']} slides of {found['patients']} patients; {found['note']}", class_="note"),
        _rates(found),
        _calls(found),
        _wrong(found),
        _not_scored(found),
        picture(
            pictures,
            f"{target}-roc",
            "ROC curve of the scored slides",
            "Fig. 4. ROC of the scored slides; the band is the 95 % bootstrap band of the sensitivity."
            if found["auc_ci95"] is not None
            else "Fig. 4. ROC of the scored slides; too few patients of a class for a band.",
        ),
        picture(
            pictures,
            f"{target}-shap",
            "Heat map of SHAP values: cases in columns, cell groups in rows",
            _shap_caption(found),
        ),
        picture(
            pictures,
            f"{target}-calibration",
            "Calibration curve of the slide score",
            "Share of slides of the positive class against their mean score; exact 95 % intervals. "
            f"Brier score {found['brier']}.",
        ),
        simulated=bool(found["simulated"]),
    )


def _rates(found: Mapping[str, Any]) -> Html:
    paper = found.get("paper")
    rows: list[list[Cell]] = [
        ["sensitivity %", percent(found["sensitivity"], found["sensitivity_ci95"])],
        ["specificity %", percent(found["specificity"], found["specificity_ci95"])],
        ["AUC", number(found["auc"], found["auc_ci95"])],
    ]
    head = ["", f"{found['scored']} scored slides"]
    if paper is not None:
        head.append(f"paper, {paper['positive']} + {paper['negative']}")
        rows[0].append(percent(paper["sensitivity"], paper["sensitivity_ci95"]))
        rows[1].append(percent(paper["specificity"], paper["specificity_ci95"]))
        rows[2].append(number(paper["auc"]))
    return table(f"At the threshold {found['threshold']}", head, rows, paper=(2,))


def _calls(found: Mapping[str, Any]) -> Html:
    calls = sorted({call for row in found["calls"].values() for call in row})
    rows: list[list[Cell]] = [
        [kind, *(str(row.get(call, 0)) for call in calls)] for kind, row in found["calls"].items()
    ]
    return table("What the runtime called them", ["label", *calls], rows)


def _not_scored(found: Mapping[str, Any]) -> Html | None:
    lines = [f"{code}: {count}" for code, count in found["not_scored"].items()]
    lines += [f"{slide} rejected: {reason}" for slide, reason in found["rejected"].items()]
    return joined((tag("h3", "Slides without a score"), bullets(lines))) if lines else None


def _wrong(found: Mapping[str, Any]) -> Html | None:
    scored = [case for case in found["cases"] if case["score"] is not None]
    lines = [
        f"{case['slide']}: {found['positive' if case['positive'] else 'negative']}, score {case['score']:.3f} "
        f"({case['ci95'][0]:.3f}\u2013{case['ci95'][1]:.3f}), {case['call']}"
        for case in scored
        if case["called_positive"] != case["positive"]
    ]
    return joined((tag("h3", "On the wrong side of the threshold"), bullets(lines))) if lines else None


def _shap_caption(found: Mapping[str, Any]) -> str:
    shap = found["shap"]
    if shap is None:
        return "No slide was scored."
    return (
        f"Fig. 3. SHAP values by {shap['library']}, summed by cell group; a column per scored slide. The largest "
        f"difference to the contributions that the runtime reports is {shap['largest_difference']:g} log-odds "
        f"(allowed {shap['tolerance']:g})."
    )
