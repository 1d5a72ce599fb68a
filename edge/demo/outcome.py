"""What came of the demonstration: one row per slide, read from the files that were published, and the table of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.demo.stage import Stage

MAIN_FINDINGS = 3


@dataclass(frozen=True, slots=True)
class SlideOutcome:
    """One slide's published record and what the LIS said of its HL7 message."""

    record: Mapping[str, Any]
    hl7_file: Path
    acknowledged: bool

    @property
    def slide_key(self) -> str:
        """The slide's folder name."""
        return str(self.record["slide"]["slide_key"])


def read_outcomes(stage: Stage) -> list[SlideOutcome]:
    """Return the slides whose JSON record was published so far, by slide key.

    The HL7 file and the acknowledgement are found by the record's message id, not by guessing names.
    """
    hl7_files = {_message_id(path): path for path in sorted((stage.results / "hl7").glob("*.hl7"))}
    outcomes = []
    for path in sorted((stage.results / "json").glob("*.json")):
        record = json.loads(path.read_bytes())
        hl7_file = hl7_files.get(record["message_id"])
        if hl7_file is not None:
            answer = stage.acknowledgements / f"{hl7_file.stem}.ack"
            accepted = answer.is_file() and b"\rMSA|AA|" in answer.read_bytes()
            outcomes.append(SlideOutcome(record, hl7_file, accepted))
    return sorted(outcomes, key=lambda outcome: outcome.slide_key)


def _message_id(path: Path) -> str:
    header = path.read_bytes().split(b"\r", 1)[0].split(b"|")
    return header[9].decode("ascii", "replace") if len(header) > 9 else ""


def main_findings(record: Mapping[str, Any]) -> str:
    """Return the most frequent findings in words: `NE04 12/66, PL01 3/9`."""
    rates = [row for row in record["profile"] if row["name"].endswith("_rate") and row["numerator"]]
    rates.sort(key=lambda row: (-row["numerator"], row["name"]))
    shown = [f"{row['name'][:-5]} {row['numerator']}/{row['denominator']}" for row in rates[:MAIN_FINDINGS]]
    return ", ".join(shown) or "none"


def table_of_outcomes(outcomes: Iterable[SlideOutcome]) -> str:
    """Return the table that the demonstration prints: slide, cells, findings, score with interval, call, times."""
    header = ("slide", "cells", "main findings", "score", "95 % counting", "call", "analysis", "LIS")
    rows = [header, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def marks_of_outcomes(outcomes: Iterable[SlideOutcome]) -> str:
    """Return the sentence that says how the published results are marked: as tests, or as any patient's are."""
    records = [outcome.record for outcome in outcomes]
    if not records:
        return "SIMULATED slides; no result was published. Not for any clinical use."
    if all(record["mode"] == "T" for record in records):
        return "SIMULATED slides, demo bundle: every result is marked as a test (MSH-11 T). Not for any clinical use."
    use = records[0]["provenance"]["bundle"]["intended_use"]
    return (
        f"SIMULATED slides, bundle for {use} use: the results are NOT marked as tests (MSH-11 P). "
        "Not for any clinical use: keep these files from every real LIS."
    )


def _row(outcome: SlideOutcome) -> tuple[str, ...]:
    record = outcome.record
    assessment = record["assessments"][0] if record["assessments"] else None
    score, interval, call = "-", "-", "no target"
    if assessment is not None:
        call = assessment["call"]
        if assessment["score"] is not None:
            score = f"{assessment['score']:.3f}"
        if assessment["ci95"] is not None:
            interval = f"{assessment['ci95'][0]:.3f}-{assessment['ci95'][1]:.3f}"
    # Cells are decoded and resized while the network works: that time is inside of "infer".
    total_s = sum(ms for stage, ms in record["stage_ms"].items() if stage not in ("decode", "resize")) / 1000
    return (
        outcome.slide_key,
        str(record["images"]),
        main_findings(record),
        score,
        interval,
        call,
        f"{total_s:.2f} s",
        "accepted" if outcome.acknowledged else "no answer",
    )
