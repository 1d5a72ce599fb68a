"""Parity: what refuses, what proves, and what must not be called proven."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convert.parity import compare_outputs, document_from_parity, views_of_cells
from convert.parity_gates import gates_from_outputs
from convert.parity_statistics import holm_refusals, loss_from_disagreements, overall_verdict, verdicts_from_losses
from convert.progress import Progress, duration_text
from edge.catalogue import load_catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.intervals import clopper_pearson

CATALOGUE = load_catalogue()
THRESHOLDS = dict.fromkeys(CATALOGUE.finding_codes, 0.5)
TYPES, FINDINGS = len(CATALOGUE.type_codes), len(CATALOGUE.finding_codes)


def loss(hits, views, *, cells=None, tolerance=0.01):
    disagrees = np.zeros(views, bool)
    disagrees[:hits] = True
    return loss_from_disagreements(disagrees, np.arange(views) if cells is None else cells, tolerance=tolerance)


@pytest.mark.parametrize(("hits", "views"), [(0, 10), (1, 300), (7, 150), (150, 150)])
def test_the_interval_of_single_views_is_exact(hits, views):
    found = loss(hits, views)
    np.testing.assert_allclose([found.lowest, found.highest], clopper_pearson([hits], [views])[0], rtol=1e-9)


def test_the_p_value_is_the_binomial_tail():
    tail = sum(math.comb(150, k) * 0.01**k * 0.99 ** (150 - k) for k in range(5, 151))
    assert loss(5, 150).p_value == pytest.approx(tail, rel=1e-9)
    assert loss(0, 150).p_value == 1.0


def test_views_of_one_cell_do_not_count_as_many_cells():
    cells = np.repeat(np.arange(50), 8)
    unanimous = loss(0, 400, cells=cells)
    assert unanimous.highest == pytest.approx(loss(0, 50).highest), "no event: each cell counts once"
    whole_cells = loss(16, 400, cells=cells)  # two cells fail in all their views
    assert whole_cells.highest == pytest.approx(loss(2, 50).highest, rel=0.05)
    scattered = np.zeros(400, bool)
    scattered[::50] = True  # eight cells fail once: nearly independent
    spread = loss_from_disagreements(scattered, cells, tolerance=0.01)
    assert loss(8, 400).highest <= spread.highest < whole_cells.highest


def test_holm_steps_down_and_stops_at_the_first_that_stands():
    assert holm_refusals([0.001, 0.04, 0.012], level=0.03) == [True, False, True]
    assert holm_refusals([0.02, 0.02], level=0.03) == [False, False]
    assert holm_refusals([]) == []


def test_verdicts_need_evidence_in_either_direction():
    many, few, bad, one_bad = loss(0, 2000), loss(0, 100), loss(40, 400), loss(1, 40)
    verdicts = verdicts_from_losses([(many, 0.01), (few, 0.01), (bad, 0.01), (one_bad, 0.01), (None, 0.01)])
    assert verdicts == ["PROVEN", "NOT PROVEN", "REFUSED", "NOT PROVEN", "NOT PROVEN"]
    assert overall_verdict(verdicts) == "REFUSED"
    assert overall_verdict(["PROVEN", "NOT PROVEN"]) == "NOT PROVEN"
    assert overall_verdict(["PROVEN"]) == "PROVEN"
    assert overall_verdict([]) == "NOT PROVEN"


def outputs(types, findings=None):
    cell_type = np.full((len(types), TYPES), 0.01, np.float32)
    cell_type[np.arange(len(types)), types] = 1 - 0.01 * (TYPES - 1)
    found = np.zeros((len(types), FINDINGS), np.float32) if findings is None else findings
    return EngineOutputs(cell_type, found, np.zeros((len(types), 4), np.float32))


def compared(original, found):
    return compare_outputs("test", original, found, np.arange(len(original.cell_type)), CATALOGUE, THRESHOLDS)


def test_equal_engines_agree_and_many_cells_prove_it():
    same = outputs([0] * 600)
    parity = compared(same, same)
    assert parity.top1_agreement == 1
    assert parity.mean_abs_dp_types == 0
    types = {code.code: code for code in parity.types}
    assert types["SNE"].verdict == "PROVEN"
    assert types["BL"].verdict == "NOT PROVEN"
    assert types["BL"].loss is None
    assert parity.verdict == "NOT PROVEN", "types without cells are not proven"


def test_a_lost_type_is_refused_and_named():
    original = outputs([0] * 300 + [6] * 300)
    found = outputs([0] * 300 + [6] * 270 + [8] * 30)
    parity = compared(original, found)
    assert parity.verdict == "REFUSED"
    assert [code.code for code in parity.worst()] == ["LY"]
    assert parity.worst()[0].loss.value == pytest.approx(0.1)
    assert parity.top1_agreement == pytest.approx(0.95)


def near_ties_of(count, moved, views=150):
    """`views` cells of one type, `count` of them near ties with another, of which `moved` change sides."""
    original, found = outputs([0] * views), outputs([0] * views)
    for made in (original, found):
        made.cell_type[:count, :2] = (0.46, 0.40)
    found.cell_type[:moved, :2] = (0.40, 0.46)
    return {code.code: code for code in compared(original, found).types}["SNE"]


def test_near_ties_decided_otherwise_are_told_and_excuse_nothing():
    honest = near_ties_of(24, 3)
    assert (honest.near_ties.views, honest.near_ties.value) == (24, pytest.approx(3 / 24))
    assert (honest.loss.value, honest.verdict) == (pytest.approx(3 / 150), "NOT PROVEN")
    assert near_ties_of(24, 10).verdict == "REFUSED"


def test_as_many_clear_cells_decided_otherwise_refuse_the_type_likewise():
    clear = {c.code: c for c in compared(outputs([0] * 150), outputs([6] * 10 + [0] * 140)).types}["SNE"]
    assert (clear.loss.value, clear.near_ties) == (pytest.approx(10 / 150), None)
    assert clear.verdict == "REFUSED"


def test_the_certificate_says_how_many_losses_are_near_ties():
    original, found = outputs([0] * 150), outputs([0] * 150)
    original.cell_type[:24, :2], found.cell_type[:24, :2] = (0.46, 0.40), (0.46, 0.40)
    found.cell_type[:9, :2] = (0.40, 0.46)
    types = document_from_parity(compared(original, found))["types"]
    assert types["SNE"]["near_ties"] == {"n": 24, "loss": 0.375}
    assert "near_ties" not in types["BL"]


def test_a_finding_is_asked_only_where_it_applies_and_proven_only_where_it_is_shown():
    place = CATALOGUE.finding_codes.index("NE01")
    neutrophil, lymphocyte = CATALOGUE.type_codes.index("SNE"), CATALOGUE.type_codes.index("LY")
    shown = np.zeros((1000, FINDINGS), np.float32)
    shown[:100, place] = 0.9
    original = outputs([neutrophil] * 500 + [lymphocyte] * 500, shown)
    changed = shown.copy()
    changed[600:, place] = 0.9  # on lymphocytes, where the finding does not exist
    findings = {
        code.code: code
        for code in compared(original, outputs([neutrophil] * 500 + [lymphocyte] * 500, changed)).findings
    }
    assert findings["NE01"].loss.views == 500
    assert findings["NE01"].loss.value == 0
    assert findings["NE01"].verdict == "PROVEN"
    assert findings["NE02"].shown == 0
    assert findings["NE02"].verdict == "NOT PROVEN"
    changed[:20, place] = 0.1
    lost = {c.code: c for c in compared(original, outputs([neutrophil] * 500 + [lymphocyte] * 500, changed)).findings}
    assert lost["NE01"].loss.value == pytest.approx(20 / 500)


def test_the_certificate_has_the_agreed_fields():
    same = outputs([0] * 40)
    document = document_from_parity(compared(same, same))
    assert {"engine", "n", "top1_agreement", "mean_abs_dp", "types", "findings", "verdict"} <= set(document)
    assert list(document["types"]) == list(CATALOGUE.type_codes)
    assert list(document["findings"]) == list(CATALOGUE.finding_codes)
    assert {"n", "loss", "lo", "hi", "verdict"} <= set(document["types"]["SNE"])
    assert document["types"]["BL"]["loss"] is None


def gates(original, found, **options):
    cells = np.arange(len(original.cell_type))
    return {gate.name: gate for gate in gates_from_outputs("int8", original, found, options.get("reference"), cells)}


def test_a_share_is_refused_only_where_the_cells_show_that_it_misses_its_bar():
    original = outputs([0] * 1000)
    missed = {count: gates(original, outputs([0] * (1000 - count) + [6] * count)) for count in (0, 15, 30)}
    assert missed[0]["top1_agreement"].verdict == "PROVEN"
    assert missed[15]["top1_agreement"].verdict == "NOT PROVEN"
    assert missed[30]["top1_agreement"].verdict == "REFUSED"
    assert missed[15]["sure_agreement"].verdict == "REFUSED", "clear-cut cells have the stricter bar"
    assert missed[15]["top1_agreement"].value == pytest.approx(0.985)


def test_near_ties_count_for_all_cells_and_not_for_the_sure_ones():
    original, found = outputs([0] * 1000), outputs([0] * 1000)
    original.cell_type[:30, :2] = (0.5, 0.45)
    found.cell_type[:30, :2] = (0.45, 0.5)
    judged = gates(original, found)
    assert judged["top1_agreement"].verdict == "REFUSED"
    assert (judged["sure_agreement"].value, judged["sure_agreement"].views) == (1.0, 970)


def test_two_runtimes_that_read_one_file_differently_are_refused_though_each_is_near_the_original():
    original = outputs([0] * 1000)
    reference = outputs([0] * 990 + [6] * 10)
    judged = gates(original, original, reference=reference)
    assert judged["reference_agreement"].verdict == "REFUSED"
    assert "reference_agreement" not in gates(original, original)
    parity = compare_outputs("test", original, original, np.arange(1000), CATALOGUE, THRESHOLDS, reference=reference)
    assert parity.verdict == "REFUSED"
    assert parity.reference_agreement == pytest.approx(0.99)


def test_a_drift_of_all_probabilities_is_refused_though_no_type_changes():
    original = outputs([0] * 1000)
    drifted = outputs([0] * 1000)
    drifted.cell_type[:, :2] += np.array([-0.03, 0.03], np.float32)
    judged = gates(original, drifted)
    assert judged["top1_agreement"].verdict == "PROVEN"
    assert judged["mean_abs_dp_types"].verdict == "REFUSED"
    assert judged["mean_abs_dp_findings"].verdict == "PROVEN"


def test_nothing_to_compare_is_an_error():
    empty = outputs([])
    with pytest.raises(EdgeError) as error:
        compared(empty, empty)
    assert error.value.code == "MDSE-PARITY-003"


def test_views_are_the_eight_orientations_of_a_cell():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(1, 4, 4, 3)
    views, cells = views_of_cells(np.concatenate([image, 255 - image]), 8)
    assert views.shape == (16, 4, 4, 3)
    assert cells.tolist() == [0, 1] * 8
    assert len({view.tobytes() for view in views[::2]}) == 8
    np.testing.assert_array_equal(views[0], image[0])


class Terminal:
    def __init__(self, terminal):
        self.text, self._terminal = "", terminal

    def isatty(self):
        return self._terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_progress_is_plain_lines_off_a_terminal_and_says_what_remains():
    now = [0.0]
    stream = Terminal(False)
    with Progress("calibrating", 100, stream, lambda: now[0]) as progress:
        for _ in range(4):
            now[0] += 10
            progress.advance(10)
    assert stream.text.splitlines() == [
        "calibrating ...",
        "calibrating: 20 of 100, 20 s elapsed, about 1 min 20 s to go",
        "calibrating: 40 of 100, 40 s elapsed, about 1 min 0 s to go",
        "calibrating: done after 40 s",
    ]
    assert "\r" not in stream.text
    screen = Terminal(True)
    with Progress("x", 2, screen, lambda: now[0]):
        pass
    assert screen.text.startswith("\r")


def test_durations_read_as_people_say_them():
    assert [duration_text(s) for s in (3.6, 65, 3780)] == ["4 s", "1 min 5 s", "1 h 3 min"]
