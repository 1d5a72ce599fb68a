"""Power cuts at random moments: state, spool, archive and drop folder on disks that fall back to what they had.

In every second run the drop folder has a disk of its own: no other file's sync may save what was forgotten there.

Export folder and LIS are other machines: what the analyzer wrote and what the LIS took stays. The LIS takes a file, and
its own delete is on disk before anything else can happen. A run is CUTS cuts of one site, each followed by a start.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

from edge.daemon.control_client import reply_from_daemon
from tests.fault.bench.contract import Bench, Outcome
from tests.fault.bench.snapshot_disk import SnapshotDisks, missing_tool
from tests.fault.bench.sweep import CONTROL_PATIENCE_S, settle
from tests.fault.bench.warm_start import WarmInterpreter
from tests.fault.bench.watched_site import WatchedSite, outcome_of
from tests.fault.site import write_slide

CUTS = 10
RUNS = 100
SLIDES_PER_CUT = 2
LONGEST_S = 1.2
LIS_LONGEST_S = 0.8
AFTER_RESULT_S = 0.4
JOURNAL = "journal.sqlite"


class DiskSite(WatchedSite):
    """A site whose own files lie on the disk that is cut; export, log and LIS lie outside."""

    def __init__(self, work: Path, chance: random.Random, **settings: Any) -> None:
        self._drop = work / "drop" if (work / "drop").exists() else work / "disk"
        outside = work / "outside"
        outside.mkdir()
        super().__init__(work / "disk" / "site", outside=outside, **settings)
        text = self.config.read_text()
        for name in ("export", "run", "bundle"):
            text = text.replace(f'"{self.root}/{name}', f'"{outside}/{name}')
            (outside / name).mkdir()
        text = text.replace(f'"{self.root}/drop-json"', f'"{self.drop()}"')
        self.config = outside / "mds-edge.toml"
        self.config.write_text(text)
        self.log = outside / "daemon.log"
        self.lis.pause = lambda: chance.random() * LIS_LONGEST_S
        self.lis.sync = True

    @property
    def export(self) -> Path:
        return self.outside / "export"

    def drop(self, name: str = "json") -> Path:
        folder = self._drop / "results"
        folder.mkdir(exist_ok=True)
        return folder

    def stand_still(self) -> None:
        """Stop every process where it is."""
        assert self.process is not None
        for pid in (self.process.pid, *self.children().values()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def ask(self, command: str, **facts: Any) -> dict[str, Any]:
        return reply_from_daemon(self.outside / "run" / "s", {"command": command, **facts})


def cut_power(kind: str, number: int, work: Path, *, wrong: tuple[str, ...] = ()) -> Outcome:
    """Do one run of cuts."""
    lacking = missing_tool()
    if lacking:
        raise RuntimeError(f"power cuts need {lacking}")
    chance = random.Random(f"{kind} {number}")
    names = ("disk", "drop") if number % 2 or wrong else ("disk",)
    with SnapshotDisks(work, kind, names) as disks, WarmInterpreter(own=True) as warm:
        site = DiskSite(work, chance, warm=warm, wrong=wrong)
        site.patience_s = CONTROL_PATIENCE_S if wrong else site.patience_s
        cuts = 0
        try:
            site.start()
            site.wait(site.answers, "the daemon answers")
            while cuts < CUTS and not site.faults:
                round_of(site, disks, chance, cuts)
                cuts += 1
            settle(site)
            return outcome_of(site, cuts, f"after cut {cuts} of run {number}")
        except AssertionError as error:
            site.faults.append(str(error)[:1500])
            site.close_process()
            return outcome_of(site, cuts, f"at cut {cuts + 1} of run {number}")
        finally:
            site.close()


def round_of(site: DiskSite, disks: SnapshotDisks, chance: random.Random, cut: int) -> None:
    """Export, cut at a random moment, come back, and let every slide come to its end.

    Every second cut is soon after a result was published and before the LIS has taken it: there a name may be lost.
    """
    for place in range(SLIDES_PER_CUT):
        name = f"C{cut:02d}-{place}"
        write_slide(site.export, name)
        site.expected[name] = ("CLOSED", [(1, "P")])
    if cut % 2 == 0:
        time.sleep(chance.random() * LONGEST_S)
    with site.lis.lock:  # what the LIS has in hand is either taken or not
        if cut % 2:
            site.wait(lambda: has_result(site), "a result lies in the drop folder")
            time.sleep(chance.random() * AFTER_RESULT_S)
        site.stand_still()
        disks.snap()
        site.close_process()
        disks.come_back()
    check_journal(site)
    site.start()
    for name in site.expected:
        site.wait(lambda name=name: site.state_of(name) == "CLOSED", f"{name} is CLOSED after cut {cut + 1}")


def has_result(site: DiskSite) -> bool:
    """Tell whether a result lies in the drop folder: published, perhaps not booked, not taken by the LIS."""
    return any(not path.name.startswith(".") for path in site.drop().iterdir())


def check_journal(site: DiskSite) -> None:
    """Check a copy of the journal as the cut left it: to open it itself would mend what is to be judged."""
    state, copy = site.root / "state", site.outside / "journal"
    if not (state / JOURNAL).exists():
        return
    copy.mkdir(exist_ok=True)
    for name in (JOURNAL, f"{JOURNAL}-wal"):
        (copy / name).unlink(missing_ok=True)
        if (state / name).exists():
            shutil.copy(state / name, copy / name)
    connection = sqlite3.connect(copy / JOURNAL)
    found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    connection.close()
    if found != ["ok"]:
        site.faults.append(f"integrity_check after a cut: {found[:3]}")


def control(name: str, kind: str, wrong: str) -> Bench:
    """Return a control: the same cuts of a product made wrong."""
    return Bench(name, f"run of {CUTS} cuts", 3, partial(cut_power, kind, wrong=(wrong,)), f"power_cut_{kind}")


BENCHES = (
    *(Bench(f"power_cut_{kind}", f"run of {CUTS} cuts", RUNS, partial(cut_power, kind)) for kind in ("ext4", "xfs")),
    *(
        control(f"{wrong}_{kind}", kind, wrong)
        for kind in ("ext4", "xfs")
        for wrong in ("journal_synced_normal", "no_folder_sync", "no_file_sync", "nothing_synced")
    ),
)
