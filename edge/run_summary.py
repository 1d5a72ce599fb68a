"""A record as one page of plain text for a terminal: the differential, findings, scores, reasons and warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge.catalogue import Catalogue
from edge.errors import printable

_FINDINGS_SHOWN = 15
_CONTRIBUTIONS_SHOWN = 5
_CELLS_SHOWN = 6
_NAME_WIDTH = 34


def page_from_record(record: Mapping[str, Any], catalogue: Catalogue) -> str:
    """Return the page for a record of schema mds-edge.record/1, ending with a newline.

    Texts from the export are shown with control characters escaped. Numbers are those of the record, only rounded.
    """
    lines = [
        *_heading(record),
        *_differential(record, catalogue),
        *_findings(record, catalogue),
        *_assessments(record, catalogue),
        *_warnings(record),
        *_footing(record),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _heading(record: Mapping[str, Any]) -> Iterator[str]:
    slide, analyzer = record["slide"], record["slide"]["analyzer"]["model"]
    parts = [f"Sample {slide['sample_id']}", f"slide {slide['slide_key']}"] + ([analyzer] if analyzer else [])
    yield printable("   ".join(parts))
    if record["mode"] == "T":
        yield "TEST: made with a demonstration bundle, not for any clinical use."
    others = sum(record["counts"].values()) - record["leucocytes"]
    unclear = record["unidentified"] + record["out_of_distribution"]
    yield (
        f"{record['images']} images: {record['leucocytes']} leucocytes, {others} other, "
        f"{unclear} unidentified, {record['unreadable']} unreadable"
    )


def _differential(record: Mapping[str, Any], catalogue: Catalogue) -> Iterator[str]:
    names = {cell_type.code: cell_type.name for cell_type in catalogue.cell_types}
    rows = [row for row in record["profile"] if not row["name"].endswith("_rate") and row["numerator"]]
    yield ""
    yield f"{'Differential':{_NAME_WIDTH}} cells      share   95 % interval"
    for row in rows:
        code = row["name"].partition("_")[0]
        yield f"  {names[code]:{_NAME_WIDTH - 7}} {code:4}{row['numerator']:6}   {_amount(row)}"
    if not rows:
        yield "  no cell was identified"


def _amount(row: Mapping[str, Any]) -> str:
    """Return value and interval: a share in per cent, or a number per 100 leucocytes."""
    per_100 = row["name"].endswith("_per_100_wbc")
    if row["value"] is None:
        return "       -"
    factor, unit = (1, "/100") if per_100 else (100, "%")
    interval = ""
    if row["ci95"]:
        interval = f"   {factor * row['ci95'][0]:.1f} to {factor * row['ci95'][1]:.1f}"
    return f"{factor * row['value']:6.1f} {unit:4}{interval}"


def _findings(record: Mapping[str, Any], catalogue: Catalogue) -> Iterator[str]:
    names = {finding.code: finding.name for finding in catalogue.findings}
    seen = [row for row in record["profile"] if row["name"].endswith("_rate") and row["numerator"]]
    seen.sort(key=lambda row: -row["value"])
    yield ""
    yield f"{'Findings seen':{_NAME_WIDTH}} cells       rate   95 % interval"
    for row in seen[:_FINDINGS_SHOWN]:
        code = row["name"].partition("_")[0]
        of = f"{row['numerator']}/{row['denominator']}"
        yield f"  {names[code][: _NAME_WIDTH - 8]:{_NAME_WIDTH - 8}} {code:5}{of:>6}   {_amount(row)}"
    if len(seen) > _FINDINGS_SHOWN:
        yield f"  and {len(seen) - _FINDINGS_SHOWN} more (--json or --html shows all)"
    if not seen:
        yield "  none"


def _assessments(record: Mapping[str, Any], catalogue: Catalogue) -> Iterator[str]:
    names = _parameter_names(catalogue)
    for assessment in record["assessments"]:
        yield ""
        yield f"{assessment['positive']} against {assessment['negative']}: {assessment['call']}"
        if assessment["score"] is not None:
            low, high = assessment["ci95"]
            yield (
                f"  score {assessment['score']:.3f} for {assessment['positive']}, counting interval {low:.3f} to "
                f"{high:.3f}, threshold {assessment['threshold']:.2f}"
            )
        for reason in assessment["reasons"]:
            yield printable(f"  {reason['code']}: {reason['text']}")
        for row in assessment["contributions"][:_CONTRIBUTIONS_SHOWN]:
            yield printable(f"  {row['value']:+7.3f}  {names[row['name']][:38]:38}  {_cells(row['cells'])}")


def _parameter_names(catalogue: Catalogue) -> dict[str, str]:
    """Return what each slide parameter is called in words."""
    words = [f"{t.code} {t.name}, share" for t in catalogue.cell_types if t.leucocyte]
    words += [f"{t.code} {t.name} per 100 WBC" for t in catalogue.cell_types if not t.leucocyte]
    words += [f"{finding.code} {finding.name}" for finding in catalogue.findings]
    return dict(zip(catalogue.parameter_names, words, strict=True))


def _cells(cells: Sequence[str]) -> str:
    if not cells:
        return ""
    more = f" and {len(cells) - _CELLS_SHOWN} more" if len(cells) > _CELLS_SHOWN else ""
    return "cells " + ", ".join(cells[:_CELLS_SHOWN]) + more


def _warnings(record: Mapping[str, Any]) -> Iterator[str]:
    if record["warnings"]:
        yield ""
        yield "Warnings"
    for warning in record["warnings"]:
        yield printable(f"  {warning['code']}: {warning['text']}")


def _footing(record: Mapping[str, Any]) -> Iterator[str]:
    bundle, engine = record["provenance"]["bundle"], record["provenance"]["engine"]
    yield ""
    yield (
        f"Bundle {bundle['name']} {bundle['version']} ({bundle['digest'][:12]}, {bundle['intended_use']}), "
        f"{engine['name']} {engine['device']} {engine['precision']}, trees {record['provenance']['trees']}."
    )
    yield "Supports review by a person. It is not a diagnosis."
