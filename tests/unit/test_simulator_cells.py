"""A drawn cell shows what it is said to show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.simulator.cell_findings import DRAWN_FINDINGS, exclude_each_other
from edge.simulator.cells import DRAWABLE_FINDINGS, draw_cell, sample_findings
from edge.simulator.scene import SceneLook

SIDE_PX = 180
PAIRS = [(code, finding) for code, findings in DRAWABLE_FINDINGS.items() for finding in findings]
# A plain microscope: white lamp, no noise, few red cells, so that measurements below see the cell only.
PLAIN = SceneLook(
    lamp=(1.0, 1.0, 1.0), dye=(1.0, 1.0, 1.0), focus_um=0.04, noise=0.0,
    red_cell_um=3.5, red_cells_per_100_um2=0.05, pallor=0.5,
)  # fmt: skip


def drawn(code, findings, seed, size_px=SIDE_PX):
    return draw_cell(code, findings, np.random.default_rng(seed), size_px=size_px, look=PLAIN)


def nucleus_of(picture):
    """The dark parts in the middle of the crop, without speckles."""
    dark = (cv2.medianBlur(picture, 3)[..., 1] < 95).astype(np.uint8)
    side = picture.shape[0]
    rows, columns = np.mgrid[:side, :side]
    dark[np.hypot(rows - side / 2, columns - side / 2) > 0.36 * side] = 0
    return cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))


def pieces_of(mask, smallest_px=12):
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return int((stats[1:, cv2.CC_STAT_AREA] >= smallest_px).sum())


def body_area(picture):
    stained = (picture.min(axis=2) < 235).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(stained)
    middle = picture.shape[0] // 2
    window = labels[middle - 25 : middle + 25, middle - 25 : middle + 25]
    name = int(np.bincount(window[window > 0]).argmax())
    return int(stats[name, cv2.CC_STAT_AREA])


def test_every_finding_of_the_catalogue_can_be_drawn_on_some_type():
    assert {finding for _, finding in PAIRS} == set(load_catalogue().finding_codes)


def test_a_finding_is_drawn_only_on_types_to_which_the_catalogue_applies_it():
    catalogue = load_catalogue()
    for code, findings in DRAWABLE_FINDINGS.items():
        assert set(findings) <= {finding.code for finding in catalogue.findings_of(code)}


@pytest.mark.parametrize(("code", "finding"), PAIRS)
def test_a_finding_changes_the_picture_of_its_cell_visibly(code, finding):
    for seed in (1, 2):
        without, with_it = (drawn(code, f, seed).astype(int) for f in ((), (finding,)))
        changed = np.abs(with_it - without).max(axis=2) > 25
        rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
        inside = np.hypot(rows - SIDE_PX / 2, columns - SIDE_PX / 2) < 0.36 * SIDE_PX
        assert changed[inside].sum() >= 40, "fewer than 40 of 32,400 pixels changed"
        corner = changed[:20, :20]
        assert not corner.any(), "the finding changed the film far from the cell"


@pytest.mark.parametrize("code", load_catalogue().type_codes)
def test_the_same_generator_state_draws_the_same_cell(code):
    first, again = (draw_cell(code, (), np.random.default_rng(5), size_px=120) for _ in range(2))
    other = draw_cell(code, (), np.random.default_rng(6), size_px=120)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (120, 120, 3)
    assert first.dtype == np.uint8


@pytest.mark.parametrize("size_px", [48, 96, 299, 361])
def test_a_cell_is_drawn_at_the_size_asked_for(size_px):
    assert draw_cell("MO", (), np.random.default_rng(0), size_px=size_px).shape == (size_px, size_px, 3)


def test_pelger_neutrophils_have_two_lobes_and_hypersegmented_ones_six_or_more():
    for seed in range(6):
        lobes = {}
        for finding in ("NE01", "NE03"):
            nucleus = nucleus_of(drawn("SNE", (finding,), seed, 360))
            distance = cv2.distanceTransform(nucleus, cv2.DIST_L2, 3)
            lobes[finding] = pieces_of((distance > 5.5).astype(np.uint8), 4)
        assert lobes["NE01"] == 2
        assert lobes["NE03"] >= 6


def test_an_ordinary_segmented_neutrophil_has_fewer_than_six_lobes():
    for seed in range(12):
        nucleus = nucleus_of(drawn("SNE", (), seed, 360))
        distance = cv2.distanceTransform(nucleus, cv2.DIST_L2, 3)
        assert 1 <= pieces_of((distance > 5.5).astype(np.uint8), 4) <= 5


@pytest.mark.parametrize(("code", "finding"), [("SNE", "NE13"), ("BL", "BL07"), ("LY", "LY11"), ("ERB", "EB02")])
def test_binucleated_cells_have_separate_nuclei(code, finding):
    for seed in range(4):
        assert pieces_of(nucleus_of(drawn(code, (finding,), seed, 360)), 100) >= 2


@pytest.mark.parametrize("code", ["SNE", "BNE"])
def test_a_ring_nucleus_has_a_hole(code):
    for seed in range(4):
        nucleus = nucleus_of(drawn(code, ("NE11",), seed, 360))
        _, hierarchy = cv2.findContours(nucleus, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        assert (hierarchy[0, :, 3] >= 0).any()


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("SNE", "NE07"),
        ("MMY", "MM03"),
        ("MY", "MY03"),
        ("PMY", "PM06"),
        ("BL", "BL03"),
        ("VLY", "VL02"),
        ("EO", "EO05"),
    ],
)
def test_vacuoles_are_clear_round_holes(code, finding):
    for seed in range(4):
        without, with_it = (drawn(code, f, seed, 360) for f in ((), (finding,)))
        rows, columns = np.mgrid[:360, :360]
        inside = np.hypot(rows - 180, columns - 180) < 100
        clear = (with_it.min(axis=2) > 232) & (without.min(axis=2) < 228) & inside
        assert pieces_of(clear.astype(np.uint8), 20) >= 2


@pytest.mark.parametrize(
    ("code", "finding", "least", "most"),
    [
        ("SNE", "NE06", 1.6, 4.0), ("SNE", "NE19", 0.25, 0.65), ("MMY", "MM04", 1.6, 4.0), ("MY", "MY04", 1.5, 4.0),
        ("EO", "EO06", 1.6, 4.0), ("LP", "PL01", 1.8, 9.0), ("MEK", "MK01", 0.15, 0.5),
    ],
)  # fmt: skip
def test_giant_and_small_cells_differ_in_area(code, finding, least, most):
    for seed in range(4):
        ratio = body_area(drawn(code, (finding,), seed)) / body_area(drawn(code, (), seed))
        assert least < ratio < most


@pytest.mark.parametrize(("code", "finding"), [("LY", "LY02"), ("BL", "BL09"), ("VLY", "VL07")])
def test_an_increased_nuclear_ratio_leaves_little_cytoplasm(code, finding):
    for seed in range(4):
        shares = []
        for findings in ((), (finding,)):
            picture = drawn(code, findings, seed, 360)
            shares.append(nucleus_of(picture).sum() / body_area(picture))
        assert shares[1] > shares[0] * 1.12


def test_a_degranulated_neutrophil_is_smoother_and_a_toxic_one_darker():
    for seed in range(4):
        cytoplasm = {}
        for findings in ((), ("NE04",), ("NE08",)):
            picture = drawn("SNE", findings, seed, 360).astype(np.float32)
            nucleus = cv2.dilate(nucleus_of(drawn("SNE", (), seed, 360)), np.ones((9, 9), np.uint8))
            body = (picture.min(axis=2) < 235) & (nucleus == 0)
            rows, columns = np.mgrid[:360, :360]
            body &= np.hypot(rows - 180, columns - 180) < 45
            cytoplasm[findings] = picture[..., 1][body]
        plain, empty, toxic = cytoplasm[()], cytoplasm[("NE04",)], cytoplasm[("NE08",)]
        assert empty.std() < 0.8 * plain.std()
        assert toxic.mean() < plain.mean() - 10


def test_cells_of_one_slide_share_lamp_and_stain():
    clear = [np.percentile(drawn(code, (), seed), 95, axis=(0, 1)) for seed, code in enumerate(("LY", "SNE", "LP"))]
    assert np.ptp(clear, axis=0).max() < 4
    warm = SceneLook((1.0, 0.9, 0.8), (1.0, 1.0, 1.0), 0.05, 0.0, 3.5, 0.05, 0.5)
    lit = np.percentile(draw_cell("LY", (), np.random.default_rng(0), look=warm), 95, axis=(0, 1))
    assert lit[2] < clear[0][2] - 35, "the look given is not the look drawn"


@pytest.mark.parametrize(("code", "findings"), [("XX", ()), ("LY", ("NE01",)), ("BNE", ("NE03",)), ("MO", ("LY01",))])
def test_what_cannot_be_drawn_is_refused_by_name(code, findings):
    with pytest.raises(EdgeError, match="MDSE-SIM-001"):
        draw_cell(code, findings, np.random.default_rng(0))


def test_findings_that_exclude_each_other_are_refused():
    with pytest.raises(EdgeError, match=r"MDSE-SIM-002.*NE01 and NE03"):
        draw_cell("SNE", ("NE03", "NE01"), np.random.default_rng(0))


def test_a_crop_too_small_to_show_anything_is_refused():
    with pytest.raises(EdgeError, match="MDSE-SIM-003"):
        draw_cell("SNE", (), np.random.default_rng(0), size_px=47)


def test_sampled_findings_never_exclude_each_other_and_every_one_turns_up():
    rng = np.random.default_rng(3)
    for code, known in DRAWABLE_FINDINGS.items():
        seen: set[str] = set()
        for _ in range(600):
            findings = sample_findings(code, rng, mean=2.0)
            assert not any(exclude_each_other(a, b) for a in findings for b in findings)
            assert list(findings) == sorted(set(findings))
            seen.update(findings)
        assert seen == set(known)


def test_several_findings_at_once_are_all_in_the_picture():
    alone = {f: drawn("SNE", (f,), 4).astype(int) for f in ("NE07", "NE08", "NE09")}
    together = drawn("SNE", ("NE07", "NE08", "NE09"), 4).astype(int)
    plain = drawn("SNE", (), 4).astype(int)
    assert np.abs(together - plain).sum() > max(np.abs(picture - plain).sum() for picture in alone.values()) * 0.9
    for picture in alone.values():
        assert np.abs(together - picture).max(axis=2).max() > 40


def test_excluding_is_mutual():
    for first in DRAWN_FINDINGS:
        for second in DRAWN_FINDINGS:
            assert exclude_each_other(first, second) == exclude_each_other(second, first)
