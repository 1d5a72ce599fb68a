"""The codes under which numbers leave: local codes, LOINC where confirmed, and units of UCUM.

Rules of the table (`codes.json`), each held by a test:

- LOINC terms are the method-less ones of panel 69738-3: a term "by Manual count" would overwrite the technologist's own
  result, one "by Automated count" the cell counter's.
- A LOINC number is sent only when number and meaning were both confirmed; everything else goes under a local code.
- A presence term of LOINC is ordinal: it carries "Present", never a percentage.
- Local codes are made of word characters and none is the beginning of another: some readers match by the start.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Loinc:
    """A LOINC number with its long name, as both must be sent together."""

    number: str
    name: str


@dataclass(frozen=True, slots=True)
class TypeCode:
    """Codes of one cell type: `local` for the percentage or the number per 100 leucocytes, `count_local` for the count.

    `unit` is UCUM: `%` of all leucocytes or `/100{WBCs}`.
    """

    type_code: str
    local: str
    count_local: str
    name: str
    unit: str
    loinc: Loinc | None


@dataclass(frozen=True, slots=True)
class PresenceCode:
    """A LOINC term that says "Present" when any of the findings, or any cell of the types, was seen."""

    loinc: Loinc
    findings: tuple[str, ...]
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetCode:
    """The stem of the local codes of one assessment, and its name: MDS gives MDSSCORE, MDSCALL and so on."""

    target: str
    stem: str
    name: str

    def local(self, ending: str) -> str:
        """Return the local code of one item of the assessment, for example SCORE, CALL, LOWER, UPPER, THRES."""
        return self.stem + ending


@dataclass(frozen=True, slots=True)
class FactCode:
    """The local code of a fact about the slide or the message."""

    fact: str
    local: str
    name: str


@dataclass(frozen=True, slots=True)
class Snomed:
    """A SNOMED CT concept with its name."""

    number: str
    name: str


@dataclass(frozen=True, slots=True)
class Codes:
    """The whole table. `finding_locals` maps a finding's catalogue code to its local code.

    `detected` is the coded form of "Present", for formats whose presence terms carry a coded answer.
    """

    local_system: str
    panel: Loinc
    types: dict[str, TypeCode]
    finding_locals: dict[str, str]
    presence: tuple[PresenceCode, ...]
    detected: Snomed
    targets: dict[str, TargetCode]
    facts: dict[str, FactCode]

    def target(self, target: str) -> TargetCode:
        """Return the codes of an assessment; one that the table does not know gets a stem made from its name.

        The leading X keeps such a stem apart from every code of the table.
        """
        known = self.targets.get(target)
        if known:
            return known
        return TargetCode(target, "X" + "".join(c for c in target.upper() if c.isascii() and c.isalnum()), target)


TARGET_ENDINGS = ("SCORE", "CALL", "LOWER", "UPPER", "THRES")


@cache
def load_codes() -> Codes:
    """Return the table of codes that ships with this software."""
    table = json.loads(resources.files("edge.catalogue").joinpath("codes.json").read_bytes())
    return Codes(
        local_system=table["local_system"],
        panel=Loinc(table["panel"]["loinc"], table["panel"]["loinc_name"]),
        types={row["type"]: _type_code(row) for row in table["types"]},
        finding_locals={row["finding"]: row["local"] for row in table["findings"]},
        presence=tuple(
            PresenceCode(Loinc(row["loinc"], row["loinc_name"]), tuple(row["findings"]), tuple(row["types"]))
            for row in table["presence"]
        ),
        detected=Snomed(table["detected"]["snomed"], table["detected"]["snomed_name"]),
        targets={row["target"]: TargetCode(**row) for row in table["targets"]},
        facts={row["fact"]: FactCode(**row) for row in table["facts"]},
    )


def _type_code(row: dict[str, str | None]) -> TypeCode:
    loinc = Loinc(str(row["loinc"]), str(row["loinc_name"])) if row["loinc"] else None
    return TypeCode(
        type_code=str(row["type"]),
        local=str(row["local"]),
        count_local=str(row["count_local"]),
        name=str(row["name"]),
        unit=str(row["unit"]),
        loinc=loinc,
    )
