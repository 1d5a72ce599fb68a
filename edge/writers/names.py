"""Names of cell types, findings and parameters, from the packaged catalogue; a code stands for itself where unknown.

Names follow the language that is spoken (`edge.writers.strings.speaking`); those of messages are always English.
"""

from __future__ import annotations

from functools import cache

from edge.catalogue import CellType, Finding, load_catalogue
from edge.writers.strings import catalogue_names, current_language, sentence


@cache
def cell_types() -> dict[str, CellType]:
    """Return the cell types by code."""
    return {cell_type.code: cell_type for cell_type in load_catalogue().cell_types}


@cache
def findings() -> dict[str, Finding]:
    """Return the findings by code."""
    return {finding.code: finding for finding in load_catalogue().findings}


def type_name(code: str) -> str:
    """Return the name of a cell type, for example `Band neutrophil`."""
    known = cell_types().get(code)
    return _translated("type", code) or (known.name if known else code)


def finding_name(code: str) -> str:
    """Return the standard term of a finding, for example `Hypersegmented neutrophil`."""
    known = findings().get(code)
    return _translated("finding", code) or (known.standard_term if known else code)


def finding_short_name(code: str) -> str:
    """Return the paper's short name of a finding, which is understood beside its cell: `Hypersegmentation`."""
    known = findings().get(code)
    return _translated("short", code) or (known.name[:1].upper() + known.name[1:] if known else code)


def finding_types(code: str) -> str:
    """Return the cell types on which a finding is counted, in words: `segmented neutrophils and band neutrophils`."""
    known = findings().get(code)
    names = [f"{cell_types()[type_code].name.lower()}s" for type_code in known.applies_to] if known else ["cells"]
    return " and ".join(names)


def parameter_name(name: str) -> str:
    """Return one of the 114 parameter names in words."""
    code = name.split("_", 1)[0]
    if name.endswith("_rate"):
        return finding_name(code)
    kind = "share" if name.endswith("_share") else "per_100"
    return sentence(f"parameter.{kind}", type=type_name(code))


def _translated(section: str, code: str) -> str | None:
    return catalogue_names(current_language())[section].get(code)
