"""The sweeps, cuts and random kills in short: points from all over each of them, and every control.

The whole: `python -m tests.fault.bench run --all` (docs/fault-bench.md). Here a control has to show faults, too.
"""

from __future__ import annotations

import errno
import os
import platform
import sqlite3
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.fault.bench import power_cuts
from tests.fault.bench.call_watch import CallWatch, Fault
from tests.fault.bench.contract import Outcome
from tests.fault.bench.power_cuts import check_journal, cut_power
from tests.fault.bench.random_kill import CONTROL, kill_at_random
from tests.fault.bench.scripts import SCRIPTS
from tests.fault.bench.snapshot_disk import missing_tool
from tests.fault.bench.sweep import count_calls, sweep
from tests.fault.bench.sweeps import BENCHES, CONTROLS, ERRORS, POINTS, batches_of
from tests.fault.bench.watched_site import WatchedSite
from tests.fault.side_by_side import side_by_side
from tests.fault.site import REPOSITORY

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the watch knows the calls of x86-64")
needs_mounts = pytest.mark.skipif(bool(missing_tool()), reason=f"power cuts need {missing_tool()}")
SHORT_CUTS = 5


def assert_sound(outcome: Outcome, *, points: int) -> None:
    assert (outcome.lost, outcome.duplicate, outcome.torn, outcome.other) == (0, 0, 0, 0), outcome.note
    assert outcome.points >= points, "the fault was not put where it should have been"


def spread(script: str, kind: str, count: int, error: int = 0) -> list[Fault]:
    """Return some calls from all over a script, another choice for each error."""
    numbers = [n for n, name in enumerate(POINTS[script][kind], start=1) if name != "sendto" or not error]
    step = max(1, len(numbers) // count)
    return [Fault(number, error) for number in numbers[error % step :: step][:count]]


def sweeps_side_by_side(work: Path, swept: dict[str, tuple[str, str, list[Fault]]], *, points: int) -> None:
    """Assert that each named sweep (script, kind of process, faults) put its faults and shows none."""
    runs = [partial(sweep, script, kind, faults) for script, kind, faults in swept.values()]
    for name, outcome in zip(swept, side_by_side(work, runs), strict=True):
        assert outcome.faults == 0, f"{name}: {outcome}"
        assert outcome.points >= points, f"{name}: the fault was not put where it should have been"


@pytest.mark.case("C1")
def test_a_supervisor_killed_at_any_of_these_calls_loses_and_doubles_nothing(tmp_path: Path) -> None:
    swept = {script: (script, "supervisor", spread(script, "supervisor", 3)) for script in SCRIPTS}
    sweeps_side_by_side(tmp_path, swept, points=2)


@pytest.mark.case("C2")
@pytest.mark.case("L2")
def test_a_child_killed_at_any_of_these_calls_loses_and_doubles_nothing(tmp_path: Path) -> None:
    places = [("normal", "scanner"), ("late", "scanner"), ("retry", "worker"), ("normal", "deliver"),
              ("correction", "deliver")]  # fmt: skip
    swept = {f"{script} {kind}": (script, kind, spread(script, kind, 3)) for script, kind in places}
    sweeps_side_by_side(tmp_path, swept, points=1)


@pytest.mark.case("D8")
@pytest.mark.case("D9")
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_at_any_of_these_calls_passes_without_a_trace(name: str, tmp_path: Path) -> None:
    error = getattr(errno, name)
    places = (("supervisor", "correction"), ("scanner", "retry"), ("deliver", "retry"))
    swept = {kind: (script, kind, spread(script, kind, 2, error)) for kind, script in places}
    sweeps_side_by_side(tmp_path, swept, points=1)


@pytest.mark.case("D6")
@pytest.mark.case("D10")
def test_a_disk_that_fails_for_a_while_is_waited_for(tmp_path: Path) -> None:
    swept = {}
    for error in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        faults = [Fault(fault.number, error, more=7) for fault in spread("retry", "supervisor", 2, error)]
        swept[errno.errorcode[error]] = ("retry", "supervisor", faults)
    sweeps_side_by_side(tmp_path, swept, points=2)


@pytest.mark.case("D24")
@pytest.mark.case("C17")
def test_a_full_disk_during_a_migration_leaves_the_old_journal_or_the_new_one(tmp_path: Path) -> None:
    numbers = range(20, 60, 10)
    faults = [Fault(number, error) for number in numbers for error in (0, errno.ENOSPC)]
    assert_sound(sweep("migration", "supervisor", faults, tmp_path), points=len(faults))


def test_the_sweep_sees_every_product_that_was_made_wrong(tmp_path: Path) -> None:
    outcomes = side_by_side(tmp_path, [partial(control.run, 0) for control in CONTROLS])
    unseen = [control.name for control, outcome in zip(CONTROLS, outcomes, strict=True) if not outcome.faults]
    assert unseen == []


@pytest.mark.case("C1")
def test_random_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    assert_sound(kill_at_random(0, tmp_path, kills_max=12), points=12)


def test_random_kills_see_a_product_that_was_made_wrong(tmp_path: Path) -> None:
    runs = [partial(CONTROL, number) for number in range(6)]  # chance may miss the moment; six runs have not
    assert any(outcome.faults for outcome in side_by_side(tmp_path, runs))


@needs_mounts
@pytest.mark.case("D1")
@pytest.mark.parametrize(("kind", "number"), [("ext4", 0), ("ext4", 1), ("xfs", 1)])
def test_a_power_cut_at_any_of_these_moments_loses_and_doubles_nothing(
    kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power_cuts, "CUTS", SHORT_CUTS)
    assert_sound(cut_power(kind, number, tmp_path), points=SHORT_CUTS)


@needs_mounts
@pytest.mark.parametrize("wrong", ["journal_synced_normal", "no_folder_sync", "no_file_sync"])
def test_the_cuts_see_a_product_that_does_not_sync(wrong: str, tmp_path: Path) -> None:
    assert cut_power("ext4", 1, tmp_path, wrong=(wrong,)).faults > 0


def test_a_journal_that_was_damaged_by_a_cut_is_a_fault(tmp_path: Path) -> None:
    site = WatchedSite(tmp_path)
    (tmp_path / "state").mkdir()
    connection = sqlite3.connect(tmp_path / "state" / "journal.sqlite")
    connection.executescript("CREATE TABLE t (x); CREATE INDEX i ON t (x); INSERT INTO t VALUES (1), (2);"
                             "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'i';")  # fmt: skip
    connection.close()
    check_journal(site)  # type: ignore[arg-type]  # a site like it
    assert site.faults
    site.close()


def test_every_call_that_changes_something_is_in_one_batch_of_its_sweep(tmp_path: Path) -> None:
    counted = {bench.name: bench.full_count for bench in BENCHES}
    for kind in ("supervisor", "scanner", "worker", "deliver"):
        batches = batches_of(kind, [0])
        assert counted[f"kill_{kind}"] == len(batches)
        points = [(batch.script, fault.number) for batch in batches for fault in batch.faults]
        assert len(points) == len(set(points))
        wanted = {(script, n) for script in SCRIPTS for n in range(1, len(POINTS[script][kind]) + 1)}
        assert wanted <= set(points)


def test_the_counted_calls_are_still_about_those_that_a_run_makes(tmp_path: Path) -> None:
    for script, kind in (("normal", "deliver"), ("purge", "supervisor")):
        (tmp_path / script).mkdir()
        found = len(count_calls(script, kind, tmp_path / script))
        assert abs(found - len(POINTS[script][kind])) <= 0.2 * found, "count anew: python -m tests.fault.bench.sweeps"


def test_the_watch_counts_calls_below_its_root_alone_and_in_order(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    program = (
        "import os; from tests.fault.bench.call_filter import watch_calls; watch_calls('{a}', 'x');"
        "open('{o}/a', 'wb').close(); f = open('{r}/b', 'wb'); f.write(b'1'); f.flush(); os.fsync(f.fileno());"
        "os.rename('{r}/b', '{r}/c'); open('{r}/c').read(); os.mkdir('{r}/d')"
    )
    for number, status, left in ((4, -9, ["b"]), (5, 1, ["c"]), (0, 0, ["c", "d"])):
        for path in root.iterdir():
            path.rmdir() if path.is_dir() else path.unlink()
        with CallWatch(root) as watch:
            error = errno.EROFS if number == 5 else 0
            watch.arm(Fault(number, error) if number else None, record=True)
            text = program.format(a=watch.address, o=outside, r=root)
            environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
            ended = subprocess.run([sys.executable, "-c", text], env=environment, stderr=subprocess.PIPE, check=False)
            assert ended.returncode == status
            assert sorted(path.name for path in root.iterdir()) == left
            end_s = time.monotonic() + 10.0
            while watch.listeners:  # it has to hear of the end: else the kernel would tell of it again and again
                assert time.monotonic() < end_s
                time.sleep(0.001)
            names = ["openat b", "write b", "fsync b", "rename c", "mkdir d"]
            assert [str(call) for call in watch.calls or ()] == names[: number or None]
