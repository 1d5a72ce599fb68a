"""Error folders of a reader: a refused file is found under any name made of its own, and no other file's for it."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from records import example_record

from edge.delivery import acknowledge, error_folders
from edge.delivery.acknowledge import AckState, read_acknowledgement, read_acknowledgements
from edge.delivery.error_folders import ErrorFiles, list_error_files
from edge.delivery.names import final_name_from_record
from edge.delivery.publish import Drop, prepare_drop
from edge.errors import EdgeError
from edge.writers.choose import FORMATS, writer_for

END = "r1_20261123T083100Z_9f3c21aa"
STEM = f"A0042_S1_{END}"
FINAL = f"{STEM}.hl7"
OURS = "9F3C21AA04B7.R1"


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "hl7").mkdir()
    return prepare_drop(tmp_path / "hl7")


def put(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")


def kind_of(drop: Drop, final_name: str = FINAL) -> str:
    return read_acknowledgement("file-gone", drop, final_name, OURS).kind


@pytest.mark.parametrize("folder", ["error", "Error", "ERROR", "Rejected", "FAILED", "failures", "Err", "reject"])
@pytest.mark.parametrize("beside", [False, True])
def test_an_error_folder_is_known_in_every_case(drop: Drop, folder: str, beside: bool) -> None:
    put((drop.folder.parent if beside else drop.folder) / folder, FINAL)
    state = read_acknowledgement("file-gone", drop, FINAL, OURS)
    assert state == AckState("refused", f"the reader moved the file to its folder {folder}")


@pytest.mark.parametrize(
    "name",
    [FINAL, f"20261123_{FINAL}", f"{FINAL}.err", f"{STEM}_20261201.hl7", f"ERR-20261201.{FINAL}.2", f"{STEM}.err",
     STEM, f"{STEM} (1).hl7", f"{STEM}_d.hl7", f"{STEM}_d1.hl7", f"{STEM}_d20261201.HL7", f"{STEM}_d2nd.hl7",
     f"{FINAL}.json.txt"],
)  # fmt: skip
def test_a_refused_file_is_found_under_a_name_that_the_reader_made_longer(drop: Drop, name: str) -> None:
    put(drop.folder / "error", "other.hl7", name)
    assert kind_of(drop) == "refused"


@pytest.mark.parametrize(
    "name",
    [f"{STEM}_d2.hl7", f"{STEM}_d2_20261201.hl7", f"{STEM}_d999.hl7.err", f"B{FINAL}", f"A0042_S1_x_{END}.hl7",
     FINAL.replace("_r1_", "_r10_"), FINAL.replace("_r1_", "_r11_"), FINAL.replace("21aa", "21ab"), f"{STEM}.html",
     f"{STEM}.html.err", f"{STEM}.json", f"20261123_{STEM}_20261201.csv", f"{STEM[:-1]}.hl7", "A0042_S1.hl7",
     f"{STEM}_S1_r2_20261123T083100Z_1f3c21aa.hl7"],
)  # fmt: skip
def test_a_file_of_another_result_format_or_delivery_refuses_nothing(drop: Drop, name: str) -> None:
    put(drop.folder / "error", name)
    assert kind_of(drop) == "collected"


@pytest.mark.parametrize("folder", ["archive", "errors-2026", "noerror", "terror", "processed", "ack"])
def test_no_other_folder_is_one_for_errors(drop: Drop, folder: str) -> None:
    put(drop.folder / folder, FINAL)
    assert kind_of(drop) == "collected"


def test_a_file_of_another_shape_of_name_is_found_under_that_name_alone(drop: Drop) -> None:
    put(drop.folder / "error", "one.hl7", "two.hl7.err")
    assert [kind_of(drop, name) for name in ("one.hl7", "two.hl7", "hl7")] == ["refused", "collected", "collected"]


def test_a_folder_of_the_files_name_and_a_file_of_a_folders_name_are_neither(drop: Drop) -> None:
    put(drop.folder, "error")
    (drop.folder / "failed" / FINAL).mkdir(parents=True)
    assert kind_of(drop) == "collected"


ids = st.text("A1_-. d", min_size=1, max_size=6)
records = st.builds(
    lambda sample, key, revision, second: {
        "slide": {"sample_id": sample, "slide_key": key}, "revision": revision,
        "analysed_at": f"2026-11-23T08:31:0{second}+00:00",
    },
    ids, ids, st.sampled_from([1, 2, 10, 11, 100]), st.integers(0, 2),
)  # fmt: skip
deliveries = st.sampled_from([1, 2, 3, 20, 22, 222])
before = st.sampled_from(["", "20261123_", "ERR-", "2026.", "copy of "])
behind = st.sampled_from(["", ".err", ".20261201", "-1.bad"])
amid = st.sampled_from(["", "_20261201", " (1)", "-d2", "_d20261201", "_1_d2"])


@given(records, records, deliveries, deliveries, before, amid, behind, st.booleans())
def test_a_file_in_an_error_folder_refuses_its_own_delivery_and_no_other(
    moved: dict[str, Any], other: dict[str, Any], first: int, second: int, prefix: str, infix: str, suffix: str,
    same_record: bool,
) -> None:  # fmt: skip
    other = moved if same_record else other
    name = final_name_from_record(moved, ".hl7", delivery=first)
    assume(final_name_from_record(other, ".hl7", delivery=second) != name)
    longer = f"{prefix}{name.removesuffix('.hl7')}{infix}.hl7{suffix}"
    ids_before, end, rest = error_folders._parts(longer)
    files = ErrorFiles({end: [(ids_before, rest, "error")]})
    assert files.folder_of(name) == "error"
    assert files.folder_of(final_name_from_record(other, ".hl7", delivery=second)) == ""
    assert files.folder_of(name.replace(".hl7", ".csv")) == ""


def test_every_kind_of_file_that_is_published_is_told_from_the_others() -> None:
    record = example_record()
    endings = {writer_for(name).render(record).extension for name in FORMATS} | {".html"}
    assert endings == set(error_folders._EXTENSIONS)


def test_the_folders_are_listed_once_for_all_files_of_an_order(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [FINAL.replace("9f3c", f"{number:04x}") for number in range(200)]
    put(drop.folder / "error", *names[:3])
    listed: list[Path] = []
    scandir = os.scandir
    monkeypatch.setattr(error_folders.os, "scandir", lambda path: (listed.append(path), scandir(path))[1])
    states = read_acknowledgements("file-gone", drop, [(name, OURS) for name in names])
    assert [state.kind for state in states] == ["refused"] * 3 + ["collected"] * 197
    assert sorted(listed) == sorted({drop.folder, drop.folder.parent, drop.folder / "error"})


def test_nothing_is_listed_while_every_file_still_lies_there(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    put(drop.folder, FINAL)
    monkeypatch.setattr(acknowledge, "list_error_files", lambda _: pytest.fail("listed"))
    assert kind_of(drop) == "pending"


def test_a_file_that_is_moved_while_the_others_are_looked_at_is_found(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = f"{STEM}_d2.hl7"
    put(drop.folder, second)
    put(drop.folder / "error")
    look = acknowledge.is_collected

    def moved_before_its_turn(place: Drop, name: str) -> bool:
        if name == second:
            (place.folder / second).rename(place.folder / "error" / second)
        return look(place, name)

    monkeypatch.setattr(acknowledge, "is_collected", moved_before_its_turn)
    states = read_acknowledgements("file-gone", drop, [(FINAL, OURS), (second, OURS)])
    assert [state.kind for state in states] == ["collected", "refused"]


@pytest.mark.parametrize("full", ["error", "."])
def test_a_folder_too_full_to_be_looked_through_settles_nothing_and_is_named(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    monkeypatch.setattr(error_folders, "NAMES_MAX", 5)
    put(drop.folder / full, *(f"{number}.txt" for number in range(6)))
    state = read_acknowledgement("file-gone", drop, FINAL, OURS)
    assert state.kind == "ignored"
    assert f"in the folder {'hl7' if full == '.' else full}" in state.text


def test_a_full_folder_hides_no_refusal_that_was_seen(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_folders, "NAMES_MAX", 5)
    put(drop.folder / "error", *(f"{number}.txt" for number in range(6)))
    put(drop.folder.parent / "failed", FINAL)
    assert kind_of(drop) == "refused"


@pytest.mark.parametrize("folder", ["error", "Rejected", "FAILED"])
def test_beside_a_drop_folder_whose_parent_may_not_be_read_the_usual_spellings_are_tried(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    put(drop.folder.parent / folder, FINAL)
    scandir = os.scandir

    def refused(path: Path) -> Any:
        if path == drop.folder.parent:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(error_folders.os, "scandir", refused)
    assert kind_of(drop) == "refused"


def let_fail(monkeypatch: pytest.MonkeyPatch, place: Path, error: OSError) -> None:
    scandir = os.scandir

    def failing(path: Path) -> Any:
        if path == place:
            raise error
        return scandir(path)

    monkeypatch.setattr(error_folders.os, "scandir", failing)


@pytest.mark.parametrize(("place", "number", "code"), [
    ("hl7", errno.EIO, "MDSE-DELIVERY-001"), (".", errno.EIO, "MDSE-DELIVERY-001"),
    ("hl7/error", errno.EIO, "MDSE-DELIVERY-012"), ("failed", errno.EIO, "MDSE-DELIVERY-012"),
    ("hl7/error", errno.EACCES, "MDSE-DELIVERY-012"),
])  # fmt: skip
def test_a_folder_that_cannot_be_read_now_is_told_as_try_later_an_error_folder_as_one_of_answers(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, place: str, number: int, code: str
) -> None:
    put(drop.folder / "error")
    put(drop.folder.parent / "failed")
    away = drop.folder.parent / place
    let_fail(monkeypatch, away, OSError(number, os.strerror(number)))
    with pytest.raises(EdgeError) as failure:
        list_error_files(drop.folder)
    assert (failure.value.code, failure.value.where) == (code, str(away))


def test_another_applications_closed_error_folder_beside_the_drop_stops_nothing_and_is_told_once(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed, refused = drop.folder.parent / "failed", f"{STEM}_d2.hl7"
    put(closed, FINAL)
    put(drop.folder.parent / "rejected", refused)
    let_fail(monkeypatch, closed, PermissionError(13, "Permission denied"))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (kind_of(drop), kind_of(drop, refused)) == ("collected", "refused")
    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == [str(closed)]


def test_a_link_beside_the_drop_into_a_closed_place_stops_nothing(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    link = drop.folder.parent / "ERROR"
    link.symlink_to("/closed/place")
    stat = Path.stat

    def refused(path: Path, **how: Any) -> os.stat_result:
        if path == link:
            raise PermissionError(13, "Permission denied")
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", refused)
    assert kind_of(drop) == "collected"
