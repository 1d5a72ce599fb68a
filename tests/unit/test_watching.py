"""Events as hints: what changed is named, and our own looks are no change."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

import pytest

from edge.daemon.watching import FolderEvents


def changed_until(events: FolderEvents, name: str) -> set[str]:
    """Return everything that was named up to and with `name`."""
    named: set[str] = set()
    deadline_s = time.monotonic() + 20.0
    while name not in named and time.monotonic() < deadline_s:
        select.select([events], [], [], 0.2)
        named |= events.take_changed()
    return named


@pytest.fixture
def events(tmp_path: Path):
    for name in ("A1", "A2", "A3", "A4", "BEGIN"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(b"x")
    made = FolderEvents(tmp_path)
    deadline_s = time.monotonic() + 20.0
    while not made.take_changed() and time.monotonic() < deadline_s:
        (tmp_path / "BEGIN" / "y").write_bytes(b"y")  # until the watch is set
        select.select([made], [], [], 0.1)
    (tmp_path / "BEGIN" / "z").write_bytes(b"z")  # what was taken above is not told again
    assert "BEGIN" in changed_until(made, "BEGIN")
    return made


def test_new_changed_renamed_and_removed_files_name_their_folders(events: FolderEvents, tmp_path: Path) -> None:
    (tmp_path / "A1" / "new.jpg").write_bytes(b"n")
    with (tmp_path / "A2" / "x.jpg").open("ab") as file:
        file.write(b"more")
    (tmp_path / "A3" / "x.jpg").rename(tmp_path / "A3" / "z.jpg")
    (tmp_path / "A4" / "x.jpg").unlink()
    named: set[str] = set()
    for name in ("A1", "A2", "A3", "A4"):
        named |= changed_until(events, name) if name not in named else set()
    assert {"A1", "A2", "A3", "A4"} <= named


def test_looking_at_folders_and_reading_their_files_is_no_change(events: FolderEvents, tmp_path: Path) -> None:
    for name in ("A1", "A2", "A3"):
        list(os.scandir(tmp_path / name))
        (tmp_path / name / "x.jpg").read_bytes()
    (tmp_path / "A4" / "last.jpg").write_bytes(b"l")
    assert changed_until(events, "A4") - {"BEGIN"} == {"A4"}
