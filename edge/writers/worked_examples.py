"""The worked examples of `docs/results.md`: one committed record, rendered in every format and shown in part.

python -m edge.writers.worked_examples docs/results.md      rewrites the parts between the marks

The record is `docs/examples/record.json` beside the page. What is shown are whole lines of the rendered file; a test
renders them again, so that the page cannot differ from the code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.writers.choose import writer_for

# One result of each kind: percentage, per hundred, count, finding, presence, score with its parts, call, facts.
SHOWN = tuple(
    "SEGPC NRBCPC SEGCT LEUCCT F004 765-8 MDSSCORE MDSLOWER MDSUPPER MDSTHRES MDSCALL MODELVER DEGRADED REVISION "
    "OBXCOUNT END".split()
)
WIDE_CELLS = 3


def page_with_examples(page: str, record: Mapping[str, Any]) -> str:
    """Return the page with every example rendered anew. Raises ValueError where a mark is missing."""
    for name, excerpt in _EXCERPTS.items():
        shown = _from_an_analyzer(record) if name == "csv-wide" else record
        content = writer_for(name).render(shown).content.decode("utf-8")
        begin, end = f"<!-- example {name}: begin -->", f"<!-- example {name}: end -->"
        before, rest = page.split(begin, 1)
        _, after = rest.split(end, 1)
        # The word after the fence: a highlighter knows none with a hyphen.
        language = "json" if name == "fhir" else name.partition("-")[0]
        page = f"{before}{begin}\n```{language}\n{excerpt(content)}\n```\n{end}{after}"
    return page


def _from_an_analyzer(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record as if a real analyzer had made its slide: the wide table refuses simulated ones."""
    slide = record["slide"]
    return {**record, "slide": {**slide, "analyzer": {**slide["analyzer"], "model": "DI-60"}}}


def _hl7(content: str) -> str:
    def code_of(line: str) -> str:
        parts = line.split("|")[3].split("^")
        return parts[3] if len(parts) > 3 else parts[0]

    return "\n".join(_with_notes(content.split("\r")[:-1], "OBX|", "NTE|", code_of))


def _lis2(content: str) -> str:
    lines = content.split("\r\n")[:-1]
    return "\n".join(_with_notes(lines, "R|", "C|", lambda line: line.split("|")[2].split("^")[3]))


def _with_notes(lines: list[str], result: str, note: str, code_of: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines of the shown results with the notes under them, and every line that is neither."""
    shown = True
    for line in lines:
        if line.startswith(result):
            shown = code_of(line) in SHOWN
        elif not line.startswith(note):
            shown = True
        if shown:
            yield line


def _long_table(content: str) -> str:
    head, *rows = content.split("\r\n")[:-1]
    return "\n".join((head, *(row for row in rows if any(f",{code}," in row for code in SHOWN))))


def _wide_table(content: str) -> str:
    codes, values, end = (line.split(",") for line in content.split("\r\n")[:-1])
    shortened = [",".join((*line[: WIDE_CELLS + 1], "...", *line[-2:])) for line in (codes, values)]
    return "\n".join((*shortened, *end))


def _bundle(content: str) -> str:
    bundle = json.loads(content)
    bundle["entry"] = [_shortened(entry) for entry in bundle["entry"] if _is_shown(entry["resource"])]
    return json.dumps(bundle, indent=1, ensure_ascii=False)


def _is_shown(resource: Mapping[str, Any]) -> bool:
    if resource["resourceType"] != "Observation":
        return True
    return resource["identifier"][0]["value"].rpartition("/")[2] in ("SEGPC", "765-8", "MDSSCORE", "MDSCALL")


def _shortened(entry: dict[str, Any]) -> dict[str, Any]:
    resource = entry["resource"]
    if resource["resourceType"] == "DiagnosticReport":
        resource["result"] = [*resource["result"][:2], "..."]
    return entry


_EXCERPTS: Mapping[str, Callable[[str], str]] = {
    "hl7": _hl7,
    "hl7-oul": _hl7,
    "lis2": _lis2,
    "csv": _long_table,
    "csv-wide": _wide_table,
    "fhir": _bundle,
}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    source = json.loads((path.parent / "examples" / "record.json").read_text(encoding="utf-8"))
    path.write_text(page_with_examples(path.read_text(encoding="utf-8"), source), encoding="utf-8")
