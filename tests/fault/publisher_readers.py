"""The publisher against four kinds of reader: nothing read by half, nothing lost, each revision delivered once.

    python -m tests.fault.publisher_readers                  every fault, every point between two steps
    python -m tests.fault.publisher_readers --stride 7       every seventh point

Readers are processes of their own (`edge-lis-simulator --reader`): strict takes a file the moment it sees it and
deletes it at once; mirth, senaite and openelis have the habits of those systems. The publisher is a real process for
every message, killed with SIGKILL, and run again as after a restart. Faults: a writer that stalls in the middle of a
file, death at every point, a full disk and a read-only share (small tmpfs mounts; skipped where mounting is not
allowed), and something foreign under the final name. Two controls publish as one must not, under a visible temporary
name and straight to the final name: the bench has to see torn files there. Prints JSON; exit status 1 on any fault.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.bench.report import machine_facts
from edge.daemon.site_test import record_of_test
from edge.delivery.durable import IDENTITY_NAME, OWNER_NAME
from edge.writers.choose import writer_for
from tests.fault.publisher import AWAY, DELIVERED, PARKED, count_steps, make_root, publish
from tests.fault.site import REPOSITORY

READERS = {
    "strict": ["--delete"], "mirth": ["--delete", "--reader", "mirth"],
    "senaite": ["--reader", "senaite"], "openelis": ["--reader", "openelis"],
}  # fmt: skip
SETTLE_S = {"strict": 0.3, "senaite": 0.3, "mirth": 1.8, "openelis": 4.0}
"""After the last message: longer than that reader waits before it takes a file."""
STALL_S = 1.5
STALLED = 3
DEADLINE_S = 60.0
MOUNT_BYTES = 128 * 1024


@dataclass(frozen=True)
class Bench:
    """One drop folder with one reader at work."""

    root: Path
    reader: str
    output: Path

    def receptions(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def wait_for_reception(self, key: str) -> None:
        """Wait until the reader has dealt with this message."""
        end_s = time.monotonic() + DEADLINE_S
        while not any(row["message_id"] == f"{key}.R1" for row in self.receptions()):
            if time.monotonic() > end_s:
                raise AssertionError(f"the reader never read {key}")
            time.sleep(0.01)


@contextlib.contextmanager
def reading(root: Path, reader: str) -> Iterator[Bench]:
    """Run a reader on `root/drop`; at the end give it time for what lies there, and stop it."""
    bench = Bench(root, reader, root / "read.jsonl")
    command = [sys.executable, "-m", "edge.commands.lis_simulator", "--drop", str(root / "drop"), "--json",
               "--poll-s", "0.001", *READERS[reader]]  # fmt: skip
    with bench.output.open("wb") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.DEVNULL)
        try:
            yield bench
            time.sleep(SETTLE_S[reader])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)


def faults_of(bench: Bench, keys: Sequence[str]) -> Counter[str]:
    """Count what went wrong, by what the reader printed alone."""
    found = Counter(row["message_id"] for row in bench.receptions() if not row["faults"])
    torn = sum(row["partial"] for row in bench.receptions())
    faulty = sum(bool(row["faults"]) for row in bench.receptions())
    staging = bench.root / "drop" / ".mds-edge-staging"
    kept = (IDENTITY_NAME, OWNER_NAME)  # the folder's own and its machine's: they stay
    left = [path.name for path in staging.iterdir() if path.name not in kept] if staging.is_dir() else []
    return Counter(
        lost=sum(not found[f"{key}.R1"] for key in keys),
        duplicate=sum(max(0, found[f"{key}.R1"] - 1) for key in keys),
        torn=torn, faulty=faulty - torn, left_in_staging=len(left),
    )  # fmt: skip


def with_kills(bench: Bench, stride: int) -> list[str]:
    """Kill the publisher at every point between two steps, run it again, one message a point."""
    # The first message of a new folder has more steps than those after it.
    keys = [*_first(bench), "K-counted"]
    points = count_steps(bench.root, "K-counted")
    for number in range(1, points + 1, stride):
        keys.append(f"K{number}")
        status = publish(bench.root, keys[-1], die_at=number)
        if status != -signal.SIGKILL and number < points - 4:
            raise AssertionError(f"the publisher survived point {number} of {points} with {status}")
        _expect(publish(bench.root, keys[-1]), DELIVERED)
    return keys


def with_stalls(bench: Bench, stride: int) -> list[str]:
    """Stall in the middle of every write."""
    keys = [f"W{number}" for number in range(STALLED)]
    first = _first(bench)
    for key in keys:
        _expect(publish(bench.root, key, stall_s=STALL_S), DELIVERED)
    return [*first, *keys]


def with_full_disk(bench: Bench, stride: int) -> list[str]:
    """Fill the drop folder's file system, try, make room, try again."""
    # A reader that deletes makes room: what it deletes must be gone before the disk is filled.
    first = _first(bench)
    filler = bench.root / "drop" / ".filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 512)
    _expect(publish(bench.root, "F1"), AWAY)
    _expect(publish(bench.root, "F1"), AWAY)
    filler.unlink()
    _expect(publish(bench.root, "F1"), DELIVERED)
    return [*first, "F1"]


def with_read_only_share(bench: Bench, stride: int) -> list[str]:
    """Remount the drop folder read-only, try, remount it, try again."""
    first = _first(bench)
    drop = str(bench.root / "drop")
    subprocess.run(["mount", "-o", "remount,ro", drop], check=True)
    _expect(publish(bench.root, "R1"), AWAY)
    subprocess.run(["mount", "-o", "remount,rw", drop], check=True)
    _expect(publish(bench.root, "R1"), DELIVERED)
    return [*first, "R1"]


def with_existing_target(bench: Bench, stride: int) -> list[str]:
    """Put a foreign file where the result is to appear: it stays as it is, and the result waits for a person."""
    first = _first(bench)
    # Killed right after the journal fixed the name and before anything is staged.
    publish(bench.root, "T1", die_at=1)
    name = _planned_name(bench.root, "T1")
    foreign = bench.root / "drop" / name
    # A directory no reader takes: the name stays occupied however fast the reader is.
    foreign.mkdir()
    _expect(publish(bench.root, "T1"), PARKED)
    if not foreign.is_dir():
        raise AssertionError("the foreign file was replaced")
    _expect(publish(bench.root, "T2"), DELIVERED)
    return [*first, "T2"]


def _first(bench: Bench) -> list[str]:
    """Publish one message and wait until the reader, now surely at work, has read it."""
    _expect(publish(bench.root, "FIRST"), DELIVERED)
    bench.wait_for_reception("FIRST")
    return ["FIRST"]


def _planned_name(root: Path, key: str) -> str:
    import sqlite3

    with contextlib.closing(sqlite3.connect(root / "state" / "journal.sqlite")) as connection:
        query = "SELECT final_name FROM deliveries JOIN revisions r ON r.id = revision_id WHERE message_id = ?"
        return str(connection.execute(query, (f"{key}.R1",)).fetchone()[0])


def _expect(status: int, wanted: int) -> None:
    if status != wanted:
        raise AssertionError(f"the publisher ended with {status}, not {wanted}")


FAULTS: dict[str, Callable[[Bench, int], list[str]]] = {
    "stalled writer": with_stalls, "kill -9 at every point": with_kills, "full disk": with_full_disk,
    "read-only share": with_read_only_share, "existing target": with_existing_target,
}  # fmt: skip
MOUNTED = {"full disk", "read-only share"}


@contextlib.contextmanager
def mounted(folder: Path, wanted: bool) -> Iterator[bool]:
    """Mount a small tmpfs on the folder; yield whether what was wanted is there."""
    if not wanted:
        yield True
        return
    command = ["mount", "-t", "tmpfs", "-o", f"size={MOUNT_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def run_fault(name: str, reader: str, stride: int = 1) -> dict[str, int] | None:
    """Run one fault under one reader; return what was counted, None where the machine does not allow it."""
    with tempfile.TemporaryDirectory(prefix="mds-edge-readers-") as folder:
        root = Path(folder)
        make_root(root)
        with mounted(root / "drop", name in MOUNTED) as possible:
            if not possible:
                return None
            with reading(root, reader) as bench:
                keys = FAULTS[name](bench, stride)
            return {"messages": len(keys), **faults_of(bench, keys)}


def run_control(name: str, reader: str) -> dict[str, int]:
    """Publish as one must not, with the same stall, and count what the reader sees."""
    with tempfile.TemporaryDirectory(prefix="mds-edge-readers-") as folder:
        root = Path(folder)
        make_root(root)
        with reading(root, reader) as bench:
            time.sleep(1.0)
            for number in range(STALLED):
                content = _message(f"C{number}")
                final = root / "drop" / f"C{number}.hl7"
                path = final if name == "straight to the final name" else final.with_name(f"{final.name}.tmp")
                with path.open("wb", buffering=0) as file:
                    file.write(content[: len(content) // 2])
                    time.sleep(STALL_S)
                    file.write(content[len(content) // 2 :])
                if path != final:
                    with contextlib.suppress(FileNotFoundError):
                        path.rename(final)
        return {"messages": STALLED, **faults_of(bench, [f"C{number}" for number in range(STALLED)])}


def _message(key: str) -> bytes:
    moment = "2026-11-23T18:00:00+09:00"
    record = record_of_test(message_id=f"{key}.R1", slide_key=key, sample_id=f"S{key}", analysed_at=moment, site="T")
    return writer_for("hl7").render(record).content


CONTROLS = {
    "straight to the final name": ("strict", "mirth", "senaite"),
    "visible temporary name": ("mirth", "senaite"),
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "publisher_readers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stride", type=int, default=1, help="only every so-manieth point")
    parser.add_argument("--readers", default=",".join(READERS), help="comma separated (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    arguments = parser.parse_args(argv)
    started = time.monotonic()
    rows: dict[str, Any] = {}
    total: Counter[str] = Counter()
    for reader in arguments.readers.split(","):
        for name in FAULTS:
            counted = run_fault(name, reader, arguments.stride)
            rows[f"{name} / {reader}"] = counted if counted is not None else "skipped: mounting is not allowed here"
            total.update(counted or {})
    controls = {
        f"{name} / {reader}": run_control(name, reader)
        for name, readers in CONTROLS.items() for reader in readers if reader in arguments.readers
    }  # fmt: skip
    seconds = int(time.monotonic() - started)
    facts = {"date": datetime.now(UTC).date().isoformat(), "machine": machine_facts(), "stride": arguments.stride}
    result = {**facts, "publisher_readers": {**total, "seconds": seconds}, "by_fault": rows, "controls": controls}
    text = json.dumps(result, indent=1)
    print(text)  # noqa: T201 - a bench prints
    if arguments.json is not None:
        arguments.json.write_text(f"{text}\n")
    blind = [name for name, counted in controls.items() if not counted["torn"]]
    faults = sum(count for name, count in total.items() if name != "messages")
    return 1 if faults or blind else 0


if __name__ == "__main__":
    raise SystemExit(main())
