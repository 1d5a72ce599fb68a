"""The catalogue: 17 cell types, 97 findings and the 114 slide parameters that follow from them.

Types are those of Table 1 of Kimura et al., Sci Rep 2019;9:13385, with the codes of its Fig. 1. The paper names 21 of
its 97 findings; the others are a documented proposal with the provenance of each row. A bundle carries its own
catalogue, which wins over the packaged one, so that a laboratory's list needs no change of code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

from edge.errors import EdgeError
from edge.strict_json import object_from_json

SCHEMA = "mds-edge.catalogue/1"


@dataclass(frozen=True, slots=True)
class CellType:
    """One cell type: code of Fig. 1, name of Table 1, whether it counts as a leucocyte, and its group in Fig. 3."""

    code: str
    name: str
    leucocyte: bool
    group: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One morphological finding and the cell types on which it may be reported."""

    code: str
    group: str
    applies_to: tuple[str, ...]
    name: str
    standard_term: str
    category: str
    definition: str
    provenance: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Cell types and findings in the order of the network's outputs."""

    source: str
    cell_types: tuple[CellType, ...]
    findings: tuple[Finding, ...]

    @property
    def type_codes(self) -> tuple[str, ...]:
        """Codes of the cell types, in output order."""
        return tuple(cell_type.code for cell_type in self.cell_types)

    @property
    def finding_codes(self) -> tuple[str, ...]:
        """Codes of the findings, in output order."""
        return tuple(finding.code for finding in self.findings)

    @property
    def leucocyte_codes(self) -> tuple[str, ...]:
        """Codes of the types whose shares are taken of all leucocytes."""
        return tuple(cell_type.code for cell_type in self.cell_types if cell_type.leucocyte)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the slide parameters: shares, then counts per 100 leucocytes, then finding rates."""
        shares = [f"{t.code}_share" for t in self.cell_types if t.leucocyte]
        per_100 = [f"{t.code}_per_100_wbc" for t in self.cell_types if not t.leucocyte]
        return (*shares, *per_100, *(f"{finding.code}_rate" for finding in self.findings))

    def findings_of(self, type_code: str) -> tuple[Finding, ...]:
        """Return the findings that may be reported on a cell of this type."""
        return tuple(finding for finding in self.findings if type_code in finding.applies_to)


@cache
def load_catalogue() -> Catalogue:
    """Return the catalogue that ships with this software."""
    return catalogue_from_json(resources.files("edge.catalogue").joinpath("catalogue.json").read_bytes())


def catalogue_from_json(data: bytes) -> Catalogue:
    """Parse and check a catalogue. Raises EdgeError MDSE-CATALOGUE-001 naming the first fault."""
    try:
        document = object_from_json(data.decode("utf-8"))
        catalogue = Catalogue(
            source=_checked(document, "source"),
            cell_types=tuple(CellType(**row) for row in _rows(document, "cell_types")),
            findings=tuple(Finding(**row) for row in _rows(document, "findings")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeError("MDSE-CATALOGUE-001", where="catalogue.json", reason=repr(error)) from error
    fault = None if document.get("schema") == SCHEMA else f"schema {document.get('schema')!r} is not {SCHEMA!r}"
    fault = fault or _first_fault(catalogue)
    if fault:
        raise EdgeError("MDSE-CATALOGUE-001", where="catalogue.json", reason=fault)
    return catalogue


def json_from_catalogue(catalogue: Catalogue) -> bytes:
    """Return the canonical JSON of a catalogue, as it is written into a bundle."""
    document = {"schema": SCHEMA, **asdict(catalogue)}
    return (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _rows(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the rows of a list of the document with every field checked. Raises ValueError naming the first fault."""
    rows = document[name]
    if not isinstance(rows, list):
        raise ValueError(f"{name} is not a list")
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"{name}[{place}] is no object")
    return [{field: _checked(row, field, f"{name}[{place}].") for field in row} for place, row in enumerate(rows)]


def _checked(fields: Mapping[str, Any], name: str, where: str = "") -> Any:
    """Return a field: text, for `leucocyte` a bool, for `applies_to` a tuple of texts. Raises ValueError otherwise."""
    value = fields[name]
    if name == "leucocyte":
        right, wanted = isinstance(value, bool), "true or false"
    elif name == "applies_to":
        right = isinstance(value, list) and all(isinstance(code, str) for code in value)
        value, wanted = (tuple(value) if right else value), "a list of texts"
    else:
        right, wanted = isinstance(value, str), "text"
    if not right:
        raise ValueError(f"{where}{name} is {value!r}, not {wanted}")
    return value


def _first_fault(catalogue: Catalogue) -> str | None:
    codes = (*catalogue.type_codes, *catalogue.finding_codes)
    if len(set(codes)) != len(codes):
        return "a code appears twice"
    for code in codes:
        if not (code.isascii() and code.isalnum()):
            return f"code {code!r} is not made of ASCII letters and digits"
    known = set(catalogue.type_codes)
    for finding in catalogue.findings:
        if not finding.applies_to or not known.issuperset(finding.applies_to):
            return f"finding {finding.code} applies to an unknown cell type"
    return None if any(t.leucocyte for t in catalogue.cell_types) else "no cell type is a leucocyte"
