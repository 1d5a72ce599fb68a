"""The certificate's page shows what parity.json says, in words and shapes, and why a conversion was refused."""

from __future__ import annotations

import re
import string

import numpy as np
import pytest

from convert.bundle_parts import parity_document
from convert.certificate_picture import losses_svg
from convert.certificate_report import Heading, certificate_html
from convert.parity import compare_outputs, document_from_parity
from edge.catalogue import load_catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EXIT_PARITY_REFUSED, EdgeError, error_catalogue

CATALOGUE = load_catalogue()
THRESHOLDS = dict.fromkeys(CATALOGUE.finding_codes, 0.5)
HEADING = Heading("wbc", "1", 96, None)


def outputs(types):
    cell_type = np.full((len(types), 17), 0.001, np.float32)
    cell_type[np.arange(len(types)), types] = 0.984
    return EngineOutputs(cell_type, np.zeros((len(types), 97), np.float32), np.zeros((len(types), 4), np.float32))


def parity(found_types, **more):
    original = outputs([0] * 800 + [6] * 100)
    engine = compare_outputs("openvino cpu int8", original, outputs(found_types), np.arange(900), CATALOGUE, THRESHOLDS)
    slides = {
        "n": 200, "near_threshold": 99, "flipped": 3, "flipped_unforeseen": 0,
        "score_diff": {"mean": 0.0012, "p99": 0.03}, "one_other_cell": {"mean": 0.004, "p99": 0.1}, "verdict": "PROVEN",
    }  # fmt: skip
    return {
        **document_from_parity(engine),
        "slides": {**slides, "targets": {"mds_aa": slides}},
        "other_engines": [{"engine": "openvino cpu fp16", "n": 0, "verdict": "NOT PROVEN"}],
        "reference": {"compared_with": "Keras", "keras_cells": 66, "keras_max_difference": {"cell_type": 7e-7}},
        "tolerance": {"types": 0.01, "findings": 0.02},
        "trees": {"mds_aa": {"rows": 10000, "checkpoint_max_difference": 1e-7, "library_max_difference": None}},
        **more,
    }


def refused_by(code, **facts):
    fields = string.Formatter().parse(error_catalogue()[code].what + error_catalogue()[code].remedy)
    made = {field: f"some {field}" for _, field, _, _ in fields if field}
    return Heading("wbc", "1", 96, EdgeError(code, **{**made, **facts}))


def stopped_early(reference=None, **more):
    """What there is to tell before the first engine was compared."""
    return {**parity_document([], {}, [], reference or {}), **more}


REFUSALS = [
    c for c, e in error_catalogue().items() if c.startswith("MDSE-PARITY") and e.exit_status == EXIT_PARITY_REFUSED
]
SAME, LOST = [0] * 800 + [6] * 100, [0] * 800 + [6] * 60 + [8] * 40


def test_every_type_stands_in_the_picture_with_its_verdict_in_words():
    page = certificate_html(HEADING, parity(SAME), CATALOGUE)
    for cell_type in CATALOGUE.cell_types:
        assert f">{cell_type.code} <tspan" in page
        assert cell_type.name in page
    assert page.count("no cell: nothing is known") == 15
    assert re.search(r'class="verdict proven"[^>]*>PROVEN <tspan>0\.00 % of 800', page)
    assert re.search(r'class="verdict not-proven"[^>]*>NOT PROVEN <tspan>0\.00 % of 100', page)
    for words in ("99 within 0.1", "0.0012 in the mean", "100.00 %", "10,000 rows", "7.0e-07", "only the golden cells"):
        assert words in page, words


def test_the_page_judges_the_slides_of_every_assessment_by_itself():
    document = parity([0] * 800 + [6] * 100)
    row = document["slides"]["targets"]["mds_aa"]
    document["slides"]["targets"]["mpn_PV"] = {**row, "verdict": "NOT PROVEN", "near_threshold": 12}
    page = certificate_html(HEADING, document, CATALOGUE)
    assert 'Slides, mds_aa: <b class="proven">PROVEN</b>. 200 were composed of these cells, 99 within' in page
    assert 'Slides, mpn_PV: <b class="not-proven">NOT PROVEN</b>. 200 were composed of these cells, 12 within' in page


def test_a_refusal_says_why_and_marks_the_type_by_shape():
    page = certificate_html(refused_by("MDSE-PARITY-001", worst="LY <40 %>"), parity(LOST), CATALOGUE)
    assert "An engine does not decide like the original." in page
    assert "No bundle was written" in page
    assert "otherwise than the original: LY &lt;40 %&gt;" in page
    assert re.search(r'<rect class="mark refused"', page)
    assert "REFUSED <tspan>40.00 % of 100" in page
    assert '<rect class="mark refused"' not in certificate_html(HEADING, parity(SAME), CATALOGUE)


def test_near_ties_decided_otherwise_are_told_by_type():
    moved = parity(LOST)
    assert "Near ties" not in certificate_html(refused_by("MDSE-PARITY-001"), moved, CATALOGUE)
    moved["types"]["LY"]["near_ties"] = {"n": 12, "loss": 0.25}
    assert "otherwise: LY 3 of 12." in certificate_html(refused_by("MDSE-PARITY-001"), moved, CATALOGUE)


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_before_an_engine_was_compared_says_so_and_nothing_of_engines_or_labelled_cells(code):
    page = certificate_html(refused_by(code), stopped_early(), CATALOGUE)
    assert code in page
    assert "stopped before an engine was compared" in page
    for words in (
        "labelled test cells",
        "Compared with",
        "NOT PROVEN</span>",
        "none was",
        "<svg",
        "Largest difference",
    ):
        assert words not in page, words


def test_a_refusal_after_the_written_graph_was_compared_says_how_far_it_is_from_keras():
    reference = {"compared_with": "the graph", "keras_cells": 66, "keras_max_difference": {"cell_type": 7e-7}}
    page = certificate_html(refused_by("MDSE-PARITY-009"), stopped_early(reference), CATALOGUE)
    assert "Image 96 px.\nLargest difference of the written graph from Keras on 66 cells:\ncell_type 7.0e-07." in page
    assert "calls types of labelled cells by each other's names" in page
    assert "stopped before an engine was compared" in page


def test_a_refusal_after_int8_was_refused_once_says_that_it_was_compared():
    tried = {"float_layers": ["stem"], "refused_before": {"float_layers": [], "worst": ["LY 4 %"]}}
    page = certificate_html(refused_by("MDSE-PARITY-010"), stopped_early(quantization=tried), CATALOGUE)
    assert "Only int8 was compared" in page
    assert "Refused before, whole: LY 4 %." in page
    assert "before an engine" not in page


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_of_something_else_does_not_blame_the_engines_that_were_compared(code):
    page = certificate_html(refused_by(code), parity(SAME), CATALOGUE)
    of_an_engine = code in ("MDSE-PARITY-001", "MDSE-PARITY-005")
    assert ("none of them was refused" in page) == (not of_an_engine)
    assert ("An engine does not" in page) == of_an_engine
    assert "Compared with Keras." in page
    assert "openvino cpu int8" in page


def test_the_page_loads_nothing_from_elsewhere_and_is_the_same_for_the_same_facts():
    for heading, found in ((HEADING, SAME), (refused_by("MDSE-PARITY-001"), LOST)):
        page = certificate_html(heading, parity(found), CATALOGUE)
        assert page == certificate_html(heading, parity(found), CATALOGUE)
        assert not re.search(r"https?:|<script|<link|url\(|@import|src=", page)


@pytest.mark.parametrize(("highest", "n", "cut"), [(0.9, 1, True), (0.9, 100, True), (0.15, 100, False)])
def test_one_wide_interval_does_not_press_the_others_together(highest, n, cut):
    entry = {"n": 300, "loss": 0.01, "lo": 0.0, "hi": 0.03, "verdict": "NOT PROVEN"}
    wide = {"n": n, "loss": 0.0, "lo": 0.0, "hi": highest, "verdict": "NOT PROVEN"}
    picture = losses_svg([("SNE", "a", entry), ("TAG", "b", wide)], 0.01, "t")
    assert ("&#8594;" in picture) == cut
    ends = [float(x) for x in re.findall(r'class="interval[^"]*" x1="[\d.]+" x2="([\d.]+)"', picture)]
    assert ends[0] > 250 + 560 * 0.03 / 0.2 - 1
    assert ends[1] <= 810
