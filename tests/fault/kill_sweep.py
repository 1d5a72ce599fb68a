"""Kill the daemon's processes at every state-changing system call, one run per call, and prove that nothing is lost.

    python -m tests.fault.kill_sweep                      fsync, fdatasync, rename, renameat2, unlink, mkdir
    python -m tests.fault.kill_sweep --calls pwrite64 --stride 3

Random kills seldom hit the few microseconds that matter; this bench hits each of them with strace (`inject=` with
`signal=KILL`, which counts per process: in run N every process dies at its own Nth call). Each run starts a fresh site
under strace, exports two slides, lets it die, starts it again without strace and reads files and journal.
Exit status 1 on any fault.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.fault.site import REPOSITORY, Site, findings_of, write_slide

CALLS = ("fsync", "fdatasync", "rename", "renameat2", "unlink", "mkdir")
NAMES = ["A1", "A2"]
TRACED_S = 12.0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "kill_sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", default=",".join(CALLS))
    parser.add_argument("--stride", type=int, default=1, help="only every so-manieth call")
    parser.add_argument("--most", type=int, default=1000, help="at most so many points per call")
    arguments = parser.parse_args(argv)
    if shutil.which("strace") is None:
        parser.error("strace is not installed")
    started = time.monotonic()
    counts = count_calls(arguments.calls.split(","))
    faults: Counter[str] = Counter()
    runs = hits = 0
    for call, most in counts.items():
        for number in range(1, min(most, arguments.most) + 1, arguments.stride):
            died, found = run_point(call, number)
            runs, hits = runs + 1, hits + died
            faults.update(found)
            if any(found.values()):
                print(f"{call} {number}: {found}", file=sys.stderr)  # noqa: T201 - a bench prints
    result = {"calls": counts, "runs": runs, "supervisor_died": hits, "seconds": int(time.monotonic() - started)}
    print(json.dumps({"runs": result, "faults": dict(faults)}, indent=1))  # noqa: T201 - a bench prints
    return 1 if any(faults.values()) else 0


def traced(site: Site, *options: str) -> subprocess.Popen[bytes]:
    command = ["strace", "-f", "-qq", *options, *site.command()]
    with site.log.open("ab") as log:
        return subprocess.Popen(command, env=site.environment(), cwd=REPOSITORY, stdout=log, stderr=log)


def count_calls(calls: list[str]) -> dict[str, int]:
    """Return how often the busiest process makes each call in an undisturbed run."""
    with tempfile.TemporaryDirectory(prefix="mds-edge-sweep-") as folder:
        site = Site(Path(folder))
        trace = Path(folder) / "trace"
        site.process = traced(site, "-o", str(trace), "-e", f"trace={','.join(calls)}")
        site.wait_ready()
        export(site)
        site.wait_for(lambda: site.ask("status")["slides"]["CLOSED"] == len(NAMES), "an undisturbed run")
        end_traced(site.process)
        site.process = None
        per_process: Counter[tuple[str, str]] = Counter()
        for line in trace.read_text(errors="replace").splitlines():
            pid, _, rest = line.partition(" ")
            name = rest.strip().partition("(")[0]
            if name in calls:
                per_process[pid, name] += 1
    return {call: max((n for (_, name), n in per_process.items() if name == call), default=0) for call in calls}


def export(site: Site) -> None:
    for name in NAMES:
        write_slide(site.export, name)


def run_point(call: str, number: int) -> tuple[bool, dict[str, int]]:
    """Run once, every process killed at its own `number`th `call`; return whether the supervisor died, and faults."""
    with tempfile.TemporaryDirectory(prefix="mds-edge-sweep-") as folder:
        site = Site(Path(folder), attempts=10)
        try:
            export(site)
            process = traced(site, "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}")
            died = wait_for_end(site, process)
            site.start()
            site.wait_ready()
            site.wait_for(lambda: site.ask("status")["slides"]["CLOSED"] == len(NAMES), f"{call} {number}: the end")
            status = site.stop()
            return died, findings_of(site, NAMES) | {"bad_exit_status": int(status != 0)}
        except AssertionError as error:
            print(f"{call} {number}: {error}", file=sys.stderr)  # noqa: T201 - a bench prints
            return True, {"lost": 1}
        finally:
            site.close()


def wait_for_end(site: Site, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the traced daemon died, or both results are there, or time is up; then end what is left."""
    end_s = time.monotonic() + TRACED_S
    while process.poll() is None and time.monotonic() < end_s and len(site.results()) < len(NAMES):
        time.sleep(0.02)
    died = process.poll() is not None
    end_traced(process)
    wait_until_unlocked(site)
    return died


def end_traced(process: subprocess.Popen[bytes]) -> None:
    """Kill the traced supervisor (its children die with it); strace ends when nothing is left to trace."""
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for pid in task.read_text().split() if process.poll() is None else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    try:
        process.wait(TRACED_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_unlocked(site: Site) -> None:
    """Wait until no process of the killed run holds the state folder any more."""
    import fcntl

    lock = site.root / "state" / "lock"
    end_s = time.monotonic() + TRACED_S
    while lock.exists() and time.monotonic() < end_s:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
                continue
        return


if __name__ == "__main__":
    sys.exit(main())
