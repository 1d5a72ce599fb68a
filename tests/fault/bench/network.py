"""Full runs under strace: no network call but AF_UNIX, no file outside the folders that a run is given.

Run 0 is the daemon with the real worker and the demonstration bundle, from loading the models to a result and the stop;
1 is edge-run on a slide, 2 edge-bundle verify, 3 edge-bundle show. HOME is an empty folder and must stay empty.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.fault.bench.contract import Bench, Outcome
from tests.fault.site import REPOSITORY
from tests.fault.system_calls import SystemCalls, made_outside, missing_for_tracing, read_system_calls, traced_command
from tests.fault.watched_site import WatchedSite
from tests.real.real_site import drawn_files, export_slide

BUNDLE = REPOSITORY / "edge" / "demo" / "bundle"
KEY = REPOSITORY / "edge" / "demo" / "public_key.pem"
END_S = 240.0


class TracedSite(WatchedSite):
    """A site whose daemon and children run under strace, with the real bundle and a home of its own."""

    def __init__(self, root: Path, wrong_part: str) -> None:
        # What a control makes wrong is caught without the models as well.
        real = {"test_analyzer": "", "bundle": BUNDLE, "key": f'public_key = "{KEY}"', "worker_budget_s": 300}
        super().__init__(root, wrong_part=wrong_part, **({} if wrong_part else real))
        self.trace = root / "strace.log"
        self.home = root / "home"
        self.home.mkdir()

    def command(self, *arguments: str) -> list[str]:
        return traced_command(self.trace, super().command(*arguments))


def run_network(number: int, work: Path, wrong_part: str = "") -> Outcome:
    """Trace one full run; its points are the network calls that were looked at."""
    if why := missing_for_tracing():
        raise OSError(why)
    if number == 0:
        calls, home, wrong = daemon_calls(work, wrong_part)
    else:
        calls, home, wrong = command_calls(number, work)
    if calls.foreign:
        wrong.append(f"{len(calls.foreign)} calls of another family than AF_UNIX, first: {calls.foreign[0]}")
    if strangers := made_outside(calls, work):
        wrong.append(f"made outside its folders: {strangers[:5]}")
    if left := sorted(path.name for path in home.iterdir()):
        wrong.append(f"left in the home folder: {left}")
    return Outcome(max(1, calls.network), other=len(wrong), note="; ".join([f"{calls.network} network calls", *wrong]))


def daemon_calls(work: Path, wrong_part: str) -> tuple[SystemCalls, Path, list[str]]:
    """Run the daemon from start to stop over one slide of drawn cells."""
    site = TracedSite(work / "site", wrong_part)
    site.extra_environment = {"HOME": str(site.home), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        site.start()
        site.wait_ready()
        export_slide(site.export, "N1", drawn_files(1, 60), sample_id="SIM-N1")
        arrived = site.waited(lambda: site.published("N1"), END_S)
        # The signal is the daemon's, not the tracer's.
        supervisor = Path(f"/proc/{site.process.pid}/task/{site.process.pid}/children").read_text().split()[0]  # type: ignore[union-attr]  # started above
        os.kill(int(supervisor), signal.SIGTERM)
        status = site.process.wait(60.0)  # type: ignore[union-attr]  # started above
    finally:
        site.close()
    wrong = [] if arrived is not None and status == 0 else [f"no full run: result {arrived}, exit status {status}"]
    return read_system_calls(site.trace), site.home, wrong


def command_calls(number: int, work: Path) -> tuple[SystemCalls, Path, list[str]]:
    """Run one command to its end."""
    home = work / "home"
    home.mkdir()
    slide = export_slide(work, "N1", drawn_files(1, 60), sample_id="SIM-N1")
    bundle = ["--public-key", str(KEY)]
    command = {
        1: [
            "edge.commands.run",
            str(slide),
            "--bundle",
            str(BUNDLE),
            *bundle,
            "--out",
            str(work / "out"),
            "--assess-all",
        ],
        2: ["edge.commands.bundle", "verify", str(BUNDLE), *bundle],
        3: ["edge.commands.bundle", "show", str(BUNDLE)],
    }[number]
    trace = work / "strace.log"
    ended = subprocess.run(
        traced_command(trace, [sys.executable, "-m", *command]),
        env=clean_environment(home), cwd=REPOSITORY, capture_output=True, timeout=END_S, check=False,
    )  # fmt: skip
    wrong = [f"exit status {ended.returncode}: {ended.stderr.decode()[-500:]}"] if ended.returncode else []
    return read_system_calls(trace), home, wrong


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment whose home is the given folder, with nothing switched off that a site would not."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
    return kept | {"HOME": str(home), "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}


BENCHES = (
    Bench("network", "full runs under strace", 4, run_network),
    Bench(
        "network_asked_by_worker", "full runs under strace", 1,
        lambda number, work: run_network(number, work, "worker_opens_a_network_socket"), "network",
    ),
)  # fmt: skip
