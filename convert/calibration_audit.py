"""What the cells are that set the int8 steps: how many of each type, how stained, and whether they are pictures at all.

Random pixels have no likeness between neighbours, and steps measured on them ruin a network without any error: their
activations are not those of cells. A picture of a cell is smooth at the scale of a pixel. Measured on 1,624 real cells
and on drawn cells at 112 px, the correlation of neighbouring pixels is 0.93 to 0.98; on uniform and Gaussian noise and
on cells with shuffled pixels it is -0.02 to 0.02; an even area has no deviation at all. A limit of 0.5 lies far from
both, so that sharp, noisy or blurred films pass.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.calibration_cells import ENOUGH_OF_A_TYPE
from edge.errors import EdgeError
from edge.image_measures import STAIN, measures_from_tensors

LEAST_CORRELATION = 0.5
# Grey levels: an empty or even picture deviates less; the palest real cell of 1,624 by 17.
LEAST_DEVIATION = 4.0
# A single empty crop among hundreds of cells is an accident of the export, and is said.
MOST_STRANGE_SHARE = 0.02
# Hue and lightness of what is dark in a cell, in coarse classes: a person reads them as a kind of stain.
_HUES = ((0, "red"), (45, "orange"), (90, "yellow"), (180, "green"), (240, "blue"), (290, "violet"), (330, "magenta"))
_LIGHTNESS = ((0, "dark"), (35, "medium"), (50, "pale"))
_BATCH = 64


@dataclass(frozen=True, slots=True)
class CalibrationAudit:
    """Counts of the calibration cells by type and by stain, and how many are no pictures of cells."""

    cells: int
    types: dict[str, int]
    missing: tuple[str, ...]
    stains: dict[str, int]
    strange: int
    median_correlation: float

    def few(self) -> dict[str, int]:
        """Return the types with some cells, but fewer than ENOUGH_OF_A_TYPE."""
        return {code: count for code, count in self.types.items() if count < ENOUGH_OF_A_TYPE}

    def notices(self) -> tuple[str, ...]:
        """Return what a person must know; how many there are of each type is said when the cells are chosen."""
        stains = ", ".join(f"{name} {count}" for name, count in self.stains.items())
        said = [f"calibration: stain of the dark parts of {self.cells} cells: {stains}"]
        if self.strange:
            said.append(f"calibration: {self.strange} of {self.cells} images are empty or noise")
        return tuple(said)

    def document(self) -> dict[str, Any]:
        """Return the audit as it stands in parity.json."""
        return {
            "cells": self.cells,
            "types": dict(self.types),
            "too_few": sorted(self.few()),
            "missing": list(self.missing),
            "stains": dict(self.stains),
            "no_pictures": self.strange,
            "neighbour_correlation_median": round(self.median_correlation, 3),
        }


def audit_calibration(
    images: NDArray[np.uint8], cell_types: Sequence[str], type_codes: Sequence[str]
) -> CalibrationAudit:
    """Audit the calibration cells: u8 [N,S,S,3] and their types, N at least 1.

    Raises EdgeError MDSE-CONVERT-027 where they are noise, shuffled or even areas and not pictures of cells.
    """
    correlation, deviation = _texture(images)
    strange = (correlation < LEAST_CORRELATION) | (deviation < LEAST_DEVIATION)
    if strange.mean() > MOST_STRANGE_SHARE:
        raise EdgeError(
            "MDSE-CONVERT-027",
            where="calibration",
            strange=int(strange.sum()),
            cells=len(images),
            correlation=f"{float(np.median(correlation)):.2f}",
            deviation=f"{float(np.median(deviation)):.1f}",
        )
    counts = Counter(cell_types)
    return CalibrationAudit(
        cells=len(images),
        types={code: counts[code] for code in type_codes if counts[code]},
        missing=tuple(code for code in type_codes if not counts[code]),
        stains=_stains(images),
        strange=int(strange.sum()),
        median_correlation=float(np.median(correlation)),
    )


def _texture(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, per image [N], how alike neighbouring pixels are (-1..1) and the standard deviation in grey levels."""
    parts = [_texture_of(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _texture_of(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    grey = images.mean(axis=3, dtype=np.float64)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    variance = np.square(grey).mean(axis=(1, 2))
    across = (grey[:, :, 1:] * grey[:, :, :-1]).mean(axis=(1, 2))
    down = (grey[:, 1:] * grey[:, :-1]).mean(axis=(1, 2))
    return (across + down) / 2 / np.maximum(variance, 1e-9), np.sqrt(variance)


def _stains(images: NDArray[np.uint8]) -> dict[str, int]:
    """Count the cells by hue and lightness of what is dark in them (mostly the nucleus), most frequent first."""
    names = []
    for start in range(0, len(images), _BATCH):
        for lightness, red, yellow in measures_from_tensors(np.ascontiguousarray(images[start : start + _BATCH]))[
            :, STAIN
        ]:
            hue = math.degrees(math.atan2(float(yellow), float(red))) % 360
            names.append(f"{_class(_LIGHTNESS, float(lightness))} {_class(_HUES, hue)}")
    counts = Counter(names)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _class(table: Sequence[tuple[int, str]], value: float) -> str:
    return next(name for start, name in reversed(table) if value >= start or start == 0)
