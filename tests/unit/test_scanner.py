"""The scanner's looks, without a process: what it tells the supervisor of folders that come, go, or are no slides."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from edge.daemon import listing as listing_module
from edge.daemon import scanner as scanner_module
from edge.daemon.channel import Channel, frame_from_message
from edge.daemon.folder_look import list_slide_folders
from edge.daemon.scanner import KnownFolder, Scanner, serve
from tests.fault.site import write_slide


class Told:
    """Stands for the channel: keeps what was sent."""

    def __init__(self) -> None:
        self.messages: list[dict] = []

    def send(self, header, blobs=()) -> None:
        self.messages.append(dict(header))

    def fileno(self) -> int:
        return -1

    def of(self, kind: str) -> list[dict]:
        return [message for message in self.messages if message["kind"] == kind]


class NoEvents:
    problem = ""

    def __init__(self, root: Path) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(scanner_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(scanner_module, "FolderEvents", NoEvents)
    return now


def scanner_of(root: Path, told: Told) -> Scanner:
    settings = {
        "path": str(root), "scan_s": 1, "quiet_s": 5, "max_wait_s": 60, "marker": [], "marker_required": False,
        "sentinel": None, "sample_id_pattern": None, "cell_bytes": 1_000_000, "spool": str(root / "spool"),
    }  # fmt: skip
    return Scanner(told, settings)


def passes(scanner: Scanner, clock: list[float], count: int) -> None:
    for _ in range(count):
        scanner.look(set())
        clock[0] += 2.0


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


def test_a_settled_slide_is_told_with_the_urgency_of_its_order(export: Path, clock: list[float]) -> None:
    told = Told()
    write_slide(export, "A1")
    (write_slide(export, "A2") / "slide.json").write_text('{"sample_id": "S2", "priority": "stat"}')
    passes(scanner_of(export, told), clock, 6)
    assert {m["folder"]: m["stat"] for m in told.of("settled")} == {"A1": False, "A2": True}


@pytest.mark.case("S19")
def test_a_folder_with_too_many_files_is_given_up_once_and_the_others_go_on(
    export: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.slide_files.SLIDE_FILES_MAX", 3)
    told = Told()
    flood = export / "FLOOD"
    flood.mkdir()
    for index in range(5):
        (flood / f"{index}.jpg").write_bytes(b"x")
    write_slide(export, "A1", cells=1, contents=(b"x",))
    scanner = scanner_of(export, told)
    passes(scanner, clock, 6)
    assert [m["code"] for m in told.of("hopeless")] == ["MDSE-SLIDE-009"]
    assert [m["folder"] for m in told.of("settled")] == ["A1"]
    scanner._folders["FLOOD"] = KnownFolder(True, told.of("hopeless")[0]["signature"])
    passes(scanner, clock, 70)
    assert len(told.of("hopeless")) == 1
    for index in range(3):
        (flood / f"{index}.jpg").unlink()
    passes(scanner, clock, 70)
    assert [m["folder"] for m in told.of("settled")] == ["A1", "FLOOD"]


def test_a_finished_folder_that_is_cleaned_away_is_told_as_no_longer_listed(export: Path, clock: list[float]) -> None:
    told = Told()
    scanner = scanner_of(export, told)
    for name in ("A1", "A2"):
        write_slide(export, name)
        scanner._folders[name] = KnownFolder(True, "s")
    passes(scanner, clock, 1)
    shutil.rmtree(export / "A1")
    passes(scanner, clock, 4)
    assert [m["folders"] for m in told.of("unlisted")] == [["A1"]]
    assert told.of("vanished") == []


@pytest.mark.parametrize(("operation_s", "slow"), [(3.9, False), (4.1, True)])
def test_a_look_and_a_copy_say_whether_one_operation_kept_them_waiting(
    export: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch, operation_s: float, slow: bool
) -> None:
    told = Told()
    scanner = scanner_of(export, told)
    write_slide(export, "A1")
    clock[0] += 100.0  # waiting between two looks is no operation
    scanner.look(set())
    look_at_folder = scanner_module.look_at_folder

    def delayed(*arguments):
        clock[0] += operation_s
        return look_at_folder(*arguments)

    monkeypatch.setattr(scanner_module, "look_at_folder", delayed)
    clock[0] += 100.0
    scanner.look(set())
    signature = scanner._folders["A1"].watch.signature
    clock[0] += 100.0
    scanner._fetch({"slide": 1, "folder": "A1", "signature": signature})
    monkeypatch.undo()
    monkeypatch.setattr(scanner_module.time, "monotonic", lambda: clock[0])
    clock[0] += 100.0
    scanner.look(set())
    assert [m["slow"] for m in told.of("looked")] == [False, slow, False]
    assert [m["slow"] for m in told.of("fetched")] == [slow]


@pytest.mark.case("D17")
def test_a_source_that_lists_none_of_its_finished_folders_is_told_and_nothing_is_concluded(
    export: Path, clock: list[float]
) -> None:
    told = Told()
    scanner = scanner_of(export, told)
    scanner._folders = {"A1": KnownFolder(True, "s"), "A2": KnownFolder(True, "s")}
    passes(scanner, clock, 10)
    assert {m["all_gone"] for m in told.of("looked")} == {True}
    assert told.of("unlisted") == []


def test_a_file_that_is_added_to_a_finished_folder_is_found_without_an_event(export: Path, clock: list[float]) -> None:
    told = Told()
    scanner = scanner_of(export, told)
    for index in range(80):
        write_slide(export, f"A{index:02}", cells=1, contents=(b"x",))
    passes(scanner, clock, 8)
    for message in told.of("settled"):
        scanner._folders[message["folder"]] = KnownFolder(True, message["signature"])
    passes(scanner, clock, 130)
    told.messages.clear()
    (export / "A70" / "late.jpg").write_bytes(b"y")
    passes(scanner, clock, 61 + 6)
    assert {m["folder"] for m in told.of("settled")} == {"A70"}


def test_finished_folders_cost_no_look_at_their_files_in_most_passes(
    export: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    scanner = scanner_of(export, told)
    for index in range(120):
        write_slide(export, f"A{index:03}", cells=1, contents=(b"x",))
    passes(scanner, clock, 8)
    for message in told.of("settled"):
        scanner._folders[message["folder"]] = KnownFolder(True, message["signature"])
    passes(scanner, clock, 130)
    looks = []
    real = scanner_module.look_at_folder
    monkeypatch.setattr(scanner_module, "look_at_folder", lambda *a: looks.append(a[0].name) or real(*a))
    passes(scanner, clock, 60)
    assert len(looks) == 60  # one folder a pass, in turn


def test_only_new_folders_are_asked_for_their_time(export: Path) -> None:
    for index, name in enumerate(("B", "A", "C")):
        (export / name).mkdir()
        os.utime(export / name, (1000 - index, 1000 - index))
    assert list_slide_folders(export, None, lambda: None) == ["C", "A", "B"]
    assert list_slide_folders(export, None, lambda: None, known={"B": 1}) == ["B", "C", "A"]


@pytest.mark.case("A5")
@pytest.mark.case("A19")
def test_the_only_folder_that_is_renamed_while_it_waits_is_gone_and_its_new_name_is_taken(
    export: Path, clock: list[float]
) -> None:
    told = Told()
    scanner = scanner_of(export, told)
    write_slide(export, "A1", cells=1)
    passes(scanner, clock, 2)
    (export / "A1").rename(export / "B1")
    passes(scanner, clock, 8)
    assert [m["folders"] for m in told.of("vanished")] == [["A1"]]
    assert [m["folder"] for m in told.of("settled")] == ["B1"]
    assert told.of("source") == []


def test_thousands_of_folders_that_are_cleaned_away_are_told_in_few_messages(export: Path, clock: list[float]) -> None:
    told = Told()
    scanner = scanner_of(export, told)
    names = [f"F{number:04d}" for number in range(1200)]
    scanner._folders = {name: KnownFolder(True, "s") for name in names}
    write_slide(export, "A1", cells=1)
    scanner._folders["A1"] = KnownFolder(True, "s")
    passes(scanner, clock, 4)
    assert [len(m["folders"]) for m in told.of("unlisted")] == [500, 500, 200]
    assert [name for m in told.of("unlisted") for name in m["folders"]] == names


def serve_to_the_end(channel: Channel) -> None:
    with contextlib.suppress(EOFError):
        serve(channel)


@pytest.mark.parametrize("at_once", [False, True])
def test_no_folder_is_looked_at_before_everything_that_is_known_was_told(
    export: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    for name in ("A1", "A2"):
        write_slide(export, name)
    ours, theirs = socket.socketpair()
    scanner = scanner_of(export, Channel(theirs))
    begin = frame_from_message({"kind": "begin", **scanner._settings, "known_messages": 2})
    known = [frame_from_message({"kind": "known", "folders": [[name, True, "s", False]]}) for name in ("A1", "A2")]
    looks: list[list[str]] = []

    def look(self: Scanner, _changed: set[str]) -> None:
        looks.append(sorted(self._folders))
        raise EOFError

    monkeypatch.setattr(Scanner, "look", look)
    with ours, theirs:
        ours.sendall(begin + b"".join(known) if at_once else begin + known[0])
        serving = threading.Thread(target=serve_to_the_end, args=(scanner._channel,))
        serving.start()
        if not at_once:
            ours.sendall(known[1])
        serving.join(30)
        assert not serving.is_alive()
    assert looks == [["A1", "A2"]]


@pytest.mark.case("D17")
def test_another_place_without_the_waiting_folders_is_away_and_nothing_of_it_is_taken(
    export: Path, clock: list[float]
) -> None:
    told = Told()
    scanner = scanner_of(export, told)
    write_slide(export, "A1", cells=1)
    passes(scanner, clock, 2)
    export.rename(export.with_name("right"))
    export.mkdir()
    passes(scanner, clock, 4)
    write_slide(export, "WRONG", cells=1)
    passes(scanner, clock, 8)
    assert told.of("vanished") == []
    assert "WRONG" not in {name for m in told.of("seen") for name in m["folders"]}
    assert [bool(m["away"]) for m in told.of("source")] == [True]


@pytest.mark.case("A17")
def test_slides_that_are_there_at_the_first_start_settle_oldest_first_whatever_their_names(
    export: Path, clock: list[float]
) -> None:
    told = Told()
    for age, name in enumerate(("B", "D", "A", "C")):
        folder = write_slide(export, name, cells=1)
        os.utime(folder, (5000 - age, 5000 - age))
    passes(scanner_of(export, told), clock, 6)
    assert [m["folder"] for m in told.of("settled")] == ["C", "A", "D", "B"]


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many folders each listing of a source found; fewer entries than looks: a list was used again."""
    found: list[int] = []
    real = listing_module.list_slide_folders

    def counted(*arguments, **named):
        names = real(*arguments, **named)
        found.append(len(names))
        return names

    monkeypatch.setattr(listing_module, "list_slide_folders", counted)
    return found


def finished_scanner(export: Path, told: Told, clock: list[float], count: int) -> Scanner:
    scanner = scanner_of(export, told)
    for index in range(count):
        scanner._folders[write_slide(export, f"A{index}", cells=1).name] = KnownFolder(True, "")
    passes(scanner, clock, 4)
    for folder in scanner._folders.values():
        folder.watch = None
    return scanner


def test_a_source_in_which_nothing_comes_or_goes_is_listed_once_in_thirty_seconds(
    export: Path, clock: list[float], listings: list[int]
) -> None:
    scanner = finished_scanner(export, told := Told(), clock, 5)
    listings.clear()
    passes(scanner, clock, 60)  # 120 s
    assert listings == [5] * 4
    assert {m["folders"] for m in told.of("looked")} == {5}


def test_a_folder_that_comes_or_goes_is_in_the_next_look(export: Path, clock: list[float], listings: list[int]) -> None:
    scanner = finished_scanner(export, told := Told(), clock, 5)
    told.messages.clear()
    write_slide(export, "NEW", cells=1)
    passes(scanner, clock, 1)
    assert [m["folders"] for m in told.of("seen")] == [["NEW"]]
    passes(scanner, clock, 4)
    shutil.rmtree(export / "A3")
    passes(scanner, clock, 3)
    assert [m["folders"] for m in told.of("unlisted")] == [["A3"]]


@pytest.fixture
def still_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "facts_of_source", lambda _root: (1, 2, 3))


@pytest.mark.usefixtures("still_facts")
def test_on_a_share_whose_time_stands_still_a_new_folder_is_seen_within_thirty_seconds(
    export: Path, clock: list[float]
) -> None:
    scanner = finished_scanner(export, told := Told(), clock, 5)
    write_slide(export, "NEW", cells=1)
    passes(scanner, clock, 15)
    assert [m["folders"] for m in told.of("seen")] == [["NEW"]]


@pytest.mark.usefixtures("still_facts")
def test_an_event_of_an_unknown_folder_lists_the_source_whatever_its_time_says(
    export: Path, clock: list[float], listings: list[int]
) -> None:
    scanner = finished_scanner(export, told := Told(), clock, 5)
    write_slide(export, "NEW", cells=1)
    listings.clear()
    scanner.look({"A1"})
    assert listings == []
    scanner.look({"NEW"})
    assert listings == [6]
    assert [m["folders"] for m in told.of("seen")] == [["NEW"]]


@pytest.mark.usefixtures("still_facts")
def test_that_a_folder_is_gone_is_concluded_from_several_lists_and_not_from_one_used_again(
    export: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = finished_scanner(export, told := Told(), clock, 5)
    real, short = listing_module.list_slide_folders, [True]

    def sometimes_short(*arguments, **named):
        names = real(*arguments, **named)
        return names[:-1] if short.pop() else names

    monkeypatch.setattr(listing_module, "list_slide_folders", sometimes_short)
    short[:] = [False, True]  # taken from the end: the first list lacks a folder, the second one does not
    clock[0] += 30
    passes(scanner, clock, 10)
    assert told.of("unlisted") == []
    assert short == []


def test_a_list_that_was_made_within_the_tick_of_a_change_is_not_used_again(
    export: Path, clock: list[float], listings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = finished_scanner(export, told := Told(), clock, 5)
    facts = [(1, 2, 3)]
    monkeypatch.setattr(listing_module, "facts_of_source", lambda _root: facts[0])
    write_slide(export, "B1", cells=1)
    scanner.look(set())
    write_slide(export, "B2", cells=1)  # within the same tick: the facts stay
    listings.clear()
    passes(scanner, clock, 1)
    assert [m["folders"] for m in told.of("seen")] == [["B1"], ["B2"]]
    assert listings == [7]


@pytest.mark.case("D17")
@pytest.mark.usefixtures("still_facts")
def test_a_missing_sentinel_is_told_although_the_source_would_not_be_listed_again(
    export: Path, clock: list[float]
) -> None:
    told = Told()
    (export / ".root").write_text("")
    scanner = scanner_of(export, told)
    scanner._listing = listing_module.SourceListing(export, ".root")
    write_slide(export, "A1", cells=1)
    passes(scanner, clock, 8)
    assert told.of("source") == []
    (export / ".root").unlink()
    scanner.look(set())
    assert ["MDSE-DAEMON-005" in m["away"] for m in told.of("source")] == [True]


def test_a_source_that_is_away_is_listed_at_every_look(export: Path, clock: list[float], listings: list[int]) -> None:
    told = Told()
    scanner = scanner_of(export, told)
    write_slide(export, "A1", cells=1)
    passes(scanner, clock, 2)
    export.rename(export.with_name("right"))
    export.mkdir()
    write_slide(export, "WRONG", cells=1)
    listings.clear()
    passes(scanner, clock, 8)
    assert listings == [1] * 8
