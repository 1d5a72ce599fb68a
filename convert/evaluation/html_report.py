"""The validation report: one HTML file with style and pictures inside, made from the validation and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from convert.evaluation.html_cells import cells_part, original_part, preclass_part, probes_part, robustness_part
from convert.evaluation.html_parts import bullets, facts, section
from convert.evaluation.html_slides import slides_part
from edge.catalogue import Catalogue
from edge.writers.html_markup import Html, joined, raw, tag

# Nothing may be fetched and nothing may run, whatever a label or a slide is called.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def report_from_validation(validation: Mapping[str, Any], pictures: Mapping[str, bytes], catalogue: Catalogue) -> bytes:
    """Return the page. `pictures` maps names (`real-confusion`, `mds_aa-roc` ...) to SVG; text is escaped."""
    model = validation["model"]
    body: list[Html | None] = [_head(validation), _evidence(validation)]
    if "n" in validation:
        prefix = "drawn" if validation["simulated"] else "real"
        body += cells_part(validation, pictures, prefix, catalogue)
    if validation.get("original") is not None:
        body.append(original_part(validation["original"], validation))
    if validation.get("preclass") is not None:
        body.append(preclass_part(validation["preclass"], simulated=bool(validation["simulated"])))
    if validation.get("robustness") is not None:
        body.append(robustness_part(validation["robustness"]))
    if validation.get("probes") is not None:
        body.append(probes_part(validation["probes"], simulated=bool(validation["simulated"])))
    if validation.get("drawn") is not None:
        body += cells_part(validation["drawn"], pictures, "drawn", catalogue)
    body += [slides_part(target, found, pictures) for target, found in validation["slides"].items()]
    title = f"Validation of {model['name']} {model['version']}"
    head = joined(
        (
            raw('<meta charset="utf-8">'),
            raw(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
            raw('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", title),
            tag("style", raw(resources.files("convert.evaluation").joinpath("report.css").read_text(encoding="utf-8"))),
        )
    )
    page = tag("html", tag("head", head), tag("body", tag("main", *body)), lang="en")
    return f"<!doctype html>\n{page}\n".encode()


def _evidence(validation: Mapping[str, Any]) -> Html:
    """Return what the network learned each type and finding from."""
    kinds = {
        "real": "from real cells",
        "drawn": "from drawings only; a real cell of these may not be recognized",
        "none": "from nothing; never reported",
    }
    rows = [
        (words, ", ".join(code for code, found in validation["evidence"].items() if found == kind) or "none")
        for kind, words in kinds.items()
    ]
    lines = [tag("div", tag("dt", f"learned {words}"), tag("dd", codes)) for words, codes in rows]
    return section("Evidence for each type and finding", tag("dl", *lines, class_="wide"))


def _head(validation: Mapping[str, Any]) -> Html:
    model = validation["model"]
    return tag(
        "header",
        tag("h1", f"Validation of {model['name']} {model['version']}"),
        tag("p", "Decision support for review, never a diagnosis. Figures hold for these cells and slides only."),
        facts(
            [
                ("what ran", f"{model['engine']} {model['precision']}, {model['size_px']} px"),
                ("from", f"{model['kind']}, intended use {model['intended_use']}"),
                ("SHA-256", model["sha256"][:16]),
                ("made", validation["made_at"]),
                ("software", validation["software"]),
                ("paper", validation["paper_source"]),
            ]
        ),
        joined((tag("h3", "Notes"), bullets(validation["notices"]))) if validation["notices"] else None,
    )
