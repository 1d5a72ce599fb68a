"""The table of codes as Markdown: the whole of `docs/codes.md`, so that the page cannot differ from the code.

python -m edge.catalogue.code_table docs/codes.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from edge.catalogue import load_catalogue
from edge.catalogue.codes import TARGET_ENDINGS, load_codes

HEAD = """\
# Codes

<!-- Generated from edge/catalogue/codes.json by `python -m edge.catalogue.code_table`. Change the data, not this. -->

Under these codes results leave, in every format. Where both are given, HL7 and FHIR carry the LOINC term with the local
code beside it; LIS2-A2 and CSV carry the local code.

- LOINC terms are the method-less ones of panel {panel}: a term "by Manual count" would overwrite the technologist's
  result, one "by Automated count" the cell counter's.
- A LOINC number is sent only where number and meaning were confirmed in a public source. Everything else leaves under a
  local code: the types that say "none confirmed" here, and every percentage of a finding.
- LOINC's terms for findings are ordinal. They say that a finding is present, never how often: percentages of cells with
  a finding are local. The coded answer "present" is SNOMED CT {detected}, in FHIR; HL7 says `Present`.
- Local codes have the coding system `{system}` (in FHIR `urn:mds-edge:codes`). They are word characters only and none
  begins another, because some readers match by the beginning. They are the same in every format and revision.
- An assessment that this table does not know is sent under `X`, its name in capitals, and the ending.
- Units are UCUM. Licence lines of LOINC, SNOMED CT and UCUM: `NOTICE`.
"""


def markdown_from_codes() -> str:
    """Return the tables of types, presence terms, findings, assessments and facts."""
    parts = {
        "Cell types": _types(),
        "Presence": _presence(),
        "Assessments": _assessments(),
        "Facts about slide and message": _facts(),
        "Findings": _findings(),
    }
    return "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in parts.items())


def _types() -> list[str]:
    codes = load_codes()
    lines = ["| type | value | count | unit | LOINC of the value |", "|---|---|---|---|---|"]
    for code in codes.types.values():
        loinc = f"{code.loinc.number} {code.loinc.name}" if code.loinc else "none confirmed"
        lines.append(
            f"| {code.name} ({code.type_code}) | `{code.local}` | `{code.count_local}` | `{code.unit}` | {loinc} |"
        )
    return lines


def _presence() -> list[str]:
    lines = ["| LOINC presence term (value `Present`) | sent when seen |", "|---|---|"]
    for presence in load_codes().presence:
        seen = ", ".join((*presence.findings, *presence.types))
        lines.append(f"| {presence.loinc.number} {presence.loinc.name} | {seen} |")
    return lines


def _assessments() -> list[str]:
    lines = ["| assessment | " + " | ".join(TARGET_ENDINGS) + " |", "|---" * (len(TARGET_ENDINGS) + 1) + "|"]
    for target in load_codes().targets.values():
        cells = " | ".join(f"`{target.local(ending)}`" for ending in TARGET_ENDINGS)
        lines.append(f"| {target.name} (`{target.target}`) | {cells} |")
    return lines


def _facts() -> list[str]:
    rows = [f"| {fact.name} | `{fact.local}` |" for fact in load_codes().facts.values()]
    return ["| fact | code |", "|---|---|", *rows]


def _findings() -> list[str]:
    codes = load_codes()
    rows = [
        f"| `{codes.finding_locals[finding.code]}` | {finding.code} | {finding.standard_term} "
        f"| {', '.join(finding.applies_to)} |"
        for finding in load_catalogue().findings
    ]
    return ["| code | finding | name | counted on |", "|---|---|---|---|", *rows]


def page_of_codes() -> str:
    """Return the whole page."""
    codes = load_codes()
    head = HEAD.format(
        panel=f"{codes.panel.number} {codes.panel.name}",
        detected=f"{codes.detected.number} {codes.detected.name}",
        system=codes.local_system,
    )
    return f"{head}\n{markdown_from_codes()}\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page_of_codes(), encoding="utf-8")
