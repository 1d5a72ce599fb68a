"""Names of cell types, findings and parameters, from a catalogue; a code stands for itself where unknown.

Names follow the language that is spoken (`edge.writers.strings.speaking`). They are the packaged catalogue's, unless a
page is written `naming_after` a bundle's own: a laboratory's code may mean something else than ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from edge.catalogue import Catalogue, CellType, Finding, load_catalogue
from edge.writers.strings import catalogue_names, current_language, sentence

_own: ContextVar[Catalogue | None] = ContextVar("catalogue", default=None)


@contextmanager
def naming_after(catalogue: Catalogue | None) -> Iterator[None]:
    """Take names from `catalogue` inside the block; None: from the packaged one."""
    token = _own.set(catalogue)
    try:
        yield
    finally:
        _own.reset(token)


def cell_types() -> dict[str, CellType]:
    """Return the cell types by code."""
    own = _own.get()
    return _packaged_types() if own is None else {cell_type.code: cell_type for cell_type in own.cell_types}


def findings() -> dict[str, Finding]:
    """Return the findings by code."""
    own = _own.get()
    return _packaged_findings() if own is None else {finding.code: finding for finding in own.findings}


def type_name(code: str) -> str:
    """Return the name of a cell type, for example `Band neutrophil`."""
    known = cell_types().get(code)
    if known is None:
        return code
    return _translated("type", code, known.name, _packaged_types()) or known.name


def finding_name(code: str) -> str:
    """Return the standard term of a finding, for example `Hypersegmented neutrophil`."""
    known = findings().get(code)
    if known is None:
        return code
    return _translated("finding", code, known.name, _packaged_findings()) or known.standard_term


def finding_short_name(code: str) -> str:
    """Return the paper's short name of a finding, which is understood beside its cell: `Hypersegmentation`."""
    known = findings().get(code)
    if known is None:
        return code
    return _translated("short", code, known.name, _packaged_findings()) or known.name[:1].upper() + known.name[1:]


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


def _translated(
    section: str, code: str, name: str, packaged: Mapping[str, CellType] | Mapping[str, Finding]
) -> str | None:
    """Return the translation of a name; None where there is none, or where the code means something else than ours."""
    ours = packaged.get(code)
    return catalogue_names(current_language())[section].get(code) if ours is not None and ours.name == name else None


@cache
def _packaged_types() -> dict[str, CellType]:
    return {cell_type.code: cell_type for cell_type in load_catalogue().cell_types}


@cache
def _packaged_findings() -> dict[str, Finding]:
    return {finding.code: finding for finding in load_catalogue().findings}
