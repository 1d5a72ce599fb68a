"""A supervisor that hangs under a real systemd (a container of its own): it must be ended and started again in time.

Even runs stop the process (SIGSTOP); odd ones let its loop hang while its other threads could go on. In time: within
the unit's WatchdogSec (every tenth run as shipped, 30 s; 10 s by a drop-in in the others) and 5 s.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.fault.bench.contract import Bench, Outcome
from tests.fault.container import Container, booted_container, missing_for_container, prepare_inside
from tests.fault.site import write_slide
from tests.fault.wrong_parts import HANG_MARK

WATCHDOG_S = 10.0
SHIPPED_WATCHDOG_S = 30.0
RESTART_S = 5.0
PATCHED = """\
[Service]
WatchdogSec={watchdog_s}
Environment=MDS_EDGE_TEST_ANALYZER=1
ExecStart=
ExecStart=/opt/mds-edge/venv/bin/python -I -m {module} --config /etc/mds-edge/mds-edge.toml \
--test-analyzer tests.fault.fake_analyzer:open_fake_analyzer
"""
PRODUCT = "edge.commands.daemon"


def start_service(container: Container, module: str, watchdog_s: float) -> None:
    """Start the unit with the arithmetic analyzer; `module` is the daemon's, or a patched one with its argument."""
    container.drop_in("test", PATCHED.format(module=module, watchdog_s=watchdog_s))
    container.run("systemctl", "start", "mds-edge")


def hang(container: Container, pid: int, *, stop: bool) -> None:
    if stop:
        container.run("kill", f"-{signal.SIGSTOP.value}", str(pid))
    else:
        container.run("touch", f"/run/mds-edge/{HANG_MARK}")


def restarted_after(container: Container, pid: int, deadline_s: float) -> float | None:
    """Return after how many seconds another process runs and says that it is ready; None when that does not happen."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < deadline_s:
        shown = container.shown("MainPID", "ActiveState")
        if shown["MainPID"] not in ("0", str(pid)) and shown["ActiveState"] in ("active", "activating"):
            return time.monotonic() - begun_s
        time.sleep(0.1)
    return None


def run_stuck_supervisor(number: int, work: Path, wrong_part: str = "") -> Outcome:
    """Hang the supervisor once, in a container of its own."""
    if why := missing_for_container():
        raise OSError(why)
    with booted_container(work) as container:
        prepare_inside(container)
        watchdog_s = SHIPPED_WATCHDOG_S if number % 10 == 9 else WATCHDOG_S
        return hang_once(container, number, watchdog_s=watchdog_s, wrong_part=wrong_part)


def hang_once(container: Container, number: int, *, watchdog_s: float, wrong_part: str = "") -> Outcome:
    """Start the unit, hang its supervisor with a slide before, one during and one after; the unit runs on."""
    stop = number % 2 == 0 and not wrong_part
    module = PRODUCT if stop else f"tests.fault.patched_daemon {wrong_part or 'supervisor_hangs_on_demand'}"
    start_service(container, module, watchdog_s)
    export = container.root / "srv/mds-edge/export"
    before = len(container.results())
    write_slide(export, f"BEFORE{number}{wrong_part}")
    container.wait_for(lambda: len(container.results()) == before + 1, what="a result before the hang")
    write_slide(export, f"DURING{number}{wrong_part}")
    time.sleep(number % 5 * 0.6)
    pid = int(container.shown("MainPID")["MainPID"])
    hang(container, pid, stop=stop)
    after_s = restarted_after(container, pid, watchdog_s + RESTART_S + 2.0)
    if after_s is None:
        return Outcome(1, lost=1, other=1, note=f"not restarted within {watchdog_s + RESTART_S + 2.0} s")
    container.wait_for(lambda: len(container.results()) >= before + 2, what="the second result")
    write_slide(export, f"AFTER{number}{wrong_part}")
    container.wait_for(lambda: len(container.results()) >= before + 3, what="the third result")
    shown = container.shown("NRestarts", "ActiveState")
    wrong = [
        "late" if after_s > watchdog_s + RESTART_S else "",
        "" if shown["NRestarts"] == "1" else f"{shown['NRestarts']} restarts",
    ]
    found = [text for text in wrong if text]
    how = "stopped" if stop else "loop hangs"
    note = f"{how}: another one {after_s:.1f} s later (watchdog {watchdog_s:.0f} s)"
    return Outcome(1, duplicate=len(container.results()) - before - 3, other=len(found), note="; ".join([note, *found]))


BENCHES = (
    Bench("stuck_supervisor", "hangs under systemd", 20, run_stuck_supervisor),
    Bench(
        "stuck_supervisor_fed_by_thread", "hangs under systemd", 1,
        lambda number, work: run_stuck_supervisor(number, work, "watchdog_fed_by_a_thread"), "stuck_supervisor",
    ),
)  # fmt: skip
