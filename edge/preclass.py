"""Does the analyzer call the cells what we call them? Its own class of each image, where the export carries it.

An analyzer of this kind sorts the cells before a person looks at them (the pre-class). Where the two of us differ on
many cells of a slide, one of us is wrong about the film: another stain, a mixed-up export, a rare disease. That is said
as a warning; the pre-class itself never changes a type or a count.

    types_from_preclass   a pre-class as exported -> the types it may stand for (`catalogue/preclasses.json`)
    compare_preclasses    the slide's counts: cells compared, cells on which the two disagree
    preclass_warnings     PRECLASS-DISAGREES
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from edge.slide import SlideWarning

PRECLASS_DISAGREES = "PRECLASS-DISAGREES"
# Analyzers of this kind agree with the reviewer on 82 to 85 % of cells (Kratz 2005, doi 10.1309/XMB9K0J41LHLATAY; Clin
# Lab 2024, doi 10.7754/Clin.Lab.2024.241027): some disagreement is their habit and ours; more is a reason to look.
DISAGREEMENT_ALLOWED = 0.30
FEWEST_COMPARED = 20
_SCHEMA = "mds-edge.preclasses/1"
_NOT_A_LETTER = re.compile(r"[^A-Z]+")
_PAIRS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class PreclassComparison:
    """How many cells had a pre-class we know and a type, and on which the two differ: (pre-class, type, cells)."""

    compared: int
    disagree: int
    differences: tuple[tuple[str, str, int], ...]


def types_from_preclass(preclass: str) -> frozenset[str]:
    """Return the type codes that a pre-class may stand for; empty where it names no type or is not known.

    Case, blanks, digits, marks and a plural "s" do not matter. `NEUT` stands for segmented and band neutrophils alike.
    """
    name = _NOT_A_LETTER.sub("", preclass.upper())
    known = _types_by_name()
    return known.get(name) or known.get(name.removesuffix("S")) or frozenset()


def compare_preclasses(cells: Iterable[tuple[str | None, str | None]]) -> PreclassComparison | None:
    """Compare (pre-class, type) of every cell of a slide; None when no cell has a pre-class.

    Cells without a type (unidentified, out of distribution) and pre-classes that name no type of ours are not compared.
    """
    given = [(preclass, cell_type) for preclass, cell_type in cells if preclass is not None]
    if not given:
        return None
    compared = 0
    differences: dict[tuple[str, str], int] = {}
    for preclass, cell_type in given:
        may_be = types_from_preclass(preclass)
        if cell_type is None or not may_be:
            continue
        compared += 1
        if cell_type not in may_be:
            differences[preclass, cell_type] = differences.get((preclass, cell_type), 0) + 1
    ranked = sorted(differences.items(), key=lambda item: (-item[1], item[0]))
    return PreclassComparison(compared, sum(differences.values()), tuple((*pair, count) for pair, count in ranked))


def preclass_warnings(comparison: PreclassComparison | None) -> tuple[SlideWarning, ...]:
    """Warn where more than DISAGREEMENT_ALLOWED of at least FEWEST_COMPARED cells are classed otherwise."""
    if comparison is None or comparison.compared < FEWEST_COMPARED:
        return ()
    if comparison.disagree <= DISAGREEMENT_ALLOWED * comparison.compared:
        return ()
    pairs = ", ".join(
        f"{preclass} against {ours} {count}" for preclass, ours, count in comparison.differences[:_PAIRS_SHOWN]
    )
    text = (
        f"the analyzer's own class differs on {comparison.disagree} of {comparison.compared} cells "
        f"(up to {DISAGREEMENT_ALLOWED:.0%} is usual); most often {pairs}: look at them on the smear"
    )
    return (SlideWarning(PRECLASS_DISAGREES, text),)


@cache
def _types_by_name() -> Mapping[str, frozenset[str]]:
    document = json.loads(resources.files("edge.catalogue").joinpath("preclasses.json").read_bytes())
    if document["schema"] != _SCHEMA:
        raise ValueError(f"preclasses.json has the schema {document['schema']!r}, not {_SCHEMA!r}")
    return {name: frozenset(row["types"]) for row in document["classes"] for name in row["names"]}
