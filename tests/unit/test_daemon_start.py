"""How the daemon begins and ends: what can pass is tried again, what a person must right is not, no child is left."""

from __future__ import annotations

import errno
import json
import os
import selectors
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from edge.config import Config, config_from_text
from edge.daemon import control, start_check
from edge.daemon.books import opened_books
from edge.daemon.start_check import check_start
from edge.daemon.supervisor import Supervisor, check_bundle_use
from edge.daemon.trouble import is_of_the_configuration
from edge.errors import EXIT_CONFIGURATION, EXIT_TRY_LATER, EdgeError

CONFIG = """
site = {{ id = "T", timezone = "UTC", state_dir = "{root}/state" }}
bundle = {{ path = "{root}/bundle" }}
health = {{ socket = "{root}/s", metrics_file = "{root}/m.prom" }}
source = [{{ id = "di60", path = "{root}/export" }}]
output = [{{ format = "json", path = "{root}/drop", ack = "none" }}]
"""
THAT_PASS = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EMFILE, errno.EINTR, errno.ENOMEM]
OF_A_PERSON = [errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EADDRINUSE, None]


def failing(number: int | None) -> Any:
    """Return what raises the error of this number, in place of any call."""

    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number)) if number is not None else OSError("AF_UNIX path too long")

    return call


def write_bundle(root: Path) -> None:
    """Write as much of a bundle as a supervisor reads."""
    (root / "bundle").mkdir()
    (root / "bundle" / "manifest.json").write_text(json.dumps({"intended_use": "real"}))


def config_at(root: Path) -> Config:
    return config_from_text(CONFIG.format(root=root))


@pytest.mark.parametrize("call", ["chmod", "unlink"])
@pytest.mark.parametrize("number", [*THAT_PASS, *OF_A_PERSON])
def test_a_control_socket_that_fails_for_a_moment_is_tried_again_and_a_wrong_place_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int | None
) -> None:
    control.listen(tmp_path / "s").close()  # what a killed predecessor leaves behind
    monkeypatch.setattr(Path, call, failing(number))
    with pytest.raises(EdgeError) as caught:
        control.listen(tmp_path / "s")
    passes = number in THAT_PASS
    assert caught.value.code == ("MDSE-DAEMON-019" if passes else "MDSE-DAEMON-013")
    assert caught.value.exit_status == (EXIT_TRY_LATER if passes else EXIT_CONFIGURATION)


def test_a_socket_in_a_missing_folder_or_under_too_long_a_name_is_for_a_person(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "s", tmp_path / ("s" * 200)):
        with pytest.raises(EdgeError, match="MDSE-DAEMON-013"):
            control.listen(path)


def test_the_socket_is_for_owner_and_group_alone(tmp_path: Path) -> None:
    control.listen(tmp_path / "s").close()
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660


@pytest.mark.parametrize("number", [*THAT_PASS, *OF_A_PERSON])
def test_a_manifest_that_cannot_be_read_for_a_moment_does_not_leave_the_daemon_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    config = config_at(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", failing(number))
    with pytest.raises(EdgeError) as caught:
        check_bundle_use(config)
    assert caught.value.code == ("MDSE-DAEMON-019" if number in THAT_PASS else "MDSE-DAEMON-002")


def test_every_error_is_of_one_kind() -> None:
    assert [number for number in THAT_PASS if is_of_the_configuration(OSError(number, "x"))] == []
    assert all(is_of_the_configuration(OSError(number, "x")) for number in OF_A_PERSON if number is not None)


class Child:
    """A keeper of a child that notes what happens to it; its books fail when `trouble` is set."""

    def __init__(self, trouble: sqlite3.Error | None = None) -> None:
        self.trouble = trouble
        self.is_ended = False
        self.turns_after_end = 0

    def turn(self) -> None:
        self.turns_after_end += self.is_ended
        if self.trouble is not None and not self.is_ended:
            raise self.trouble

    def end_child(self, _reason: str) -> None:
        self.is_ended = True
        if self.trouble is not None:
            raise self.trouble

    @property
    def is_quiet(self) -> bool:
        return self.is_ended and self.turns_after_end > 0


def test_a_journal_that_fails_leaves_no_child_no_socket_and_no_descriptor_behind(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    with opened_books(config_at(tmp_path)) as books:
        before = len(list(Path("/proc/self/fd").iterdir()))
        supervisor = Supervisor(books, {})
        first, last = Child(sqlite3.OperationalError("disk I/O error")), Child()
        supervisor.keepers = [first, last]  # type: ignore[list-item]  # they are like keepers
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            supervisor.run()
        assert first.is_quiet
        assert last.is_quiet
        assert not (tmp_path / "s").exists()
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class Counting:
    """A keeper that counts its turns."""

    def __init__(self) -> None:
        self.turns = 0

    def turn(self) -> None:
        self.turns += 1


def test_after_something_was_heard_every_keeper_has_two_turns_before_the_next_wait_and_after_silence_one(
    tmp_path: Path,
) -> None:
    write_bundle(tmp_path)
    reading, writing = os.pipe()
    with opened_books(config_at(tmp_path)) as books:
        supervisor, keeper = Supervisor(books, {}), Counting()
        supervisor.keepers = [keeper]  # type: ignore[list-item]  # it is like a keeper
        supervisor.house.selector.register(reading, selectors.EVENT_READ, lambda: os.read(reading, 1))
        turns = []
        for word in (b"", b"", b"x", b"", b""):
            os.write(writing, word)
            before = keeper.turns
            supervisor.turn(0.0)
            turns.append(keeper.turns - before)
        supervisor.control.close()
        supervisor.house.selector.close()
    os.close(reading)
    os.close(writing)
    assert turns == [2, 1, 1, 2, 1]  # the first turn begins the children; the third one hears


def test_the_books_and_the_check_are_refused_to_another_user_than_the_owner_of_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_at(tmp_path)
    with opened_books(config):
        pass
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    for attempt in (lambda: opened_books(config).__enter__(), lambda: list(check_start(config))):
        with pytest.raises(EdgeError, match=f"MDSE-DAEMON-020.*runs as user {other}"):
            attempt()
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_the_check_leaves_a_new_drop_folder_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_at(tmp_path)
    for name in ("drop", "export"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(start_check, "check_models", lambda _: "bundle: not looked at here")
    lines = list(check_start(config))
    assert any(line.startswith(f"output json: {tmp_path}/drop, rename ") for line in lines)
    assert list((tmp_path / "drop").iterdir()) == []


def test_a_socket_that_can_be_made_is_tried_and_taken_away(tmp_path: Path) -> None:
    control.try_socket(tmp_path / "s")
    assert not (tmp_path / "s").exists()
    with pytest.raises(EdgeError, match="MDSE-DAEMON-013"):
        control.try_socket(tmp_path / "missing" / "s")
