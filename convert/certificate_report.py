"""The certificate as a page for people: one self-contained HTML file, written also where the conversion is refused.

Everything on it comes from parity.json and the reason of the refusal; the same facts give the same page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from convert.bundle_parts import NO_ENGINE
from convert.certificate_picture import losses_svg
from convert.refusal_words import words_of_refusal
from convert.seen_cells import words_of_seen
from edge.catalogue import Catalogue
from edge.errors import EdgeError

_MOST_FINDINGS = 40
_GATE_NAMES = {
    "top1_agreement": "same type as the original, all cells",
    "sure_agreement": "same type where the original leads by more than 0.1",
    "reference_agreement": "OpenVINO and ONNX Runtime say the same type of the same file, near ties left out",
    "mean_abs_dp_types": "mean difference of the types' probabilities",
    "mean_abs_dp_findings": "mean difference of the findings' probabilities",
}
_MEANINGS = {
    "PROVEN": "Every type and finding was put to the test, and decides like the original within its tolerance.",
    "NOT PROVEN": "Nothing speaks against this engine, but for some types or findings there were too few cells to "
    "prove it. The picture shows which. More labelled cells of these types make the certificate stronger.",
}
_STYLE = (Path(__file__).parent / "certificate.css").read_text(encoding="ascii")


@dataclass(frozen=True, slots=True, eq=False)
class Heading:
    """What the page is about: the bundle's name and version, and why it was refused (None where it was not).

    `digest`: of the bundle; of a refusal that of the earlier bundle that stands where the new one was to be, None where
    there is none.
    """

    name: str
    version: str
    size_px: int
    refusal: EdgeError | None
    digest: str | None = None


def certificate_html(heading: Heading, parity: Mapping[str, Any], catalogue: Catalogue) -> str:
    """Return the page for a parity.json document; the same text for the same facts."""
    title = f"{heading.name} {heading.version}: certificate"
    verdict = "REFUSED" if heading.refusal else parity["verdict"]
    meaning = words_of_refusal(heading.refusal, parity) if heading.refusal else _MEANINGS[verdict]
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p><span class="seal {_kind(verdict)}">{verdict}</span></p>',
        f"<p>{meaning}</p>",
        *_digest_lines(heading),
    ]
    if heading.refusal:
        body += ["<h2>Why it was refused</h2>", f"<pre>{escape(str(heading.refusal))}</pre>"]
    body += _scope_lines(heading, parity) + _quantization_lines(parity.get("quantization", {}))
    for engine in _engines(parity):
        body += _engine_lines(engine, parity["tolerance"], catalogue)
    body += [*_tree_lines(parity["trees"]), *_reading_lines()]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><meta name="viewport" content="width=device-width">'
    page = "\n".join(body)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n<body>\n{page}\n</body></html>\n'
    )


def _digest_lines(heading: Heading) -> list[str]:
    if heading.digest is None:
        return []
    digest = f"<code>{escape(heading.digest)}</code>"
    if heading.refusal is None:
        return [f"<p>This page is about the bundle with the digest {digest} and about no other.</p>"]
    return [f"<p>The bundle that stands in its place is an earlier one, {digest}: this page says nothing about it.</p>"]


def _kind(verdict: str) -> str:
    return verdict.lower().replace(" ", "-")


def _engines(parity: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return () if parity["engine"] == NO_ENGINE else (parity, *parity["other_engines"])


def _scope_lines(heading: Heading, parity: Mapping[str, Any]) -> list[str]:
    reference = parity["reference"]
    lines = [f"<p>Image {heading.size_px} px."]
    if _engines(parity):
        lines.append(f"Compared with {escape(reference['compared_with'])}.")
    if reference.get("keras_max_difference"):
        parts = [f"{name} {value:.1e}" for name, value in reference["keras_max_difference"].items()]
        lines.append(f"Largest difference of the written graph from Keras on {reference['keras_cells']} cells:")
        lines.append(f"{', '.join(parts)}.")
    if (test := reference.get("test_cells")) is not None:
        lines.append(f"Test cells, by the labels of the conversion: {words_of_seen(test['seen'], test['n'])}.")
    return [*lines, "</p>"]


def _quantization_lines(quantization: Mapping[str, Any]) -> list[str]:
    """Say which layers int8 does without, and what it was refused for with fewer of them."""
    lines = []
    if quantization.get("float_layers"):
        lines.append(f"<p>int8 leaves in floating point: {escape(', '.join(quantization['float_layers']))}.</p>")
    if (tried := quantization.get("refused_before")) is not None:
        layers = f"with {', '.join(tried['float_layers'])} in floating point" if tried["float_layers"] else "whole"
        lines.append(f"<p>Refused before, {escape(layers)}: {escape(', '.join(tried['worst']))}.</p>")
    return lines


def _engine_lines(engine: Mapping[str, Any], tolerance: Mapping[str, float], catalogue: Catalogue) -> list[str]:
    lines = [f'<h2>{escape(engine["engine"])} <span class="{_kind(engine["verdict"])}">{engine["verdict"]}</span></h2>']
    if not engine["n"]:
        return [*lines, "<p>There were no labelled test cells: only the golden cells were compared.</p>"]
    lines.append(f"<p>{engine['n']:,} views of {engine['cells']:,} cells that took no part in the calibration.</p>")
    lines += _gate_lines(engine["gates"]) + _slide_lines(engine.get("slides"))
    types = [
        (catalogue_type.code, catalogue_type.name, engine["types"][catalogue_type.code])
        for catalogue_type in catalogue.cell_types
    ]
    lines.append(
        "<p>Loss per cell type: the share of its cells that this engine calls otherwise than the original.</p>"
    )
    lines.append(losses_svg(types, tolerance["types"], f"loss per cell type, {engine['engine']}"))
    lines += _near_tie_lines(engine["types"])
    return lines + _finding_lines(engine, tolerance["findings"], catalogue)


def _near_tie_lines(types: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say how many of a type's losses are near ties; documents of earlier versions do not."""
    told = [
        f"{code} {round(ties['loss'] * ties['n'])} of {ties['n']}"
        for code, entry in types.items()
        if (ties := entry.get("near_ties")) is not None and ties["loss"]
    ]
    if not told:
        return []
    return [
        "<p>Near ties, which the original hardly decides itself (its first type leads by 0.1 or less), that this "
        f"engine decides otherwise: {', '.join(told)}. They count in the loss like any other cell.</p>"
    ]


def _finding_lines(engine: Mapping[str, Any], tolerance: float, catalogue: Catalogue) -> list[str]:
    rows = [(f.code, f.name, engine["findings"][f.code]) for f in catalogue.findings]
    told = [row for row in rows if row[2]["loss"] is not None and (row[2]["shown"] or row[2]["loss"] > 0)]
    worst = sorted(told, key=lambda row: (-row[2]["loss"], -row[2]["hi"], row[0]))[:_MOST_FINDINGS]
    quiet = len(rows) - len(told)
    lines = [
        "<p>Loss per finding: the share of the cells it applies to on which one says yes and the other no. "
        f"{len(worst)} of {len(told)} findings that occur on these cells, the largest losses first; "
        f"{quiet} do not occur and stay NOT PROVEN.</p>"
    ]
    return [*lines, losses_svg(worst, tolerance, f"loss per finding, {engine['engine']}")] if worst else lines


def _gate_lines(gates: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = []
    for name, gate in gates.items():
        share = "lo" in gate
        value = f"{100 * gate['value']:.2f} %" if share else f"{gate['value']:.5f}"
        interval = f"{100 * gate['lo']:.2f} to {100 * gate['hi']:.2f} %" if share else ""
        bar = f"at least {100 * gate['bar']:g} %" if share else f"at most {gate['bar']:g}"
        cells = "".join(f'<td class="number">{text}</td>' for text in (value, interval, bar, f"{gate['n']:,}"))
        seal = f'<td class="{_kind(gate["verdict"])}"><b>{gate["verdict"]}</b></td>'
        rows.append(f"<tr><td>{_GATE_NAMES[name]}</td>{cells}{seal}</tr>")
    heads = "".join(
        f"<th>{text}</th>" for text in ("over all cells", "found", "95 % interval", "bar", "views", "verdict")
    )
    return [f"<table><tr>{heads}</tr>", *rows, "</table>"]


def _slide_lines(slides: Mapping[str, Any] | None) -> list[str]:
    return [_slide_line(target, found) for target, found in slides["targets"].items()] if slides else []


def _slide_line(target: str, slides: Mapping[str, Any]) -> str:
    difference, cell, verdict = slides["score_diff"], slides["one_other_cell"], slides["verdict"]
    words = (
        f"{slides['n']} were composed of these cells, {slides['near_threshold']} within 0.1 of the threshold.",
        f"Scores differ by {difference['mean']:.4f} in the mean and {difference['p99']:.4f} at the 99th percentile;",
        f"one exchanged cell of each slide makes {cell['mean']:.4f} and {cell['p99']:.4f}.",
        f"{slides['flipped']} change sides, {slides['flipped_unforeseen']} of them not INDETERMINATE on both.",
        "Composed slides are no patients.",
    )
    return f'<p>Slides, {escape(target)}: <b class="{_kind(verdict)}">{verdict}</b>. {" ".join(words)}</p>'


def _tree_lines(trees: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not trees:
        return []
    lines = ["<h2>Trees</h2>", "<ul>"]
    for target, proof in trees.items():
        library = proof["library_max_difference"]
        compiled = "no library was compiled" if library is None else f"compiled library {library:.1e}"
        lines.append(
            f"<li>{escape(target)}: largest difference of a margin from XGBoost's on {proof['rows']:,} rows with "
            f"missing values: checkpoint {proof['checkpoint_max_difference']:.1e}, {compiled}</li>"
        )
    return [*lines, "</ul>"]


def _reading_lines() -> Sequence[str]:
    return (
        "<h2>How to read this page</h2>",
        "<p>The dot is the loss that was found, the line its 95 % interval, the dashed line the tolerance. "
        "<b>PROVEN</b> (full dot): the whole interval lies within the tolerance. <b>NOT PROVEN</b> (ring): too few "
        "cells to say; about 370 cells of a type without a single difference are needed. <b>REFUSED</b> (square): the "
        "loss is above the tolerance, shown with Holm's correction over all types and findings.</p>",
        "<p>Agreement with the original says nothing about whether the original is right: for that see the validation "
        "in MODEL_CARD.md.</p>",
    )
