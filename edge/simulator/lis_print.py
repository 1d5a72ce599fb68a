"""What the simulated LIS understood, as a table for people and as facts for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.simulator.lis import Reception

HEADER = ("message id", "format", "mode", "sample", "slide", "status", "results", "score", "call", "answer", "remarks")


def table_of_receptions(receptions: Sequence[Reception]) -> str:
    """Return what was understood, one row a file."""
    rows = [HEADER, *(_row(reception) for reception in receptions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def facts_of_reception(reception: Reception) -> Mapping[str, object]:
    """Return one reception as plain facts, for `--json`."""
    message = reception.message
    return {
        "file": reception.file_name,
        "format": message.format,
        "message_id": message.message_id,
        "mode": message.mode,
        "sample_id": message.sample_id,
        "slide": message.slide,
        "status": message.status,
        "answer": reception.answer,
        "repeated": reception.repeated,
        "partial": message.partial,
        "faults": list(message.faults),
        "results": {result.code: result.value for result in message.results},
    }


def _row(reception: Reception) -> tuple[str, ...]:
    message = reception.message
    unsaid = "?" if message.names_message else "-"
    remarks = list(message.faults)
    remarks += ["PARTIAL FILE"] if message.partial else []
    remarks += ["seen before"] if reception.repeated else []
    remarks += ["refused"] if reception.refused and not message.faults else []
    return (
        message.message_id or unsaid,
        message.format,
        message.mode or unsaid,
        message.sample_id or "?",
        message.slide or unsaid,
        message.status or unsaid,
        str(len(message.results)),
        message.value_of("SCORE") or "-",
        message.value_of("CALL") or "-",
        reception.answer,
        "; ".join(remarks) or "ok",
    )
