"""Small costs over a long time: memory, descriptors and threads over many slides; a restart on many rows; idleness.

    soak            one daemon of real processes with a fast engine that computes nothing; run n is SLIDES slides more
                    through a fresh daemon. `lost`/`duplicate`: results; `other`: memory that grows after the first
                    1,000 slides (5 MB for any process over the run), descriptors or threads that do
    long_soak       the same with 100,000 slides through one daemon: what grows slowly shows in no shorter run
    restarted       ready within 5 s on 100,000 journal rows and 5,000 folders in the export; that the other 95,000 are
                    gone is told at the first looks, and the watchdog is fed in time all along
    idle            two minutes with 5,000 finished folders and the packaged pauses, after the daily account and after
                    every folder was read once: at most 0.5 % of a core, no file of state and drop changed. The note
                    also says what the two minutes before took, in which folders were still read

State and folders lie where `work` lies: on a memory file system the syncs cost nothing, and the note says where it was.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from edge.config import SourceSection
from edge.daemon.reconciliation import FIRST_AFTER_S
from edge.daemon.scanner import RECHECK_PASSES
from tests.fault.bench.contract import Bench, Outcome
from tests.fault.journal_rows_made import fill_journal
from tests.fault.site import Site, write_slide
from tests.fault.watched_site import WatchedSite

FAST = "tests.fault.fake_analyzer:open_fake_analyzer"
LEAKING = "tests.fault.leaking_analyzer:open_leaking_analyzer"
SLIDES = 10_000
LONG_SLIDES = 100_000
WARM_SLIDES = 1_000
AT_ONCE = 120
LOOKS, LOOK_S = 20, 0.02
GROWTH_MAX_BYTES = 5 * 1024 * 1024
READY_MAX_S = 5.0
ROWS, FOLDERS = 100_000, 5_000
IDLE_S = 120.0
IDLE_MAX_SHARE = 0.005
ACCOUNT_WITHIN_S = FIRST_AFTER_S + 30
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds: resident bytes, descriptors, threads; what it used: processor seconds, bytes written."""

    rss_bytes: int
    descriptors: int
    threads: int
    cpu_s: float
    written_bytes: int


def sample_of(pid: int) -> Sample:
    """Return what the kernel says of a process."""
    proc = Path(f"/proc/{pid}")
    stat = (proc / "stat").read_text().rpartition(")")[2].split()
    io = dict(line.split(": ") for line in (proc / "io").read_text().splitlines())
    return Sample(
        rss_bytes=int((proc / "statm").read_text().split()[1]) * PAGE_BYTES,
        descriptors=len(list((proc / "fd").iterdir())),
        threads=int(stat[17]),
        cpu_s=(int(stat[11]) + int(stat[12])) / TICKS_PER_S,
        written_bytes=int(io["wchar"]),
    )


def samples(site: Site) -> dict[str, Sample]:
    """Return a sample of the supervisor and of each child."""
    assert site.process is not None
    return {name: sample_of(pid) for name, pid in {"supervisor": site.process.pid, **site.children()}.items()}


def lasting_samples(site: Site) -> dict[str, Sample]:
    """Return samples with the fewest descriptors and threads of several looks.

    What is open for a moment, a file that is hashed or a caller of the control socket, is no leak.
    """
    looks = [samples(site)]
    for _ in range(LOOKS - 1):
        time.sleep(LOOK_S)
        looks.append(samples(site))
    return {
        name: replace(
            last,
            descriptors=min(look[name].descriptors for look in looks if name in look),
            threads=min(look[name].threads for look in looks if name in look),
        )
        for name, last in looks[-1].items()
    }


def soak_site(work: Path, test_analyzer: str) -> Site:
    """Return a site that settles quickly; a marker file says that a slide is whole."""
    source = 'marker = ["done.ok"]\nmarker_required = true'
    return Site(work, quiet_s=1, scan_s=0.1, source=source, test_analyzer=test_analyzer)


def export_marked(site: Site, name: str) -> None:
    """Export a slide of one cell with its marker."""
    folder = write_slide(site.export, name, cells=1)
    (folder / "done.ok").write_bytes(b"")


def run_soak(
    number: int, work: Path, *, slides: int = SLIDES, warm: int = WARM_SLIDES, test_analyzer: str = FAST
) -> Outcome:
    """Send slides through one daemon, at most `AT_ONCE` at a time, and compare its processes along the way."""
    site = soak_site(work, test_analyzer)
    site.start(MDS_EDGE_TEST_SECONDS="0")
    seen: Counter[str] = Counter()
    taken: list[tuple[int, dict[str, Sample]]] = []
    started_s, last_s, sent = time.monotonic(), time.monotonic(), 0
    try:
        site.wait_ready()
        while sum(seen.values()) < slides and time.monotonic() - last_s < 120:
            while sent < slides and sent - len(seen) < AT_ONCE:
                export_marked(site, f"S{number}-{sent:06d}")
                sent += 1
            for name in collect(site):
                last_s = time.monotonic()
                seen[name] += 1
            due = warm if not taken else taken[-1][0] + max(warm, slides // 20)
            if len(seen) >= due:
                taken.append((len(seen), lasting_samples(site)))
            time.sleep(0.02)
        taken.append((len(seen), lasting_samples(site)))
        rate = len(seen) / (time.monotonic() - started_s)
        status = site.stop()
    finally:
        site.close()
    growths = growth_of(taken)
    lost, twice = slides - len(seen), sum(count - 1 for count in seen.values())
    place = "memory" if "tmpfs" in kind_of_file_system(work) else "disk"
    note = f"{len(seen)} slides, {rate:.1f} a second, state in {place}; growth after {taken[0][0]}: {growths}"
    other = sum(growth[0] > GROWTH_MAX_BYTES or growth[1] > 0 or growth[2] > 0 for growth in growths.values())
    return Outcome(len(seen), lost, twice, 0, other + (status != 0), note)


def run_long_soak(number: int, work: Path) -> Outcome:
    """Send all slides through one daemon."""
    return run_soak(number, work, slides=LONG_SLIDES)


def collect(site: Site) -> list[str]:
    """Take the results away as a receiver does, and the finished folders as an analyzer cleans up; return slides."""
    names = []
    for path in site.results():
        names.append(path.name.partition("_r1_")[0].rpartition("_")[2])  # sample id, slide key, revision
        path.unlink()
        if (folder := site.export / names[-1]).exists():  # a second result of a slide finds none
            shutil.rmtree(folder)
    return names


def growth_of(taken: list[tuple[int, dict[str, Sample]]]) -> dict[str, tuple[int, int, int]]:
    """Return by how much bytes, descriptors and threads of each process grew from the first sample to the last."""
    first, last = taken[0][1], taken[-1][1]
    return {
        name: (
            last[name].rss_bytes - first[name].rss_bytes,
            last[name].descriptors - first[name].descriptors,
            last[name].threads - first[name].threads,
        )
        for name in first
        if name in last
    }


def kind_of_file_system(folder: Path) -> str:
    """Return the mount-table lines that hold a folder, longest last."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    holding = [line.split() for line in lines if str(folder.resolve()).startswith(line.split()[1])]
    return max(holding, key=lambda line: len(line[1]))[2]


def filled_site(work: Path, rows: int, folders: int, *, scan_s: float = 1.0, quiet_s: float = 1.0) -> WatchedSite:
    """Return a site whose journal has `rows` finished slides, of which the last `folders` still lie in the export."""
    site = WatchedSite(work, quiet_s=quiet_s, scan_s=scan_s)
    site.start(MDS_EDGE_TEST_SECONDS="0")
    site.wait_ready()
    site.stop()
    names = [f"F{number:05d}" for number in range(folders)]
    for name in names:
        write_slide(site.export, name, cells=1)
    with sqlite3.connect(site.root / "state" / "journal.sqlite", isolation_level=None) as connection:
        fill_journal(connection, site.export, names, rows)
    return site


def run_restarted(number: int, work: Path, *, rows: int = ROWS, folders: int = FOLDERS) -> Outcome:
    """Start on a full journal; then a new slide must get its result."""
    site = filled_site(work, rows, folders)
    started_s = time.monotonic()
    site.start(MDS_EDGE_TEST_SECONDS="0")
    try:
        site.wait_ready()
        ready_s = time.monotonic() - started_s
        write_slide(site.export, "NEW")
        site.wait_for(lambda: bool(site.results()), "the first result")
        first_s = time.monotonic() - started_s
        late = site.watchdog.times_late(started_s + ready_s, started_s + first_s)
        sent = len(site.results())
        site.stop()
    finally:
        site.close()
    note = f"{rows} rows, {folders} folders: ready in {ready_s:.2f} s, first result in {first_s:.2f} s"
    note += f", the watchdog was late {late} times" if late else ""
    return Outcome(1, int(sent < 1), max(0, sent - 1), 0, int(ready_s > READY_MAX_S) + late, note)


def run_idle(number: int, work: Path, *, folders: int = FOLDERS, seconds: float = IDLE_S) -> Outcome:
    """Let a daemon stand with finished folders and look what it uses."""
    packaged = {name: SourceSection.model_fields[name].default for name in ("scan_s", "quiet_s")}
    site = filled_site(work, folders, folders, **packaged)
    site.start(MDS_EDGE_TEST_SECONDS="0")
    try:
        site.wait_ready()
        site.wait_for(lambda: len(site.children()) >= 3, "every child")
        site.wait_for(lambda: bool(site.ask("status")["account"]), "the daily account", ACCOUNT_WITHIN_S)
        early = samples(site)
        time.sleep(seconds)
        early_share = share_of_core(early, samples(site), seconds)
        # After a start each folder is read once, some at every look: that ends after so many.
        time.sleep(max(0.0, RECHECK_PASSES * packaged["scan_s"] - seconds))
        before, kept = samples(site), look_of_files(site)
        time.sleep(seconds)
        after = samples(site)
        changed = sorted(set(kept.items()) ^ set(look_of_files(site).items()))
        sent = len(site.results())
        site.stop()
    finally:
        site.close()
    cpu = share_of_core(before, after, seconds)
    # What is written still are the metrics, whose place is a folder in memory, and messages between the processes.
    written = sum(after[name].written_bytes - before[name].written_bytes for name in before)
    note = (
        f"{folders} folders: {100 * cpu:.2f} % of a core over {seconds:g} s at a look every {packaged['scan_s']:g} s,"
        f" {len(changed)} files of state and drop changed, {written} bytes of metrics and messages;"
        f" {100 * early_share:.2f} % soon after the start"
    )
    return Outcome(1, 0, sent, 0, int(cpu > IDLE_MAX_SHARE) + len(changed), note)


def share_of_core(before: dict[str, Sample], after: dict[str, Sample], seconds: float) -> float:
    """Return the share of one processor that all processes together used in between."""
    return sum(after[name].cpu_s - before[name].cpu_s for name in before) / seconds


def look_of_files(site: Site) -> dict[str, tuple[int, int]]:
    """Return size and time of every file of the state and drop folders."""
    folders = (site.root / "state", site.drop())
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def run_leaking(number: int, work: Path) -> Outcome:
    """Wrong: an engine that keeps something of every slide."""
    return run_soak(number, work, slides=160, warm=60, test_analyzer=LEAKING)


BENCHES = (
    Bench("soak", "10,000 slides", 10, run_soak),
    Bench("long_soak", "100,000 slides, one daemon", 1, run_long_soak),
    Bench("engine_that_leaks", "160 slides", 1, run_leaking, control_of="soak"),
    Bench("restarted", "start on 100,000 rows", 3, run_restarted),
    Bench("idle", "two minutes with 5,000 folders", 3, run_idle),
)
