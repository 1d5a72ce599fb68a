"""Composed films are plausible, overlap, and keep their promises."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.simulator.cell_findings import exclude_each_other
from edge.simulator.cells import DRAWABLE_FINDINGS
from edge.simulator.films import FILM_KINDS, compose_film, draw_patient, film_of

FILMS = 120


@pytest.fixture(scope="module")
def films():
    rng = np.random.default_rng(11)
    return {kind: [compose_film(kind, 160, rng) for _ in range(FILMS)] for kind in FILM_KINDS}


def share(film, code):
    leucocytes = set(load_catalogue().leucocyte_codes)
    counts = Counter(cell.type_code for cell in film.cells)
    return counts[code] / sum(count for name, count in counts.items() if name in leucocytes)


def rate(film, finding, group):
    cells = [cell for cell in film.cells if cell.type_code in group]
    return sum(finding in cell.findings for cell in cells) / len(cells) if cells else np.nan


def test_a_film_holds_as_many_cells_as_asked_for_and_only_what_can_be_drawn(films):
    for film in (film for kind in FILM_KINDS for film in films[kind]):
        assert len(film.cells) == 160
        for cell in film.cells:
            assert set(cell.findings) <= set(DRAWABLE_FINDINGS[cell.type_code])
            assert not any(exclude_each_other(a, b) for a in cell.findings for b in cell.findings)


def test_no_film_reaches_twenty_per_cent_blasts_and_some_mds_films_have_none(films):
    blasts = {kind: [share(film, "BL") for film in films[kind]] for kind in FILM_KINDS}
    assert max(map(max, blasts.values())) < 0.20
    assert 0.2 < np.mean(np.array(blasts["MDS"]) == 0) < 0.8
    assert max(blasts["NORMAL"]) == 0


@pytest.mark.parametrize(("finding", "group"), [("NE04", ("SNE", "BNE")), ("NE01", ("SNE", "BNE")), ("PL01", ("LP",))])
def test_what_the_paper_found_higher_in_mds_is_higher_here_but_overlaps(films, finding, group):
    rates = {kind: np.array([rate(film, finding, group) for film in films[kind]]) for kind in FILM_KINDS}
    assert np.nanmean(rates["MDS"]) > 1.5 * np.nanmean(rates["AA"])
    assert np.nanpercentile(rates["MDS"], 25) < np.nanpercentile(rates["AA"], 75), "the groups would not overlap"


def test_aplastic_films_are_lymphocytic_but_not_all_of_them(films):
    lymphocytes = {kind: np.array([share(film, "LY") for film in films[kind]]) for kind in FILM_KINDS}
    assert lymphocytes["AA"].mean() > lymphocytes["MDS"].mean() + 0.15
    assert lymphocytes["AA"].min() < lymphocytes["MDS"].max()


def test_films_of_one_patient_resemble_each_other_more_than_films_of_two():
    rng = np.random.default_rng(2)
    same, other = [], []
    for _ in range(40):
        first, second = draw_patient("MDS", rng), draw_patient("MDS", rng)
        film = film_of(first, 200, rng)
        same.append(abs(share(film, "SNE") - share(film_of(first, 200, rng), "SNE")))
        other.append(abs(share(film, "SNE") - share(film_of(second, 200, rng), "SNE")))
    assert np.mean(same) < 0.6 * np.mean(other)


def test_the_same_state_composes_the_same_film():
    assert compose_film("AA", 50, np.random.default_rng(8)) == compose_film("AA", 50, np.random.default_rng(8))


def test_unknown_kinds_and_empty_films_are_refused():
    with pytest.raises(EdgeError, match=r"MDSE-SIM-004.*NORMAL AA MDS"):
        compose_film("AML", 100, np.random.default_rng(0))
    with pytest.raises(EdgeError, match="MDSE-SIM-005"):
        compose_film("MDS", 0, np.random.default_rng(0))
