"""The report's part about cells: Tables 1-3, Fig. 1, Fig. 2, calibration, and the optional studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convert.evaluation.html_parts import Cell, bullets, number, percent, picture, section, table
from edge.catalogue import Catalogue
from edge.writers.html_markup import Html, joined, tag

LOW_AUC = 0.95
_DOWN = "An arrow marks a figure below the paper's."


def cells_part(
    found: Mapping[str, Any], pictures: Mapping[str, bytes], prefix: str, catalogue: Catalogue
) -> list[Html | None]:
    """Return the sections about real or drawn cells; `prefix` begins the names of their pictures."""
    drawn = bool(found["simulated"])
    what = "drawn cells" if drawn else "real cells"
    note = tag("p", f"{found['n']} cells of the {found['split']} split; {found['note']}", class_="note")
    return [
        section(f"In short: {what}", note, _short(found), _withheld(found), _shortfalls(found), simulated=drawn),
        section(f"Table 1: cells per type, {what}", note, _counts(found, catalogue), simulated=drawn),
        section(
            f"Table 2: cell types, {what}",
            note,
            _types(found, catalogue),
            picture(
                pictures,
                f"{prefix}-confusion",
                "Confusion matrix: labels against the types called by the network, in per cent of each label",
                "Fig. 1. Confusion matrix. Numbers are per cent of the label's cells; darker is more.",
            ),
            simulated=drawn,
        ),
        section(f"Table 3: findings, {what}", note, _findings(found, catalogue), simulated=drawn),
        section(f"Features and probabilities, {what}", note, *_features(found, pictures, prefix), simulated=drawn),
    ]


def _features(found: Mapping[str, Any], pictures: Mapping[str, bytes], prefix: str) -> tuple[Html | None, ...]:
    embedding = picture(
        pictures,
        f"{prefix}-embedding",
        "t-SNE map of the last hidden layer, a point per cell",
        "Fig. 2. t-SNE of the last hidden layer. Distances between far groups mean nothing.",
    )
    calibration = picture(
        pictures,
        f"{prefix}-calibration",
        "Calibration curve of the probability of the named type",
        "How often the named type is right, against the probability given for it; "
        f"expected error {100 * found['calibration']['expected_error']:.1f} points. Exact 95 % intervals.",
    )
    return embedding, calibration


def preclass_part(found: Mapping[str, Any], *, simulated: bool) -> Html:
    """Return the comparison with the analyzer's own class; `simulated`: it was made on drawn cells."""
    rows: list[list[Cell]] = [
        [
            code,
            str(row["n"]),
            percent(row["network"]["sensitivity"], row["network"]["ci95"]),
            percent(row["analyzer"]["sensitivity"], row["analyzer"]["ci95"]),
            percent(row["network"]["specificity"]),
            percent(row["analyzer"]["specificity"]),
        ]
        for code, row in found["cell_types"].items()
    ]
    words = (
        f"On {found['n']} cells the network is right in {100 * found['network']['accuracy']:.1f} %, the analyzer in "
        f"{100 * found['analyzer']['accuracy']:.1f} %. Both say the same in {100 * found['agreement']:.1f} %. Only the "
        f"network is right on {found['only_network_right']} cells, only the analyzer on {found['only_analyzer_right']}."
    )
    head = ["type", "cells", "sens. network %", "sens. analyzer %", "spec. network %", "spec. analyzer %"]
    outside = [f"{name}: {count} cells" for name, count in found["outside_catalogue"].items()]
    return section(
        "The network beside the analyzer's own class (supplemental Table S1)",
        tag("p", words),
        table("Against the label", head, rows),
        joined((tag("p", "Classes of the analyzer outside the catalogue, counted as wrong:"), bullets(outside)))
        if outside
        else None,
        simulated=simulated,
    )


def original_part(found: Mapping[str, Any], deployed: Mapping[str, Any]) -> Html:
    """Return the Keras original beside the deployed engine, both on the cells that `deployed` was judged on."""
    rows: list[list[Cell]] = [
        ["mean recall", percent(deployed["macro_recall"], deployed["macro_recall_ci95"]),
         percent(found["macro_recall"], found["macro_recall_ci95"])],
        ["accuracy", percent(deployed["accuracy"], deployed["accuracy_ci95"]), percent(found["accuracy"])],
    ]  # fmt: skip
    for code, row in deployed["cell_types"].items():
        other = found["cell_types"][code]
        rows.append([code, percent(row["sensitivity"], row["ci95"]), percent(other["sensitivity"], other["ci95"])])
    words = (
        f"Same type on {100 * found['top1_agreement']:.2f} % of {found['n']} cells; the engine loses "
        f"{_points(found['macro_recall_lost'], found['macro_recall_lost_ci95'])} of mean recall (paired)."
    )
    head = ["", "deployed engine %", "Keras original %"]
    simulated = bool(deployed["simulated"])
    beside = table("Sensitivity", head, rows)
    return section("Deployed engine and original", tag("p", words), beside, simulated=simulated)


def robustness_part(found: Mapping[str, Any]) -> Html:
    """Return what each change of the images costs."""
    rows: list[list[Cell]] = [
        [name, percent(row["macro_recall"]), _points(row["cost"], row["cost_ci95"]), percent(row["called_alike"])]
        for name, row in found["changes"].items()
    ]
    head = ["change", "mean recall %", "cost in points (95 % interval)", "called as before %"]
    words = (
        f"The same {found['n']} cells after a change of their full-size pixels; mean recall over {found['types']} "
        "types. Costs are paired; a negative cost is a gain."
    )
    return section(
        "Robustness", tag("p", words), table("Cost of a change", head, rows), simulated=bool(found["simulated"])
    )


def probes_part(found: Mapping[str, Any], *, simulated: bool) -> Html:
    """Return the linear probes; `simulated`: they were fitted and judged on drawn cells."""
    rows: list[list[Cell]] = []
    for code, columns in found["types"].items():
        for column, row in columns.items():
            values = ", ".join(f"{value} {count}" for value, count in row["values"].items())
            rows.append(
                [
                    code,
                    column.replace("_", " "),
                    values,
                    number(row["auc"], row["auc_ci95"]),
                    percent(row["accuracy"], row["accuracy_ci95"]),
                    percent(row["balanced_accuracy"]),
                ]
            )
    head = ["type", "attribute", "test cells per value", "AUC", "accuracy %", "balanced accuracy %"]
    words = (
        "A probe, not a finding: logistic regression on the frozen last hidden layer, within a type, fitted on the "
        "training split and judged on the test split. It says whether the features carry an attribute that the network "
        "never learned to report; most of these describe normal variation. AUC where there are two values."
    )
    return section("Linear probes", tag("p", words), table("Attributes", head, rows, text=(1, 2)), simulated=simulated)


def _short(found: Mapping[str, Any]) -> Html:
    groups, pooled = found["groups"], found["macro_recall_pooled"]
    types = len(found["macro_recall_types"])
    rows: list[list[Cell]] = [
        ["accuracy over all types", str(found["n"]), percent(found["accuracy"], found["accuracy_ci95"])],
        ["accuracy over 8 groups", str(groups["n"]), percent(groups["accuracy"], groups["accuracy_ci95"])],
        [f"mean recall of {types} types", "", percent(found["macro_recall"], found["macro_recall_ci95"])],
    ]
    if pooled is not None:
        recall = percent(pooled["macro_recall"], pooled["macro_recall_ci95"])
        rows.append([f"the same with {' + '.join(pooled['pooled'])} as one", "", recall])
    return joined(
        (
            table("The highest of all type probabilities counts", ["", "cells", "% (95 % interval)"], rows),
            tag("p", _weakest(found)) if _weakest(found) else None,
            tag("p", f"Mean recall is over {', '.join(found['macro_recall_types'])}: types with ten cells or more."),
        )
    )


def _withheld(found: Mapping[str, Any]) -> Html | None:
    withheld = found.get("withheld")
    if withheld is None:
        return None
    words = (
        f"With its limits the bundle leaves {withheld['unidentified']} of these {withheld['n']} cells unidentified "
        f"and takes {withheld['out_of_distribution']} as out of distribution; accuracy over the rest: "
    )
    value = percent(withheld["accuracy_of_the_rest"], withheld["accuracy_of_the_rest_ci95"])
    types = ", ".join(f"{code} {row['withheld']} of {row['n']}" for code, row in withheld["cell_types"].items())
    return tag("p", words, value, " %. ", f"Withheld by label: {types}." if types else None, class_="inline")


def _weakest(found: Mapping[str, Any]) -> str | None:
    """Name the drawn findings that the network hardly tells from their absence."""
    areas = {code: row["auc"] for code, row in found["findings"].items() if row["auc"] is not None}
    low = sorted((value, code) for code, value in areas.items() if value < LOW_AUC)
    if not found["simulated"] or not areas:
        return None
    named = ", ".join(f"{code} {value:.3f}" for value, code in low) or "none"
    return f"Drawn findings with an AUC below {LOW_AUC} ({len(low)} of {len(areas)}): {named}."


def _shortfalls(found: Mapping[str, Any]) -> Html | None:
    lines = found.get("shortfalls")
    return joined((tag("h3", "Below the paper, or not measurable here"), bullets(lines))) if lines else None


def _counts(found: Mapping[str, Any], catalogue: Catalogue) -> Html:
    from convert.evaluation.paper import load_paper

    published = {} if found["simulated"] else load_paper().cell_types
    rows: list[list[Cell]] = []
    for cell_type in catalogue.cell_types:
        own = [str(found["counts"][cell_type.code][split]) for split in ("training", "validation", "test")]
        theirs = published.get(cell_type.code)
        beside = [f"{theirs.training:,}", f"{theirs.validation:,}"] if theirs is not None else ["-", "-"]
        rows.append([cell_type.code, cell_type.name, *own, *(beside if published else [])])
    head = ["type", "", "training", "validation", "test"]
    if published:
        head += ["paper training", "paper validation"]
    return table("Labelled cells", head, rows, paper=(5, 6), text=(1,))


def _types(found: Mapping[str, Any], catalogue: Catalogue) -> Html:
    beside = not found["simulated"]
    rows: list[list[Cell]] = []
    for cell_type in catalogue.cell_types:
        row = found["cell_types"].get(cell_type.code)
        if row is None:
            continue
        paper = row.get("paper") or {}
        cells: list[Cell] = [
            cell_type.code,
            cell_type.name,
            row["evidence"],
            str(row["n"]),
            percent(row["sensitivity"], row["ci95"], below=paper.get("sensitivity")),
            percent(row["specificity"], row["specificity_ci95"], below=paper.get("specificity")),
            percent(row["precision"], row["precision_ci95"]),
        ]
        if beside:
            cells += [
                percent(paper.get("sensitivity"), paper.get("sensitivity_ci95")),
                percent(paper.get("specificity"), paper.get("specificity_ci95")),
            ]
        rows.append(cells)
    head = ["type", "", "evidence", "cells", "sensitivity %", "specificity %", "precision %"]
    head += ["paper sens. %", "paper spec. %"] if beside else []
    words = f"Exact 95 % intervals. {_DOWN} The paper's intervals are computed from its numbers." if beside else ""
    return joined((tag("p", words) if words else None, table("Cell types", head, rows, paper=(7, 8), text=(1, 2))))


def _findings(found: Mapping[str, Any], catalogue: Catalogue) -> Html:
    beside = not found["simulated"]
    rows: list[list[Cell]] = []
    for finding in catalogue.findings:
        row = found["findings"].get(finding.code)
        if row is None:
            continue
        paper = row.get("paper") or {}
        cells: list[Cell] = [
            finding.code,
            f"{finding.group}: {finding.name}",
            row["evidence"],
            f"{row['positives']} of {row['n']}",
            percent(row["sensitivity"], row["ci95"], below=paper.get("sensitivity")),
            percent(row["specificity"], row["specificity_ci95"], below=paper.get("specificity")),
            number(row["auc"], row["auc_ci95"], below=paper.get("auc")),
        ]
        if beside:
            cells += [
                percent(paper.get("sensitivity"), paper.get("sensitivity_ci95")),
                percent(paper.get("specificity")),
                number(paper.get("auc")),
            ]
        rows.append(cells)
    if not rows:
        return tag("p", "No annotated cell here shows a finding.")
    head = ["finding", "", "evidence", "cells with it", "sensitivity %", "specificity %", "AUC"]
    head += ["paper sens. %", "paper spec. %", "paper AUC"] if beside else []
    words = "Judged within the types a finding applies to, at the network's own threshold. AUC with bootstrap interval."
    return joined((tag("p", words), table("Findings", head, rows, paper=(7, 8, 9), text=(1, 2))))


def _points(value: float | None, interval: list[float] | None) -> str:
    if value is None:
        return "-"
    if interval is None:
        return f"{100 * value:.1f} points"
    return f"{100 * value:.1f} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f}) points"
