"""How slides arrive, case by case: the real scanner, spool and journal on a real folder, with a clock of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import edge.daemon.spool as spool_module
from edge.daemon.decisions import reanalyze, release, requeue
from tests.fault.arrival_world import MARKER, MAX_WAIT_S, QUIET_S, SCAN_S, World, opened_world
from tests.fault.bench import arrivals

LONG_S = 4 * QUIET_S + 10 * SCAN_S


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened_world(tmp_path) as made:
        yield made


def cell(text: str) -> bytes:
    return b"\xff\xd8\xff" + text.encode()


def files_of(world: World, key: str) -> list[list[str]]:
    """Return the images of every result of a slide key."""
    return [sorted(name for name in files if name.endswith(".jpg")) for found, files in world.results if found == key]


@pytest.mark.case("A1")
def test_images_that_trickle_in_are_taken_once_and_all_together(world: World) -> None:
    world.make("A")
    for number in range(6):
        world.write("A", f"{number}.jpg", cell(str(number)))
        world.pass_time(6)
    assert world.results == []
    world.pass_time(LONG_S)
    assert files_of(world, "A") == [[f"{number}.jpg" for number in range(6)]]
    assert world.early == []


@pytest.mark.case("A2")
def test_images_that_come_while_the_folder_is_copied_are_waited_for_and_taken_with_the_others(world: World) -> None:
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    world.during_copy = lambda: world.write("A", "2.jpg", cell("2"))
    world.pass_time(QUIET_S + 2 * SCAN_S)
    assert world.during_copy is None, "the second image came in the middle of the copy"
    assert world.results == []
    world.pass_time(LONG_S)
    assert files_of(world, "A") == [["1.jpg", "2.jpg"]]
    assert world.early == []


@pytest.mark.case("A4")
def test_a_folder_under_a_hidden_temporary_name_is_one_slide_under_its_final_name(world: World) -> None:
    world.make(".A.part")
    world.write(".A.part", "1.jpg", cell("1"))
    world.pass_time(LONG_S)
    assert world.results == []
    world.rename(".A.part", "A")
    world.pass_time(LONG_S)
    assert [key for key, _ in world.results] == ["A"]
    assert world.state(".A.part") == ""


@pytest.mark.case("A5")
def test_a_folder_that_is_renamed_before_it_was_read_is_closed_as_gone_and_read_under_its_new_name(
    world: World,
) -> None:
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    world.pass_time(2 * SCAN_S)
    world.rename("A", "B")
    world.pass_time(LONG_S)
    assert [key for key, _ in world.results] == ["B"]
    assert (world.state("A"), world.state("B")) == ("VANISHED", "CLOSED")


@pytest.mark.case("A6")
def test_a_folder_that_is_renamed_after_its_result_gets_no_second_one(world: World) -> None:
    world.make("A", sample_id="S1")
    world.write("A", "1.jpg", cell("1"))
    world.pass_time(LONG_S)
    world.rename("A", "B")
    world.pass_time(LONG_S)
    assert [key for key, _ in world.results] == ["A"]
    assert (world.state("A"), world.state("B")) == ("CLOSED", "DUPLICATE")


@pytest.mark.case("A7")
@pytest.mark.case("A8")
@pytest.mark.case("E4")
@pytest.mark.parametrize(
    "file_time_s", [315_532_800.0, -11_000_000_000.0, 4_102_444_800.0], ids=["1980", "1621", "2100"]
)
def test_the_times_of_files_never_make_a_folder_older_or_younger(world: World, file_time_s: float) -> None:
    world.make("A")
    os.utime(world.export / "A" / "slide.json", (file_time_s, file_time_s))
    for number in range(4):
        world.write("A", f"{number}.jpg", cell(str(number)), mtime_s=file_time_s)
        world.pass_time(4)
    assert world.results == []
    world.pass_time(LONG_S)
    assert files_of(world, "A") == [["0.jpg", "1.jpg", "2.jpg", "3.jpg"]]
    assert world.early == []


@pytest.mark.case("A9")
def test_a_folder_waits_for_all_that_its_metadata_promise(world: World) -> None:
    world.make("A", promised=2)
    world.pass_time(LONG_S)
    world.write("A", "1.jpg", cell("1"))
    world.pass_time(LONG_S)
    assert world.results == []
    world.write("A", "2.jpg", cell("2"))
    world.pass_time(4 * LONG_S)
    assert files_of(world, "A") == [["1.jpg", "2.jpg"]]


@pytest.mark.case("A9")
def test_a_marker_does_not_replace_what_is_promised(world: World) -> None:
    world.make("A", promised=2)
    world.write("A", "1.jpg", cell("1"))
    world.write("A", MARKER, b"")
    world.pass_time(LONG_S)
    assert world.results == []


@pytest.mark.case("A10")
@pytest.mark.case("A11")
@pytest.mark.parametrize("cells", [0, 1])
def test_what_never_becomes_whole_is_held_with_its_reason_until_a_person_lets_it_pass(world: World, cells: int) -> None:
    world.make("A", promised=2)
    for number in range(cells):
        world.write("A", f"{number}.jpg", cell(str(number)))
    world.pass_time(MAX_WAIT_S + LONG_S)
    assert (world.state("A"), world.results) == ("HELD", [])
    row = world.books.journal.slides.newest("di60", "A")
    assert row is not None
    assert row.reason_code == "MDSE-SPOOL-004"
    if cells:
        world.keeper.tell(release(world.books, row, by="K. Sato", reason="one cell is enough"))
        world.pass_time(LONG_S)
        assert files_of(world, "A") == [["0.jpg"]]


@pytest.mark.case("A12")
@pytest.mark.case("A13")
@pytest.mark.parametrize("reserved", [0, 8], ids=["empty", "zeros of full size"])
def test_a_file_that_is_filled_later_is_taken_with_its_content(world: World, reserved: int) -> None:
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    world.write("A", "2.jpg", bytes(reserved))
    world.pass_time(QUIET_S - SCAN_S)
    world.write("A", "2.jpg", cell("later")[:8])
    world.pass_time(QUIET_S - SCAN_S)
    assert world.results == []
    world.pass_time(LONG_S)
    assert [files["2.jpg"] for _, files in world.results] == [cell("later")[:8]]
    assert world.early == []


@pytest.mark.case("A3")
@pytest.mark.case("A15")
def test_other_files_under_the_key_of_a_finished_slide_are_held_and_nothing_is_sent(
    world: World, monkeypatch: Any
) -> None:
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    world.pass_time(LONG_S)
    world.write("A", "1.jpg", cell("another run"))
    world.scanner.look({"A"})
    world.pass_time(320 * SCAN_S)
    assert len(world.results) == 1
    assert world.state("A") == "LATE"


@pytest.mark.parametrize("changed", [False, True])
def test_a_slide_with_a_result_whose_copy_is_gone_is_read_again_and_the_source_goes_on(
    world: World, changed: bool
) -> None:
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    world.pass_time(LONG_S)
    slides = world.books.journal.slides
    row = slides.newest("di60", "A")
    assert row is not None
    reanalyze(world.books, row, by="K. Sato", reason="a new bundle")
    slides.move(row.id, "QUARANTINED", code="MDSE-SPOOL-008", text="its copy is gone", spool_name=None)
    if changed:
        world.write("A", "1.jpg", cell("another run"))
    world.keeper.tell(requeue(world.books, slides.get(row.id), by="K. Sato", reason="once more"))
    world.make("B")
    world.write("B", "1.jpg", cell("2"))
    world.pass_time(2 * LONG_S)
    assert sorted(key for key, _ in world.results) == (["A", "B"] if changed else ["A", "A", "B"])
    assert (world.state("A"), slides.get(row.id).state) == (
        ("LATE", "QUARANTINED") if changed else ("CLOSED", "CLOSED")
    )


@pytest.mark.case("A17")
def test_folders_that_lie_there_at_the_first_start_are_taken_oldest_first_without_filling_the_spool(
    world: World,
) -> None:
    names = [f"N{number:03d}" for number in range(120)]
    for age, name in enumerate(names):
        world.make(name)
        world.write(name, "1.jpg", cell(name))
        os.utime(world.export / name, (10_000 + age, 10_000 + age))
    spooled = []
    world.finish, finish = (lambda slide: spooled.append(slide.slide_key)), world.finish  # type: ignore[method-assign]  # replaced for the test
    world.pass_time(LONG_S)
    waiting = world.books.journal.slides.in_states(["SPOOLED"])
    assert [slide.slide_key for slide in waiting] == names[:50], "beyond 50 the export folder itself is the queue"
    world.finish = finish  # type: ignore[method-assign]  # replaced for the test
    world.pass_time(LONG_S)
    assert [key for key, _ in world.results] == names


@pytest.mark.case("A18")
def test_a_burst_of_files_is_taken_whole_without_any_event(world: World) -> None:
    for number in range(10):
        world.make(f"B{number}")
        for file in range(200):
            world.write(f"B{number}", f"{file:03d}.jpg", cell(f"{number}/{file}"))
    world.pass_time(LONG_S)
    assert {key: len(files) - 1 for key, files in world.results} == {f"B{number}": 200 for number in range(10)}
    assert world.scanner._events is not None
    assert world.scanner._events.take_changed() == set()


@pytest.mark.case("A19")
@pytest.mark.case("A20")
@pytest.mark.parametrize("when", ["waiting", "copied"])
def test_a_folder_that_is_deleted_leaves_no_half_slide_and_is_called_vanished(world: World, when: str) -> None:
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    world.write("A", "2.jpg", cell("2"))
    if when == "copied":
        world.during_copy = lambda: world.remove("A")
        world.pass_time(QUIET_S + 2 * SCAN_S)
        assert world.during_copy is None
    else:
        world.pass_time(2 * SCAN_S)
        world.remove("A")
    world.pass_time(LONG_S)
    assert (world.state("A"), world.results) == ("VANISHED", [])
    assert list(world.books.folders.incoming.iterdir()) == []


@pytest.mark.case("A21")
def test_folders_nested_deeper_than_the_contract_are_left_out(world: World) -> None:
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    deep = world.export / "A" / "wbc" / "deeper"
    deep.mkdir(parents=True)
    (deep / "2.jpg").write_bytes(cell("2"))
    world.pass_time(LONG_S)
    assert files_of(world, "A") == [["1.jpg"]]


@pytest.mark.case("A22")
@pytest.mark.case("A23")
@pytest.mark.parametrize("pair", [("Slide-a", "slide-A"), ("caf\u00e9", "cafe\u0301"), ("x\udcff", "x\udcfe")])
def test_names_that_look_alike_are_two_slides(world: World, pair: tuple[str, str]) -> None:
    for name in pair:
        world.make(name, sample_id="S1" if name == pair[0] else "S2")
        world.write(name, "1.jpg", cell(ascii(name)))
    world.pass_time(LONG_S)
    assert sorted(files["1.jpg"] for _, files in world.results) == sorted(cell(ascii(name)) for name in pair)
    assert len({key for key, _ in world.results}) == 2


@pytest.mark.case("A24")
@pytest.mark.parametrize(
    "name", ["a\nb", "a\tb", "-rf", "x" * 255, "CON", "dot.", " blank ", "a\x1b[31m"], ids=lambda name: ascii(name)[:12]
)
def test_a_hostile_name_is_one_slide_and_is_shown_escaped(world: World, name: str) -> None:
    world.make(name, sample_id="S1")
    world.write(name, "1.jpg", cell("1"))
    world.pass_time(LONG_S)
    ((key, _),) = world.results
    assert key.isprintable()
    assert world.books.journal.slides.newest("di60", key).state == "CLOSED"  # type: ignore[union-attr]  # replaced for the test


@pytest.mark.case("A25")
def test_attributes_that_change_again_and_again_hold_nothing_up(world: World) -> None:
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    waited_s = 0.0
    while not world.results and waited_s < LONG_S:
        (world.export / "A" / "1.jpg").chmod(0o600 if waited_s % 4 else 0o640)
        world.pass_time(SCAN_S)
        waited_s += SCAN_S
    assert waited_s <= QUIET_S + 3 * SCAN_S


@pytest.mark.case("A26")
@pytest.mark.case("D7")
def test_a_file_that_cannot_be_read_now_is_tried_again_and_costs_no_attempt(world: World, monkeypatch: Any) -> None:
    fails = [13, 16, 5, 116]  # EACCES, EBUSY, EIO, ESTALE

    def locked(*given: Any, **named: Any) -> bytes:
        if fails:
            number = fails.pop()
            raise OSError(number, os.strerror(number))
        return sound(*given, **named)

    sound = spool_module.read_file_below
    monkeypatch.setattr(spool_module, "read_file_below", locked)
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    world.pass_time(LONG_S)
    assert world.results == []
    assert "cannot be copied, next try in" in world.alarms()
    world.pass_time(40 * LONG_S)
    assert files_of(world, "A") == [["1.jpg"]]
    assert "cannot be copied" not in world.alarms()
    assert world.state("A") == "CLOSED"


@pytest.mark.case("S18")
def test_a_writer_that_never_ends_is_held_and_holds_nobody_else(world: World) -> None:
    world.make("ENDLESS")
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    waited_s = 0.0
    while waited_s < MAX_WAIT_S + LONG_S:
        world.write("ENDLESS", "1.jpg", bytes(int(waited_s) + 1))
        world.pass_time(SCAN_S)
        waited_s += SCAN_S
    assert [key for key, _ in world.results] == ["A"]
    assert world.state("ENDLESS") == "HELD"


@pytest.mark.case("E7")
@pytest.mark.case("C21")
@pytest.mark.case("E1")
def test_after_a_restart_the_quiet_time_begins_anew_whatever_the_clocks_say(world: World) -> None:
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    world.pass_time(QUIET_S - SCAN_S)
    world.clock.now_s = 3.0  # the machine was started again: its monotonic clock too
    world.crash()
    world.changed_at_s["A"] = 3.0
    world.pass_time(QUIET_S - SCAN_S)
    assert world.results == []
    world.pass_time(LONG_S)
    assert files_of(world, "A") == [["1.jpg"]]


@pytest.mark.case("D18")
def test_a_look_that_shows_old_news_once_is_not_enough(world: World, monkeypatch: Any) -> None:
    """A share's cache answers two looks close together alike: three looks over the quiet time are asked for."""
    world.make("A")
    world.write("A", "1.jpg", cell("1"))
    world.scanner.look(set())
    world.clock.now_s += 10 * QUIET_S
    world.scanner.look(set())
    assert not [message for message in world.pipe.to_supervisor if message.kind == "settled"]
    world.scanner.look(set())
    assert [message.header["folder"] for message in world.pipe.to_supervisor if message.kind == "settled"] == ["A"]


def test_random_schedules_are_taken_once_and_never_early(tmp_path: Path) -> None:
    outcome = arrivals.run_schedules(1, tmp_path, schedules=20)
    assert outcome.points >= 20
    assert outcome.faults == 0, outcome.note


@pytest.mark.parametrize(
    "control", [bench for bench in arrivals.BENCHES if bench.control_of], ids=lambda bench: bench.name
)
def test_the_bench_sees_wrong_rules(control: Any, tmp_path: Path) -> None:
    assert control.run(0, tmp_path).faults > 0
