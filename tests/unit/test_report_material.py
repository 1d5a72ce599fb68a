"""What the report shows beside its record comes from the bundle as it is, cell by cell and slide by slide."""

from __future__ import annotations

import numpy as np
import pytest

from edge.atlas import Atlas
from edge.cohort import CohortSlides
from edge.config import config_from_text
from edge.contributions import GROUPS
from edge.daemon.worker_orders import model_settings
from edge.errors import EdgeError
from edge.findings import CellFindings
from edge.report_material import atlas_points, cohort_rows, limits_from_words

CONFIG = """\
[site]
id = "HEMLAB"
timezone = "Asia/Tokyo"
language = "ja"

[bundle]
path = "/opt/mds-edge/bundle"

[reference]
source = "a made-up source"
intervals = ["SNE 38 58.5", "LY 20 45"]

[[source]]
id = "di60"
path = "/srv/di60-export"

[[output]]
format = "hl7"
path = "/srv/lis-drop/hl7"
ack = "file-gone"
"""


def cell(cell_id: str, embedding: list[float]) -> CellFindings:
    nothing = np.zeros(1, np.float32)
    return CellFindings(
        cell_id=cell_id, cell_type="SNE", probability=1.0, type_probabilities=nothing, finding_probabilities=nothing,
        embedding=np.array(embedding, np.float32), present=(), flags=(),
    )  # fmt: skip


def small_atlas() -> Atlas:
    """Two references of two types; the embedding is its own reduction."""
    return Atlas(
        mean=np.zeros(2, np.float32),
        components=np.eye(2, dtype=np.float32),
        reference=np.array([[0, 0], [4, 0]], np.float16),
        points=np.array([[10, 20], [30, 40]], np.float32),
        types=np.array([1, 0], np.uint8),
    )


def test_each_cell_keeps_its_own_place_and_each_reference_its_type():
    points = atlas_points(small_atlas(), [cell("far", [4, 0]), cell("near", [0, 0])], ["SNE", "BNE"])
    assert points is not None
    assert points.references == {"SNE": ((30.0, 40.0),), "BNE": ((10.0, 20.0),)}
    assert points.cells["near"] == pytest.approx((10, 20), abs=1e-3)
    assert points.cells["far"] == pytest.approx((30, 40), abs=1e-3)


def test_without_an_atlas_or_cells_there_is_nothing_to_draw():
    assert atlas_points(None, [cell("a", [0, 0])], ["SNE", "BNE"]) is None
    assert atlas_points(small_atlas(), [], ["SNE", "BNE"]) is None


def test_every_slide_of_the_cohort_keeps_its_side_its_score_and_its_groups():
    contributions = np.arange(2 * len(GROUPS), dtype=np.float32).reshape(2, -1)
    typical = np.zeros(3, np.float32)
    rows = cohort_rows(
        CohortSlides(typical, typical, contributions, np.array([True, False]), np.array([0.75, 0.25], np.float32))
    )
    assert rows.groups == GROUPS
    assert [(slide.positive, slide.score) for slide in rows.slides] == [(True, 0.75), (False, 0.25)]
    assert rows.slides[1].contributions == tuple(float(value) for value in contributions[1])


def test_language_and_reference_intervals_reach_the_worker_from_the_configuration():
    settings = model_settings(config_from_text(CONFIG), device="cpu", cache=None)
    assert settings["report"]["language"] == "ja"
    assert settings["report"]["reference_source"] == "a made-up source"
    assert limits_from_words(settings["report"]["reference"]) == {"SNE": (38.0, 58.5), "LY": (20.0, 45.0)}


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ('"SNE 58 38"', "two rising limits"),
        ('"SNE 38"', "two rising limits"),
        ('"sne 38 58"', "two rising limits"),
        ('"SNE -1 58"', "two rising limits"),
        ('"SNE nan 58"', "two rising limits"),
        ('"SEG 38 58"', "one of the cell types SNE, BNE"),
        ('"SNE 38 58", "SNE 40 50"', "one interval, not two"),
    ],
)
def test_a_doubtful_reference_interval_is_refused(entry, fault):
    with pytest.raises(EdgeError) as failure:
        config_from_text(CONFIG.replace('"SNE 38 58.5"', entry))
    assert fault in failure.value.facts["faults"]
