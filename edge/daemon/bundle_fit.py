"""Whether a bundle fits a site's configuration: what its codes mean at the receiver, and which questions it answers.

A record holds codes alone. The formats take name, local code and LOINC term of each code from the packaged catalogue
and table of codes, so a bundle that gives a packaged code another meaning would send a result under a wrong name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from edge.bundle.manifest import AssessmentSpec
from edge.catalogue import Catalogue, CellType, Finding, load_catalogue
from edge.catalogue.codes import load_codes
from edge.class_families import names_of
from edge.errors import EdgeError

FORMATS_OF_CODES = frozenset({"json"})
"""Formats that carry codes and no names: what a code means is then for the reader to look up in the bundle."""
_TYPE_MEANING = ("name", "leucocyte", "group")
_FINDING_MEANING = ("name", "standard_term", "group", "applies_to")
_SHOWN = 5


def check_meanings(catalogue: Catalogue, formats: Collection[str]) -> None:
    """Refuse a bundle's catalogue whose codes the configured output formats would send under another meaning.

    `formats`: the formats of the configured outputs. Raises EdgeError MDSE-CATALOGUE-002 naming the codes: one that the
    packaged catalogue has with another meaning, or one without an entry in the table of codes, at which the writers
    would stop with MDSE-WRITER-003. A catalogue may leave out packaged codes and define them in other words.
    """
    naming = sorted(set(formats) - FORMATS_OF_CODES)
    faults = list(_faults_in_meaning(catalogue)) if naming else []
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        reason = "; ".join(faults[:_SHOWN]) + more
        raise EdgeError("MDSE-CATALOGUE-002", where="catalogue.json", formats=", ".join(naming), reason=reason)


def check_targets(targets: Sequence[str], specs: Sequence[AssessmentSpec]) -> None:
    """Refuse a site's targets that the bundle does not assess; a family's name stands for its questions.

    Raises EdgeError MDSE-ASSESS-004 naming them and what the bundle assesses.
    """
    known = {name for spec in specs for name in names_of(spec)}
    unknown = [target for target in targets if target not in known]
    if unknown:
        listed = ", ".join(sorted(known)) or "nothing"
        raise EdgeError("MDSE-ASSESS-004", where="assess.targets", unknown=", ".join(unknown), known=listed)


def _faults_in_meaning(catalogue: Catalogue) -> Iterator[str]:
    packaged, codes = load_catalogue(), load_codes()
    types = {cell_type.code: cell_type for cell_type in packaged.cell_types}
    findings = {finding.code: finding for finding in packaged.findings}
    for cell_type in catalogue.cell_types:
        yield from _faults_of(cell_type, types, _TYPE_MEANING, codes.types)
    for finding in catalogue.findings:
        yield from _faults_of(finding, findings, _FINDING_MEANING, codes.finding_locals)


def _faults_of(
    entry: CellType | Finding,
    packaged: Mapping[str, CellType] | Mapping[str, Finding],
    meaning: Sequence[str],
    sendable: Collection[str],
) -> Iterator[str]:
    """Yield what differs in one entry, each with the bundle's word and ours."""
    if entry.code not in sendable or entry.code not in packaged:
        yield f"{entry.code} ({entry.name}) has no code under which it could be sent"
        return
    ours = packaged[entry.code]
    for field in meaning:
        theirs = getattr(entry, field)
        if theirs != getattr(ours, field):
            yield f"{entry.code}: its {field} is {_words(theirs)}, but would leave as {_words(getattr(ours, field))}"


def _words(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else repr(value)
