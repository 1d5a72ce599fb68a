"""Findings as changes of a plan: what is drawn differently when a cell shows a finding of the catalogue.

Each finding belongs to an aspect (nucleus, granules, size, ...) and two findings of one aspect exclude each other:
a nucleus cannot be ring-shaped and hypersegmented at once. Inclusions exclude nothing.

Left out although the catalogue allows them: shapes of a segmented nucleus on a band neutrophil (NE01-NE03, NE13, NE14,
NE16), because a band that shows them is a segmented cell, and NE10 on a segmented cell for the mirrored reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge.catalogue import load_catalogue
from edge.simulator.cell_plan import (
    EOSINOPHIL_GRANULE,
    TOXIC_GRANULE,
    CellPlan,
    Granules,
    Nucleus,
)

Change = Callable[[CellPlan, np.random.Generator], CellPlan]


@dataclass(frozen=True, slots=True)
class DrawnFinding:
    """How one finding is drawn: the aspect of the cell that it decides, and the change of the plan."""

    aspect: str
    change: Change


def change_plan(plan: CellPlan, finding: str, rng: np.random.Generator) -> CellPlan:
    """Return the plan with one finding drawn into it. KeyError when the finding cannot be drawn."""
    return DRAWN_FINDINGS[finding].change(plan, rng)


def _nucleus_of(plan: CellPlan) -> Nucleus:
    if plan.nucleus is None:
        raise ValueError("a finding of the nucleus was asked of a cell without one")
    return plan.nucleus


def _nucleus(**changes: object) -> Change:
    def change(plan: CellPlan, _: np.random.Generator) -> CellPlan:
        return replace(plan, nucleus=replace(_nucleus_of(plan), **changes))  # type: ignore[arg-type]  # names are checked by the tests, which draw every finding

    return change


def _lobes(shape: str, low: int, high: int, **changes: object) -> Change:
    def change(plan: CellPlan, rng: np.random.Generator) -> CellPlan:
        lobes = int(rng.integers(low, high + 1))
        return replace(plan, nucleus=replace(_nucleus_of(plan), shape=shape, lobes=lobes, **changes))  # type: ignore[arg-type]  # as above

    return change


def _inclusion(name: str, *, nucleus_scale: float = 1.0) -> Change:
    """Add an inclusion; a nucleus that fills the cell gives way a little, or there would be no room to see it in."""

    def change(plan: CellPlan, _: np.random.Generator) -> CellPlan:
        nucleus = plan.nucleus
        if nucleus is not None and nucleus_scale != 1.0:
            nucleus = replace(nucleus, size=nucleus.size * nucleus_scale, offset=max(nucleus.offset, 0.2))
        return replace(plan, nucleus=nucleus, inclusions=(*plan.inclusions, name))

    return change


def _size(low: float, high: float) -> Change:
    def change(plan: CellPlan, rng: np.random.Generator) -> CellPlan:
        return replace(plan, radius_um=rng.uniform(low, high))

    return change


def _degranulated(keep: float = 0.0, colour: tuple[float, float, float] | None = None) -> Change:
    """Granules reduced by two thirds or more, down to a clear grey cytoplasm."""

    def change(plan: CellPlan, rng: np.random.Generator) -> CellPlan:
        left = tuple(replace(g, count=round(g.count * keep * rng.uniform(0.3, 1.0))) for g in plan.granules)
        body = replace(plan.cytoplasm, dust=0.0, mottle=0.03, colour=colour or plan.cytoplasm.colour)
        return replace(plan, cytoplasm=body, granules=tuple(g for g in left if g.count))

    return change


def _granules(*granules: Granules, dust: float | None = None) -> Change:
    def change(plan: CellPlan, _: np.random.Generator) -> CellPlan:
        body = plan.cytoplasm if dust is None else replace(plan.cytoplasm, dust=dust)
        return replace(plan, cytoplasm=body, granules=granules)

    return change


def _body(**changes: object) -> Change:
    def change(plan: CellPlan, _: np.random.Generator) -> CellPlan:
        return replace(plan, cytoplasm=replace(plan.cytoplasm, **changes))  # type: ignore[arg-type]  # as above

    return change


def _margin(margin: str) -> Change:
    return lambda plan, _: replace(plan, margin=margin)


def _both(first: Change, second: Change) -> Change:
    return lambda plan, rng: second(first(plan, rng), rng)


def _irregular_erythroblast(plan: CellPlan, rng: np.random.Generator) -> CellPlan:
    nucleus = replace(_nucleus_of(plan), shape="irregular", size=0.6)
    return replace(plan, nucleus=nucleus, margin="ragged", elongation=rng.uniform(1.2, 1.45), wobble=0.07)


def _bare_nucleus(plan: CellPlan, _: np.random.Generator) -> CellPlan:
    """A megakaryocyte nucleus with hardly a rim of cytoplasm."""
    radius = plan.radius_um * _nucleus_of(plan).size * 1.05
    return replace(plan, radius_um=radius, nucleus=replace(_nucleus_of(plan), size=0.94, offset=0.0), granules=())


def _bizarre_platelet(plan: CellPlan, rng: np.random.Generator) -> CellPlan:
    return replace(plan, margin="bizarre", elongation=rng.uniform(2.2, 3.4), radius_um=max(plan.radius_um, 2.7))


def _bridged_erythroblast(plan: CellPlan, _: np.random.Generator) -> CellPlan:
    nucleus = replace(_nucleus_of(plan), shape="bridged", size=0.40, offset=0.0)
    return replace(plan, nucleus=nucleus, elongation=1.75, radius_um=plan.radius_um * 1.25)


def _megaloblastoid(plan: CellPlan, rng: np.random.Generator) -> CellPlan:
    nucleus = replace(_nucleus_of(plan), size=0.7, openness=0.62, contrast=0.4, grain_um=0.5)
    return replace(plan, radius_um=rng.uniform(6.8, 7.8), nucleus=nucleus)


def _plasmacytoid(plan: CellPlan, _: np.random.Generator) -> CellPlan:
    body = replace(plan.cytoplasm, colour=(0.40, 0.42, 0.80), pale_zone=0.85, edge_darkness=0.3)
    nucleus = replace(_nucleus_of(plan), size=min(_nucleus_of(plan).size, 0.56), offset=0.36)
    return replace(plan, cytoplasm=body, nucleus=nucleus, radius_um=plan.radius_um * 1.2, elongation=1.25)


def _oddly_segmented(plan: CellPlan, rng: np.random.Generator) -> CellPlan:
    """A basophil with one round or with five lobes; granules are thinned so that the nucleus can be judged."""
    odd = {"shape": "oval", "size": 0.5} if rng.random() < 0.5 else {"shape": "lobed", "lobes": 5, "size": 1.0}
    seen = tuple(replace(g, over_nucleus=0.06) for g in plan.granules)
    return replace(plan, nucleus=replace(_nucleus_of(plan), **odd), granules=seen)  # type: ignore[arg-type]  # as above


_CLUMPED_NEUTROPHIL = Granules(60, 0.42, (0.60, 0.30, 0.66), spread="clumped", opacity=0.85)
_TOXIC = Granules(230, 0.27, TOXIC_GRANULE, opacity=0.92)
_CLUMPED_PRECURSOR = Granules(75, 0.46, (0.46, 0.16, 0.52), spread="clumped", opacity=0.9, over_nucleus=0.15)
_COARSE_PROMYELOCYTE = Granules(430, 0.36, (0.45, 0.13, 0.50), opacity=0.93, over_nucleus=0.45)
_BLAST_GRANULES = Granules(75, 0.3, (0.60, 0.18, 0.55), opacity=0.9, over_nucleus=0.15)
_BASOPHIL_ODD = Granules(26, 0.78, (0.44, 0.14, 0.48), spread="clumped", over_nucleus=0.6, opacity=0.92)
_PLATELET_ODD = Granules(14, 0.5, (0.30, 0.12, 0.50), spread="clumped", opacity=0.95)
_GREY_NEUTROPHIL = (0.88, 0.86, 0.91)
_VACUOLES = DrawnFinding("vacuoles", _inclusion("vacuoles"))
_AUER = DrawnFinding("rods", _inclusion("auer rod"))

DRAWN_FINDINGS: Mapping[str, DrawnFinding] = {
    "NE01": DrawnFinding("nucleus", _nucleus(shape="spectacles", contrast=0.75, openness=0.16, grain_um=0.9)),
    "NE02": DrawnFinding("nucleus", _nucleus(shape="oval", size=0.48, contrast=0.8, openness=0.16, grain_um=0.9)),
    "NE03": DrawnFinding("nucleus", _lobes("oversegmented", 6, 8)),
    "NE04": DrawnFinding("granules", _degranulated(colour=_GREY_NEUTROPHIL)),
    "NE05": DrawnFinding("granules", _granules(_CLUMPED_NEUTROPHIL, dust=0.25)),
    "NE06": DrawnFinding("size", _size(9.4, 10.8)),
    "NE07": _VACUOLES,
    "NE08": DrawnFinding("granules", _granules(_TOXIC, dust=0.6)),
    "NE09": DrawnFinding("doehle", _inclusion("doehle bodies")),
    "NE10": DrawnFinding("nucleus", _nucleus(shape="dumbbell")),
    "NE11": DrawnFinding("nucleus", _nucleus(shape="ring")),
    "NE12": DrawnFinding("chromatin", _both(_nucleus(openness=0.12, contrast=0.2), _inclusion("chromatin gaps"))),
    "NE13": DrawnFinding("nucleus", _nucleus(shape="separate", lobes=2, size=0.34, offset=0.0)),
    "NE14": DrawnFinding("nucleus", _nucleus(shape="botryoid")),
    "NE15": DrawnFinding("fragment", _inclusion("nuclear fragment")),
    "NE16": DrawnFinding("nucleus", _lobes("balls", 3, 5, size=0.42, contrast=0.03, openness=-0.05)),
    "NE17": _AUER,
    "NE18": DrawnFinding("giant granules", _inclusion("giant granules")),
    "NE19": DrawnFinding("size", _size(4.3, 4.9)),
    "NE20": DrawnFinding("phagocytosis", _inclusion("phagocytosed body")),
    "NE21": DrawnFinding("satellites", _inclusion("satellite platelets")),
    "MM01": DrawnFinding("granules", _degranulated(colour=(0.84, 0.81, 0.91))),
    "MM02": DrawnFinding("granules", _granules(_CLUMPED_PRECURSOR, dust=0.3)),
    "MM03": _VACUOLES,
    "MM04": DrawnFinding("size", _size(10.2, 11.6)),
    "MM05": DrawnFinding("nucleus", _nucleus(shape="separate", lobes=2, size=0.36, offset=0.0)),
    "MY01": DrawnFinding("granules", _degranulated(colour=(0.76, 0.74, 0.91))),
    "MY02": DrawnFinding("granules", _granules(_CLUMPED_PRECURSOR, dust=0.3)),
    "MY03": _VACUOLES,
    "MY04": DrawnFinding("size", _size(10.4, 11.8)),
    "MY05": DrawnFinding("nucleus", _nucleus(shape="irregular", size=0.68)),
    "PM01": DrawnFinding("nucleus", _nucleus(shape="folded", size=0.72)),
    "PM02": DrawnFinding("granules", _granules(_COARSE_PROMYELOCYTE)),
    "PM03": DrawnFinding("granules", _degranulated(keep=0.08)),
    "PM04": DrawnFinding("rods", _inclusion("auer rod", nucleus_scale=0.88)),
    "PM05": DrawnFinding("rods", _inclusion("faggots", nucleus_scale=0.85)),
    "PM06": DrawnFinding("vacuoles", _inclusion("vacuoles", nucleus_scale=0.9)),
    "BL01": DrawnFinding("nucleus", _nucleus(shape="irregular")),
    "BL02": DrawnFinding("granules", _both(_granules(_BLAST_GRANULES), _nucleus(offset=0.2))),
    "BL03": DrawnFinding("vacuoles", _inclusion("vacuoles", nucleus_scale=0.86)),
    "BL04": DrawnFinding("rods", _inclusion("auer rod", nucleus_scale=0.86)),
    "BL05": DrawnFinding("nucleoli", _nucleus(nucleoli=1, nucleolus_um=1.75)),
    "BL06": DrawnFinding("nucleus", _nucleus(shape="cleaved")),
    "BL07": DrawnFinding("nucleus", _nucleus(shape="separate", lobes=2, size=0.42, offset=0.0)),
    "BL08": DrawnFinding("margin", _margin("blebs")),
    "BL09": DrawnFinding("ratio", _nucleus(size=0.94, offset=0.02)),
    "BL10": DrawnFinding("giant granules", _inclusion("giant granules", nucleus_scale=0.86)),
    "LY01": DrawnFinding("nucleus", _nucleus(shape="cleaved")),
    "LY02": DrawnFinding("ratio", _nucleus(size=0.955, offset=0.01)),
    "LY03": DrawnFinding("chromatin", _nucleus(openness=0.74, contrast=0.26, grain_um=0.35)),
    "LY04": DrawnFinding("nucleus", _nucleus(shape="irregular", size=0.84)),
    "LY05": DrawnFinding("granules", _inclusion("azurophil granules", nucleus_scale=0.76)),
    "LY06": DrawnFinding("vacuoles", _inclusion("vacuoles", nucleus_scale=0.78)),
    "LY07": DrawnFinding("margin", _margin("hairy")),
    "LY08": DrawnFinding("nucleus", _nucleus(shape="petal", size=0.82)),
    "LY09": DrawnFinding("nucleoli", _nucleus(nucleoli=1, nucleolus_um=1.45)),
    "LY10": DrawnFinding("plasmacytoid", _plasmacytoid),
    "LY11": DrawnFinding("nucleus", _nucleus(shape="separate", lobes=2, size=0.40, offset=0.0)),
    "LY12": DrawnFinding("nucleus", _nucleus(shape="cerebriform", size=0.82, openness=0.26)),
    "VL01": DrawnFinding("nucleus", _nucleus(shape="irregular", size=0.64)),
    "VL02": _VACUOLES,
    "VL03": DrawnFinding("granules", _inclusion("azurophil granules")),
    "VL04": DrawnFinding("cytoplasm", _body(colour=(0.34, 0.40, 0.78), edge_darkness=0.45)),
    "VL05": DrawnFinding("chromatin", _nucleus(openness=0.74, contrast=0.3, grain_um=0.4)),
    "VL06": DrawnFinding("nucleoli", _nucleus(nucleoli=2, nucleolus_um=1.25)),
    "VL07": DrawnFinding("ratio", _nucleus(size=0.86, offset=0.05)),
    "EO01": DrawnFinding("granules", _both(
        _granules(Granules(60, 0.40, EOSINOPHIL_GRANULE, opacity=0.9)), _body(colour=(0.87, 0.82, 0.90)))),
    "EO02": DrawnFinding("odd granules", _inclusion("dark granules")),
    "EO03": DrawnFinding("nucleus", _nucleus(shape="oval", size=0.48, contrast=0.7, openness=0.2, offset=0.25)),
    "EO04": DrawnFinding("nucleus", _lobes("lobed", 4, 5)),
    "EO05": _VACUOLES,
    "EO06": DrawnFinding("size", _size(9.6, 11.0)),
    "BA01": DrawnFinding("granules", _both(_degranulated(keep=0.15), _body(colour=(0.86, 0.80, 0.90)))),
    "BA02": DrawnFinding("granules", _granules(_BASOPHIL_ODD)),
    "BA03": DrawnFinding("nucleus", _oddly_segmented),
    "BA04": _VACUOLES,
    "EB01": DrawnFinding("nucleus", _irregular_erythroblast),
    "EB02": DrawnFinding("nucleus", _lobes("separate", 2, 3, size=0.31, offset=0.0)),
    "EB03": DrawnFinding("nucleus", _nucleus(shape="budding", size=0.46)),
    "EB04": DrawnFinding("nucleus", _bridged_erythroblast),
    "EB05": DrawnFinding("nucleus", _lobes("balls", 4, 6, size=0.44, contrast=0.05, openness=0.0)),
    "EB06": DrawnFinding("maturation", _megaloblastoid),
    "EB07": DrawnFinding("fragment", _inclusion("nuclear fragment", nucleus_scale=0.88)),
    "EB08": DrawnFinding("stippling", _inclusion("stippling")),
    "EB09": DrawnFinding("vacuoles", _inclusion("vacuoles", nucleus_scale=0.85)),
    "EB10": DrawnFinding("cytoplasm", _body(patchiness=0.8, mottle=0.16, opacity=0.85)),
    "EB11": DrawnFinding("maturation", _both(_nucleus(openness=0.12, contrast=0.2), _inclusion("chromatin gaps"))),
    "PL01": DrawnFinding("size", _size(4.4, 6.4)),
    "PL02": DrawnFinding("granules", _degranulated()),
    "PL03": DrawnFinding("granules", _granules(_PLATELET_ODD)),
    "PL04": DrawnFinding("margin", _bizarre_platelet),
    "PL05": DrawnFinding("vacuoles", _inclusion("platelet vacuoles")),
    "MK01": DrawnFinding("size", _size(5.4, 6.8)),
    "MK02": DrawnFinding("body", _bare_nucleus),
    "MK03": DrawnFinding("nucleus", _nucleus(shape="round", size=0.58)),
    "MK04": DrawnFinding("nucleus", _lobes("separate", 3, 4, size=0.25, offset=0.0)),
    "MK05": DrawnFinding("granules", _both(_degranulated(), _body(colour=(0.80, 0.79, 0.92)))),
}  # fmt: skip
"""Every finding that can be drawn, by its code in the catalogue."""


_NOT_ON = {"BNE": {"NE01", "NE02", "NE03", "NE13", "NE14", "NE16"}, "SNE": {"NE10"}}

_CONFLICTS: frozenset[frozenset[str]] = frozenset(
    map(
        frozenset,
        [
            {"MK02", "MK05"}, {"MK02", "MK01"}, {"PL02", "PL03"}, {"LY10", "LY02"}, {"LY08", "LY02"}, {"LY11", "LY02"},
            {"LY12", "LY02"}, {"LY04", "LY02"}, {"LY10", "LY11"}, {"LY10", "LY08"}, {"BL07", "BL09"}, {"BL01", "BL09"},
            {"EB06", "EB02"}, {"EB06", "EB03"}, {"EB06", "EB04"}, {"EB06", "EB05"}, {"EB11", "EB05"}, {"NE12", "NE16"},
            {"EB05", "EB07"},
            {"MK02", "MK04"}, {"BL03", "BL09"}, {"BL04", "BL09"}, {"BL10", "BL09"}, {"BL02", "BL09"}, {"LY05", "LY02"},
            {"LY06", "LY02"}, {"EO01", "EO02"}, {"VL07", "VL01"}, {"MK02", "MK03"}, {"LY12", "LY09"}, {"LY10", "LY12"},
            {"LY10", "LY04"}, {"EB01", "EB06"}, {"NE04", "NE18"}, {"NE15", "NE16"}, {"BL09", "BL06"}, {"LY01", "LY02"},
        ],
    )
)  # fmt: skip
"""Pairs of different aspects that would hide or undo each other in a drawing."""


def drawable_findings() -> dict[str, tuple[str, ...]]:
    """Return, per type code of the packaged catalogue, the findings that can be drawn on it, in catalogue order."""
    catalogue = load_catalogue()
    return {
        code: tuple(
            f.code
            for f in catalogue.findings_of(code)
            if f.code in DRAWN_FINDINGS and f.code not in _NOT_ON.get(code, ())
        )
        for code in catalogue.type_codes
    }


def exclude_each_other(first: str, second: str) -> bool:
    """Return whether two different findings cannot be drawn on one cell."""
    same_aspect = DRAWN_FINDINGS[first].aspect == DRAWN_FINDINGS[second].aspect
    return first != second and (same_aspect or frozenset((first, second)) in _CONFLICTS)
