"""Disks that fill, lose their inodes or become read-only, at random moments while slides arrive.

Each place has a disk of its own: the state folder, the spool, the drop folder, the log, the quarantine. While it is
full, slides go on arriving; then the space comes back. Nothing may be lost, sent twice or torn, the daemon may not
end, and what waited must leave within one scan (the default of `scan_s`) beyond the time that a slide takes anyway.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fault.bench.contract import Bench, Outcome
from tests.fault.site import write_slide
from tests.fault.small_disk import (
    append_until_full,
    fill_bytes,
    fill_inodes,
    give_back,
    set_read_only,
    small_ext4,
    small_tmpfs,
)
from tests.fault.watched_site import WatchedSite, counted_faults

PLACES = ("state", "spool", "drop", "log", "quarantine")
FULL = [(place, kind) for kind in ("bytes", "inodes") for place in PLACES]
READ_ONLY = [("drop", "read-only"), ("spool", "read-only"), ("quarantine", "read-only")]
"""The state folder's own disk holds the open journal: the kernel does not mount it anew. (strace puts EROFS there.)"""
SCAN_S = 5.0
"""Default of `scan_s`: the time within which results have to go on."""
LONG_HOLD_S = 25.0
"""Every fourth round the disk stays full for so long: pauses that double must not outgrow a scan."""
SLACK_S = 2.0
"""What a busy machine may add to the time that a slide takes anyway."""
END_S = 90.0
WRONG_END_S = 8.0
"""How long a control waits for what will not come."""


class SmallDiskSite(WatchedSite):
    """A site of which one place lies on a small disk."""

    def __init__(self, root: Path, place: str, kind: str, wrong_part: str) -> None:
        super().__init__(root, wrong_part=wrong_part, attempts=3, scan_s=1)
        self.kind = kind
        self.disk = {
            "state": root / "state", "spool": root / "state" / "spool", "drop": self.drop(), "log": root / "log",
            "quarantine": root / "state" / "quarantine",
        }[place]  # fmt: skip
        if place == "log":
            self.log = self.disk / "daemon.log"

    def refuse(self) -> None:
        """Make the disk refuse from now on."""
        if self.kind == "bytes":
            fill_bytes(self.disk)
            if self.log.parent == self.disk:
                append_until_full(self.log, b"\n")  # or its last page would still take what is said meanwhile
        elif self.kind == "inodes":
            fill_inodes(self.disk)
        elif self.waited(lambda: set_read_only(self.disk, True), 20.0) is None:
            raise OSError("the disk cannot be made read-only: a file on it stays open for writing")

    def relent(self) -> None:
        """Give back what was taken."""
        if self.kind == "read-only":
            set_read_only(self.disk, False)
        else:
            give_back(self.disk)


@contextlib.contextmanager
def small_disk_site(work: Path, place: str, kind: str, *, ext4: bool, wrong_part: str) -> Iterator[SmallDiskSite]:
    site = SmallDiskSite(work / "site", place, kind, wrong_part)
    disk = small_ext4(site.disk, work / "disk.img") if ext4 else small_tmpfs(site.disk)
    with disk:
        try:
            yield site
        finally:
            site.close()


def run_one(number: int, work: Path, cases: list[tuple[str, str]], wrong_part: str = "") -> Outcome:
    """Run one case: its place and kind by the number, every moment by its random generator."""
    chance = random.Random(number)
    place, kind = cases[number % len(cases)]
    ext4 = (number // len(cases)) % 4 == 3
    hold_s = LONG_HOLD_S if number % 40 < len(cases) and number >= 40 else 0.5 + 4.0 * chance.random()
    end_s = WRONG_END_S if wrong_part else END_S
    with small_disk_site(work, place, kind, ext4=ext4, wrong_part=wrong_part) as site:
        names = [f"N{index}" for index in range(6)]
        site.start()
        site.wait_ready()
        write_slide(site.export, names[0])
        usual_s = site.waited(lambda: site.published(names[0]), END_S) or END_S
        for name in names[1:4]:
            write_slide(site.export, name)
        time.sleep(2.0 * chance.random())
        site.refuse()
        write_slide(site.export, names[4])
        write_slide(site.export, names[5])
        write_slide(site.export, "BAD", contents=(b"REJECT",))
        time.sleep(hold_s)
        site.relent()
        resumed_s = site.waited(lambda: site.published(*names), end_s)
        set_aside = site.waited(lambda: states_now(site).get("QUARANTINED") == 1, end_s)
        ended = not site.is_running()
        status = -1 if ended else site.stop()
        lost, duplicate, torn, other = counted_faults(site, names)
    late = resumed_s is None or resumed_s > SCAN_S + usual_s + SLACK_S
    wrong = [
        f"the daemon ended ({status})" if ended or status else "",
        "what waited left late" if late else "",
        "the refused slide has no stated reason" if set_aside is None else "",
        other,
    ]
    resumed = "never" if resumed_s is None else f"{resumed_s:.1f} s"
    note = (
        f"{place} {kind}{' ext4' if ext4 else ''} for {hold_s:.1f} s: went on after {resumed} (usual {usual_s:.1f} s)"
    )
    found = [text for text in wrong if text]
    return Outcome(1, lost, duplicate, torn, len(found), "; ".join([note, *found]))


def states_now(site: WatchedSite) -> dict[str, int]:
    from edge.errors import EdgeError

    try:
        return dict(site.ask("status")["slides"])
    except EdgeError:
        return {}


BENCHES = (
    Bench("full_disk", "fillings", 200, lambda number, work: run_one(number, work, FULL)),
    Bench("read_only_disk", "remounts", 30, lambda number, work: run_one(number, work, READ_ONLY)),
    Bench(
        "read_only_disk_ignored", "remounts", 1,
        lambda number, work: run_one(number, work, READ_ONLY[:1], "publisher_ignores_full_disk"), "read_only_disk",
    ),
    Bench(
        "full_disk_ignored_by_journal", "fillings", 4,
        lambda number, work: run_one(number, work, [("state", "bytes")], "journal_ignores_full_disk"), "full_disk",
    ),
    Bench(
        "full_disk_ignored_by_publisher", "fillings", 4,
        lambda number, work: run_one(number, work, [("drop", "bytes")], "publisher_ignores_full_disk"), "full_disk",
    ),
)  # fmt: skip
