"""What a drawn cell looks like before it is drawn: sizes in micrometres, shapes by name, colours as transmitted light.

`plan_cell` gives an ordinary cell of a type; `cell_findings.py` changes the plan for a finding; `cells.py` draws it.
Sizes follow JSLH definitions (neutrophil 12-15 um, lymphocyte 9-16 um, variant lymphocyte 16 um or more) and JAMT
(large platelet 4-8 um, giant platelet 8 um or more); colours were read off May-Gruenwald-Giemsa films.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edge.simulator.raster import Colour

DARK_CHROMATIN: Colour = (0.26, 0.115, 0.62)
OPEN_CHROMATIN: Colour = (0.46, 0.24, 0.70)
PINK_CYTOPLASM: Colour = (0.83, 0.755, 0.885)
BLUE_CYTOPLASM: Colour = (0.58, 0.60, 0.88)
PLATELET_BODY: Colour = (0.71, 0.73, 0.96)
AZUROPHIL: Colour = (0.52, 0.21, 0.62)
NEUTROPHIL_GRANULE: Colour = (0.66, 0.46, 0.70)
TOXIC_GRANULE: Colour = (0.38, 0.17, 0.53)
EOSINOPHIL_GRANULE: Colour = (0.79, 0.47, 0.52)
BASOPHIL_GRANULE: Colour = (0.23, 0.09, 0.50)


@dataclass(frozen=True, slots=True)
class Nucleus:
    """Shape by name (`nucleus.py`), size relative to the cell's radius, how many lobes, and its chromatin.

    `grain_um` is the size of chromatin clumps, `contrast` how far clumps stand out, `openness` 0 (black) to 1 (pale).
    """

    shape: str
    size: float
    lobes: int = 0
    offset: float = 0.1
    grain_um: float = 0.55
    contrast: float = 0.5
    openness: float = 0.3
    nucleoli: int = 0
    nucleolus_um: float = 1.2


@dataclass(frozen=True, slots=True)
class Granules:
    """Round granules: how many in a full cytoplasm, radius, colour, where (`spread`), and whether over the nucleus."""

    count: int
    radius_um: float
    colour: Colour
    spread: str = "even"  # "even" or "clumped"
    over_nucleus: float = 0.0
    opacity: float = 0.8
    radius_spread: float = 0.2


@dataclass(frozen=True, slots=True)
class Cytoplasm:
    """Colour of body and edge, how mottled it is, how dense the dust of fine granules is (0-1), and a pale zone."""

    colour: Colour
    edge_darkness: float = 0.10
    mottle: float = 0.06
    dust: float = 0.0
    dust_colour: Colour = NEUTROPHIL_GRANULE
    pale_zone: float = 0.0
    opacity: float = 0.95
    patchiness: float = 0.0


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One cell to draw. `margin` names the outline's kind; `inclusions` are drawn last, in order."""

    radius_um: float
    cytoplasm: Cytoplasm
    nucleus: Nucleus | None
    granules: tuple[Granules, ...] = ()
    elongation: float = 1.06
    wobble: float = 0.018
    margin: str = "smooth"  # smooth, ruffled, hairy, blebs, ragged
    inclusions: tuple[str, ...] = field(default=())


def plan_cell(type_code: str, rng: np.random.Generator) -> CellPlan:
    """Return the plan of an ordinary cell of a type, with the variation of healthy cells. KeyError: unknown type."""
    return _PLANS[type_code](rng)


def _segmented(rng: np.random.Generator) -> CellPlan:
    lobes = int(rng.choice([3, 3, 4, 4, 5]))
    return CellPlan(
        rng.uniform(6.4, 7.3),
        Cytoplasm(PINK_CYTOPLASM, dust=rng.uniform(0.55, 0.9)),
        Nucleus("lobed", rng.uniform(1.0, 1.18), lobes, contrast=0.8, openness=0.26, grain_um=0.65),
        (Granules(int(rng.integers(18, 45)), 0.14, NEUTROPHIL_GRANULE),),
    )


def _band(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(6.3, 7.3),
        Cytoplasm(PINK_CYTOPLASM, dust=rng.uniform(0.55, 0.9)),
        Nucleus("band", 1.0, offset=0.0, contrast=0.8, openness=0.27, grain_um=0.65),
        (Granules(int(rng.integers(18, 45)), 0.14, NEUTROPHIL_GRANULE),),
    )


def _metamyelocyte(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(6.6, 7.7),
        Cytoplasm((0.79, 0.70, 0.87), dust=rng.uniform(0.6, 0.9), mottle=0.08),
        Nucleus("kidney", rng.uniform(0.66, 0.74), offset=0.27, contrast=0.75, openness=0.38, grain_um=0.6),
        (Granules(int(rng.integers(25, 60)), 0.16, NEUTROPHIL_GRANULE),),
    )


def _myelocyte(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(6.6, 8.0),
        Cytoplasm((0.70, 0.63, 0.87), dust=rng.uniform(0.6, 0.9), mottle=0.11, edge_darkness=0.16),
        Nucleus("oval", rng.uniform(0.60, 0.70), offset=0.28, contrast=0.72, openness=0.42, grain_um=0.6),
        (Granules(int(rng.integers(35, 80)), 0.18, (0.58, 0.34, 0.66), over_nucleus=0.1),),
    )


def _promyelocyte(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(7.6, 9.2),
        Cytoplasm((0.60, 0.55, 0.86), dust=0.2, mottle=0.13, pale_zone=0.5, edge_darkness=0.2),
        Nucleus("oval", rng.uniform(0.66, 0.74), offset=0.22, contrast=0.55, openness=0.58, grain_um=0.45,
                nucleoli=int(rng.integers(0, 2)), nucleolus_um=1.0),
        (Granules(int(rng.integers(110, 190)), 0.24, AZUROPHIL, over_nucleus=0.3),),
    )  # fmt: skip


def _blast(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(6.4, 8.6),
        Cytoplasm((0.50, 0.54, 0.93), mottle=0.08, edge_darkness=0.28),
        Nucleus("round", rng.uniform(0.76, 0.81), offset=0.10, contrast=0.26, openness=0.72, grain_um=0.32,
                nucleoli=int(rng.integers(1, 3)), nucleolus_um=0.75),
    )  # fmt: skip


def _lymphocyte(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(4.9, 6.1),
        Cytoplasm((0.53, 0.58, 0.95), mottle=0.07, edge_darkness=0.2),
        Nucleus("round", rng.uniform(0.77, 0.84), offset=0.08, contrast=0.6, openness=0.28, grain_um=0.8),
        wobble=0.025,
        margin="ruffled" if rng.random() < 0.25 else "smooth",
    )


def _variant_lymphocyte(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(8.1, 9.8),
        Cytoplasm((0.61, 0.67, 0.97), mottle=0.08, edge_darkness=0.30, pale_zone=0.15),
        Nucleus("oval", rng.uniform(0.54, 0.60), offset=0.2, contrast=0.6, openness=0.34, grain_um=0.8),
        elongation=rng.uniform(1.05, 1.25),
        wobble=0.055,
    )


def _monocyte(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(7.3, 9.0),
        Cytoplasm((0.66, 0.65, 0.91), mottle=0.13, dust=0.3, dust_colour=(0.52, 0.44, 0.72), edge_darkness=0.08),
        Nucleus("folded", rng.uniform(0.64, 0.72), offset=0.12, contrast=0.65, openness=0.50, grain_um=0.5),
        elongation=rng.uniform(1.0, 1.22),
        wobble=0.045,
        inclusions=("small vacuoles",) if rng.random() < 0.6 else (),
    )


def _eosinophil(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(6.5, 7.6),
        Cytoplasm((0.83, 0.64, 0.72)),
        Nucleus("lobed", 1.0, int(rng.choice([2, 2, 2, 3])), contrast=0.8, openness=0.3, grain_um=0.65),
        (Granules(int(rng.integers(330, 430)), 0.40, EOSINOPHIL_GRANULE, opacity=0.9),),
    )


def _basophil(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(5.7, 6.7),
        Cytoplasm((0.76, 0.66, 0.86), mottle=0.1),
        Nucleus("lobed", 1.08, int(rng.choice([2, 3])), contrast=0.3, openness=0.45, grain_um=0.6),
        (Granules(int(rng.integers(130, 200)), 0.36, BASOPHIL_GRANULE, over_nucleus=0.55, opacity=0.92),),
    )


def _large_platelet(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(2.1, 3.1),
        Cytoplasm(PLATELET_BODY, edge_darkness=0.12, mottle=0.12),
        None,
        (Granules(int(rng.integers(95, 150)), 0.22, AZUROPHIL, spread="central"),),
        wobble=0.05,
        margin="ruffled" if rng.random() < 0.5 else "smooth",
    )


def _megakaryocyte(rng: np.random.Generator) -> CellPlan:
    return CellPlan(
        rng.uniform(10.6, 12.6),
        Cytoplasm((0.71, 0.66, 0.88), mottle=0.11, edge_darkness=0.06),
        Nucleus("multilobed", rng.uniform(0.60, 0.68), offset=0.1, contrast=0.5, openness=0.3, grain_um=0.9),
        (Granules(int(rng.integers(260, 340)), 0.22, AZUROPHIL, opacity=0.7),),
        wobble=0.05,
        margin="ragged",
    )


def _erythroblast(rng: np.random.Generator) -> CellPlan:
    ripeness = rng.uniform(0, 1)  # 0 polychromatic, 1 orthochromatic
    blue, pink = np.array((0.60, 0.62, 0.83)), np.array((0.76, 0.67, 0.77))
    colour = blue + ripeness * (pink - blue)
    return CellPlan(
        rng.uniform(4.4, 5.4),
        Cytoplasm((float(colour[0]), float(colour[1]), float(colour[2])), mottle=0.04, edge_darkness=0.12),
        Nucleus("round", 0.60 - 0.1 * ripeness, offset=0.16, contrast=0.62 - 0.3 * ripeness,
                openness=0.24 - 0.14 * ripeness, grain_um=0.9),
    )  # fmt: skip


def _bodiless(_: np.random.Generator) -> CellPlan:
    """Smudges, clumps of platelets and artifacts are scenes, not cells; only their reach is planned."""
    return CellPlan(7.5, Cytoplasm(PLATELET_BODY), None)


_PLANS: Mapping[str, Callable[[np.random.Generator], CellPlan]] = {
    "SNE": _segmented, "BNE": _band, "MMY": _metamyelocyte, "MY": _myelocyte, "PMY": _promyelocyte, "BL": _blast,
    "LY": _lymphocyte, "VLY": _variant_lymphocyte, "MO": _monocyte, "EO": _eosinophil, "BA": _basophil,
    "LP": _large_platelet, "MEK": _megakaryocyte, "TAG": _bodiless, "ERB": _erythroblast, "SMU": _bodiless,
    "ART": _bodiless,
}  # fmt: skip
