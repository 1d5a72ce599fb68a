"""Golden cells: the few inputs with reference outputs that travel in a bundle, to prove an engine on its own machine.

By default they are drawn, two of every type with one drawable finding each: no image of a person leaves the laboratory
with a bundle. Beside them, slide profiles with the margins that XGBoost itself gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from convert.deterministic_npz import npz_from_arrays
from convert.library_from_xgboost import proof_rows
from convert.tree_model import TrainedTrees
from edge.catalogue import Catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.images import CellImage
from edge.simulator.cells import DRAWABLE_FINDINGS, draw_cell
from edge.tensors import tensors_from_cells

DRAWN_PER_TYPE = 2
FEWEST, MOST = 32, 64
PROFILE_ROWS = 64
_SEED = 20190913


def drawn_golden_images(catalogue: Catalogue, size_px: int) -> NDArray[np.uint8]:
    """Return u8 [N,S,S,3] of drawn cells, two per drawable type; the same for the same catalogue and size.

    Raises EdgeError MDSE-CONVERT-040 where the catalogue holds too few types that can be drawn.
    """
    cells: list[CellImage] = []
    for place, code in enumerate(catalogue.type_codes):
        known = set(DRAWABLE_FINDINGS.get(code, ())) & {finding.code for finding in catalogue.findings_of(code)}
        for number in range(DRAWN_PER_TYPE if code in DRAWABLE_FINDINGS else 0):
            random = np.random.default_rng([_SEED, place, number])
            findings = random.choice(sorted(known), 1).tolist() if known and number else []
            cells.append(CellImage(f"{code}{number}", draw_cell(code, findings, random)))
    if len(cells) < FEWEST:
        raise EdgeError("MDSE-CONVERT-040", where="golden", found=len(cells), needed=FEWEST)
    return tensors_from_cells(cells, size_px)


def chosen_golden_images(images: NDArray[np.uint8], types: Sequence[str], count: int = MOST) -> NDArray[np.uint8]:
    """Return up to `count` of real cells, taking the types in turn; the order of `images` decides, nothing random.

    Raises EdgeError MDSE-CONVERT-040 where there are too few.
    """
    places: dict[str, list[int]] = {}
    for place, code in enumerate(types):
        places.setdefault(code, []).append(place)
    rounds = max((len(found) for found in places.values()), default=0)
    in_turn = [places[code][turn] for turn in range(rounds) for code in sorted(places) if turn < len(places[code])]
    if len(in_turn) < FEWEST:
        raise EdgeError("MDSE-CONVERT-040", where="golden", found=len(in_turn), needed=FEWEST)
    return np.ascontiguousarray(images[in_turn[:count]])


def golden_files(
    images: NDArray[np.uint8], expected: EngineOutputs, trees: Sequence[TrainedTrees], parameter_count: int
) -> Mapping[str, bytes]:
    """Return golden/images.npz, golden/expected.npz and golden/profiles.npz.

    profiles: `profile` f32 [P,parameters] with NaN for missing, `margin` f64 [P,targets] in the order of `trees`;
    P = 0 where the bundle assesses nothing.
    """
    profiles = proof_rows(trees[0], PROFILE_ROWS) if trees else np.empty((0, parameter_count), np.float32)
    margins = [tree.margins(profiles) for tree in trees]
    return {
        "golden/images.npz": npz_from_arrays({"images": images}),
        "golden/expected.npz": npz_from_arrays(
            {
                "cell_type": expected.cell_type,
                "findings": expected.findings,
                "embedding": expected.embedding,
            }
        ),
        "golden/profiles.npz": npz_from_arrays(
            {"profile": profiles, "margin": np.stack(margins, axis=1) if margins else np.empty((0, 0), np.float64)}
        ),
    }
