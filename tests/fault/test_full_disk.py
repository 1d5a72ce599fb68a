"""Disks that fill while slides arrive: nothing lost, nothing twice, and it goes on by itself when space comes back."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.fault.bench.full_disk import FULL, READ_ONLY, run_one
from tests.fault.side_by_side import side_by_side
from tests.fault.small_disk import can_mount, fill_bytes, fill_inodes, give_back, small_ext4, small_tmpfs

pytestmark = pytest.mark.skipif(not can_mount(), reason="this machine does not let us mount a small disk")


@pytest.mark.case("D2")
@pytest.mark.case("D3")
@pytest.mark.case("D4")
@pytest.mark.case("D5")
@pytest.mark.case("D6")
@pytest.mark.case("D10")
def test_a_disk_that_fills_or_turns_read_only_holds_results_back_and_loses_none(tmp_path: Path) -> None:
    cases = [("state", "bytes"), ("spool", "inodes"), ("drop", "bytes"), ("log", "bytes"), ("drop", "read-only")]
    assert set(cases) <= {*FULL, *READ_ONLY}
    runs = [partial(lambda case, work: run_one(0, work, [case]), case) for case in cases]
    wrong = [
        lambda work: run_one(0, work, [("state", "bytes")], "journal_ignores_full_disk"),
        lambda work: run_one(0, work, [("drop", "bytes")], "publisher_ignores_full_disk"),
    ]
    *found, journal, publisher = side_by_side(tmp_path, [*runs, *wrong])
    assert [outcome.note for outcome in found if outcome.faults] == []
    # The bench sees a journal that goes on without what the disk refused, and a publisher that names half a file.
    assert journal.lost, journal
    assert publisher.torn, publisher


@pytest.mark.parametrize("make", [small_tmpfs, small_ext4])
def test_a_small_disk_can_be_filled_to_the_last_byte_and_the_last_name(make, tmp_path: Path) -> None:
    more = {"image": tmp_path / "image"} if make is small_ext4 else {}
    with make(tmp_path / "disk", **more) as disk:
        for fill in (fill_bytes, fill_inodes):
            fill(disk)
            with pytest.raises(OSError, match="No space left"):
                (disk / "one-more").write_bytes(b"1")
            (disk / "one-more").unlink(missing_ok=True)
            give_back(disk)
            (disk / "one-more").write_bytes(b"1" * 4096)
            (disk / "one-more").unlink()
