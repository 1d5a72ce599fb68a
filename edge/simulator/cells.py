"""Draw one stained blood cell: type and findings in, an RGB crop like those of a DI-60 out.

A drawing, not a photograph. It serves to teach and to test: a network trained on it has seen drawings, and a bundle
says so (`evidence: drawn`).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.simulator.cell_findings import change_plan, drawable_findings, exclude_each_other
from edge.simulator.cell_plan import CellPlan, plan_cell
from edge.simulator.cytoplasm import body_mask, paint_body, paint_granules, paint_pale_zone
from edge.simulator.debris import paint_artifact, paint_platelet_clump, paint_smudge
from edge.simulator.inclusions import Sketch, paint_inclusion
from edge.simulator.nucleus import nucleus_mask, paint_nucleus
from edge.simulator.nucleus_shapes import Place
from edge.simulator.raster import Canvas
from edge.simulator.scene import SceneLook, develop, paint_film, random_look

CROP_SIDE_UM = 36.0
SMALLEST_SIDE_PX = 48
DRAWABLE_FINDINGS: dict[str, tuple[str, ...]] = drawable_findings()
"""Per type code, the findings of the catalogue that `draw_cell` can draw on it."""

_DEBRIS = {"SMU": paint_smudge, "TAG": paint_platelet_clump, "ART": paint_artifact}


def draw_cell(
    type_code: str,
    findings: Collection[str],
    rng: np.random.Generator,
    *,
    size_px: int = 360,
    look: SceneLook | None = None,
) -> NDArray[np.uint8]:
    """Return a drawn crop [size_px,size_px,3] uint8 RGB of one cell of a type, showing the given findings.

    The crop spans 36 um of film. `look` fixes lamp, stain and focus, so that the cells of one slide agree; without it
    they are random. Findings do not disturb the random numbers of anything they do not change: the same generator
    state draws the same cell with and without a finding.

    Raises EdgeError MDSE-SIM-001 (unknown type, finding not drawable on the type) and MDSE-SIM-002 (findings that
    exclude each other).
    """
    chosen = _checked(type_code, findings)
    if size_px < SMALLEST_SIDE_PX:
        raise EdgeError("MDSE-SIM-003", where=f"{size_px} px", smallest_px=SMALLEST_SIDE_PX)
    # One generator per layer keeps the layers independent of each other.
    layers = [np.random.default_rng(int(seed)) for seed in rng.integers(0, 2**62, 8)]
    look_rng, film_rng, plan_rng, finding_rng, cell_rng, debris_rng, optics_rng, place_rng = layers
    own_look = random_look(look_rng)
    plan = plan_cell(type_code, plan_rng)
    for finding in chosen:
        plan = change_plan(plan, finding, finding_rng)
    reach_um = plan.radius_um * np.sqrt(plan.elongation)
    canvas = paint_film(size_px, look or own_look, reach_um, film_rng)
    px_per_um = size_px / CROP_SIDE_UM
    centre = size_px / 2 + place_rng.uniform(-1.0, 1.0, 2) * px_per_um
    if type_code in _DEBRIS:
        _DEBRIS[type_code](canvas, (float(centre[0]), float(centre[1])), px_per_um, debris_rng)
    else:
        _paint_cell(canvas, plan, (float(centre[0]), float(centre[1])), px_per_um, cell_rng)
    return develop(canvas, look or own_look, optics_rng)


def sample_findings(type_code: str, rng: np.random.Generator, *, mean: float = 0.9) -> tuple[str, ...]:
    """Return random findings that can be drawn together on a type: about `mean` of them, often none, in order."""
    wanted = rng.permutation(list(DRAWABLE_FINDINGS[type_code]))[: int(rng.poisson(mean))]
    chosen: list[str] = []
    for finding in map(str, wanted):
        if not any(exclude_each_other(finding, other) for other in chosen):
            chosen.append(finding)
    return tuple(sorted(chosen))


def _checked(type_code: str, findings: Collection[str]) -> tuple[str, ...]:
    """Return the findings sorted and without doubles, or raise."""
    if type_code not in DRAWABLE_FINDINGS:
        raise EdgeError("MDSE-SIM-001", where=type_code, reason="no such cell type", known=" ".join(DRAWABLE_FINDINGS))
    known = DRAWABLE_FINDINGS[type_code]
    chosen = tuple(sorted(set(findings)))
    for finding in chosen:
        if finding not in known:
            reason = f"{finding} cannot be drawn on {type_code}"
            raise EdgeError("MDSE-SIM-001", where=finding, reason=reason, known=" ".join(known) or "none")
    for index, first in enumerate(chosen):
        for second in chosen[index + 1 :]:
            if exclude_each_other(first, second):
                raise EdgeError("MDSE-SIM-002", where=type_code, first=first, second=second)
    return chosen


def _paint_cell(
    canvas: Canvas, plan: CellPlan, centre: tuple[float, float], px_per_um: float, rng: np.random.Generator
) -> None:
    """Paint a planned cell into the canvas, in place, working on the window that the cell needs."""
    body_rng, nucleus_rng, granule_rng, *inclusion_rngs = (
        np.random.default_rng(int(s)) for s in rng.integers(0, 2**62, 12)
    )
    radius_px = plan.radius_um * px_per_um
    reach = round(
        radius_px * (1.5 if plan.margin in ("hairy", "blebs", "bizarre") else 1.25) * np.sqrt(plan.elongation)
        + 3 * px_per_um
    )
    left, top = max(0, round(centre[0]) - reach), max(0, round(centre[1]) - reach)
    window = canvas[:, top : round(centre[1]) + reach, left : round(centre[0]) + reach]
    shape = (window.shape[1], window.shape[2])
    middle = (centre[0] - left, centre[1] - top)
    lean = body_rng.uniform(0, 2 * np.pi)
    body = body_mask(shape, plan, middle, radius_px, lean, body_rng)
    paint_body(window, body, plan, px_per_um, body_rng)
    if plan.cytoplasm.pale_zone:
        away = 0.42 * radius_px
        zone = (float(middle[0] + away * np.cos(lean)), float(middle[1] + away * np.sin(lean)))
        paint_pale_zone(window, body, zone, 0.34 * radius_px, plan.cytoplasm.pale_zone)
    for granules in plan.granules:
        paint_granules(window, body, granules, middle, radius_px, px_per_um, granule_rng, count=granules.count)
    nucleus = np.zeros(shape, np.float32)
    if plan.nucleus is not None:
        # The nucleus lies away from the pale zone, and its dents and clefts look towards it.
        shift = plan.nucleus.offset * radius_px
        place = Place(middle[0] - shift * np.cos(lean), middle[1] - shift * np.sin(lean), radius_px, lean)
        nucleus = nucleus_mask(shape, plan.nucleus, place, nucleus_rng) * body
        paint_nucleus(window, nucleus, plan.nucleus, place, px_per_um, nucleus_rng)
    for granules in plan.granules:
        over = round(granules.count * granules.over_nucleus)
        if over and plan.nucleus is not None:
            paint_granules(window, body, granules, middle, radius_px, px_per_um, granule_rng, count=over)
    room = ((body > 0.9) & (nucleus < 0.1)).astype(np.uint8)
    sketch = Sketch(window, body, nucleus, middle, radius_px, px_per_um, room)
    for name, inclusion_rng in zip(plan.inclusions, inclusion_rngs, strict=False):
        paint_inclusion(name, sketch, inclusion_rng)
