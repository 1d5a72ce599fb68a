"""A short run of every bench of hostile input, and its control: a bench that cannot fail proves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.bench import hostile_fields, soak, truncations
from tests.fault.bench.mutated_images import run_images, run_leaky


@pytest.mark.case("S7")
def test_damaged_images_harm_nothing_and_show_no_pixel_of_another(tmp_path: Path) -> None:
    outcome = run_images(0, tmp_path, images=5_000)
    assert (outcome.points, outcome.faults) == (5_000, 0), outcome.note


@pytest.mark.case("B2")
def test_the_bench_sees_a_decoder_that_shows_the_picture_before(tmp_path: Path) -> None:
    assert run_leaky(0, tmp_path).torn > 100


@pytest.mark.case("B1")
@pytest.mark.parametrize("number", range(3), ids=truncations.FORMATS)
def test_an_image_cut_at_any_byte_is_refused_by_the_child(number: int, tmp_path: Path) -> None:
    outcome = truncations.run_cuts(number, tmp_path)
    assert outcome.points > 5_000
    assert outcome.faults == 0, outcome.note


def test_the_bench_sees_a_decoder_that_returns_partial_images(tmp_path: Path) -> None:
    assert truncations.run_partial(0, tmp_path).torn > 1_000


@pytest.mark.case("B16")
@pytest.mark.case("S5")
def test_hostile_values_come_back_from_every_format_or_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_fields, "VALUES_PER_RUN", 1_000)
    outcome = hostile_fields.run_values(0, tmp_path)
    assert outcome.points >= 1_000
    assert outcome.faults == 0, outcome.note


def test_the_bench_sees_writers_that_do_not_escape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_fields, "VALUES_PER_RUN", 300)
    outcome = hostile_fields.run_unescaped(0, tmp_path)
    assert outcome.torn > 0
    assert outcome.lost > 0


@pytest.mark.case("C16")
def test_memory_descriptors_and_threads_stay_while_slides_pass(tmp_path: Path) -> None:
    outcome = soak.run_soak(0, tmp_path, slides=200, warm=80)
    assert (outcome.points, outcome.faults) == (200, 0), outcome.note


@pytest.mark.case("C16")
def test_the_soak_sees_an_engine_that_leaks(tmp_path: Path) -> None:
    assert soak.run_leaking(0, tmp_path).other > 0
