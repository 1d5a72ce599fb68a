"""Whether the film is in focus, and whether it is stained as the films that the network knows.

    quality_from_measures   the measures of a slide's cells -> SlideQuality, against the bundle's reference
    quality_warnings        FOCUS and STAIN-OOD
    document_from_quality   the record's `quality`

Sharpness of a cell is its mean absolute Laplacian in grey levels at the network's size; stain is the colour of what is
dark in the crops, mostly nuclei, in CIE 1976 L*a*b* (edge/image_measures.py). Both describe the pictures, not the
patient, and neither changes a count: they say that a person must look before the numbers are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import QualityLimits
from edge.figures_apart import texts_apart
from edge.image_measures import SHARPNESS, STAIN
from edge.slide import SlideWarning

STAIN_OOD = "STAIN-OOD"
FOCUS = "FOCUS"
# Of sharp films one cell in a hundred lies below the limit; a quarter below it is no accident of single cells.
LOW_SHARE_ALLOWED = 0.25
# A mean colour of fewer cells is that of the few types among them.
FEWEST_CELLS = 20


@dataclass(frozen=True, slots=True)
class SlideQuality:
    """Focus and stain of one slide of `cells` cells.

    `focus_median` and `focus_limit` are grey levels, `focus_low_share` the share of cells below the limit (0 without
    one). `stain` is the mean L*, a*, b* of what is dark; `stain_distance` its distance from the reference.
    """

    cells: int
    focus_median: float
    focus_low_share: float
    focus_limit: float | None
    stain: tuple[float, float, float]
    stain_distance: float | None
    stain_limit: float | None


def quality_from_measures(measures: NDArray[np.float32], limits: QualityLimits | None) -> SlideQuality | None:
    """Return focus and stain of a slide from the measures of its cells, float32 [N, len(MEASURES)]; None for N = 0.

    `limits` are the bundle's, None where it carries none: then nothing is compared.
    """
    if not len(measures):
        return None
    sharpness = np.exp(measures[:, SHARPNESS].astype(np.float64))
    stain = measures[:, STAIN].astype(np.float64).mean(axis=0)
    lightness, green_red, blue_yellow = (float(value) for value in stain)
    return SlideQuality(
        cells=len(measures),
        focus_median=float(np.median(sharpness)),
        focus_low_share=float((sharpness < limits.focus_limit).mean()) if limits else 0.0,
        focus_limit=limits.focus_limit if limits else None,
        stain=(lightness, green_red, blue_yellow),
        stain_distance=stain_distance(stain, limits) if limits else None,
        stain_limit=limits.stain_limit if limits else None,
    )


def stain_distance(stain: NDArray[np.float64], limits: QualityLimits) -> float:
    """Return how far a mean stain [3] (L*, a*, b*) lies from the reference, in the reference's own spread of cells."""
    moved = (stain - np.array(limits.stain_centre)) @ np.array(limits.stain_whitening)
    return float(np.sqrt((moved**2).sum()))


def quality_warnings(quality: SlideQuality | None) -> tuple[SlideWarning, ...]:
    """Return the warnings that a slide of at least FEWEST_CELLS cells deserves."""
    if quality is None or quality.cells < FEWEST_CELLS:
        return ()
    warnings = []
    if quality.focus_limit is not None and quality.focus_low_share > LOW_SHARE_ALLOWED:
        text = (
            f"{quality.focus_low_share:.0%} of the cells are less sharp than {quality.focus_limit:.2f} grey levels "
            f"(median {quality.focus_median:.2f}): focus and scan again before the counts are used"
        )
        warnings.append(SlideWarning(FOCUS, text))
    distance, limit = quality.stain_distance, quality.stain_limit
    if distance is not None and limit is not None and distance > limit:
        hue, saturation, lightness = _hue_saturation_lightness(quality)
        usual, found = texts_apart(limit, distance, decimals=1)
        text = (
            f"the stain lies {found} from the films that the network knows, at most {usual} is usual (hue "
            f"{hue:.0f} degrees, saturation {saturation:.0f}, lightness {lightness:.0f}): check stain and lamp; types "
            "and findings may be wrong"
        )
        warnings.append(SlideWarning(STAIN_OOD, text))
    return tuple(warnings)


def document_from_quality(quality: SlideQuality | None) -> dict[str, Any] | None:
    """Return the record's `quality`: focus in grey levels, hue in degrees, saturation and lightness in CIE units."""
    if quality is None:
        return None
    hue, saturation, lightness = _hue_saturation_lightness(quality)
    return {
        "focus": {
            "median": round(quality.focus_median, 3),
            "low_share": round(quality.focus_low_share, 4),
            "limit": _rounded(quality.focus_limit),
        },
        "stain": {
            "hue_degrees": round(hue, 1) % 360.0,
            "saturation": round(saturation, 2),
            "lightness": round(lightness, 2),
            "distance": _rounded(quality.stain_distance),
            "limit": _rounded(quality.stain_limit),
        },
    }


def _hue_saturation_lightness(quality: SlideQuality) -> tuple[float, float, float]:
    lightness, green_red, blue_yellow = quality.stain
    hue = math.degrees(math.atan2(blue_yellow, green_red)) % 360.0
    return hue, math.hypot(green_red, blue_yellow), lightness


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
